package actions_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// TestElementsOfOthersDoNotStay: what `regwarden blocks` does not list cannot be explained or lifted, and a block must end when it says.
func TestElementsOfOthersDoNotStay(t *testing.T) {
	for name, row := range map[string]struct{ sets, command string }{
		"an element added":                 {"require", "ipset add regwarden4 203.0.113.99 timeout 600"},
		"an IPv6 element added":            {"require", "ipset add regwarden6 2001:db8:77::/64 timeout 600"},
		"a block that is never to end":     {"require", "ipset -exist add regwarden4 203.0.113.7 timeout 0"},
		"a block that is to end at once":   {"require", "ipset -exist add regwarden6 2001:db8:2::/64 timeout 5"},
		"a rule added to those for blocks": {"never", "iptables-nft -t raw -A REGWARDEN -s 203.0.113.99/32 -j DROP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			xtNeed(t, l.Server, "nft")
			a := ipTables(t, actions.IPTablesOptions{Variant: "nft", PreferIPSet: row.sets, Namespace: l.Server.FD(), WatchEvery: 200 * time.Millisecond})
			blocks := []detector.Block{xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", 40*24*time.Hour)} // longer than a set can hold
			xtGuard(t, a, blocks...)
			l.Server.Command(t, "sh", "-ec", row.command)
			xtAwait(t, "it healed", 10*time.Second, func() bool { return a.Healed() > 0 })
			xtAwait(t, "exactly the blocks", 5*time.Second, func() bool { return xtHeld(t, l.Server, "nft") == "203.0.113.7/32 2001:db8:2::/64" })
			if row.sets == "require" {
				if v4, v6 := xtLeft(t, l.Server, "regwarden4", "203.0.113.7"), xtLeft(t, l.Server, "regwarden6", "2001:db8:2::/64"); v4 < 3500 || v4 > 3600 || v6 < 2147400 {
					t.Errorf("want their own ends, got %d and %d s", v4, v6)
				}
			}
			if a.Healed() != 1 {
				t.Errorf("want it healed once, got %d", a.Healed())
			}
		})
	}
}

// TestWhatFindsNoRoomIsSaid: which blocks, how many, and what to do; those that stand keep their places, and are counted as applied.
func TestWhatFindsNoRoomIsSaid(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "nft")
	a := ipTables(t, actions.IPTablesOptions{Variant: "nft", PreferIPSet: "never", RuleCap: 2, Namespace: l.Server.FD()})
	r := xtGuard(t, a)
	block := func(target string, left time.Duration) {
		t.Helper()
		r.Enqueue([]detector.Change{xtChange(detector.ChangeBlock, target, left)})
		_ = r.Flush(t.Context())
	}
	want := func(held string, applied uint64, pending int) {
		t.Helper()
		xtAwait(t, held, 10*time.Second, func() bool { s := r.Status(); return s.Applied == applied && s.Pending == pending })
		if got := xtHeld(t, l.Server, "nft"); got != held {
			t.Errorf("want %q, got %q", held, got)
		}
	}
	block("203.0.113.1/32", time.Hour)
	block("203.0.113.2/32", time.Hour)
	want("203.0.113.1/32 203.0.113.2/32", 2, 0)
	block("203.0.113.3/32", 2*time.Hour)
	want("203.0.113.1/32 203.0.113.2/32", 2, 1)
	s := r.Status()
	if text := "1 of 3 IPv4 blocks do not stand (203.0.113.3/32)"; s.Healthy || !strings.Contains(s.LastError, text) || !strings.Contains(s.LastError, `set ipset = "auto", raise max_rules`) || strings.Contains(s.LastError, "module") {
		t.Errorf("want %q and what fits, got %q", text, s.LastError)
	}
	if err := a.SetNever(t.Context(), []netip.Prefix{netip.MustParsePrefix("198.51.100.1/32")}); err != nil {
		t.Fatal(err)
	}
	want("203.0.113.1/32 203.0.113.2/32", 2, 1) // the rules are all made anew
	r.Enqueue([]detector.Change{unblocked("203.0.113.1/32")})
	want("203.0.113.2/32 203.0.113.3/32", 4, 0)
	if s := r.Status(); !s.Healthy {
		t.Errorf("want it healthy again, got %q", s.LastError)
	}
}

// TestSetsThatAreNotWantedAnyMoreGo, when each block becomes a rule.
func TestSetsThatAreNotWantedAnyMoreGo(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "nft")
	o := actions.IPTablesOptions{Variant: "nft", PreferIPSet: "require", Namespace: l.Server.FD()}
	xtSync(t, ipTables(t, o), xtBlock("203.0.113.7/32", time.Hour))
	o.PreferIPSet = "never"
	xtSync(t, ipTables(t, o), xtBlock("203.0.113.7/32", time.Hour))
	if got := l.Server.Command(t, "ipset", "list", "-n"); got != "" || xtHeld(t, l.Server, "nft") != "203.0.113.7/32" {
		t.Errorf("want a rule and no set, got %q", got)
	}
}

// TestCloseDoesNotWaitForACommandThatHangs: a reload would wait with it.
func TestCloseDoesNotWaitForACommandThatHangs(t *testing.T) {
	n := netlab.Standard(t).Server
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"iptables", "iptables-nft", "ip6tables-nft"} {
		if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n[ -p "+pipe+" ] && read line < "+pipe+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	a := ipTables(t, actions.IPTablesOptions{Variant: "nft", Namespace: n.FD()})
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- a.Sync(ctx, nil) }()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // when somebody reads
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("want it cancelled, got %v", err)
	}
	if err := a.Close(); err == nil || !strings.Contains(err.Error(), "an earlier command still runs") {
		t.Errorf("want it said that a command hangs, got %v", err)
	}
	if err := os.Remove(pipe); err != nil { // whoever runs it now finds nothing to wait for
		t.Error(err)
	}
	fmt.Fprintln(w)
	w.Close()
}
