package detector

import (
	"net/netip"
	"time"
)

// Probation is the time after a member has lifted a target's block on the web. In it half of the usual hits are too many, and each block lasts twice as long
// as the one before. It belongs to the target, for all rules: who is trusted again is watched as a whole.
type Probation struct {
	Target netip.Prefix `json:"target"`
	// Since is when the block was lifted: what the target did up to then is forgiven.
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Reblocks is how often the target was blocked again in it.
	Reblocks int `json:"reblocks"`
}

const (
	maxProbations = 100_000
	// maxReblockTime is how long a block in probation may become by doubling.
	maxReblockTime = 30 * 24 * time.Hour
)

// Probe puts a target on probation, or begins its time anew. Earlier blocks in probation still count.
func (l *Ledger) Probe(target netip.Prefix, since, until time.Time, reblocks int) Probation {
	roomFor(l.probations, maxProbations)
	p := Probation{Target: target, Since: since, Until: until, Reblocks: max(reblocks, l.probations[target].Reblocks)}
	l.probations[target] = p
	return p
}

// Discharge ends a target's probation and says whether there was one.
func (l *Ledger) Discharge(target netip.Prefix) bool {
	_, ok := l.probations[target]
	delete(l.probations, target)
	return ok
}

// Recall takes over probations that were saved.
func (l *Ledger) Recall(list []Probation) {
	for _, p := range list {
		l.probations[p.Target] = p
	}
}

// Probation is the target's, if it is on one at that time.
func (l *Ledger) Probation(target netip.Prefix, at time.Time) (Probation, bool) {
	p, ok := l.probations[target]
	return p, ok && at.After(p.Since) && at.Before(p.Until)
}

// reblock counts a block in probation, or takes one back; nil if there is no probation to change.
func (l *Ledger) reblock(target netip.Prefix, by int) *Probation {
	p, ok := l.probations[target]
	if !ok {
		return nil
	}
	p.Reblocks = max(p.Reblocks+by, 0)
	l.probations[target] = p
	return &p
}

// longer is how long the next block in probation lasts, for one that would last so long otherwise.
func (p *Probation) longer(length time.Duration) time.Duration {
	for range p.Reblocks + 1 {
		if length*2 > maxReblockTime {
			return max(length, maxReblockTime)
		}
		length *= 2
	}
	return length
}

// halved is how many hits of the rule are too many for a target on probation: of all windows together, of which it need not fill each. At least one, as
// maxretry is.
func (r *Rule) halved() int { return (r.MaxRetry*r.Windows + 1) / 2 }

// LiftOnProbation lifts all causes of a target that are wholly a project's and puts the target on probation for so long. Nothing changes if there is none.
func (l *Ledger) LiftOnProbation(target netip.Prefix, project, by, note string, now time.Time, length time.Duration) []Change {
	changes := l.Lift(target, func(c Cause) bool { return c.Share(project) == ShareWhole }, by, note, now)
	if len(changes) == 0 || length <= 0 {
		return changes
	}
	reblocks := 0
	for _, c := range changes {
		reblocks = max(reblocks, c.Cause.Reblock)
	}
	p := l.Probe(target, now, now.Add(length), reblocks)
	changes[len(changes)-1].Probation = &p
	return changes
}
