package actions_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// xtGuard runs the action behind a Runner, with Watch, as the daemon does.
func xtGuard(t *testing.T, a actions.Firewall, blocks ...detector.Block) *actions.Runner {
	t.Helper()
	r := actions.NewRunner(a, actions.RunnerOptions{})
	r.Reset(blocks)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 2)
	go func() { _ = r.Run(ctx); ended <- struct{}{} }()
	go func() { _ = a.Watch(ctx, r.Doubt); ended <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-ended; <-ended })
	flush(t, r)
	return r
}

// xtAwait waits until f holds: the kernel gives no sign.
func xtAwait(t *testing.T, what string, within time.Duration, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("want %s within %v", what, within)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// damage is what others do to our rules; VARIANT stands for the variant of iptables.
var damage = []struct{ name, command string }{
	{"raw flushed", "iptables-VARIANT -t raw -F; ip6tables-VARIANT -t raw -F"},
	{"jump deleted", "iptables-VARIANT -t raw -D PREROUTING -j REGWARDEN"},
	{"chain deleted", "iptables-VARIANT -t raw -F PREROUTING; iptables-VARIANT -t raw -F REGWARDEN; iptables-VARIANT -t raw -X REGWARDEN"},
	{"table restored empty", "printf '*raw\\n:PREROUTING ACCEPT\\n:OUTPUT ACCEPT\\nCOMMIT\\n' | iptables-VARIANT-restore"},
	{"an accept before ours", "iptables-VARIANT -t raw -I PREROUTING 1 -j ACCEPT"},
	{"an accept in our chain", "iptables-VARIANT -t raw -I REGWARDEN 1 -j ACCEPT"},
	{"set flushed", "ipset flush regwarden4"},
	{"set destroyed", "iptables-VARIANT -t raw -F; ipset destroy regwarden4"},
	{"set swapped", "ipset create other hash:net timeout 0; ipset swap other regwarden4"},
	{"ruleset flushed", "nft flush ruleset"},
}

func TestIPTablesIsHealedWithinTwoSeconds(t *testing.T) {
	for _, w := range xtWays {
		if w.sets == "never" && w.variant == "legacy" {
			continue // nothing that the others do not show
		}
		t.Run(w.variant+" sets="+w.sets, func(t *testing.T) {
			t.Parallel()
			netlab.NeedRoot(t)
			for i, d := range damage {
				every := 200 * time.Millisecond
				if i == 0 {
					every = 0 // as a daemon has it
				}
				aboutSets := strings.Contains(d.command, "ipset")
				if aboutSets && w.sets == "never" || d.name == "ruleset flushed" && w.variant == "legacy" {
					continue
				}
				t.Run(d.name, func(t *testing.T) {
					l := netlab.Standard(t)
					xtNeed(t, l.Server, w.variant)
					netlab.NeedCommand(t, "nft", "nftables")
					a := ipTables(t, actions.IPTablesOptions{Variant: w.variant, PreferIPSet: w.sets, Namespace: l.Server.FD(), WatchEvery: every})
					to := netip.AddrPortFrom(netlab.ServerV4, 9)
					p := l.Server.CountPackets(t, to)
					xtGuard(t, a, xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", time.Hour))
					f := l.Attacker.Flood(t, netlab.AttackerV4, to, time.Millisecond)
					xtAwait(t, "a flood", 5*time.Second, func() bool { return f.Sent() > 50 })
					if n := p.From(netlab.AttackerV4); n != 0 {
						t.Fatalf("want no packet before, got %d", n)
					}
					before := f.Sent()
					began := time.Now()
					l.Server.Command(t, "sh", "-c", strings.ReplaceAll(d.command, "VARIANT", w.variant))
					through, gap := uint64(0), time.Duration(0)
					xtAwait(t, "it healed", 10*time.Second, func() bool {
						if n := p.From(netlab.AttackerV4); n != through { // the gap lasts until the last packet that comes through
							through, gap = n, time.Since(began)
						}
						return a.Healed() == 1
					})
					if gap > 2*time.Second {
						t.Errorf("want protection back within 2 s, got %v", gap)
					}
					healed, sent := p.From(netlab.AttackerV4), f.Sent()
					settled := p.From(netlab.AttackerV4)
					xtAwait(t, "more flood", 5*time.Second, func() bool {
						if f.Sent() < sent+20 { // those that were under way
							settled = p.From(netlab.AttackerV4)
						}
						return f.Sent() > sent+100
					})
					if n := p.From(netlab.AttackerV4) - settled; n != 0 {
						t.Errorf("want no packet after, got %d", n)
					}
					if healed == 0 {
						t.Error("want packets in the gap, or the damage was none")
					}
					t.Logf("packets through: before 0 of %d; in the gap of %v %d of %d; after 0 of %d", before, gap.Round(time.Millisecond), healed, sent-before, f.Sent()-sent)
				})
			}
		})
	}
}

func TestIPTablesIsNotTouchedByAFlushOfFilter(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		to := netip.AddrPortFrom(netlab.ServerV4, 9)
		p := l.Server.CountPackets(t, to)
		a := ipTables(t, o)
		xtGuard(t, a, xtBlock("203.0.113.7/32", time.Hour))
		f := l.Attacker.Flood(t, netlab.AttackerV4, to, 100*time.Microsecond)
		l.Server.Command(t, "sh", "-c", strings.ReplaceAll(`iptables-V -F; iptables-V -X; iptables-V -t nat -F; ip6tables-V -F
			printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -j ACCEPT\nCOMMIT\n' | iptables-V-restore`, "-V", "-"+o.Variant))
		sent := f.Sent()
		xtAwait(t, "more flood", 5*time.Second, func() bool { return f.Sent() > sent+100 })
		if n := p.From(netlab.AttackerV4); n != 0 || a.Healed() != 0 {
			t.Errorf("want no packet through and nothing to heal, got %d packets, %d healed", n, a.Healed())
		}
	})
}

