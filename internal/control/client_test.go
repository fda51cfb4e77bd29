package control_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/internal/control"
)

// prefixes compares by value: netip's types have unexported fields.
var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestClientGetsWhatTheBackendSays(t *testing.T) {
	fake := backend()
	fake.State = control.Status{Version: "v1", Since: now, Rules: []control.RuleStatus{{Name: "r"}},
		Sources: []control.SourceStatus{}, Actions: []control.ActionStatus{}, Counts: detector.Stats{RuleHits: map[string]uint64{"r": 3}}}
	fake.Entries = []control.HistoryEntry{
		{ID: 2, Time: now, Verb: "unblock", Target: netip.MustParsePrefix("203.0.113.7/32"), Cause: cause("a", "r", nil), By: "uid 0"},
		{ID: 1, Time: now, Verb: "block", Target: netip.MustParsePrefix("203.0.113.7/32"), Cause: cause("a", "r", nil), By: "rule"},
	}
	fake.Reloaded = control.ReloadResult{Rules: 3, Changed: []string{"x"}, Restart: []string{"y"}}
	c, ctx := control.NewClient(start(t, control.ServerOptions{Backend: fake}).path), t.Context()

	status, err := c.Status(ctx)
	wantStatus := fake.State
	wantStatus.Blocks = 2
	wantSame(t, err, wantStatus, status)

	blocks, err := c.Blocks(ctx, control.BlockFilter{})
	wantBlocks, _ := fake.Blocks(ctx, control.BlockFilter{})
	wantSame(t, err, wantBlocks, blocks)

	filter := control.BlockFilter{Client: netip.MustParsePrefix("203.0.113.0/24"), Repository: "acme/web", Project: "acme/web", Rule: "missing-manifest"}
	blocks, err = c.Blocks(ctx, filter)
	wantSame(t, err, wantBlocks[:1], blocks)

	blocks, err = c.Find(ctx, "203.0.113.0/24")
	wantSame(t, err, wantBlocks[:1], blocks)

	entries, err := c.History(ctx, control.HistoryFilter{BlockFilter: control.BlockFilter{Rule: "r"}, Since: now.In(time.FixedZone("", 7200)),
		Until: now.Add(time.Nanosecond), Limit: 1, BeforeID: 2})
	wantSame(t, err, fake.Entries[1:], entries)

	done, err := c.Block(ctx, control.BlockRequest{Target: "198.51.100.1", For: "1h", Reason: "ä \x1b"})
	if err != nil || len(done.Changes) != 1 || done.Changes[0].Cause.Reason != "ä \x1b" {
		t.Errorf("want one change with its reason, got %+v, %v", done, err)
	}
	done, err = c.Unblock(ctx, control.UnblockRequest{All: true, Rule: "manual", Reason: "over"})
	if err != nil || len(done.Changes) != 1 || done.Changes[0].Note != "over" {
		t.Errorf("want one change with its note, got %+v, %v", done, err)
	}
	done, err = c.Allow(ctx, control.AllowEntry{Target: "2001:db8:0:1::/64", For: "1h"})
	if err != nil || len(done.Changes) != 1 {
		t.Errorf("want one change, got %+v, %v", done, err)
	}
	allowed, err := c.AllowList(ctx)
	if err != nil || len(allowed) != 1 || !allowed[0].Until.Equal(now.Add(time.Hour)) {
		t.Errorf("want one entry for an hour, got %+v, %v", allowed, err)
	}
	if err := c.Disallow(ctx, "2001:db8:0:1::/64"); err != nil {
		t.Error(err)
	}
	if err := c.Disallow(ctx, "2001:db8:0:1::/64"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("want not found, got %v", err)
	}
	reloaded, err := c.Reload(ctx)
	wantSame(t, err, fake.Reloaded, reloaded)
}

func wantSame(t *testing.T, err error, want, got any) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got, prefixes); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestNobodyOnTheSocketIsNoDaemon(t *testing.T) {
	dir := socketDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for name, path := range map[string]string{
		"nothing there": filepath.Join(dir, "none"), "no directory": filepath.Join(dir, "a", "b"), "a file": file, "below a file": file + "/s",
		"nobody behind it": dead, "long": filepath.Join(dir, strings.Repeat("a", 200)), "empty": "",
	} {
		_, err := control.NewClient(path).Status(t.Context())
		if !errors.Is(err, control.ErrNoDaemon) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: want no daemon, in a line with the path, got %v", name, err)
		}
	}
}

func TestSomebodyElseOnTheSocketIsAnError(t *testing.T) {
	for name, say := range map[string]string{
		"not HTTP": "220 mail.example.org ready\r\n", "nothing": "",
		"another server": "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry",
		"no JSON":        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"a redirect":     "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
	} {
		path := filepath.Join(socketDir(t), "s.sock")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.Read(make([]byte, 4096))
			c.Write([]byte(say))
		}()
		_, err = control.NewClient(path).Status(t.Context())
		if err == nil || errors.Is(err, control.ErrNoDaemon) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: want one line with the path, got %v", name, err)
		}
	}
}

func TestClientGivesUpWhenItIsTold(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	l, err := net.Listen("unix", path) // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := control.NewClient(path).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("want canceled, got %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := control.NewClient(path).Status(ctx); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("want no answer, got %v", err)
	}
}

func TestProblemsAreToldApart(t *testing.T) {
	for status, want := range map[int]error{http.StatusForbidden: control.ErrNotAllowed, http.StatusNotFound: control.ErrNotFound} {
		err := error(&control.Problem{Title: "t", Status: status})
		if !errors.Is(err, want) || errors.Is(&control.Problem{Status: 400}, want) {
			t.Errorf("%d: want %v", status, want)
		}
	}
}
