package actions_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

func TestNFTablesOptionsAreChecked(t *testing.T) {
	for _, row := range []struct {
		o    actions.NFTablesOptions
		want string
	}{
		{actions.NFTablesOptions{Table: "x; flush ruleset"}, `action nftables: table: "x; flush ruleset" is no table name`},
		{actions.NFTablesOptions{Name: "fw", Mode: "ban"}, `action fw: mode: "ban" is neither "drop" nor "reject"`},
		{actions.NFTablesOptions{Ports: []uint16{443, 0}}, "ports: 0 is no port"},
	} {
		if _, err := actions.NewNFTables(row.o); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("want %q, got %v", row.want, err)
		}
	}
	a, err := actions.NewNFTables(actions.NFTablesOptions{})
	if err != nil || a.Name() != "nftables" || a.Kind() != "nftables" || !a.Holds(detector.ScopeHost) || a.Holds(detector.ScopeRepository) {
		t.Errorf("want it to hold hosts by default, got %v, %v", a, err)
	}
}

// TestABlockStopsWhomItNames is what the whole thing is for: the target cannot connect, its open connection stops and the server's end of it
// is freed, and nobody else notices.
func TestABlockStopsWhomItNames(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, target  string
		blocked, free []netip.Addr // of the attacker's namespace
	}{
		{"IPv4 host", "203.0.113.7/32", []netip.Addr{netlab.AttackerV4}, []netip.Addr{netlab.NeighbourV4, netlab.AttackerV6}},
		{"IPv4 /24", "203.0.113.0/24", []netip.Addr{netlab.AttackerV4, netlab.NeighbourV4}, []netip.Addr{netlab.StrangerV4}},
		{"IPv4 /25", "203.0.113.0/25", []netip.Addr{netlab.AttackerV4, netlab.NeighbourV4}, []netip.Addr{netlab.StrangerV4}},
		{"IPv6 host", "2001:db8:2::7/128", []netip.Addr{netlab.AttackerV6}, []netip.Addr{netlab.NeighbourV6, netlab.AttackerV4}},
		{"IPv6 /64", "2001:db8:2::/64", []netip.Addr{netlab.AttackerV6, netlab.NeighbourV6}, []netip.Addr{netlab.StrangerV6}},
		{"IPv6 /47", "2001:db8:2::/47", []netip.Addr{netlab.AttackerV6, netlab.StrangerV6}, []netip.Addr{netlab.AttackerV4}},
	} {
		for _, to := range []string{"host port", "container"} {
			for _, mode := range []string{actions.ModeDrop, actions.ModeReject} {
				if mode == actions.ModeReject && row.name != "IPv4 host" && row.name != "IPv6 /64" {
					continue // the way of saying no does not depend on the length
				}
				if to == "container" && (row.name == "IPv4 /25" || row.name == "IPv6 /47") {
					continue // nor does the way there
				}
				t.Run(row.name+", "+to+", "+mode, func(t *testing.T) {
					t.Parallel()
					l := netlab.Standard(t)
					var echo map[bool]*netlab.Echo
					if to == "container" {
						l.Publish(t, registryPort, 5000)
						echo = map[bool]*netlab.Echo{
							false: l.Container.Echo(t, netip.AddrPortFrom(netlab.ContainerV4, 5000)),
							true:  l.Container.Echo(t, netip.AddrPortFrom(netlab.ContainerV6, 5000)),
						}
					} else {
						echo = serve(t, l, registryPort)
					}
					a := fw(t, l.Server, actions.NFTablesOptions{Mode: mode})
					syncTo(t, a)
					flows := map[netip.Addr]*netlab.Flow{}
					open := func(n *netlab.Namespace, addresses ...netip.Addr) {
						for _, from := range addresses {
							f, err := n.Connect(t, from, server(from, registryPort), soon)
							if err != nil {
								t.Fatalf("before the block, from %v: %v", from, err)
							}
							flows[from] = f
						}
					}
					open(l.Attacker, row.blocked...)
					open(l.Attacker, row.free...)
					open(l.Client, netlab.ClientV4, netlab.ClientV6)
					v6 := row.blocked[0].Is6()
					before := echo[v6].Open()
					apply(t, a, hostChange(detector.ChangeBlock, row.target, time.Hour))
					served := echo[v6].Served()
					for _, from := range row.blocked {
						if err := flows[from].Ping(stalled); err == nil {
							t.Errorf("from %v: want the open connection to stop", from)
						}
						if reaches(t, l.Attacker, from, registryPort, stalled) {
							t.Errorf("from %v: want no new connection", from)
						}
					}
					if got := echo[v6].Served(); got != served {
						t.Errorf("want the server to hear nothing, got %d lines", got-served)
					}
					for _, from := range append(row.free, netlab.ClientV4, netlab.ClientV6) {
						if err := flows[from].Ping(soon); err != nil {
							t.Errorf("from %v: want the innocent to notice nothing, got %v", from, err)
						}
					}
					if mode == actions.ModeDrop && before == 0 {
						t.Error("want open connections before")
					}
					c, err := a.Counters()
					if err != nil {
						t.Fatal(err)
					}
					if blocked := map[bool]actions.PacketCount{false: c.BlockedV4, true: c.BlockedV6}; blocked[v6].Packets == 0 || blocked[v6].Bytes == 0 || blocked[!v6].Packets != 0 {
						t.Errorf("want packets counted for the family, got %+v", c)
					}
					apply(t, a, unblocked(row.target))
					for _, from := range row.blocked {
						if _, err := l.Attacker.Connect(t, from, server(from, registryPort), soon); err != nil {
							t.Errorf("from %v: want it free again, got %v", from, err)
						}
					}
				})
			}
		}
	}
}

