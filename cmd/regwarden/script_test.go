package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/control/controltest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"regwarden": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// The scripts run the verbs as people do, against a control server whose daemon is in memory.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			dir, err := os.MkdirTemp("", "rw") // a socket's path is at most 107 bytes long
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("REGWARDEN_SOCKET", filepath.Join(dir, "s.sock"))
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"daemon": startDaemon, "code": wantCode},
		Condition: func(c string) (bool, error) {
			if c != "root" {
				return false, fmt.Errorf("unknown condition %q", c)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

// startDaemon is "daemon STATE": it serves one of the states below on the script's socket until the script ends.
func startDaemon(ts *testscript.TestScript, _ bool, args []string) {
	state, ok := states[args[0]]
	if !ok {
		ts.Fatalf("there is no state %q", args[0])
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- control.Serve(ctx, control.ServerOptions{Path: ts.Getenv("REGWARDEN_SOCKET"), Backend: state(), Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		ts.Fatalf("serve: %v", err)
	}
	ts.Defer(func() {
		cancel()
		<-ended
	})
}

// wantCode is "code N VERB...": the verb must end with that exit code.
func wantCode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("regwarden", args[1:]...)
	got := 0
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("want exit code %s, got %d", args[0], got)
	}
}

// states are the daemons that scripts ask for.
var states = map[string]func() control.Backend{
	"quiet":   func() control.Backend { return controltest.NewBackend(time.Now) },
	"busy":    func() control.Backend { return busy() },
	"refuses": func() control.Backend { return refuses() },
	"broken":  func() control.Backend { return broken() },
	"dry":     func() control.Backend { return dry() },
}

// start is when everything in the busy daemon began: long enough ago for its ends to be far from a full minute.
func start() time.Time { return time.Now().Add(-8*time.Minute - 30*time.Second) }

func busy() *controltest.Backend {
	began := start()
	manifest := detector.Cause{ID: "aaaaaaaaaaaa", Rule: "missing-manifest", By: "rule", Reason: "asked 60 times for acme/web:v9, which is not there",
		Scope: detector.ScopeRepository, Widened: true, Strike: 2, Count: 60, Window: 900, First: began.Add(-time.Minute), Last: began,
		Since: began, Until: began.Add(time.Hour), Repositories: []string{"acme/web", "evil\x1b[2J", "c", "d"}, Projects: []string{"acme/web"},
		Samples: []string{"GET /v2/acme/web/manifests/v9 \x1b]0;owned\a\u009b31m\u202e"}}
	push := detector.Cause{ID: "bbbbbbbbbbbb", Rule: "push-flood", By: "rule", Reason: "pushed \x1b[31mtoo\u202e much", Count: 5,
		Since: began, Until: began.Add(30 * time.Minute)}
	b := controltest.NewBackend(time.Now,
		detector.Block{Target: netip.MustParsePrefix("203.0.113.7/32"), Until: manifest.Until, Causes: []detector.Cause{manifest, push}},
		detector.Block{Target: netip.MustParsePrefix("2001:db8:0:1::/64"), Until: push.Until, Causes: []detector.Cause{{ID: "cccccccccccc",
			Rule: "login-guess", By: "rule", Reason: "guessed", Count: 9, Since: began, Until: push.Until}}})
	b.Never = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	b.State = control.Status{Version: "v1.2.3", Since: began, Config: "/etc/regwarden/regwarden.toml",
		Rules: []control.RuleStatus{{Name: "missing-manifest", Origin: "built in", Hits: 120}, {Name: "push-flood", Origin: "rules.d/push.toml", DryRun: true}},
		Sources: []control.SourceStatus{{Source: "nginx", Path: "/var/log/nginx/access.log", Dialect: "nginx", Lines: 200, Unparsed: 3,
			LastLine: time.Now().Add(-90 * time.Second), Cut: 1}, {Source: "gone", Path: "/var/log/gone\x1b[31m", Error: "permission denied"}},
		Actions: []control.ActionStatus{{Name: "list", Kind: "blocklist", Healthy: true, Applied: 4, Healed: 2},
			{Name: "hook", Kind: "webhook", Failed: 2, Pending: 7, Dropped: 1, LastError: "connection refused\x1b[31m"}},
		Counts:      detector.Stats{Events: 197, Hits: 120, Tracked: 1, Memory: 72 << 20, RuleHits: map[string]uint64{"missing-manifest": 120}},
		ReloadError: "x.toml:1: no\nx.toml:2: no", Warnings: []string{"the disk is \x1b[31mfull"}}
	b.Entries = []control.HistoryEntry{
		{ID: 12, Time: began, Verb: "unblock", Target: netip.MustParsePrefix("198.51.100.4/32"), Cause: push, By: "uid 0 (root)", Note: "mended \x1b[31m"},
		{ID: 11, Time: began.Add(-48 * time.Hour), Verb: "block", Target: netip.MustParsePrefix("198.51.100.4/32"), Cause: push, By: "rule"}}
	b.Reloaded = control.ReloadResult{Rules: 12, Changed: []string{"rule a is new", "rule b is \x1b[31mgone"}, Restart: []string{"control.socket"}}
	return b
}

// refuses turns every change away, as the server does with who is not in the group.
func refuses() control.Backend {
	b := busy()
	for _, m := range []string{"Block", "Unblock", "Allow", "Disallow", "Reload"} {
		b.Errors[m] = &control.Problem{Title: "Forbidden", Status: 403, Detail: "uid 1000 (alice) may look but not change anything", Hint: "run it as root"}
	}
	return b
}

// dry has blocks from before it became a dry run.
func dry() control.Backend {
	b := busy()
	b.State.DryRun = true
	return b
}

func broken() control.Backend {
	b := busy()
	b.State.DryRun = true
	b.Errors["Reload"] = &control.Problem{Title: "mistakes", Status: 422, Detail: "a.toml:3: maxretry: no number\nb.toml: unknown key \x1b[31m"}
	b.Errors["Blocks"] = errors.New("the ledger is away")
	return b
}

// Every verb must be in a group, have a description that is more than its title, and say so within 80 columns.
func TestHelpIsConsistent(t *testing.T) {
	root := newRoot()
	for _, top := range root.Commands() {
		if top.GroupID == "" {
			t.Errorf("%s is in no group", top.CommandPath())
		}
		for _, c := range append(top.Commands(), top) {
			if c.Long == "" || !strings.HasSuffix(c.Long, ".") || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: want a Long of sentences and a Short that is none", c.CommandPath())
			}
			var b strings.Builder
			c.SetOut(&b)
			if err := c.Help(); err != nil {
				t.Error(err)
			}
			about, _, _ := strings.Cut(b.String(), "\nUsage:")
			for line := range strings.Lines(about) {
				if len([]rune(strings.TrimRight(line, "\n"))) > helpWidth && !strings.HasPrefix(line, " ") {
					t.Errorf("%s: the line is too long: %s", c.CommandPath(), line)
				}
			}
		}
	}
}

// A verb's man page has each sentence of its help, and each of its flags.
func TestManPagesSayWhatHelpSays(t *testing.T) {
	roff := strings.NewReplacer(`\-`, "-", `\fB`, "", `\fP`, "", `\fR`, "", `\fI`, "", `\`, "", "`", "")
	root := newRoot()
	for _, top := range append(root.Commands(), root) {
		if top.Name() == "help" {
			continue // man is the help of help
		}
		verbs := append([]*cobra.Command{top}, top.Commands()...)
		if top == root {
			verbs = verbs[:1]
		}
		for _, c := range verbs {
			var b strings.Builder
			if err := doc.GenMan(c, &doc.GenManHeader{Section: "1"}, &b); err != nil {
				t.Fatal(err)
			}
			page := strings.Join(strings.Fields(strings.ReplaceAll(roff.Replace(b.String()), ".PP", "")), " ")
			for paragraph := range strings.SplitSeq(c.Long, "\n\n") {
				if want := strings.Join(strings.Fields(paragraph), " "); !strings.Contains(page, want) {
					t.Errorf("%s: want in its page: %s\ngot: %s", c.CommandPath(), want, page)
				}
			}
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if !strings.Contains(page, "--"+f.Name) {
					t.Errorf("%s: want --%s in its page", c.CommandPath(), f.Name)
				}
			})
		}
	}
}
