package detector

import (
	"time"
)

// Enter makes the decision's entry in the ledger: nothing for one that blocks nobody.
func (l *Ledger) Enter(d Decision) []Change {
	switch d.Verb {
	case VerbBlock:
		change := l.Add(d.Target, d.cause(), d.Time)
		if d.Reblock > 0 {
			change.Probation = l.reblock(d.Target, 1)
		}
		return []Change{change}
	case VerbUnblock:
		changes := l.Lift(d.Target, func(c Cause) bool { return c.ID == d.ID }, "storm guard", d.Reason, d.Time)
		for i := range changes {
			changes[i].Forgiven = true
			changes[i].Cause.Strike = l.forgive(d.Target, d.Rule)
			if changes[i].Cause.Reblock > 0 {
				changes[i].Probation = l.reblock(d.Target, -1)
			}
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
	return Cause{ID: d.ID, Rule: d.Rule, By: "rule", Reason: d.Reason, Scope: d.Scope, Widened: d.Widened, Strike: d.Strike, Reblock: d.Reblock, About: d.About,
		Count: d.Count, Window: int(d.Window / time.Second), First: d.First, Last: d.Last, Since: d.Time, Until: d.Until,
		Repositories: d.Repositories, Projects: d.Projects, References: d.References, Samples: d.Samples, Actions: d.Actions}
}
