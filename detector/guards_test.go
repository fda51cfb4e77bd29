package detector_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
)

func TestNeverBlock(t *testing.T) {
	g := detector.DefaultGuards
	g.Never = []detector.Never{{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Why: "in ignoreip"}}
	for target, want := range map[string]string{
		"127.0.0.1/32": "loopback", "127.200.1.0/24": "loopback", "::1/128": "loopback", "169.254.3.4/32": "link-local", "fe80::/64": "link-local",
		"0.0.0.0/0": "wider", "::/0": "wider", "203.0.0.0/7": "wider", "224.0.0.1/32": "multicast", "10.1.2.3/32": "private",
		"192.168.7.0/24": "private", "fd00:1::/64": "private", "100.64.1.1/32": "private", "198.51.100.7/32": "ignoreip", "198.51.100.0/24": "ignoreip",
		"203.0.113.7/32": "", "2001:db8::/64": "", "198.51.100.8/32": "",
	} {
		got := g.NeverBlock(netip.MustParsePrefix(target))
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: want %q, got %q", target, want, got)
		}
	}
	g.BlockPrivate = true
	if why := g.NeverBlock(netip.MustParsePrefix("10.1.2.3/32")); why != "" {
		t.Errorf("block_private: %s", why)
	}
}

func TestAProtectedTargetIsSparedAndItIsSaid(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	got := b.feedAll(30, begin, time.Second, "127.0.0.1", 404)
	if len(got) != 1 || got[0].Verb != detector.VerbSpared || got[0].Guard != detector.GuardNever || !strings.Contains(got[0].Reason, "loopback") {
		t.Fatalf("got %+v", got)
	}
}

func TestTheStormGuardTakesBackWhatItLetThrough(t *testing.T) {
	g := detector.DefaultGuards
	g.StormLimit = 4
	b := newBench(t, detector.Options{Guards: g}, rule(func(r *detector.Rule) { r.MaxRetry = 2 }))
	for c := range 30 { // all others are well served, so this is no outage to begin with
		b.feedAll(20, begin, time.Second, fmt.Sprintf("198.51.100.%d", c+1), 200)
	}
	for c := range 12 {
		b.feedAll(2, begin.Add(time.Duration(30+c)*time.Second), time.Second, fmt.Sprintf("203.0.113.%d", c+1), 404)
	}
	if n := b.ledger.Len(); n > 0 {
		t.Errorf("%d targets stay blocked in a storm", n)
	}
	counts := map[string]int{}
	for _, d := range b.got {
		counts[d.Verb]++
	}
	if counts["block"] != 4 || counts["unblock"] != 4 || counts["spared"] != 8 {
		t.Errorf("got %v", counts)
	}
	later := begin.Add(time.Hour)
	if got := b.feedAll(2, later, time.Second, "203.0.113.200", 404); verbs(got) != "block 203.0.113.200/32" {
		t.Errorf("after the storm: %q", verbs(got))
	}
}

func TestAProxyIsSparedByItsShareAndItsManyAgents(t *testing.T) {
	for agents, want := range map[int]string{13: detector.GuardProxy, 1: detector.GuardCrowd} {
		b := newBench(t, detector.Options{}, rule(nil))
		for i := range 3000 {
			at := begin.Add(time.Duration(i) * 100 * time.Millisecond)
			client, status := "203.0.113.1", 401
			if i%3 == 0 {
				status = 200
			}
			if i%5 == 0 {
				client = fmt.Sprintf("198.51.100.%d", i%50+1)
			} else if i%20 == 1 && i > 1000 {
				status = 404
			}
			b.feed(event(at, client, status, func(e *detector.Event) { e.UserAgent = fmt.Sprint("agent ", i%agents) }))
		}
		if len(b.got) == 0 || b.got[0].Guard != want {
			t.Errorf("%d agents: want guard %q, got %+v", agents, want, b.got)
		}
	}
}

func TestACrowdKeepsItsBlockNarrowWhereThatIsHeld(t *testing.T) {
	for held, want := range map[bool]string{false: detector.VerbSpared, true: detector.VerbBlock} {
		b := newBench(t, detector.Options{NarrowHeld: held}, rule(nil))
		b.feedAll(50, begin, time.Second, "203.0.113.7", 200)
		got := b.feedAll(5, begin.Add(time.Minute), time.Second, "203.0.113.7", 404)
		if len(got) != 1 || got[0].Verb != want || held && got[0].Scope != detector.ScopeRepository || !strings.Contains(got[0].Reason, "%") {
			t.Errorf("held %v: got %+v", held, got)
		}
	}
}

func TestLiftingTakesOnlyTheCausesThatAreMeant(t *testing.T) {
	l := detector.NewLedger(nil, nil)
	target := netip.MustParsePrefix("203.0.113.7/32")
	l.Add(target, detector.Cause{ID: "1", Rule: "a", Until: begin.Add(time.Hour)}, begin)
	c := l.Add(target, detector.Cause{ID: "2", Rule: "b", Until: begin.Add(2 * time.Hour)}, begin)
	if c.Verb != detector.ChangeExtend || !c.Block.Until.Equal(begin.Add(2*time.Hour)) {
		t.Errorf("got %+v", c)
	}
	changes := l.Lift(target, func(c detector.Cause) bool { return c.Rule == "b" }, "uid 0", "", begin)
	if len(changes) != 1 || changes[0].Verb != detector.ChangeShorten || !changes[0].Block.Until.Equal(begin.Add(time.Hour)) || l.Len() != 1 {
		t.Errorf("got %+v", changes)
	}
	changes = l.Expire(begin.Add(time.Hour))
	if len(changes) != 1 || changes[0].Verb != detector.ChangeExpire || l.Len() != 0 {
		t.Errorf("got %+v", changes)
	}
}
