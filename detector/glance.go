package detector

import "net/netip"

// Glance is what a line says at first sight: enough to know that no rule wants it, and to count it as traffic. Whoever fills it in vouches that the
// whole event would say the same.
type Glance struct {
	// Time is in unix milliseconds; 0 where the line has none.
	Time   int64
	Client netip.Addr
	Kind   Kind
	// Operation and Status are those of the event.
	Operation Operation
	Status    int
	// Head says that the method is HEAD.
	Head bool
	// Anonymous says that the event has no user.
	Anonymous bool
	Path      string
	Agent     string
}

// glance is what is known of a whole event.
func (e *Event) glance() Glance {
	return Glance{Kind: e.Kind, Operation: e.Operation, Status: e.Status, Head: e.Method == "HEAD", Anonymous: e.User == "", Path: e.Path, Agent: e.UserAgent}
}

// answer is what a condition says of an event of which only a glance is known.
type answer uint8

const (
	no answer = iota
	perhaps
	yes
)

// ofGlance says whether the condition holds for every event, for none or for some that look like this at first sight. Path is not looked at: patterns
// are the automaton's.
func (c *Condition) ofGlance(e *Event, anonymous bool) answer {
	switch {
	case c.Field == FieldSource, c.Field == FieldOperation, c.Field == FieldStatus:
	case c.Field == FieldUser && anonymous:
	default:
		return perhaps
	}
	if c.Holds(e) {
		return yes
	}
	return no
}

// ofGlance is the answer of all conditions together.
func (cs Conditions) ofGlance(e *Event, anonymous bool) answer {
	all := yes
	for i := range cs {
		all = min(all, cs[i].ofGlance(e, anonymous))
	}
	return all
}

// mayHit says whether the rule may take an event that looks like this.
func (r *Rule) mayHit(e *Event, anonymous bool) bool {
	if len(r.Sources) > 0 && !r.counts(e.Kind) || r.Match.ofGlance(e, anonymous) == no {
		return false
	}
	for _, alternative := range r.Unless {
		if alternative.ofGlance(e, anonymous) == yes {
			return false
		}
	}
	return true
}

// mayReset says whether the event may clear a count of the rule.
func (r *Rule) mayReset(e *Event, anonymous bool) bool {
	for _, alternative := range r.Reset {
		if alternative.ofGlance(e, anonymous) != no {
			return true
		}
	}
	return false
}