func TestIPTablesLetsAnotherProgramHaveTheFirstPlace(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), WatchEvery: 50 * time.Millisecond, Variant: "nft"})
	xtGuard(t, a)
	first := func() string {
		for line := range strings.Lines(l.Server.Command(t, "iptables-nft", "-t", "raw", "-S", "PREROUTING")) {
			if strings.HasPrefix(line, "-A") {
				return strings.TrimSpace(line)
			}
		}
		return ""
	}
	l.Server.Command(t, "iptables-nft", "-t", "raw", "-I", "PREROUTING", "1", "-m", "comment", "--comment", "another")
	xtAwait(t, "our jump first again", 5*time.Second, func() bool { return first() == "-A PREROUTING -j REGWARDEN" })
	xtAwait(t, "it counted", 5*time.Second, func() bool { return a.Healed() == 1 })
	l.Server.Command(t, "iptables-nft", "-t", "raw", "-I", "PREROUTING", "1", "-m", "comment", "--comment", "insists")
	if err := a.Watch(shortly(t, 500*time.Millisecond), func(reason string) { t.Errorf("want it left alone, got %s", reason) }); err == nil {
		t.Error("want Watch to say that its context ended")
	}
	if got := first(); !strings.Contains(got, "insists") || a.Healed() != 1 {
		t.Errorf("want the other program left the first place, got %s and %d healed", got, a.Healed())
	}
	if got := strings.Count(l.Server.Command(t, "iptables-nft", "-t", "raw", "-S", "PREROUTING"), "REGWARDEN"); got != 1 {
		t.Errorf("want one jump, got %d", got)
	}
}