// TestTheServersSocketIsFreed: the server writes to a client that is blocked meanwhile and hears of it at once.
func TestTheServersSocketIsFreed(t *testing.T) {
	t.Parallel()
	for _, ports := range [][]uint16{nil, {registryPort}} {
		for _, to := range []string{"host port", "container"} {
			t.Run(fmt.Sprintf("%s, ports %v", to, ports), func(t *testing.T) {
				t.Parallel()
				l := netlab.Standard(t)
				at, n := netip.AddrPortFrom(netlab.ServerV4, registryPort), l.Server
				if to == "container" {
					l.Publish(t, registryPort, 5000)
					at, n = netip.AddrPortFrom(netlab.ContainerV4, 5000), l.Container
				}
				listener := n.Listen(t, at)
				a := fw(t, l.Server, actions.NFTablesOptions{Ports: ports})
				syncTo(t, a)
				client, err := l.Attacker.Dial(t, netlab.AttackerV4, server(netlab.AttackerV4, registryPort), soon)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				c, err := listener.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				apply(t, a, hostChange(detector.ChangeBlock, "203.0.113.7/32", time.Hour))
				began := time.Now()
				if err := c.SetDeadline(began.Add(soon)); err != nil {
					t.Fatal(err)
				}
				for err == nil { // a whole layer, as a registry would send
					_, err = c.Write(make([]byte, 1<<20))
				}
				if !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
					t.Errorf("want the server's connection reset, got %v", err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("want it at once, got %v", took)
				}
				if counted, err := a.Counters(); err != nil || counted.Resets.Packets == 0 {
					t.Errorf("want a reset counted, got %+v, %v", counted, err)
				}
			})
		}
	}
}

func TestOtherPortsStayOpen(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{actions.ModeDrop, actions.ModeReject} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			serve(t, l, registryPort)
			serve(t, l, portalPort)
			a := fw(t, l.Server, actions.NFTablesOptions{Ports: []uint16{registryPort, 5000}, Mode: mode})
			syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("2001:db8:2::/64", time.Hour))
			for _, from := range []netip.Addr{netlab.AttackerV4, netlab.AttackerV6} {
				if reaches(t, l.Attacker, from, registryPort, stalled) {
					t.Errorf("from %v: want the registry closed", from)
				}
				if !reaches(t, l.Attacker, from, portalPort, soon) {
					t.Errorf("from %v: want the page that explains the block open", from)
				}
			}
		})
	}
}

func TestARejectedClientIsToldAtOnce(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	serve(t, l, registryPort)
	for _, from := range []netip.Addr{netlab.AttackerV4, netlab.AttackerV6} { // a neighbour that is blocked could not even find the server
		if !reaches(t, l.Attacker, from, registryPort, soon) {
			t.Fatalf("from %v: want it free at first", from)
		}
	}
	a := fw(t, l.Server, actions.NFTablesOptions{Mode: actions.ModeReject})
	syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("2001:db8:2::7/128", time.Hour))
	for _, from := range []netip.Addr{netlab.AttackerV4, netlab.AttackerV6} {
		if _, err := l.Attacker.Connect(t, from, server(from, registryPort), soon); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("from %v: want the connection refused, got %v", from, err)
		}
	}
}

