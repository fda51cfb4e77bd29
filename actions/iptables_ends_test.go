package actions_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// xtLeft is how many seconds an element of a set has left; -1 if it is not there.
func xtLeft(t *testing.T, n *netlab.Namespace, set, element string) int {
	t.Helper()
	for line := range strings.Lines(n.Command(t, "ipset", "save", set)) {
		if f := strings.Fields(line); f[0] == "add" && f[2] == element {
			left, err := strconv.Atoi(f[4])
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return left
		}
	}
	return -1
}

func TestIPTablesMovesEndsInTheKernel(t *testing.T) {
	l := netlab.Standard(t)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), PreferIPSet: "require"})
	want := func(set, element string, want int) {
		t.Helper()
		if got := xtLeft(t, l.Server, set, element); got > want || got < want-5 && want >= 0 {
			t.Errorf("%s: want %d s left, got %d", element, want, got)
		}
	}
	for _, row := range []struct{ target, set, element string }{
		{"203.0.113.7/32", "regwarden4", "203.0.113.7"}, {"203.0.113.0/24", "regwarden4", "203.0.113.0/24"},
		{"2001:db8:2::/64", "regwarden6", "2001:db8:2::/64"}, {"2001:db8:2::7/128", "regwarden6", "2001:db8:2::7"},
	} {
		apply(t, a, xtChange(detector.ChangeBlock, row.target, 100*time.Second))
		want(row.set, row.element, 100)
		apply(t, a, xtChange(detector.ChangeExtend, row.target, time.Hour))
		want(row.set, row.element, 3600)
		apply(t, a, xtChange(detector.ChangeShorten, row.target, 50*time.Second))
		want(row.set, row.element, 50)
		apply(t, a, xtChange(detector.ChangeExtend, row.target, 100*24*time.Hour)) // longer than a set can hold
		want(row.set, row.element, 2147483)
		apply(t, a, xtChange(detector.ChangeShorten, row.target, -time.Second))
		if row.element == "203.0.113.7" {
			apply(t, a, unblocked(row.target))
		}
	}
	apply(t, a, unblocked("203.0.113.0/24"))
	want("regwarden4", "203.0.113.0/24", -1)
	want("regwarden4", "203.0.113.7", -1)
}

func TestIPTablesOverlappingBlocksKeepTheirOwnEnds(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV4, 443))
		l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV6, 443))
		a := ipTables(t, o)
		apply(t, a, xtChange(detector.ChangeBlock, "203.0.113.0/24", time.Hour), xtChange(detector.ChangeBlock, "203.0.113.7/32", time.Minute),
			xtChange(detector.ChangeBlock, "2001:db8:2::7/128", time.Minute), xtChange(detector.ChangeBlock, "2001:db8:2::/64", time.Hour))
		xtReaches(t, l.Attacker, false, 443, netlab.AttackerV4, netlab.NeighbourV4, netlab.AttackerV6, netlab.NeighbourV6)
		apply(t, a, unblocked("203.0.113.0/24"), unblocked("2001:db8:2::/64"))
		xtReaches(t, l.Attacker, true, 443, netlab.NeighbourV4, netlab.NeighbourV6)
		xtReaches(t, l.Attacker, false, 443, netlab.AttackerV4, netlab.AttackerV6)
		apply(t, a, xtChange(detector.ChangeBlock, "203.0.113.0/24", time.Hour), unblocked("203.0.113.7/32"))
		xtReaches(t, l.Attacker, false, 443, netlab.AttackerV4, netlab.NeighbourV4)
	})
}

