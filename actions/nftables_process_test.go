package actions_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

func init() { netlab.Child("nftables", nftablesDaemon) }

// nftablesDaemon is a process that holds a table with the attacker and so many others blocked. It rewrites the table for each line that it
// reads, and prints what came of it.
func nftablesDaemon(args []string) {
	count, _ := strconv.Atoi(args[0])
	a, err := actions.NewNFTables(actions.NFTablesOptions{})
	for in := bufio.NewScanner(os.Stdin); err == nil; {
		if problems, _ := a.Check(); len(problems) > 0 {
			err = fmt.Errorf("%s", strings.Join(problems, "; "))
			break
		}
		if err = a.Sync(context.Background(), crowd(count)); err != nil {
			break
		}
		one := hostChange(detector.ChangeBlock, "198.51.100.200/32", time.Hour)
		if err = a.Apply(context.Background(), []detector.Change{one}); err != nil {
			break
		}
		fmt.Println("written, owned:", a.Owned())
		if !in.Scan() {
			return
		}
	}
	fmt.Println(err)
}

// crowd is the attacker, its /64 and so many blocks of others.
func crowd(count int) []detector.Block {
	blocks := []detector.Block{hostBlock("203.0.113.7/32", time.Hour), hostBlock("2001:db8:2::/64", time.Hour)}
	first := netip.MustParseAddr("2001:db8:ffff::").As16()
	now := time.Now()
	c := cause("crowd", func(c *detector.Cause) { c.Since, c.Until = now, now.Add(time.Hour) })
	for i := range count {
		target := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if i%4 == 3 {
			first[6], first[7] = byte(i>>8), byte(i)
			first[5] = byte(i >> 16)
			target = netip.PrefixFrom(netip.AddrFrom16(first), 64)
		}
		blocks = append(blocks, detector.Block{Target: target, Until: c.Until, Causes: []detector.Cause{c}})
	}
	return blocks
}

// TestNoPacketPassesWhileTheTableIsRewritten: not in a rewrite, not while the daemon is dead, and not when it starts again.
func TestNoPacketPassesWhileTheTableIsRewritten(t *testing.T) {
	t.Run("10,000 blocks", func(t *testing.T) { floodWhileRewriting(t, "10000") })
	t.Run("100,000 blocks", func(t *testing.T) {
		netlab.NeedRoot(t)
		if os.Getenv("REGWARDEN_STRESS") == "" {
			t.Skip("SKIPPED: takes half a minute. Run: sudo REGWARDEN_STRESS=1 go test -run NoPacketPasses -v ./actions")
		}
		floodWhileRewriting(t, "100000")
	})
}

