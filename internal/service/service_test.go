package service_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/internal/service"
)

// systemd is the socket on which systemd would listen.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// heard is the next thing that systemd was told within the time; "" for nothing.
func heard(t *testing.T, c *net.UnixConn, within time.Duration) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	n, _ := c.Read(b)
	return string(b[:n])
}

func TestSystemdIsToldHowFarTheDaemonIs(t *testing.T) {
	c := systemd(t)
	n := service.NewNotifier(slog.New(slog.DiscardHandler))
	for _, told := range []struct {
		tell func()
		want string
	}{{n.Ready, "READY=1"}, {n.Reloading, "RELOADING=1\nMONOTONIC_USEC="}, {n.Ready, "READY=1"}, {n.Stopping, "STOPPING=1"}} {
		told.tell()
		if got := heard(t, c, 5*time.Second); !strings.HasPrefix(got, told.want) {
			t.Errorf("want %q, got %q", told.want, got)
		}
	}
}

// A core that stands still must be found out, so nobody else speaks for it.
func TestTheWatchdogIsFedByRoundsOfTheCoreOnly(t *testing.T) {
	c := systemd(t)
	t.Setenv("WATCHDOG_USEC", "40000")
	n := service.NewNotifier(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	var feeder sync.WaitGroup
	feeder.Go(func() { n.Feed(ctx) })
	if got := heard(t, c, 200*time.Millisecond); got != "" {
		t.Errorf("told %q before the core has made a round", got)
	}
	for range 3 {
		n.Alive()
		if got := heard(t, c, 5*time.Second); got != "WATCHDOG=1" {
			t.Errorf("want the watchdog fed after a round, got %q", got)
		}
	}
	if got := heard(t, c, 200*time.Millisecond); got != "" {
		t.Errorf("told %q of a core that stands still", got)
	}
	stop()
	feeder.Wait()
}

func TestWithoutSystemdNothingHappens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := service.NewNotifier(slog.New(slog.DiscardHandler))
	n.Ready()
	n.Feed(t.Context()) // ends at once
	l, err := service.ControlSocket()
	if l != nil || err != nil {
		t.Errorf("want no socket, got %v, %v", l, err)
	}
}
