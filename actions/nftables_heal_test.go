package actions_test

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// handleOf finds the handle of the first rule that contains a text, as "nft -a" lists it.
func handleOf(t *testing.T, n *netlab.Namespace, chain, text string) string {
	t.Helper()
	for line := range strings.Lines(n.Command(t, "nft", "-a", "list", "chain", "inet", "regwarden", chain)) {
		if rule, handle, ok := strings.Cut(strings.TrimSpace(line), " # handle "); ok && strings.Contains(rule, text) {
			return handle
		}
	}
	t.Fatalf("chain %s has no rule with %q", chain, text)
	return ""
}

// TestAPlainTableIsHealed: whatever another program does to the table, it is whole again within two seconds.
func TestAPlainTableIsHealed(t *testing.T) {
	nft := func(t *testing.T, n *netlab.Namespace, line string) {
		t.Helper()
		n.Feed(t, line, "nft", "-f", "-")
	}
	for _, row := range []struct {
		name, reason string
		damage       func(t *testing.T, n *netlab.Namespace)
		open         bool // whether packets pass in the gap
	}{
		{"nft flush ruleset", "the table is gone", func(t *testing.T, n *netlab.Namespace) { nft(t, n, "flush ruleset") }, true},
		{"the table deleted", "the table is gone", func(t *testing.T, n *netlab.Namespace) { nft(t, n, "delete table inet regwarden") }, true},
		{"the table dormant", "the table's flags are 0x1, not 0x0", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "add table inet regwarden { flags dormant; }")
		}, true},
		{"a base chain deleted", "chain prerouting is gone", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "flush chain inet regwarden prerouting; delete chain inet regwarden prerouting")
		}, true},
		{"a chain flushed", "the rules of chain blocked4 are others", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "flush chain inet regwarden blocked4")
		}, true},
		{"a rule deleted", "the rules of chain prerouting are others", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "delete rule inet regwarden prerouting handle "+handleOf(t, n, "prerouting", "ip saddr @v4_32"))
		}, true},
		{"a rule put before", "the rules of chain prerouting are others", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "insert rule inet regwarden prerouting accept")
		}, true},
		{"a set deleted", "the rules of chain prerouting are others", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "flush chain inet regwarden prerouting; flush chain inet regwarden output; delete set inet regwarden v4_32")
		}, true},
		{"a set flushed", "elements of set v4_32 are gone", func(t *testing.T, n *netlab.Namespace) { nft(t, n, "flush set inet regwarden v4_32") }, true},
		{"an element deleted", "elements of set v4_32 are gone", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "delete element inet regwarden v4_32 { 203.0.113.7 }")
		}, true},
		{"an element that is to end at once", "elements of set v4_32 end at another time", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "delete element inet regwarden v4_32 { 203.0.113.7 }\nadd element inet regwarden v4_32 { 203.0.113.7 timeout 1s }")
		}, false},
		{"an element that is never to end", "elements of set v4_32 end at another time", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "delete element inet regwarden v4_32 { 203.0.113.7 }\nadd element inet regwarden v4_32 { 203.0.113.7 }")
		}, false},
		{"an element added", "elements of set v6_64 are not ours", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "add element inet regwarden v6_64 { 2001:db8:77:: timeout 10m }")
		}, false},
		{"everybody never to be blocked", "the never-block set has changed", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "add element inet regwarden never4 { 203.0.113.0/24 }")
		}, true},
		{"a map added", "set m is not ours", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "add map inet regwarden m { type ipv4_addr . inet_service : verdict; }")
		}, false},
		{"a chain added", "chain hole is not ours", func(t *testing.T, n *netlab.Namespace) {
			nft(t, n, "add chain inet regwarden hole { type filter hook prerouting priority 0; }")
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			netlab.NeedCommand(t, "nft", "nftables")
			blocks := []detector.Block{hostBlock("203.0.113.7/32", time.Hour), hostBlock("203.0.113.8/32", time.Hour), hostBlock("2001:db8:2::/64", time.Hour)}
			g := guard(t, fw(t, l.Server, actions.NFTablesOptions{Plain: true}), blocks...)
			to := server(netlab.AttackerV4, floodPort)
			packets := l.Server.CountPackets(t, to)
			flood := l.Attacker.Flood(t, netlab.AttackerV4, to, time.Millisecond)
			l.Client.Flood(t, netlab.ClientV4, to, time.Millisecond)
			innocent := func(more uint64) {
				t.Helper()
				if err := packets.AwaitFrom(netlab.ClientV4, packets.From(netlab.ClientV4)+more, soon); err != nil {
					t.Fatal(err)
				}
			}
			innocent(50)
			before := packets.From(netlab.AttackerV4)
			row.damage(t, l.Server)
			broken := time.Now()
			reason := g.doubt(t)
			g.settled(t)
			took := time.Since(broken)
			innocent(5) // those that were on their way
			gap := packets.From(netlab.AttackerV4) - before
			sent := flood.Sent()
			innocent(50)
			after := packets.From(netlab.AttackerV4) - before - gap
			t.Logf("packets before %d, in the gap of %v %d, after %d of %d", before, took.Round(time.Millisecond), gap, after, flood.Sent()-sent)
			if reason != row.reason {
				t.Errorf("want the reason %q, got %q", row.reason, reason)
			}
			if before != 0 || after != 0 || (gap > 0) != row.open || took > 2*time.Second {
				t.Errorf("want none before and after, some in the gap (%v), and healing within two seconds", row.open)
			}
			if g.Healed() != 1 || len(g.doubts) != 0 {
				t.Errorf("want it said and counted once, got %d, and %d more doubts", g.Healed(), len(g.doubts))
			}
			wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour, "203.0.113.8/32": time.Hour, "2001:db8:2::/64": time.Hour})
		})
	}
}

