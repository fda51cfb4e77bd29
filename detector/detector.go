package detector

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dchest/siphash"
)

// Options say how a detector counts and whom it must spare.
type Options struct {
	Guards Guards
	Mask   Mask
	// Memory is how many bytes the tables of counts may take.
	Memory int
	// NarrowHeld says that some configured action can hold a repository block; otherwise one is widened to the host.
	NarrowHeld bool
}

// DefaultMemory is for the tables: with it the whole daemon stays well under its bound of 256 MiB.
const DefaultMemory = 96 << 20

// Detector counts findings and decides. It is owned by one goroutine, as is its ledger.
type Detector struct {
	options  Options
	seed     Seed
	rules    map[string]*Rule
	services map[string]uint16 // of each rule
	counts   *counts
	tallies  *tallies
	evidence evidenceFile
	storms   map[string]*storm
	ledger   *Ledger
	newest   int64 // the latest time seen, unix milliseconds

	stats Stats
}

// Stats are what a detector has seen since its state began.
type Stats struct {
	Events uint64 `json:"events"`
	// Hits is how many events counted for some rule; RuleHits for each.
	Hits     uint64            `json:"hits"`
	RuleHits map[string]uint64 `json:"rule_hits"`
	// Evicted counts were still of use when they had to go for others: the sign of a flood of addresses.
	Evicted uint64 `json:"evicted"`
	Tracked int    `json:"tracked"`
	// Memory is how many bytes the tables take when they are full.
	Memory int `json:"memory_bytes"`
}

// New returns a detector that decides by these rules and enters nothing into the ledger itself: it only asks it who is blocked already.
func New(rules []*Rule, o Options, seed Seed, ledger *Ledger) *Detector {
	d := &Detector{options: o, seed: seed, storms: map[string]*storm{}, ledger: ledger,
		stats: Stats{RuleHits: map[string]uint64{}}}
	d.tallies = newTallies(seed, o.Memory/4)
	d.counts = &counts{}
	d.SetRules(rules, o)
	return d
}

// SetRules replaces rules and guards and keeps all counts whose rule still counts the same way.
func (d *Detector) SetRules(rules []*Rule, o Options) {
	d.options.Guards, d.options.NarrowHeld = o.Guards, o.NarrowHeld
	d.rules, d.services = map[string]*Rule{}, map[string]uint16{}
	words := 4
	for _, r := range rules {
		d.rules[r.Name] = r
		d.services[r.Name] = r.services()
		words = max(words, r.words())
	}
	d.counts.reach(words, d.options.Memory/4*3)
}

// Rules returns how many rules decide.
func (d *Detector) Rules() int { return len(d.rules) }

// Seed returns the key of the counts' hashes, which matchers must share.
func (d *Detector) Seed() Seed { return d.seed }

// Newest returns the latest time of any event.
func (d *Detector) Newest() time.Time { return time.UnixMilli(d.newest).UTC() }

// Stats returns what was seen.
func (d *Detector) Stats() Stats {
	s := d.stats
	s.RuleHits = map[string]uint64{}
	for k, v := range d.stats.RuleHits {
		s.RuleHits[k] = v
	}
	s.Evicted = d.counts.evicted()
	s.Tracked = d.counts.live()
	s.Memory = d.counts.bytes() + d.tallies.table.bytes()
	return s
}

// Count counts the findings in order and calls decided for each decision at once, so that whoever enters it into the ledger does so before
// the next hit is counted.
func (d *Detector) Count(f *Findings, decided func(Decision)) {
	d.stats.Events += uint64(f.Events)
	d.stats.Hits += uint64(f.Hits)
	next := 0
	for _, s := range f.sightings {
		d.newest = max(d.newest, s.time)
		if s.target != 0 {
			d.tallies.add(s)
		}
		for range s.hits {
			d.count(&f.hits[next], decided)
			next++
		}
	}
}

func (d *Detector) count(h *Hit, decided func(Decision)) {
	current := d.rules[h.Rule.Name]
	if current == nil {
		return // the rule went with a reload
	}
	r := h.Rule // it may be older than a reload: it says how to count, the current one whether to block
	now := d.counts.clock(h.time)
	if h.Reset {
		d.counts.drop(h.key, r.words())
		d.evidence.drop(h.key)
		return
	}
	d.stats.RuleHits[r.Name] += uint64(h.Weight)
	if d.counts.again(r, h, now) {
		return
	}
	c := d.counts.add(r, h, now)
	if c.n >= min(suspectFrom, r.MaxRetry) {
		d.suspect(r, h, c, now, decided)
	}
	if wanted(r, c) {
		d.evidence.add(h)
	}
	if !c.full {
		return
	}
	d.counts.drop(h.key, r.words())
	e := d.evidence.take(h.key)
	target := d.options.Mask.prefix(h.target)
	if id, told := d.ledger.told(target, r.Name, r.about(h), time.UnixMilli(h.time)); told {
		if id != "" && r.Storm && d.options.Guards.Storm {
			// After a crash, this is how the storm guard learns again of what it may have to take back.
			d.storm(r.Name).note(&d.options.Guards, d.tallies, stormBlock{Time: h.time, Target: target, ID: id, Made: true})
		}
		return
	}
	d.decide(r, current.DryRun, h, c, e, decided)
}