func TestExtendShortenAndLift(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		l := netlab.Standard(t)
		netlab.NeedCommand(t, "nft", "nftables")
		a := fw(t, l.Server, actions.NFTablesOptions{Plain: plain, Ports: []uint16{registryPort}})
		syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("203.0.113.8/32", time.Hour))
		apply(t, a,
			hostChange(detector.ChangeExtend, "203.0.113.7/32", 3*time.Hour),
			hostChange(detector.ChangeShorten, "203.0.113.8/32", 10*time.Minute),
			hostChange(detector.ChangeBlock, "203.0.113.0/24", 20*time.Minute), // around both
			hostChange(detector.ChangeBlock, "203.0.113.128/25", 30*time.Minute),
			hostChange(detector.ChangeBlock, "2001:db8:2::/64", 40*time.Minute),
			hostChange(detector.ChangeBlock, "2001:db8:2::7/128", 50*time.Minute),
			hostChange(detector.ChangeBlock, "::ffff:203.0.113.9/128", time.Minute),
		)
		want := map[string]time.Duration{
			"203.0.113.7/32": 3 * time.Hour, "203.0.113.8/32": 10 * time.Minute, "203.0.113.9/32": time.Minute, "203.0.113.0/24": 20 * time.Minute,
			"203.0.113.128/25": 30 * time.Minute, "2001:db8:2::/64": 40 * time.Minute, "2001:db8:2::7/128": 50 * time.Minute,
		}
		wantLeft(t, l.Server, "regwarden", want)
		// The last word about a target counts, what is not there is lifted without harm, and a block that has ended is not written.
		apply(t, a,
			unblocked("203.0.113.0/24"), hostChange(detector.ChangeBlock, "203.0.113.0/24", 5*time.Minute),
			hostChange(detector.ChangeBlock, "203.0.113.9/32", time.Hour), unblocked("203.0.113.9/32"),
			unblocked("198.51.100.99/32"), unblocked("198.51.0.0/16"), hostChange(detector.ChangeShorten, "203.0.113.8/32", -time.Second),
			hostChange(detector.ChangeBlock, "203.0.113.10/32", 0),
		)
		delete(want, "203.0.113.8/32")
		delete(want, "203.0.113.9/32")
		want["203.0.113.0/24"] = 5 * time.Minute
		wantLeft(t, l.Server, "regwarden", want)
		syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("203.0.113.8/32", -time.Hour))
		wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour})
	}
}

func TestABlockEndsByItselfInTheKernel(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	serve(t, l, registryPort)
	a := fw(t, l.Server, actions.NFTablesOptions{})
	syncTo(t, a, hostBlock("203.0.113.7/32", 700*time.Millisecond), hostBlock("203.0.113.8/32", time.Hour))
	began := time.Now()
	if reaches(t, l.Attacker, netlab.AttackerV4, registryPort, stalled) {
		t.Error("want it blocked at first")
	}
	if _, err := l.Attacker.Connect(t, netlab.AttackerV4, server(netlab.AttackerV4, registryPort), soon); err != nil {
		t.Errorf("want it free at the end, got %v", err) // the kernel asks again after a second
	}
	if took := time.Since(began); took > 2700*time.Millisecond {
		t.Errorf("want it free within two seconds of the end, got %v", took)
	}
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.8/32": time.Hour})
	// What has just ended is lifted, extended and deleted without harm.
	apply(t, a, unblocked("203.0.113.7/32"), hostChange(detector.ChangeExpire, "203.0.113.8/32", -time.Second))
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{})
}

