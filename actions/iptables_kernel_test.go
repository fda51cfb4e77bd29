package actions_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// xtWays are the xtWays in which an IPTables can block: each variant with sets, and with a rule a block.
var xtWays = []struct{ variant, sets string }{{"nft", "require"}, {"legacy", "require"}, {"nft", "never"}, {"legacy", "never"}}

// xtEachWay runs a test for every way, in a lab of its own.
func xtEachWay(t *testing.T, test func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions)) {
	t.Helper()
	for _, w := range xtWays {
		t.Run(w.variant+" sets="+w.sets, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			xtNeed(t, l.Server, w.variant)
			test(t, l, actions.IPTablesOptions{Variant: w.variant, PreferIPSet: w.sets, Namespace: l.Server.FD()})
		})
	}
}

// xtNeed skips the test where the programs or, for the legacy variant, the kernel's part is not there.
func xtNeed(t *testing.T, n *netlab.Namespace, variant string) {
	t.Helper()
	netlab.NeedCommand(t, "iptables-"+variant, "iptables")
	netlab.NeedCommand(t, "ipset", "ipset")
	if out, err := n.Try(t, "iptables-"+variant, "-t", "raw", "-S"); err != nil {
		t.Skipf("SKIPPED: the kernel has no %s iptables (%s). Run: sudo modprobe iptable_raw && sudo make integration", variant, strings.TrimSpace(out))
	}
}

func ipTables(t *testing.T, o actions.IPTablesOptions) *actions.IPTables {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	a, err := actions.NewIPTables(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func xtSync(t *testing.T, a actions.Syncer, blocks ...detector.Block) {
	t.Helper()
	if err := a.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
}

// xtBlock is a block that ends so long from now.
func xtBlock(target string, left time.Duration) detector.Block {
	until := time.Now().Add(left)
	return block(target, cause("k", func(c *detector.Cause) { c.Until = until }))
}

func xtChange(verb, target string, left time.Duration) detector.Change {
	c := change(verb, target)
	if left > 0 {
		c.Block = xtBlock(target, left)
	}
	return c
}

// xtHeld lists what is blocked in a namespace by sets or rules named as by default.
func xtHeld(t *testing.T, n *netlab.Namespace, variant string) string {
	t.Helper()
	var list []netip.Prefix
	add := func(text string) {
		if !strings.Contains(text, "/") {
			a := netip.MustParseAddr(text)
			text = netip.PrefixFrom(a, a.BitLen()).String()
		}
		list = append(list, netip.MustParsePrefix(text))
	}
	for line := range strings.Lines(n.Command(t, "ipset", "save")) {
		if f := strings.Fields(line); f[0] == "add" {
			add(f[2])
		}
	}
	for _, program := range []string{"iptables-", "ip6tables-"} {
		for line := range strings.Lines(n.Command(t, program+variant+"-save", "-t", "raw")) {
			if f := strings.Fields(line); len(f) > 3 && f[1] == "REGWARDEN" && f[2] == "-s" && slices.Contains(f, "DROP") {
				add(f[3])
			}
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return strings.Trim(fmt.Sprint(slices.Compact(list)), "[]")
}

const xtBrief = 300 * time.Millisecond // long enough for an answer here

func xtServer(from netip.Addr, port uint16) netip.AddrPort {
	if from.Is6() {
		return netip.AddrPortFrom(netlab.ServerV6, port)
	}
	return netip.AddrPortFrom(netlab.ServerV4, port)
}

// xtReaches tries a new connection from each address to the server, all at once.
func xtReaches(t *testing.T, n *netlab.Namespace, want bool, port uint16, from ...netip.Addr) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, len(from))
	for i, a := range from {
		all.Go(func() { _, errs[i] = n.Connect(t, a, xtServer(a, port), xtPatience(want)) })
	}
	all.Wait()
	for i, err := range errs {
		if (err == nil) != want {
			t.Errorf("%v to port %d: want it to connect: %v, got %v", from[i], port, want, err)
		}
	}
}

// xtPatience is short where nothing is to come.
func xtPatience(wanted bool) time.Duration {
	if wanted {
		return 5 * time.Second
	}
	return xtBrief
}

func TestIPTablesHoldsWhatItIsTold(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		a := ipTables(t, o)
		want := func(want string) {
			t.Helper()
			if got := xtHeld(t, l.Server, o.Variant); got != want {
				t.Errorf("want %q, got %q", want, got)
			}
		}
		v4, v6 := xtChange(detector.ChangeBlock, "203.0.113.7/32", time.Hour), xtChange(detector.ChangeBlock, "2001:db8:1::/64", time.Hour)
		apply(t, a, v4, v6)
		apply(t, a, v4)
		want("203.0.113.7/32 2001:db8:1::/64")
		apply(t, a, unblocked("203.0.113.7/32"))
		apply(t, a, unblocked("203.0.113.7/32"), change(detector.ChangeExpire, "2001:db8:1::/64"))
		want("")
		for range 2 {
			xtSync(t, a, v4.Block)
			want("203.0.113.7/32")
		}
		apply(t, a, xtChange(detector.ChangeBlock, "203.0.113.0/24", time.Hour), xtChange(detector.ChangeBlock, "::ffff:198.51.100.9/128", time.Hour))
		want("198.51.100.9/32 203.0.113.0/24 203.0.113.7/32")
		apply(t, a, xtChange(detector.ChangeBlock, "0.0.0.0/0", time.Hour), xtChange(detector.ChangeBlock, "::/0", time.Hour))
		apply(t, a, change(detector.ChangeBlock, "198.51.100.77/32", cause("n", narrow)), change(detector.ChangeDryRun, "198.51.100.78/32", cause("d")))
		want("198.51.100.9/32 203.0.113.0/24 203.0.113.7/32")
		xtSync(t, a)
		want("")
	})
}