func TestIPTablesBlocksEndByThemselves(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	p := l.Server.CountPackets(t, netip.AddrPortFrom(netlab.ServerV4, 9))
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), PreferIPSet: "require"})
	began := time.Now()
	xtSync(t, a, xtBlock("203.0.113.7/32", 1500*time.Millisecond))
	l.Attacker.Flood(t, netlab.AttackerV4, netip.AddrPortFrom(netlab.ServerV4, 9), time.Millisecond)
	if err := p.AwaitFrom(netlab.AttackerV4, 1, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 1500*time.Millisecond || took > 3500*time.Millisecond {
		t.Errorf("want the block to end after 1.5 s and before 3.5 s, got %v", took)
	}
	if got := xtHeld(t, l.Server, "nft"); got != "" {
		t.Errorf("want nothing left, got %q", got)
	}
}

func TestIPTablesOnlyThePortsAndNeverTheNever(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		for _, port := range []uint16{80, 443} {
			l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV4, port))
			l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV6, port))
		}
		l.Publish(t, 5050, 5000) // as the client sees it; behind it is another port
		l.Container.Echo(t, netip.AddrPortFrom(netlab.ContainerV4, 5000))
		udp := l.Server.CountPackets(t, netip.AddrPortFrom(netlab.ServerV4, 443))
		o.Ports = []uint16{443, 5050}
		o.Never = []netip.Prefix{netip.MustParsePrefix("203.0.113.99/32"), netip.MustParsePrefix("2001:db8:2::99/128"), netip.MustParsePrefix("::ffff:203.0.113.99/128")}
		a := ipTables(t, o)
		xtSync(t, a, xtBlock("203.0.113.0/24", time.Hour), xtBlock("2001:db8:2::/64", time.Hour), xtBlock("127.0.0.0/8", time.Hour), xtBlock("192.0.2.80/32", time.Hour))
		f := l.Attacker.Flood(t, netlab.AttackerV4, netip.AddrPortFrom(netlab.ServerV4, 443), time.Millisecond)
		xtReaches(t, l.Attacker, false, 443, netlab.AttackerV4, netlab.AttackerV6)
		xtReaches(t, l.Attacker, false, 5050, netlab.AttackerV4)
		xtReaches(t, l.Attacker, true, 80, netlab.AttackerV4, netlab.AttackerV6)
		xtReaches(t, l.Attacker, true, 443, netlab.NeighbourV4, netlab.NeighbourV6)
		xtReaches(t, l.Server, true, 443, netlab.ServerV4) // over lo
		if n := udp.From(netlab.AttackerV4); n != 0 || f.Sent() == 0 {
			t.Errorf("want UDP blocked on the port too, got %d of %d packets", n, f.Sent())
		}
		if err := a.SetNever(t.Context(), []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}); err != nil {
			t.Fatal(err)
		}
		xtReaches(t, l.Attacker, true, 443, netlab.AttackerV4)
		xtReaches(t, l.Attacker, false, 443, netlab.NeighbourV4, netlab.NeighbourV6)
	})
}

func TestIPTablesRulesHaveACap(t *testing.T) {
	l := netlab.Standard(t)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), PreferIPSet: "never", RuleCap: 3})
	var blocks []detector.Block
	for i := range 5 {
		blocks = append(blocks, xtBlock(fmt.Sprintf("203.0.113.%d/32", i), time.Duration(i+1)*time.Hour))
	}
	err := a.Sync(t.Context(), blocks)
	want := "write blocks with iptables: 2 of 5 IPv4 blocks do not stand (203.0.113.1/32, 203.0.113.0/32): without sets each is a rule, and 3 are the most (max_rules): set ipset = \"auto\", raise max_rules, or use the nftables action"
	if err == nil || err.Error() != want {
		t.Errorf("want %q, got %v", want, err)
	}
	if got := xtHeld(t, l.Server, "nft"); got != "203.0.113.2/32 203.0.113.3/32 203.0.113.4/32" {
		t.Errorf("want the longest, got %q", got)
	}
	apply(t, a, unblocked("203.0.113.2/32"), unblocked("203.0.113.3/32"))
	if got := xtHeld(t, l.Server, "nft"); got != "203.0.113.0/32 203.0.113.1/32 203.0.113.4/32" {
		t.Errorf("want the others as soon as there is room, got %q", got)
	}
}