func TestTheNeverBlockedPass(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	serve(t, l, registryPort)
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	a := fw(t, l.Server, actions.NFTablesOptions{Never: prefixes("203.0.113.7/32", "203.0.113.0/29", "203.0.113.8/32", "ff00::/8", "2001:db8:2::7/128", "2001:db8::/128")})
	syncTo(t, a, hostBlock("203.0.113.0/24", time.Hour), hostBlock("2001:db8:2::/64", time.Hour))
	patience := map[bool]time.Duration{true: soon, false: stalled}
	see := func(from netip.Addr, want bool) {
		t.Helper()
		if got := reaches(t, l.Attacker, from, registryPort, patience[want]); got != want {
			t.Errorf("from %v: want it through: %v, got %v", from, want, got)
		}
	}
	see(netlab.AttackerV4, true)
	see(netlab.AttackerV6, true)
	see(netlab.NeighbourV4, false)
	if err := a.SetNever(t.Context(), prefixes("203.0.113.64/26", "255.255.255.255/32")); err != nil {
		t.Fatal(err)
	}
	see(netlab.AttackerV4, false)
	see(netlab.AttackerV6, false)
	see(netlab.NeighbourV4, true)
	syncTo(t, a, hostBlock("203.0.113.0/24", time.Hour))
	see(netlab.NeighbourV4, true)
}

func TestCountersOutliveRewritesAndRestarts(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	o := actions.NFTablesOptions{ElementCounters: true}
	a := fw(t, l.Server, o)
	blocks := []detector.Block{hostBlock("203.0.113.7/32", time.Hour)}
	syncTo(t, a, blocks...)
	l.Attacker.Flood(t, netlab.AttackerV4, server(netlab.AttackerV4, floodPort), time.Millisecond)
	counted := func(a *actions.NFTables, least uint64) actions.NFTablesCounters {
		t.Helper()
		for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) { // the kernel gives no sign
			c, err := a.Counters()
			if err != nil {
				t.Fatal(err)
			}
			if c.BlockedV4.Packets >= least {
				return c
			}
			if time.Now().After(deadline) {
				t.Fatalf("want %d packets counted, got %+v", least, c)
			}
		}
	}
	before := counted(a, 10)
	if e := inKernel(t, l.Server, "regwarden")[netip.MustParsePrefix("203.0.113.7/32")]; e.Packets == 0 {
		t.Error("want the element to count")
	}
	syncTo(t, a, blocks...)
	before = counted(a, before.BlockedV4.Packets+1)
	end(t, l.Server, a)
	b := fw(t, l.Server, actions.NFTablesOptions{Ports: []uint16{floodPort}, Mode: actions.ModeReject}) // a table of another shape
	syncTo(t, b, blocks...)
	before = counted(b, before.BlockedV4.Packets+1)
	end(t, l.Server, b)
	c := fw(t, l.Server, actions.NFTablesOptions{Plain: true}) // must be made anew: the flags differ
	syncTo(t, c, blocks...)
	counted(c, before.BlockedV4.Packets+1)
}

func TestFlushRemovesOursAndNothingElse(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	l.Publish(t, registryPort, 5000)
	l.Server.Command(t, "nft", "add", "table", "inet", "regwarden2")
	others := l.Server.Command(t, "nft", "list", "ruleset")
	a := fw(t, l.Server, actions.NFTablesOptions{})
	syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour))
	end(t, l.Server, a)
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour}) // it stays when the daemon stops
	b := fw(t, l.Server, actions.NFTablesOptions{})
	for range 2 {
		if _, err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Server.Command(t, "nft", "list", "ruleset"); got != others {
		t.Errorf("want only the others' tables left:\n%s\ngot:\n%s", others, got)
	}
	syncTo(t, b, hostBlock("203.0.113.8/32", time.Hour))
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.8/32": time.Hour})
}

func TestApplyBeforeSyncKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	a := fw(t, l.Server, actions.NFTablesOptions{})
	syncTo(t, a, hostBlock("203.0.113.7/32", time.Hour), hostBlock("2001:db8:2::/64", time.Hour))
	end(t, l.Server, a)
	b := fw(t, l.Server, actions.NFTablesOptions{})
	apply(t, b, hostChange(detector.ChangeBlock, "203.0.113.0/24", time.Hour))
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour, "2001:db8:2::/64": time.Hour, "203.0.113.0/24": time.Hour})
	serve(t, l, registryPort)
	for _, from := range []netip.Addr{netlab.AttackerV4, netlab.AttackerV6, netlab.NeighbourV4} {
		if reaches(t, l.Attacker, from, registryPort, stalled) {
			t.Errorf("from %v: want it blocked", from)
		}
	}
}
