package detector

import (
	"time"

	"github.com/dchest/siphash"
)

// narrow widens a repository block that nothing can hold.
func (d *Detector) narrow(r *Rule, dec *Decision) {
	if dec.Scope != ScopeRepository || d.options.NarrowHeld {
		return
	}
	if r.Widen {
		dec.Widened = true
		return
	}
	dec.spare(GuardScope, "no configured action can hold a repository block, and the rule says widen = false")
}

func (dec *Decision) spare(guard, why string) {
	dec.Verb, dec.Guard, dec.Until, dec.Strike, dec.Reblock = VerbSpared, guard, time.Time{}, 0, 0
	dec.Reason += "; spared: " + why
}

// closesHost says whether the decision shuts the target out of everything.
func (dec *Decision) closesHost() bool { return dec.Scope == ScopeHost || dec.Widened }

// guard asks the safety rules, the one that can tell most about the target first.
func (d *Detector) guard(r *Rule, dryRun bool, h *Hit, dec *Decision, decided func(Decision)) {
	if dec.Verb != VerbBlock {
		return
	}
	g := &d.options.Guards
	fares := d.tallies.of(h.target)
	if why := g.NeverBlock(dec.Target); why != "" {
		dec.spare(GuardNever, why)
		return
	}
	if dec.closesHost() {
		guard, why := GuardProxy, g.proxy(fares)
		if why == "" {
			guard, why = GuardCrowd, r.crowd(fares)
		}
		if why != "" && !d.stayNarrow(dec, why) {
			dec.spare(guard, why)
			return
		}
	}
	if !g.Storm || !r.Storm {
		return
	}
	s := d.storm(r.Name)
	if why := s.outage(d.tallies, d.services[r.Name]); why != "" {
		dec.spare(GuardStorm, why)
		return
	}
	if why := s.note(g, d.tallies, stormBlock{Time: h.time, Target: dec.Target, ID: dec.ID, Made: !dryRun}); why != "" {
		d.takeBack(r, s, dec, decided)
		dec.spare(GuardStorm, why)
	}
}

// stayNarrow keeps the block of a crowd to the repositories that it is about, where an action can hold that.
func (d *Detector) stayNarrow(dec *Decision, why string) bool {
	if !d.options.NarrowHeld || len(dec.Repositories) == 0 {
		return false
	}
	dec.Scope, dec.Widened = ScopeRepository, false
	dec.Reason += "; kept to the repository: " + why
	return true
}

// takeBack lifts what the rule blocked before the storm was seen to be one.
func (d *Detector) takeBack(r *Rule, s *storm, now *Decision, decided func(Decision)) {
	from := now.Time.Add(-d.options.Guards.StormWindow).UnixMilli()
	for i := range s.Blocks {
		b := &s.Blocks[i]
		if !b.Made || b.ID == now.ID || b.Time < from {
			b.Made = false
			continue
		}
		b.Made = false
		decided(Decision{ID: b.ID, Time: now.Time, Verb: VerbUnblock, Target: b.Target, Rule: r.Name, Guard: GuardStorm,
			Reason: "taken back: too many targets ran into this rule at once, so the registry seems to be at fault, not they"})
	}
}

// suspect notes, for the storm guard, that a network which mostly fails runs into a rule again and again; once a generation.
func (d *Detector) suspect(r *Rule, h *Hit, c count, now uint32, decided func(Decision)) {
	if !r.Storm || !d.options.Guards.Storm {
		return
	}
	s := d.storm(r.Name)
	s.turn(d.tallies.generation)
	text := network(d.options.Mask.prefix(h.target)).Addr().As16()
	key := siphash.Hash(h.salt, 0, text[:]) | 1
	at := d.counts.at(key, 0, now)
	rec := at.record()
	rec[0] = header(kindPlain, 0, 0)
	at.touch(now, now+uint32(generation.Milliseconds()), 1)
	fares := d.tallies.of(h.target)
	if rec[1] == s.Gen || r.crowd(fares) != "" {
		return
	}
	rec[1] = s.Gen
	thing := uint64(0)
	if r.about(h) != "" {
		thing = siphash.Hash(h.salt, 0, []byte(h.repository+"\x00"+h.reference))
	} else {
		thing = key // a rule that counts over all things: every suspect is another sign
	}
	s.suspect(fares.success > 0, thing)
	d.sayOutage(r, h, c, s, decided)
}

// sayOutage tells of an outage when it is first seen, before any client has come so far that it would be blocked; once as long as it lasts.
func (d *Detector) sayOutage(r *Rule, h *Hit, c count, s *storm, decided func(Decision)) {
	why := s.outage(d.tallies, d.services[r.Name])
	if why == "" {
		return
	}
	told := s.Told
	s.Told = s.Gen
	if told != 0 && s.Gen-told <= 1 {
		return
	}
	at := time.UnixMilli(h.time).UTC()
	dec := Decision{Time: at, Verb: VerbBlock, Target: d.options.Mask.prefix(h.target), Rule: r.Name, Count: c.n, Window: r.FindTime * time.Duration(r.Windows),
		First: time.UnixMilli(d.counts.unix(c.first)).UTC(), Last: at, Samples: []string{cut(h.line, SampleLength)}}
	dec.ID = d.id(&dec, h.key)
	dec.Reason = reason(r, &dec, &evidence{}) + " so far"
	d.takeBack(r, s, &dec, decided) // those who were first are no more to blame than those who come after
	dec.spare(GuardStorm, why+"; nobody is blocked by this rule while that is so")
	decided(dec)
}

func (d *Detector) storm(rule string) *storm {
	s := d.storms[rule]
	if s == nil {
		s = &storm{}
		d.storms[rule] = s
	}
	return s
}