// about is the repository that a count of the rule is about, or "" where it counts over all of them.
func (r *Rule) about(h *Hit) string {
	if slices.Contains(r.Key, FieldRepository) {
		return h.repository
	}
	return ""
}

// wanted says whether a key is near enough to a block for its evidence to be kept.
func wanted(r *Rule, c count) bool {
	total := r.MaxRetry * r.Windows
	return c.full || c.n >= max(2, total-evidenceValues)
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

// decide turns a full count into a decision.
func (d *Detector) decide(r *Rule, dryRun bool, h *Hit, c count, e *evidence, decided func(Decision)) {
	at := time.UnixMilli(h.time).UTC()
	target := d.options.Mask.prefix(h.target)
	strike := d.ledger.nextStrike(r, target, at)
	step := r.step(strike)
	dec := Decision{Time: at, Verb: VerbBlock, Target: target, Rule: r.Name, Scope: step.Scope, Count: c.n,
		Window: r.FindTime * time.Duration(r.Windows), First: time.UnixMilli(d.counts.unix(c.first)).UTC(), Last: at,
		Until: at.Add(step.Time), Strike: strike, Repositories: e.repositories, Projects: e.projects, Samples: e.samples, Actions: r.Actions}
	if len(dec.Projects) == 0 {
		dec.Projects = candidates(e.repositories)
	}
	dec.ID = d.id(&dec, h.key)
	dec.Reason = reason(r, &dec, e)
	d.narrow(r, &dec)
	d.guard(r, dryRun, h, &dec, decided)
	if dec.Verb == VerbBlock && dryRun {
		dec.Verb = VerbWouldBlock
	}
	if dec.Verb != VerbBlock {
		until := at.Add(r.FindTime)
		if dec.Verb == VerbWouldBlock {
			until = dec.Until
		}
		d.ledger.tell(target, r.Name, r.about(h), until)
	}
	decided(dec)
}

// id is the same whenever the same rule decides on the same line about the same target.
func (d *Detector) id(dec *Decision, key uint64) string {
	sum := siphash.Hash(key, 0, fmt.Appendf(nil, "%v %s %d", dec.Target, dec.Rule, dec.Time.UnixMilli()))
	return hex.EncodeToString([]byte{byte(sum >> 40), byte(sum >> 32), byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

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
	dec.Verb, dec.Guard, dec.Until, dec.Strike = VerbSpared, guard, time.Time{}, 0
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

// candidates are the projects that the repositories may belong to, at most evidenceValues.
func candidates(repositories []string) []string {
	var out []string
	for _, r := range repositories {
		for _, p := range ProjectCandidates(r) {
			if len(out) < evidenceValues && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// reason says in one sentence what the target did.
func reason(r *Rule, dec *Decision, e *evidence) string {
	var b strings.Builder
	what := "times"
	if r.Distinct != nil {
		what = "different values of " + r.Distinct.String()
	}
	fmt.Fprintf(&b, "%s: %d %s in %v", r.Summary, dec.Count, what, dec.Last.Sub(dec.First).Round(time.Second))
	for _, part := range []struct {
		name   string
		values []string
	}{{"repository", e.repositories}, {"reference", e.references}, {"user", e.users}} {
		if len(part.values) > 0 {
			fmt.Fprintf(&b, ", %s %s", part.name, quoteSome(part.values))
		}
	}
	return b.String()
}

// quoteSome quotes up to three values, which are an attacker's text.
func quoteSome(values []string) string {
	var out []string
	for _, v := range values[:min(3, len(values))] {
		out = append(out, fmt.Sprintf("%q", cut(v, 80)))
	}
	if n := len(values) - 3; n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, ", ")
}

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
		Repositories: d.Repositories, Projects: d.Projects, Samples: d.Samples, Actions: d.Actions}
}

// NeverBlock returns why a target must not be blocked, or "".
func (d *Detector) NeverBlock(target netip.Prefix) string { return d.options.Guards.NeverBlock(target) }
