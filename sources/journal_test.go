package sources_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/sources"
)

// fakeJournal is a journalctl: it writes its arguments down and runs the script.
func fakeJournal(t *testing.T, script string) (command, arguments string) {
	t.Helper()
	dir := t.TempDir()
	command, arguments = filepath.Join(dir, "journalctl"), filepath.Join(dir, "arguments")
	text := "#!/bin/sh\ncd '" + dir + "'\necho \"$@\" >>arguments\n" + script
	if err := os.WriteFile(command, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return command, arguments
}

func record(t *testing.T, cursor string, message any, more ...string) string {
	t.Helper()
	fields := map[string]any{
		"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1791187202000123", "_HOSTNAME": "reg.example.org",
		"SYSLOG_IDENTIFIER": "docker-registry", "_PID": "812", "MESSAGE": message,
	}
	for i := 0; i+1 < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestJournalRecordsBecomeSyslogLines(t *testing.T) {
	t.Parallel()
	const header = "2026-10-05T08:00:02.000123Z reg.example.org docker-registry[812]: "
	tests := []struct{ name, record, want string }{
		{"text", record(t, "c", "hello"), header + "hello"},
		{"json", record(t, "c", `{"msg":"access"}`), header + `{"msg":"access"}`},
		{"newlines", record(t, "c", "a\nb\r\nc"), header + "a b  c"},
		{"bytes", record(t, "c", []int{104, 255, 10, 105}), header + "h\xff i"},
		{"sent twice", record(t, "c", []string{"first", "second"}), header + "first"},
		{"forged identifier", record(t, "c", "x", "SYSLOG_IDENTIFIER", "sshd[1]: a b"), strings.Replace(header, "docker-registry", "sshd_1___a_b", 1) + "x"},
		{"too long", record(t, "c", long), (header + long)[:sources.MaxLine]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "records"), []byte("no json\n"+record(t, "b", nil)+test.record), 0o644); err != nil {
				t.Fatal(err)
			}
			command, _ := fakeJournal(t, "cat '"+dir+"/records'; exec sleep 60")
			s := newSink()
			j, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Command: command})
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, j, nil, s.emit)
			s.await(t, "a line", func() bool { return len(s.lines) == 1 })
			r.stop(t)
			if s.lines[0] != test.want {
				t.Errorf("got  %.200q\nwant %.200q", s.lines[0], test.want)
			}
			if p := s.positions["journal"]; p.Cursor != "c" {
				t.Errorf("got %+v", p)
			}
		})
	}
}

func TestJournalGoesOnAfterItsCursor(t *testing.T) {
	t.Parallel()
	first, second := record(t, "s=1;i=1", "one"), record(t, "s=1;i=2", "two")
	command, arguments := fakeJournal(t, fmt.Sprintf(`n=$(wc -l <arguments)
if [ $n = 1 ]; then echo gone wrong >&2; exit 1; fi
if [ $n = 2 ]; then printf '%%s' '%s'; exit 0; fi
printf '%%s' '%s'; exec sleep 60`, first, second))
	s := newSink()
	j, err := sources.NewJournal(sources.JournalOptions{
		Name: "sys", Command: command, Pause: time.Millisecond, Units: []string{"a.service", "b.service"}, Matches: []string{"PRIORITY=6", "+", "PRIORITY=5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, j, nil, s.emit)
	s.await(t, "both records", func() bool { return len(s.lines) == 2 })
	r.stop(t)
	r = run(t, j, s.remembered(), s.emit)
	s.await(t, "a third start", func() bool { return len(s.lines) == 3 })
	r.stop(t)
	text, err := os.ReadFile(arguments)
	if err != nil {
		t.Fatal(err)
	}
	matches := "PRIORITY=6 + PRIORITY=5"
	if id, err := os.ReadFile("/etc/machine-id"); err == nil { // other machines' journals are not ours
		here := "_MACHINE_ID=" + strings.TrimSpace(string(id))
		matches = here + " PRIORITY=6 + " + here + " PRIORITY=5"
	}
	starts := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, want := range []string{"--since=@", "--since=@", "--after-cursor=s=1;i=1", "--after-cursor=s=1;i=2"} {
		if i >= len(starts) || !strings.Contains(starts[i], want) || !strings.HasSuffix(starts[i], " --unit=a.service --unit=b.service "+matches) {
			t.Errorf("start %d: want %s in %q", i, want, starts)
		}
	}
}

func TestThePastOfTheJournalIsRead(t *testing.T) {
	command, arguments := fakeJournal(t, fmt.Sprintf("printf '%%s' '%s'", record(t, "a", "one")+record(t, "b", "two")))
	j, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Command: command, Units: []string{"a.service"}})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, since := range []time.Time{{}, time.Unix(1791187000, 0)} {
		if err := j.Past(t.Context(), since, &got); err != nil {
			t.Fatal(err)
		}
	}
	if lines := strings.Split(got.String(), "\n"); len(lines) != 5 || !strings.HasSuffix(lines[1], "docker-registry[812]: two") {
		t.Errorf("got %q", lines)
	}
	text, err := os.ReadFile(arguments)
	if err != nil {
		t.Fatal(err)
	}
	starts := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(starts) != 2 || strings.Contains(string(text), "--follow") || strings.Contains(starts[0], "--since") || !strings.Contains(starts[1], "--since=@1791187000 --unit=a.service") {
		t.Errorf("got %q", starts)
	}
}

func TestAJournalThatMayNotBeReadIsAnError(t *testing.T) {
	command, _ := fakeJournal(t, "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1")
	j, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Command: command})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := j.Past(t.Context(), time.Time{}, &got); err == nil || !strings.Contains(err.Error(), "source sys: journalctl: ") || !strings.Contains(err.Error(), "insufficient permissions") {
		t.Errorf("got %v", err)
	}
}

func TestJournalNeedsJournalctl(t *testing.T) {
	j, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Command: "journalctl-that-is-not-there"})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Run(t.Context(), nil, nil); !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "source sys: cannot run journalctl-that-is-not-there") {
		t.Errorf("got %v", err)
	}
}

func TestJournalRefusesWhatIsNoMatch(t *testing.T) {
	for _, match := range []string{"--file=/etc/passwd", "", "x", "=1", "lower=1"} {
		if _, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Matches: []string{match}}); err == nil {
			t.Errorf("%q: no error", match)
		}
	}
}

func TestRealJournal(t *testing.T) {
	command, err := exec.LookPath("journalctl")
	if err == nil {
		err = exec.Command(command, "--quiet", "--lines=1", "--output=json").Run()
	}
	logger, err2 := exec.LookPath("logger")
	if _, err3 := os.Stat("/run/systemd/journal/socket"); err != nil || err2 != nil || err3 != nil {
		t.Skip("SKIPPED: no running journald here; where there is one: go test -run TestRealJournal ./sources")
	}
	s := newSink()
	j, err := sources.NewJournal(sources.JournalOptions{Name: "sys", Matches: []string{"SYSLOG_IDENTIFIER=regwarden-test"}})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, j, nil, s.emit)
	for begun := time.Now(); s.total() == 0; pause(100) { // it begins at the end, which is where it is when it has started
		if out, err := exec.Command(logger, "--tag", "regwarden-test", "hello").CombinedOutput(); err != nil || time.Since(begun) > deadline {
			t.Fatalf("no record came; logger: %v %s", err, out)
		}
	}
	r.stop(t)
}
