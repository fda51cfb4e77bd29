package actions_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

func command(t *testing.T, options actions.ExecOptions) *actions.Exec {
	t.Helper()
	if options.Clock == nil {
		options.Clock = func() time.Time { return noon }
	}
	e, err := actions.NewExec(options)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// shell runs a script; a production command needs none.
func shell(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script, "sh"}, args...)
}

func TestACommandIsToldTheChange(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	e := command(t, actions.ExecOptions{Command: shell(`exec >"$1"; shift; printf '%s\n' "$@"; pwd; env | grep -v '^_=\|^PWD=\|^SHLVL=\|^OLDPWD=' | sort; cat`,
		out, "{verb}", "{target}", "{address}/{prefix_length}", "until={until}", "{seconds}s", "{rule}", "{reason}", "[{repository}]", "{repository}")})
	c := change(detector.ChangeBlock, "203.0.113.7/32", cause("a", func(c *detector.Cause) {
		c.Reason, c.Repositories = "it said \"$(reboot)\"; `x`\n\x00", []string{"--help", "acme/web"}
	}))
	apply(t, e, c)
	input, _ := json.Marshal(c)
	want := `block
203.0.113.7/32
203.0.113.7/32
until=2026-10-05T13:00:00Z
3600s
missing-manifest
it said "$(reboot)"; ` + "`x`" + `\n\x00
[--help,acme/web]
help,acme/web
/
LANG=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
REGWARDEN_ADDRESS=203.0.113.7
REGWARDEN_PREFIX_LENGTH=32
REGWARDEN_REASON=it said "$(reboot)"; ` + "`x`" + `\n\x00
REGWARDEN_REPOSITORY=--help,acme/web
REGWARDEN_RULE=missing-manifest
REGWARDEN_SECONDS=3600
REGWARDEN_TARGET=203.0.113.7/32
REGWARDEN_UNTIL=2026-10-05T13:00:00Z
REGWARDEN_VERB=block
` + string(input) + "\n"
	if got := read(t, out); got != want {
		t.Errorf("want\n%s\ngot\n%s", want, got)
	}
}

func TestAFailingCommandSaysWhy(t *testing.T) {
	e := command(t, actions.ExecOptions{Command: shell("echo no such table >&2; exit 3")})
	err := e.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")})
	if want := "/bin/sh for block 203.0.113.7/32: exit status 3: no such table"; err == nil || err.Error() != want {
		t.Errorf("want %q, got %v", want, err)
	}
	e = command(t, actions.ExecOptions{Command: shell("yes | head -c 100000; exit 1")})
	if err := e.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")}); err == nil || len(err.Error()) > 5000 {
		t.Errorf("want the output cut, got %d bytes", len(err.Error()))
	}
	e = command(t, actions.ExecOptions{Command: []string{"/nonexistent/program"}})
	if err := e.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("want an error for a program that is not there, got %v", err)
	}
}

func TestASlowCommandIsKilledWithItsChildren(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	e := command(t, actions.ExecOptions{Timeout: 300 * time.Millisecond, Command: shell(`sleep 600 & echo $! >"$1"; wait`, pids)})
	err := e.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")})
	if err == nil || !strings.Contains(err.Error(), "killed after 300ms") {
		t.Fatalf("want it killed, got %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, pids)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); running(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("want process %d gone", pid)
		}
	}
}

// running is false for a process that is gone or waits for its parent only.
func running(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestACommandThatFailsIsRunAgain(t *testing.T) {
	dir := t.TempDir()
	e := command(t, actions.ExecOptions{Command: shell(`if mkdir "$1/tried" 2>/dev/null; then exit 1; fi; echo "$2" >>"$1/done"`, dir, "{target}")})
	r := actions.NewRunner(e, actions.RunnerOptions{})
	start(t, r)
	r.Enqueue([]detector.Change{blocked("203.0.113.7/32"), blocked("203.0.113.8/32")})
	flush(t, r)
	if want, got := "203.0.113.7/32\n203.0.113.8/32\n", read(t, filepath.Join(dir, "done")); want != got {
		t.Errorf("want %q, got %q", want, got)
	}
	if s := r.Status(); s.Failed != 1 || s.Applied != 2 || s.Kind != "exec" {
		t.Errorf("want one failure and two applied, got %+v", s)
	}
}

func TestExecOptionsAreChecked(t *testing.T) {
	for _, row := range []struct {
		command []string
		want    string
	}{
		{nil, `action x: command []: want the absolute path of a program and its arguments`},
		{[]string{"iptables"}, `action x: command ["iptables"]: want the absolute path of a program and its arguments`},
		{[]string{"/bin/true", "{ip}"}, `action x: command: unknown placeholder {ip}, known are verb, target, address, prefix_length, until, seconds, rule, reason, repository`},
		{[]string{"/bin/true", `{"json": 1}`}, ""},
	} {
		_, err := actions.NewExec(actions.ExecOptions{Name: "x", Command: row.command})
		if got := errorText(err); got != row.want {
			t.Errorf("want %q, got %q", row.want, got)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestWhatACommandHearsOf(t *testing.T) {
	for _, row := range []struct {
		name    string
		options actions.ExecOptions
		want    string
	}{
		{"one that blocks", actions.ExecOptions{}, "block 203.0.113.7/32\n"},
		{"one that only tells", actions.ExecOptions{HoldsNothing: true}, "block 203.0.113.7/32\nblock 203.0.113.8/32\n"},
		{"one that tells of dry runs too", actions.ExecOptions{HoldsNothing: true, DryRun: true}, "block 203.0.113.7/32\nblock 203.0.113.8/32\nwould-block 203.0.113.9/32\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			row.options.Command = shell(`echo "$2" "$3" >>"$1"`, out, "{verb}", "{target}")
			r := actions.NewRunner(command(t, row.options), actions.RunnerOptions{})
			start(t, r)
			r.Enqueue([]detector.Change{blocked("203.0.113.7/32"), change(detector.ChangeBlock, "203.0.113.8/32", cause("n", narrow)),
				change(detector.ChangeDryRun, "203.0.113.9/32", cause("d"))})
			flush(t, r)
			if got := read(t, out); got != row.want {
				t.Errorf("want %q, got %q", row.want, got)
			}
		})
	}
}