func shortly(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestIPTablesDoubtsWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	l := netlab.Standard(t)
	var shift atomic.Int64
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), WatchEvery: 20 * time.Millisecond, PreferIPSet: "require",
		Clock: func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }})
	xtGuard(t, a, xtBlock("203.0.113.7/32", time.Hour), xtBlock("203.0.113.8/32", 2*time.Hour))
	shift.Store(int64(61 * time.Minute))
	xtAwait(t, "the one gone and the other shorter", 5*time.Second, func() bool {
		return xtLeft(t, l.Server, "regwarden4", "203.0.113.7") == -1 && xtLeft(t, l.Server, "regwarden4", "203.0.113.8") < 3600
	})
	shift.Store(0)
	xtAwait(t, "both back", 5*time.Second, func() bool {
		return xtLeft(t, l.Server, "regwarden4", "203.0.113.7") > 3000 && xtLeft(t, l.Server, "regwarden4", "203.0.113.8") > 3600
	})
	if a.Healed() != 0 {
		t.Errorf("want nothing counted as healed, got %d", a.Healed())
	}
}

func init() {
	netlab.Child("iptables-daemon", func(args []string) { // says when it has synced, over and over, until it is killed
		a, err := actions.NewIPTables(actions.IPTablesOptions{Variant: args[0], PreferIPSet: args[1], Never: []netip.Prefix{netip.MustParsePrefix("198.51.100.200/32")}})
		for err == nil {
			if err = a.Sync(context.Background(), []detector.Block{xtBlock("203.0.113.0/24", time.Hour), xtBlock("2001:db8:2::/64", time.Hour)}); err == nil {
				os.Stdout.WriteString("synced\n")
			}
		}
		os.Stdout.WriteString(err.Error() + "\n")
	})
}

func TestIPTablesLeaksNoPacketWhileItIsWritten(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		to := netip.AddrPortFrom(netlab.ServerV4, 9)
		p := l.Server.CountPackets(t, to)
		blocks := []detector.Block{xtBlock("203.0.113.0/24", time.Hour)}
		for i := range 100 {
			if o.PreferIPSet == "require" || i < 10 {
				blocks = append(blocks, xtBlock(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String()+"/32", time.Hour))
			}
		}
		a := ipTables(t, o)
		xtSync(t, a, blocks...)
		f := l.Attacker.Flood(t, netlab.AttackerV4, to, 0)
		for i := range 20 {
			xtSync(t, a, blocks...)
			if i%5 == 0 { // a new chain takes the old one's place
				if err := a.SetNever(t.Context(), []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(200 + i)}), 32)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 5 {
			d := l.Server.Start(t, "iptables-daemon", netlab.StartOptions{Args: []string{o.Variant, o.PreferIPSet}})
			if got := d.Line(t); got != "synced" {
				t.Fatal(got)
			}
			d.Kill() // most likely amid the next one
		}
		for _, w := range xtWays { // somebody changes the configuration, and back
			if _, err := l.Server.Try(t, "iptables-"+w.variant, "-t", "raw", "-S"); err != nil {
				continue // the kernel has no such variant
			}
			o.Variant, o.PreferIPSet = w.variant, w.sets
			xtSync(t, ipTables(t, o), blocks[:10]...)
		}
		f.Stop()
		if n := p.From(netlab.AttackerV4); n != 0 || f.Sent() < 100 {
			t.Errorf("want 0 packets through in 24 rewrites, 4 changes and 5 kills, got %d of %d", n, f.Sent())
		}
		t.Logf("0 of %d packets through", f.Sent())
		if got := xtLinesWith(xtRaw(t, l.Server, o.Variant), "REGWARDEN-new"); got != 0 {
			t.Errorf("want no chain left half built, got %d lines", got)
		}
	})
}

func xtLinesWith(text, part string) (n int) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// xtHalf are states in which a kill may leave the chains, with what is done to a table that is right.
var xtHalf = map[string]string{
	"the next chain begun":        "-N REGWARDEN-new; -A REGWARDEN-new -i lo -j RETURN",
	"both hooked in":              "-N REGWARDEN-new; -A REGWARDEN-new -i lo -j RETURN; -A REGWARDEN-new -s 203.0.113.7/32 -j DROP; -I PREROUTING 1 -j REGWARDEN-new",
	"only the next one hooked in": "-N REGWARDEN-new; -A REGWARDEN-new -i lo -j RETURN; -A REGWARDEN-new -s 203.0.113.7/32 -j DROP; -I PREROUTING 1 -j REGWARDEN-new; -D PREROUTING -j REGWARDEN",
	"the old one gone":            "-N REGWARDEN-new; -A REGWARDEN-new -i lo -j RETURN; -A REGWARDEN-new -s 203.0.113.7/32 -j DROP; -I PREROUTING 1 -j REGWARDEN-new; -D PREROUTING -j REGWARDEN; -F REGWARDEN; -X REGWARDEN",
	"two jumps":                   "-A PREROUTING -j REGWARDEN; -I PREROUTING 1 -m comment --comment x; -A PREROUTING -j REGWARDEN",
}