func TestOthersTablesAreNoDoubt(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		l := netlab.Standard(t)
		netlab.NeedCommand(t, "nft", "nftables")
		g := guard(t, fw(t, l.Server, actions.NFTablesOptions{Plain: plain, Ports: []uint16{floodPort}}), crowd(10_000)...)
		l.Server.Feed(t, "add table inet other { set s { type ipv4_addr; }; }", "nft", "-f", "-")
		g.runner.Enqueue([]detector.Change{hostChange(detector.ChangeBlock, "203.0.113.0/24", time.Hour)})
		l.Server.Feed(t, "flush table inet other", "nft", "-f", "-")
		g.settled(t)
		select {
		case reason := <-g.doubts:
			t.Errorf("plain %v: want no doubt, got %q", plain, reason)
		case <-time.After(1200 * time.Millisecond): // Watch has looked twice
		}
		if plain {
			l.Server.Command(t, "nft", "flush", "set", "inet", "regwarden", "v6_64")
			if reason := g.doubt(t); reason != "elements of set v6_64 are gone" {
				t.Errorf("want the flushed one of the sets noticed, got %q", reason)
			}
			g.settled(t)
		}
	}
}

// shiftedClock is a wall clock that can be set.
type shiftedClock struct{ offset atomic.Int64 }

func (c *shiftedClock) now() time.Time      { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *shiftedClock) set(d time.Duration) { c.offset.Store(int64(d)) }

func TestASetClockRewritesTheEnds(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	clock := &shiftedClock{}
	g := guard(t, fw(t, l.Server, actions.NFTablesOptions{Clock: clock.now}), hostBlock("203.0.113.7/32", time.Hour), hostBlock("203.0.113.8/32", 10*time.Minute))
	for _, row := range []struct {
		set    time.Duration
		reason string
		want   map[string]time.Duration
	}{
		{30 * time.Minute, "the clock jumped by 30m0s", map[string]time.Duration{"203.0.113.7/32": 30 * time.Minute}},
		{-time.Hour, "the clock jumped by -1h30m0s", map[string]time.Duration{"203.0.113.7/32": 2 * time.Hour, "203.0.113.8/32": 70 * time.Minute}},
	} {
		clock.set(row.set)
		if got := g.doubt(t); got != row.reason {
			t.Errorf("want %q, got %q", row.reason, got)
		}
		g.settled(t)
		wantLeft(t, l.Server, "regwarden", row.want)
	}
	if g.Healed() != 0 {
		t.Errorf("want a set clock not counted as damage, got %d", g.Healed())
	}
}

func TestAnOwnedTableIsLeftAlone(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	a := fw(t, l.Server, actions.NFTablesOptions{})
	g := guard(t, a, hostBlock("203.0.113.7/32", time.Hour))
	if !a.Owned() {
		t.Skip("SKIPPED: needs Linux 6.9 for tables with owner and persist. Run: sudo make integration there")
	}
	to := server(netlab.AttackerV4, floodPort)
	packets := l.Server.CountPackets(t, to)
	l.Attacker.Flood(t, netlab.AttackerV4, to, time.Millisecond)
	l.Client.Flood(t, netlab.ClientV4, to, time.Millisecond)
	for _, line := range []string{"flush ruleset", "flush ruleset inet"} {
		l.Server.Feed(t, line, "nft", "-f", "-")
	}
	for _, line := range []string{"delete table inet regwarden", "flush set inet regwarden v4_32", "flush chain inet regwarden prerouting", "insert rule inet regwarden prerouting accept"} {
		if out, err := l.Server.Try(t, "nft", strings.Fields(line)...); err == nil || !strings.Contains(out, "Operation not permitted") {
			t.Errorf("%s: want it denied, got %v: %s", line, err, out)
		}
	}
	if err := packets.AwaitFrom(netlab.ClientV4, 700, soon); err != nil { // longer than Watch takes to look
		t.Error(err)
	}
	if got := packets.From(netlab.AttackerV4); got != 0 || g.Healed() != 0 || len(g.doubts) != 0 {
		t.Errorf("want nothing lost and no doubt, got %d packets, %d healed, %d doubts", got, g.Healed(), len(g.doubts))
	}
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour})
}

// TestALossIsNoticedByTheNextBlock, too, without waiting for Watch.
func TestALossIsNoticedByTheNextBlock(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	a := fw(t, l.Server, actions.NFTablesOptions{Plain: true})
	syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour))
	l.Server.Command(t, "nft", "flush", "ruleset")
	err := a.Apply(t.Context(), []detector.Change{hostChange(detector.ChangeBlock, "203.0.113.8/32", time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "action nftables: change table inet regwarden: another program has changed or removed it") {
		t.Errorf("want an error that says so, got %v", err)
	}
	syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("203.0.113.8/32", time.Hour))
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour, "203.0.113.8/32": time.Hour})
	if a.Healed() != 1 {
		t.Errorf("want it counted, got %d", a.Healed())
	}
}

// TestATableThatIsFoundGoneByANewNeverSetIsHealed: nobody else may come by for a long time.
func TestATableThatIsFoundGoneByANewNeverSetIsHealed(t *testing.T) {
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	a := fw(t, l.Server, actions.NFTablesOptions{Plain: true})
	g := guard(t, a, hostBlock("203.0.113.7/32", time.Hour))
	g.settled(t)
	l.Server.Command(t, "nft", "delete", "table", "inet", "regwarden")
	_ = a.SetNever(t.Context(), []netip.Prefix{netip.MustParsePrefix("203.0.113.99/32")}) // it may have been healed already
	g.doubt(t)
	g.settled(t)
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour})
	if g.Healed() != 1 {
		t.Errorf("want it counted, got %d", g.Healed())
	}
}
