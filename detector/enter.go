package detector

import (
	"time"
)

// Enter makes the decision's entry in the ledger: nothing for one that blocks nobody.
func (l *Ledger) Enter(d Decision) []Change {
	switch d.Verb {
	case VerbBlock:
		return []Change{l.Add(d.Target, d.cause(), d.Time)}
	case VerbUnblock:
		changes := l.Lift(d.Target, func(c Cause) bool { return c.ID == d.ID }, "storm guard", d.Reason, d.Time)
		for i := range changes {
			changes[i].Forgiven = true
			changes[i].Cause.Strike = l.forgive(d.Target, d.Rule)
		}
		return changes
	}
	return nil
}

// Told returns the change that tells of a decision which blocks nobody.
func (d Decision) Told() Change {
	c := d.cause()
	return Change{Time: d.Time, Verb: d.Verb, Block: Block{Target: d.Target}, Cause: c, By: "rule", Note: d.Guard}
}

func (d Decision) cause() Cause {
	return Cause{ID: d.ID, Rule: d.Rule, By: "rule", Reason: d.Reason, Scope: d.Scope, Widened: d.Widened, Strike: d.Strike,
		Count: d.Count, Window: int(d.Window / time.Second), First: d.First, Last: d.Last, Since: d.Time, Until: d.Until,
		Repositories: d.Repositories, Projects: d.Projects, References: d.References, Samples: d.Samples, Actions: d.Actions}
}