func TestIPTablesStopsTheBlockedOnly(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		l.Publish(t, 444, 5000)
		echo := l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV4, 443))
		l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV6, 443))
		l.Container.Echo(t, netip.AddrPortFrom(netlab.ContainerV4, 5000))
		l.Container.Echo(t, netip.AddrPortFrom(netlab.ContainerV6, 5000))
		type flow struct {
			from netip.Addr
			port uint16
			*netlab.Flow
		}
		open := func(n *netlab.Namespace, addresses ...netip.Addr) (flows []flow) {
			for _, from := range addresses {
				for _, port := range []uint16{443, 444} {
					f, err := n.Connect(t, from, xtServer(from, port), 2*time.Second)
					if err != nil {
						t.Fatalf("%v to port %d before any block: %v", from, port, err)
					}
					flows = append(flows, flow{from, port, f})
				}
			}
			return flows
		}
		blockedFlows := open(l.Attacker, netlab.AttackerV4, netlab.AttackerV6, netlab.NeighbourV4, netlab.NeighbourV6)
		others := append(open(l.Client, netlab.ClientV4, netlab.ClientV6), open(l.Attacker, netlab.StrangerV4, netlab.StrangerV6)...)
		a := ipTables(t, o)
		xtSync(t, a, xtBlock("203.0.113.0/24", time.Hour), xtBlock("2001:db8:2::/64", time.Hour))
		var all sync.WaitGroup
		for _, f := range blockedFlows {
			all.Go(func() {
				if err := f.Ping(xtBrief); err == nil {
					t.Errorf("%v to port %d: want the open connection stopped", f.from, f.port)
				}
			})
		}
		all.Wait()
		for _, f := range others {
			if err := f.Ping(xtPatience(true)); err != nil {
				t.Errorf("%v to port %d: want it not to notice, got %v", f.from, f.port, err)
			}
		}
		for _, port := range []uint16{443, 444} {
			xtReaches(t, l.Attacker, false, port, netlab.AttackerV4, netlab.AttackerV6, netlab.NeighbourV4, netlab.NeighbourV6)
			xtReaches(t, l.Client, true, port, netlab.ClientV4, netlab.ClientV6)
			xtReaches(t, l.Attacker, true, port, netlab.StrangerV4, netlab.StrangerV6)
		}
		if echo.Open() == 0 {
			t.Error("want the server to know nothing of it") // a drop tells neither side
		}
		apply(t, a, unblocked("203.0.113.0/24"), unblocked("2001:db8:2::/64"))
		for _, port := range []uint16{443, 444} {
			xtReaches(t, l.Attacker, true, port, netlab.AttackerV4, netlab.AttackerV6)
		}
	})
}

func TestIPTablesTouchesNoRuleThatIsRight(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		if o.Variant == "legacy" {
			return // its rules have no handles to tell them apart
		}
		netlab.NeedCommand(t, "nft", "nftables")
		o.Ports = []uint16{80, 443}
		o.Never = []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("::203.0.113.1/128")}
		handles := func() string {
			return l.Server.Command(t, "nft", "-a", "-s", "list", "table", "ip", "raw") + l.Server.Command(t, "nft", "-a", "-s", "list", "table", "ip6", "raw")
		}
		blocks := []detector.Block{xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", time.Hour), xtBlock("::203.0.113.2/128", time.Hour)}
		xtSync(t, ipTables(t, o), blocks...)
		want := handles()
		xtSync(t, ipTables(t, o), blocks...) // another process
		if got := handles(); got != want {
			t.Errorf("want\n%s\ngot\n%s", want, got)
		}
	})
}

func TestIPTablesIsDoneInTimeWithRules(t *testing.T) {
	l := netlab.Standard(t)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), PreferIPSet: "never"})
	var blocks []detector.Block
	for i := range 500 {
		blocks = append(blocks, xtBlock(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}).String()+"/32", time.Hour))
	}
	for range 2 {
		began := time.Now()
		xtSync(t, a, blocks...)
		t.Logf("500 rules in %v", time.Since(began))
		if took := time.Since(began); took > 15*time.Second { // half of what an attempt may take
			t.Errorf("want it done in 15 s, got %v", took)
		}
	}
}
