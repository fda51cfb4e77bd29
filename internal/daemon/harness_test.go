package daemon_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// TestMain lets the test binary be a daemon that can be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("REGWARDEN_TEST_DAEMON"); path != "" {
		os.Exit(serve(path))
	}
	if path := os.Getenv("REGWARDEN_TEST_FLUSH"); path != "" {
		flushNow(path)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serve(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	load := func() (*config.Config, error) { return config.Load(path) }
	c, err := load()
	if err == nil {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		reloads := make(chan struct{})
		go func() {
			for range hup {
				reloads <- struct{}{}
			}
		}()
		err = daemon.Run(ctx, daemon.Options{Config: c, Version: "test", Load: load, Reloads: reloads,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// host is a directory with a configuration, and the daemon that runs by it.
type host struct {
	t      *testing.T
	dir    string
	client *control.Client
	cmd    *exec.Cmd
	log    strings.Builder
	in     []string // what runs a command in the host's network namespace; empty for the test's own
}

// newHost writes a configuration; %s in it is the directory.
func newHost(t *testing.T, text string, rules map[string]string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	if err := os.Chmod(filepath.Dir(h.dir), 0o755); err != nil { // answer files must be within a web server's reach
		t.Fatal(err)
	}
	h.write("regwarden.toml", text+`
[state]
path = "state/state.db"
[control]
socket = "s"
group = ""
`)
	if err := os.Mkdir(h.path("rules.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, rule := range rules {
		h.write("rules.d/"+name+".toml", rule)
	}
	h.client = control.NewClient(filepath.Join(h.dir, "s"))
	t.Cleanup(func() {
		if h.cmd != nil {
			h.kill(syscall.SIGKILL)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// run starts the daemon and waits until it answers.
func (h *host) run() {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	command := append(append([]string{}, h.in...), self)
	h.cmd = exec.Command(command[0], command[1:]...)
	h.cmd.Env = append(os.Environ(), "REGWARDEN_TEST_DAEMON="+h.path("regwarden.toml"))
	h.cmd.Stderr = &h.log
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.until("the daemon answers", func() bool {
		_, err := h.client.Status(h.t.Context())
		return err == nil
	})
}

// kill sends a signal and waits for the end.
func (h *host) kill(sig syscall.Signal) {
	h.cmd.Process.Signal(sig)
	h.cmd.Wait()
	h.cmd = nil
}

// until waits for something that another process does.
func (h *host) until(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain until %s; %d lines are counted", what, h.lines())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// lines is how many lines all sources have counted.
func (h *host) lines() (n uint64) {
	s, err := h.client.Status(context.Background())
	if err != nil {
		return 0
	}
	for _, src := range s.Sources {
		n += src.Lines
	}
	return n
}

// blocked are the targets' addresses and the rules that block them.
func (h *host) blocked() map[string]string {
	h.t.Helper()
	blocks, err := h.client.Blocks(h.t.Context(), control.BlockFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]string{}
	for _, b := range blocks {
		for _, c := range b.Causes {
			out[b.Target.Addr().String()] += c.Rule + " "
		}
	}
	return out
}

// line is a request of a client at this moment, that the rules of these tests count.
func line(client string) string {
	return fmt.Sprintf("%s - - [%s] \"GET /v2/a/b/manifests/c HTTP/1.1\" 404 93 \"\" \"docker\" -\n", client, time.Now().Format("02/Jan/2006:15:04:05 -0700"))
}

// countRule blocks at n hits within a day, whoever it is.
func countRule(n int) string {
	return fmt.Sprintf("summary = \"test\"\nsource = \"access\"\nmaxretry = %d\nfindtime = \"1d\"\nbantime = \"1h\"\nsuccess_ratio = 1.0\n[match]\nstatus = 404\n", n)
}

// fails starts a second daemon that must end by itself, and returns what it says.
func (h *host) fails() string {
	h.t.Helper()
	self, _ := os.Executable()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "REGWARDEN_TEST_DAEMON="+h.path("regwarden.toml"))
	out, err := cmd.CombinedOutput()
	if err == nil {
		h.t.Error("it ended without an error")
	}
	return string(out)
}
