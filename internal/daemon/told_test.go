package daemon_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// TestWhoStartedItIsToldHowFarItIs: ready once it answers, reloading and ready again, rounds of the core all the while, and stopping.
func TestWhoStartedItIsToldHowFarItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "regwarden.toml")
	text := "[[source]]\npath = \"a.log\"\n[[actions.blocklist]]\npath = \"list\"\n[state]\npath = \"state.db\"\n[control]\nsocket = \"s\"\ngroup = \"\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() (*config.Config, error) { return config.Load(file) }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	told, rounds, ended := make(chan string, 16), make(chan struct{}), make(chan error, 1)
	say := func(word string) func() { return func() { told <- word } }
	go func() {
		ended <- daemon.Run(ctx, daemon.Options{Config: c, Load: load, Socket: socket, Logger: slog.New(slog.DiscardHandler),
			Ready: say("ready"), Reloading: say("reloading"), Stopping: say("stopping"), Alive: func() {
				select {
				case rounds <- struct{}{}:
				default:
				}
			}})
	}()
	next := func(want string) {
		t.Helper()
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("want %s, got %s", want, got)
			}
		case err := <-ended:
			t.Fatalf("want %s, but the daemon has ended: %v", want, err)
		}
	}
	next("ready")
	client := control.NewClient(filepath.Join(dir, "s"))
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("it is ready and does not answer: %v", err)
	}
	<-rounds
	if _, err := client.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	next("reloading")
	next("ready")
	if err := os.WriteFile(file, []byte("nonsense = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reload(t.Context()); err == nil {
		t.Error("a bad configuration was taken")
	}
	next("reloading")
	next("ready")
	<-rounds
	stop()
	next("stopping")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestWebhooksSecretFromAFile: a path, or one of the credentials that systemd gives a service.
func TestWebhooksSecretFromAFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "regwarden_hook"), []byte("pa55\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(file string) error {
		t.Helper()
		c, err := config.Parse(filepath.Join(dir, "c.toml"), []byte("[[source]]\npath = \"a\"\n[[actions.webhook]]\nurl = \"http://127.0.0.1:9/\"\nsecret_file = \""+file+"\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		return daemon.CheckConfig(c)
	}
	if err := check("credential:regwarden_hook"); err != nil {
		t.Errorf("outside the service a credential cannot be looked at, which is no mistake: %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, file := range []string{"regwarden_hook", "credential:regwarden_hook"} {
		if err := check(file); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range []string{"missing", "credential:missing"} {
		if err := check(file); err == nil || !strings.Contains(err.Error(), "secret_file") || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%s: want an error that names key and cause, got %v", file, err)
		}
	}
}
