package detector

import (
	"net/netip"
	"time"
)

// forgivenKey is what a lifted block was about.
type forgivenKey struct {
	target netip.Prefix
	rule   string
	about  string // Cause.About
}

// maxForgiven is how many lifts are remembered.
const maxForgiven = 100_000

// Forgive lets what a target did up to that time count no more towards a block like the cause, which somebody has lifted: the next requests begin a new count. Without it
// a single one could block again whoever went on while the block was being lifted.
func (d *Detector) Forgive(target netip.Prefix, c *Cause, at time.Time) {
	roomFor(d.forgiven, maxForgiven)
	k := forgivenKey{target, c.Rule, c.About}
	d.forgiven[k] = max(d.forgiven[k], at.UnixMilli())
}

// Forgiven says whether what a target did then is forgiven.
func (d *Detector) Forgiven(target netip.Prefix, rule, about string, at time.Time) bool {
	return len(d.forgiven) > 0 && at.UnixMilli() <= d.forgivenTill(target, rule, about)
}

func (d *Detector) forgivenTill(target netip.Prefix, rule, about string) int64 {
	return max(d.forgiven[forgivenKey{target, rule, ""}], d.forgiven[forgivenKey{target, rule, about}])
}

// ForgetForgiven forgets the lifts of before a time.
func (d *Detector) ForgetForgiven(before time.Time) {
	for k, till := range d.forgiven {
		if till < before.UnixMilli() {
			delete(d.forgiven, k)
		}
	}
}

// forgives says whether the hit itself is forgiven; if it is the first one that is not, what was counted before it goes.
func (d *Detector) forgives(r *Rule, h *Hit) bool {
	till := d.forgivenTill(d.options.Mask.prefix(h.target), r.Name, r.about(h))
	if till == 0 {
		return false
	}
	if h.time <= till {
		return true
	}
	if then, ok := d.counts.clock(till); ok && d.counts.dropOlder(h.key, r.words(), then) {
		d.evidence.drop(h.key)
	}
	return false
}