func TestIPTablesGoesOnFromAHalfBuiltChain(t *testing.T) {
	for name, commands := range xtHalf {
		t.Run(name, func(t *testing.T) {
			xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
				if o.PreferIPSet == "never" {
					return // the same steps
				}
				a := ipTables(t, o)
				xtSync(t, a, xtBlock("203.0.113.7/32", time.Hour))
				want := xtRaw(t, l.Server, o.Variant)
				for command := range strings.SplitSeq(commands, "; ") {
					l.Server.Command(t, "iptables-"+o.Variant, append([]string{"-t", "raw"}, strings.Fields(command)...)...)
				}
				xtSync(t, ipTables(t, o), xtBlock("203.0.113.7/32", time.Hour))
				got := strings.ReplaceAll(xtRaw(t, l.Server, o.Variant), "-A PREROUTING -m comment --comment x\n", "")
				if got != want {
					t.Errorf("want\n%s\ngot\n%s", want, got)
				}
			})
		})
	}
}

// xtRaw is the raw table's rules.
func xtRaw(t *testing.T, n *netlab.Namespace, variant string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(n.Command(t, "iptables-"+variant+"-save", "-t", "raw")) {
		if strings.HasPrefix(line, "-A ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestIPTablesDoesNotWaitForEverForTheLock(t *testing.T) {
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "legacy")
	lock := filepath.Join(t.TempDir(), "xtables.lock")
	t.Setenv("XTABLES_LOCKFILE", lock)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), Variant: "legacy", Timeout: 1})
	held := l.Server.Start(t, "lock", netlab.StartOptions{Args: []string{lock}})
	if got := held.Line(t); got != "locked" {
		t.Fatal(got)
	}
	err := a.Sync(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "another program holds the xtables lock; it is tried again") {
		t.Errorf("want it to say that the lock is held, got %v", err)
	}
	if err := a.Sync(shortly(t, 100*time.Millisecond), nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("want whoever waits to be able to give up, got %v", err)
	}
	held.Kill()
	xtSync(t, a)
}

// TestIPTablesIsMadeRightAfterANeverSetThatFailed: nobody else may come by for a long time. Here a rule of somebody else's keeps the old chain.
func TestIPTablesIsMadeRightAfterANeverSetThatFailed(t *testing.T) {
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "nft")
	a := ipTables(t, actions.IPTablesOptions{Variant: "nft", Namespace: l.Server.FD(), WatchEvery: 200 * time.Millisecond})
	xtGuard(t, a, xtBlock("203.0.113.7/32", time.Hour))
	l.Server.Command(t, "iptables-nft", "-t", "raw", "-A", "OUTPUT", "-j", "REGWARDEN")
	if err := a.SetNever(t.Context(), []netip.Prefix{netip.MustParsePrefix("203.0.113.99/32")}); err == nil || !strings.Contains(err.Error(), "a rule that is not ours leads there") {
		t.Fatalf("want it refused, got %v", err)
	}
	l.Server.Command(t, "iptables-nft", "-t", "raw", "-F", "OUTPUT")
	xtAwait(t, "the never-block network in the chain", 10*time.Second, func() bool {
		rules := l.Server.Command(t, "iptables-nft-save", "-t", "raw")
		return strings.Contains(rules, "-A REGWARDEN -s 203.0.113.99/32 -j RETURN") && !strings.Contains(rules, "REGWARDEN-new")
	})
}
