package detector_test

import (
	"testing"
	"time"

	"regwarden/detector"
)

// TestALiftBeginsANewCount: what came before somebody lifted a block counts no more, late lines of that time neither; what comes after counts as ever.
func TestALiftBeginsANewCount(t *testing.T) {
	const client = "203.0.113.7"
	for name, change := range map[string]func(*detector.Rule){
		"a sliding window": func(*detector.Rule) {},
		"different values": func(r *detector.Rule) { v := detector.FieldReference; r.Distinct = &v },
		"one repository": func(r *detector.Rule) {
			r.Key = []detector.Field{detector.FieldClient, detector.FieldRepository}
		},
	} {
		b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { change(r); r.MaxRetry, r.FindTime = 5, time.Hour }))
		at := begin
		reference := func(e *detector.Event) { e.Reference = at.String() }
		feed := func(n int) (got []detector.Decision) {
			for range n {
				at = at.Add(time.Second)
				got = append(got, b.feed(event(at, client, 404, reference))...)
			}
			return got
		}
		first := feed(5)
		if len(first) != 1 {
			t.Fatalf("%s: the block: %s", name, verbs(first))
		}
		feed(4) // it goes on while it is being lifted
		for _, ch := range b.ledger.Lift(first[0].Target, func(detector.Cause) bool { return true }, "somebody", "", at) {
			b.detector.Forgive(ch.Block.Target, &ch.Cause, at)
		}
		if late := b.feed(event(at.Add(-time.Second), client, 404, reference)); len(late) != 0 {
			t.Errorf("%s: a late line: %s", name, verbs(late))
		}
		if got := feed(4); len(got) != 0 {
			t.Errorf("%s: four after the lift: %s", name, verbs(got))
		}
		if got := feed(1); len(got) != 1 || got[0].Count != 5 || !got[0].First.After(first[0].Last.Add(4*time.Second)) {
			t.Errorf("%s: the fifth after the lift: %+v", name, got)
		}
	}
}
