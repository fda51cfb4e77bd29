package detector_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"regwarden/detector"
)

// TestCausesAreCountedByRule whatever happens to blocks: the counts are those of the blocks that there are.
func TestCausesAreCountedByRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)
	cause := func() detector.Cause {
		n := r.IntN(12) // few, so that causes replace those of the same ID
		return detector.Cause{ID: fmt.Sprint(n), Rule: fmt.Sprint("rule", n%3), Since: now, Until: now.Add(time.Duration(r.IntN(9)) * time.Minute)}
	}
	target := func() netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/32", r.IntN(4))) }
	l := detector.NewLedger([]detector.Block{{Target: target(), Causes: []detector.Cause{{ID: "a", Rule: "rule1", Until: now.Add(time.Hour)}, {ID: "b", Rule: "old", Until: now.Add(time.Hour)}}}}, nil)
	most := 0
	for range 5000 {
		switch r.IntN(4) {
		case 0, 1:
			l.Add(target(), cause(), now)
		case 2:
			rule := fmt.Sprint("rule", r.IntN(3))
			l.Lift(target(), func(c detector.Cause) bool { return c.Rule == rule }, "test", "", now)
		case 3:
			now = now.Add(time.Minute)
			l.Expire(now)
		}
		want := map[string]int{}
		for _, b := range l.Blocks() {
			for _, c := range b.Causes {
				want[c.Rule]++
				most = max(most, want[c.Rule])
			}
		}
		if got := l.ByRule(); !maps.Equal(got, want) {
			t.Fatalf("counted %v, there are %v", got, want)
		}
	}
	if most < 3 {
		t.Errorf("never more than %d causes of a rule: nothing was tried", most)
	}
}
