package reference

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"regwarden/detector"
)

// about is the repository that the rule's count is about, "" where it counts over all of them.
func about(h *hit) string {
	if slices.Contains(h.rule.Key, detector.FieldRepository) {
		return clean(h.repository)
	}
	return ""
}

// decide makes a decision of hits that are too many, unless the same one is in force.
func (n *naive) decide(h *hit, many int, repositories []string) {
	r, g := h.rule, &n.options.Guards
	if id, told := n.ledger.told(h.target, r.Name, about(h), h.at); told {
		if id != "" && r.Storm && g.Storm { // who goes on while he is blocked still runs into the rule
			n.storm(r).tooMany(n, wouldBlock{at: h.at, target: h.target, id: id, made: true})
		}
		return
	}
	strike := n.ledger.nextStrike(r, h.target, h.at)
	step := r.Steps[min(strike, len(r.Steps))-1]
	d := decision{id: fmt.Sprint(len(n.decided)), Time: h.at, Verb: "block", Target: h.target, Rule: r.Name, Scope: step.Scope, Count: many,
		Until: h.at.Add(step.Time), Strike: strike, Repositories: repositories}
	n.guard(r, h, &d)
	if d.Verb == "block" && r.DryRun {
		d.Verb = "would-block"
	}
	switch d.Verb {
	case "would-block":
		n.ledger.tell(h, d.Until)
	case "spared":
		n.ledger.tell(h, h.at.Add(r.FindTime))
	}
	n.say(d)
}

// say makes the decision known, and the ledger's.
func (n *naive) say(d decision) {
	switch d.Verb {
	case "block":
		n.ledger.block(d)
	case "unblock":
		n.ledger.unblock(d)
	}
	n.decided = append(n.decided, d)
}

func (d *decision) spare(guard string) {
	d.Verb, d.Guard, d.Until, d.Strike = "spared", guard, time.Time{}, 0
}

// repositoryName is what a file may be named after: a little more than the distribution specification has.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+([._-][_-]*[a-z0-9]+)*(/[a-z0-9]+([._-][_-]*[a-z0-9]+)*)*$`)

var longPart = regexp.MustCompile(`[^/]{249}`)

// holdable says whether a repository block can be held.
func (n *naive) holdable(d *decision) bool {
	named := slices.ContainsFunc(d.Repositories, func(r string) bool { return len(r) <= 255 && repositoryName.MatchString(r) && !longPart.MatchString(r) })
	return n.options.NarrowHeld && (!n.options.SpelledOnly || len(d.Repositories) == 0 || named)
}

// guard asks the safety rules, in ARCHITECTURE's order.
func (n *naive) guard(r *detector.Rule, h *hit, d *decision) {
	g := &n.options.Guards
	if d.Scope == detector.ScopeRepository && !n.holdable(d) {
		if d.Widened = r.Widen; !r.Widen {
			d.spare("scope")
			return
		}
	}
	if g.NeverBlock(h.target) != "" {
		d.spare("never-block")
		return
	}
	if d.Scope == detector.ScopeHost || d.Widened {
		guard := ""
		switch f := n.traffic.of(h.target); {
		case n.traffic.proxy(f, g):
			guard = "proxy"
		case f.crowd(r):
			guard = "crowd"
		}
		switch {
		case guard != "" && n.holdable(d) && len(d.Repositories) > 0:
			d.Scope, d.Widened = detector.ScopeRepository, false
		case guard != "":
			d.spare(guard)
			return
		}
	}
	if !g.Storm || !r.Storm {
		return
	}
	s := n.storm(r)
	if s.outage(n.traffic) {
		d.spare("storm")
		return
	}
	if s.tooMany(n, wouldBlock{at: h.at, target: h.target, id: d.id, made: !r.DryRun}) {
		n.takeBack(s, d)
		d.spare("storm")
	}
}

// ledger is who is blocked, and what was told.
type ledger struct {
	causes  []decision
	spared  map[string]time.Time // decisions that blocked nobody, and until when they are not told again
	strikes map[string]strike
}

type strike struct {
	count int
	until time.Time
}

func newLedger() *ledger {
	return &ledger{spared: map[string]time.Time{}, strikes: map[string]strike{}}
}

// pair is what strikes are counted by.
func pair(target netip.Prefix, rule string) string { return target.String() + " " + rule }

// told says that a decision about the same is in force: the rule has blocked the target, from all or from this repository, or spared it.
func (l *ledger) told(target netip.Prefix, rule, repository string, at time.Time) (id string, told bool) {
	if at.Before(l.spared[pair(target, rule)+" "+repository]) {
		return "", true
	}
	for _, c := range l.causes {
		everything := c.Scope == detector.ScopeHost || c.Widened || repository == ""
		if c.Target == target && c.Rule == rule && at.Before(c.Until) && (everything || slices.Contains(c.Repositories, repository)) {
			return c.id, true
		}
	}
	return "", false
}

// closed says whether a target is shut out of everything, so that a ping that succeeds is a front end's answer to it.
func (l *ledger) closed(target netip.Prefix, at time.Time) bool {
	return slices.ContainsFunc(l.causes, func(c decision) bool {
		return c.Target == target && (c.Scope == detector.ScopeHost || c.Widened) && at.Before(c.Until)
	})
}

func (l *ledger) tell(h *hit, until time.Time) {
	l.spared[pair(h.target, h.rule.Name)+" "+about(h)] = until
}

func (l *ledger) block(d decision) {
	l.causes = append(l.causes, d)
	l.strikes[pair(d.Target, d.Rule)] = strike{d.Strike, d.Until}
}

// unblock takes a block back, and its strike.
func (l *ledger) unblock(d decision) {
	i := slices.IndexFunc(l.causes, func(c decision) bool { return c.id == d.id })
	if i < 0 {
		return
	}
	l.causes = slices.Delete(l.causes, i, i+1)
	s := l.strikes[pair(d.Target, d.Rule)]
	if s.count--; s.count <= 0 {
		delete(l.strikes, pair(d.Target, d.Rule))
		return
	}
	l.strikes[pair(d.Target, d.Rule)] = s
}

// expire forgets what has ended.
func (l *ledger) expire(at time.Time) {
	l.causes = slices.DeleteFunc(l.causes, func(c decision) bool { return !at.Before(c.Until) })
	for k, until := range l.spared {
		if !at.Before(until) {
			delete(l.spared, k)
		}
	}
}

// nextStrike is one more than the blocks that are not forgotten; one is forgotten in each Forget after the end of the latest.
func (l *ledger) nextStrike(r *detector.Rule, target netip.Prefix, at time.Time) int {
	s, ok := l.strikes[pair(target, r.Name)]
	if !ok {
		return 1
	}
	if at.After(s.until) {
		s.count -= int(at.Sub(s.until) / r.Forget)
	}
	return max(s.count, 0) + 1
}