func floodWhileRewriting(t *testing.T, blocks string) {
	const rewrites, kills = 20, 5
	l := netlab.Standard(t)
	child := func() *netlab.Process {
		return l.Server.Start(t, "nftables", netlab.StartOptions{Args: []string{blocks}})
	}
	daemon := child()
	if got := daemon.Line(t); got != "written, owned: true" {
		t.Skip("SKIPPED: needs Linux 6.9 for tables with owner and persist, got: " + got + ". Run: sudo make integration there")
	}
	to := server(netlab.AttackerV4, floodPort)
	packets := l.Server.CountPackets(t, to)
	l.Client.Flood(t, netlab.ClientV4, to, time.Millisecond)
	flood := l.Attacker.Flood(t, netlab.AttackerV4, to, 0)
	if err := packets.AwaitFrom(netlab.ClientV4, 20, soon); err != nil {
		t.Fatal(err)
	}
	for range rewrites {
		daemon.Say(t, "again")
		if got := daemon.Line(t); got != "written, owned: true" {
			t.Fatal(got)
		}
	}
	inRewrites := flood.Sent()
	for range kills {
		daemon.Kill()
		if err := packets.AwaitFrom(netlab.ClientV4, packets.From(netlab.ClientV4)+20, soon); err != nil {
			t.Fatal(err)
		}
		daemon = child()
		if got := daemon.Line(t); got != "written, owned: true" {
			t.Fatal(got)
		}
	}
	flood.Stop()
	t.Logf("%d packets sent during %d rewrites, %d during %d kills and starts; %d passed", inRewrites, rewrites, flood.Sent()-inRewrites, kills, packets.From(netlab.AttackerV4))
	if got := packets.From(netlab.AttackerV4); got != 0 {
		t.Errorf("want no packet of %d through, got %d", flood.Sent(), got)
	}
	if flood.Sent() < 1000 {
		t.Errorf("want a flood, got %d packets", flood.Sent())
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	first := fw(t, l.Server, actions.NFTablesOptions{})
	syncTo(t, first, hostBlock("203.0.113.7/32", time.Hour))
	if !first.Owned() {
		t.Skip("SKIPPED: needs Linux 6.9 for tables with owner and persist. Run: sudo make integration there")
	}
	for _, plain := range []bool{false, true} {
		second := fw(t, l.Server, actions.NFTablesOptions{Name: "second", Plain: plain})
		want := "table inet regwarden: another regwarden owns it: end that one, or give this one a table of another name (table in [actions.nftables])"
		_, flushed := second.Flush(t.Context())
		errs := map[string]error{
			"sync": second.Sync(t.Context(), nil), "flush": flushed,
			"apply": second.Apply(t.Context(), []detector.Change{hostChange(detector.ChangeBlock, "203.0.113.8/32", time.Hour)}),
		}
		problems, _ := second.Check()
		errs["check"] = fmt.Errorf("%s", strings.Join(problems, "; "))
		for what, err := range errs {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "action second: ") {
				t.Errorf("%s: want %q, got %v", what, want, err)
			}
		}
		third := fw(t, l.Server, actions.NFTablesOptions{Table: fmt.Sprintf("regwarden-%v", plain), Plain: plain})
		if err := third.Sync(t.Context(), nil); err != nil {
			t.Errorf("want a table of another name to be free, got %v", err)
		}
	}
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.7/32": time.Hour})
	end(t, l.Server, first)
	second := fw(t, l.Server, actions.NFTablesOptions{})
	syncTo(t, second, hostBlock("203.0.113.9/32", time.Hour))
	wantLeft(t, l.Server, "regwarden", map[string]time.Duration{"203.0.113.9/32": time.Hour})
}

func TestOneCapabilityIsEnough(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	nobody := netlab.StartOptions{Args: []string{"3"}, UID: 65534}
	want := "lacks CAP_NET_ADMIN: run it as root, or set AmbientCapabilities=CAP_NET_ADMIN in its unit"
	if got := l.Server.Start(t, "nftables", nobody).Line(t); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "action nftables: ") {
		t.Errorf("want %q, got %q", want, got)
	}
	nobody.Capabilities = []uintptr{unix.CAP_NET_ADMIN}
	if got := l.Server.Start(t, "nftables", nobody).Line(t); !strings.HasPrefix(got, "written") {
		t.Errorf("want CAP_NET_ADMIN to be enough, got %q", got)
	}
	serve(t, l, registryPort)
	if reaches(t, l.Attacker, netlab.AttackerV4, registryPort, stalled) {
		t.Error("want the attacker blocked")
	}
}

func TestANamespaceWithoutANetworkIsRefused(t *testing.T) {
	t.Parallel()
	n := netlab.New(t, "private")
	a := fw(t, n, actions.NFTablesOptions{})
	want := "this network namespace has no interface but lo, so blocks would stop nobody: remove PrivateNetwork= from the unit, or run it in the host's namespace"
	if err := a.Sync(t.Context(), nil); err == nil || err.Error() != "action nftables: "+want {
		t.Errorf("want %q, got %v", want, err)
	}
	if problems, _ := a.Check(); len(problems) != 1 || problems[0] != want {
		t.Errorf("want %q, got %q", want, problems)
	}
	if got := n.Command(t, "nft", "list", "ruleset"); got != "" {
		t.Errorf("want nothing made, got %s", got)
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "nft", "nftables")
	for _, o := range []actions.NFTablesOptions{{}, {Plain: true}, {Ports: []uint16{443}, Mode: actions.ModeReject, ElementCounters: true}} {
		problems, notes := fw(t, l.Server, o).Check()
		if said := strings.Join(notes, "\n"); len(problems) != 0 || !strings.Contains(said, "Linux ") || !strings.Contains(said, "Docker has no chains here") {
			t.Errorf("%+v: want no problem, and what the host has, got %q and %q", o, problems, notes)
		}
	}
	if got := l.Server.Command(t, "nft", "list", "ruleset"); got != "" {
		t.Errorf("want nothing left, got %s", got)
	}
}
