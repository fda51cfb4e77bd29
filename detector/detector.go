package detector

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
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
	// SpelledOnly says that such an action knows a repository only under a valid name (ValidRepository). Every registry refuses another, and nothing can hold it.
	SpelledOnly bool
	// Answering are the names of all actions but those that would keep a blocked client from reading why; empty where none answers.
	Answering []string
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
	watch    *Watch
	forgiven map[forgivenKey]int64 // till when, unix milliseconds
	longest  int64                 // longer than anything is counted, milliseconds
	newest   int64                 // the latest time seen, unix milliseconds

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
	// BytesPerCount is what a count that is tracked takes, on average; 0 if there is none.
	BytesPerCount float64 `json:"bytes_per_count"`
}

// New returns a detector that decides by these rules and enters nothing into the ledger itself: it only asks it who is blocked already.
func New(rules []*Rule, o Options, seed Seed, ledger *Ledger) *Detector {
	d := &Detector{options: o, seed: seed, storms: map[string]*storm{}, ledger: ledger, watch: newWatch(), forgiven: map[forgivenKey]int64{},
		stats: Stats{RuleHits: map[string]uint64{}}}
	d.tallies = newTallies(seed, o.Memory/4)
	d.counts = &counts{}
	d.SetRules(rules, o)
	return d
}

// SetRules replaces rules and guards and keeps all counts whose rule still counts the same way.
func (d *Detector) SetRules(rules []*Rule, o Options) {
	d.options.Guards, d.options.NarrowHeld, d.options.SpelledOnly, d.options.Answering = o.Guards, o.NarrowHeld, o.SpelledOnly, o.Answering
	d.rules, d.services = map[string]*Rule{}, map[string]uint16{}
	words := 4
	for _, r := range rules {
		d.rules[r.Name] = r
		d.services[r.Name] = r.services()
		words = max(words, r.words())
		d.longest = max(d.longest, 2*r.FindTime.Milliseconds())
	}
	d.counts.reach(words, d.options.Memory/4*3)
}

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
	s.BytesPerCount = d.counts.bytesEach()
	s.Memory = d.counts.bytes() + d.tallies.table.bytes()
	return s
}

// Active returns how many targets were seen in the last minutes.
func (d *Detector) Active() int { return max(d.tallies.active, d.tallies.wasActive) }

// TableBytes returns what the tables take at this moment; Stats tells the most that they may.
func (d *Detector) TableBytes() int {
	n := d.tallies.table.bytesNow()
	for _, t := range d.counts.classes {
		n += t.bytesNow()
	}
	return n
}

// Watch returns what matchers need to know of whom something is counted.
func (d *Detector) Watch() *Watch { return d.watch }

// Count counts the findings in order and calls decided for each decision at once, so that whoever enters it into the ledger does so before
// the next hit is counted.
func (d *Detector) Count(f *Findings, decided func(Decision)) {
	d.CountUntil(f, &Cursor{}, math.MaxInt64, nil, decided)
}

// Cursor is how far findings were counted. The zero cursor stands at their beginning.
type Cursor struct{ sighting, hit int }

// CountUntil counts the findings from the cursor on while they are not later than until, in unix milliseconds, and moves the cursor. recall is asked for the
// findings in a line, by its offset, that was matched before it was known whether its target is watched; see Scan.Glance.
func (d *Detector) CountUntil(f *Findings, at *Cursor, until int64, recall func(offset int) *Findings, decided func(Decision)) {
	if at.sighting == 0 {
		d.stats.Events += uint64(f.Events)
		d.stats.Hits += uint64(f.Hits)
	}
	begin, warm := at.sighting, at.sighting
	var places places
	for at.sighting < len(f.sightings) && f.sightings[at.sighting].time <= until {
		if at.sighting == warm {
			begin, warm = warm, min(warm+warmAtOnce, len(f.sightings))
			d.tallies.warm(f.sightings[begin:warm], &places)
		}
		s, place := &f.sightings[at.sighting], places[at.sighting-begin]
		at.sighting++
		if s.recall > 0 && d.watch.has(s.key) {
			again := recall(int(s.recall) - 1)
			inside := 0
			for i := range again.sightings {
				d.countSighting(again, &again.sightings[i], nil, &inside, decided)
			}
			continue
		}
		d.countSighting(f, s, place, &at.hit, decided)
	}
	d.watch.turn(d.newest, d.longest)
}

func (d *Detector) countSighting(f *Findings, s *sighting, place *fares, hit *int, decided func(Decision)) {
	d.newest = max(d.newest, s.time)
	if s.key != 0 {
		d.tallies.add(s, place)
	}
	for range s.hits {
		d.count(&f.hits[*hit], decided)
		*hit++
	}
}

func (d *Detector) count(h *Hit, decided func(Decision)) {
	current := d.rules[h.Rule.Name]
	if current == nil {
		return // the rule went with a reload
	}
	r := h.Rule // it may be older than a reload: it says how to count, the current one whether to block
	now, ok := d.counts.clock(h.time)
	if h.Reset {
		if h.ping && d.ledger.closed(d.options.Mask.prefix(h.target), time.UnixMilli(h.time)) {
			return // a front end's own answer is no success
		}
		d.counts.drop(h.key, r.words())
		d.evidence.drop(h.key)
		return
	}
	d.stats.RuleHits[r.Name] += uint64(h.Weight)
	if !ok || len(d.forgiven) > 0 && d.forgives(r, h) {
		return
	}
	d.watch.add(d.seed.target(h.target))
	if d.counts.again(r, h, now) {
		return
	}
	c := d.counts.add(r, h, now)
	if c.n >= min(suspectFrom, r.MaxRetry) {
		d.suspect(r, h, c, now, decided)
	}
	total := r.MaxRetry * r.Windows
	if len(d.ledger.probations) > 0 {
		if _, on := d.ledger.Probation(d.options.Mask.prefix(h.target), time.UnixMilli(h.time)); on {
			total = r.halved()
			c.full = c.full || c.n >= total
		}
	}
	if wanted(c, total) {
		d.evidence.add(h)
	} else {
		d.evidence.drop(h.key) // it was of hits that no longer count
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

// about is the repository that a count of the rule is about, or "" where it counts over all of them. It is written as evidence has it, so that it is found
// again in a cause, and it is no view into the line, since the ledger keeps it.
func (r *Rule) about(h *Hit) string {
	if slices.Contains(r.Key, FieldRepository) {
		return cut(h.repository, evidenceText)
	}
	return ""
}

// wanted says whether a key, of which so many hits block, is near enough to that for its evidence to be kept.
func wanted(c count, total int) bool {
	return c.full || c.n >= max(2, total-evidenceValues)
}

// decide turns a full count into a decision.
func (d *Detector) decide(r *Rule, dryRun bool, h *Hit, c count, e *evidence, decided func(Decision)) {
	at := time.UnixMilli(h.time).UTC()
	target := d.options.Mask.prefix(h.target)
	strike := d.ledger.nextStrike(r, target, at)
	step := r.step(strike)
	length, reblock := step.Time, 0
	if p, on := d.ledger.Probation(target, at); on {
		length, reblock = p.longer(length), p.Reblocks+1
	}
	dec := Decision{Time: at, Verb: VerbBlock, Target: target, Rule: r.Name, Scope: step.Scope, Count: c.n,
		Window: r.FindTime * time.Duration(r.Windows), First: time.UnixMilli(d.counts.unix(c.first)).UTC(), Last: at,
		Until: at.Add(length), Strike: strike, Reblock: reblock, About: r.about(h), Repositories: e.repositories, Projects: e.projects, References: e.references,
		Samples: e.lines(), Actions: r.carriers(step, d.options.Answering)}
	if len(dec.Projects) == 0 {
		dec.Projects = candidates(e.repositories)
	}
	dec.ID = d.id(&dec, h.key)
	dec.Reason = reason(r, &dec, e)
	if reblock > 0 {
		dec.Reason += "; on probation since its block was lifted on the web, so half of the usual number was enough and it lasts longer"
	}
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

// NeverBlock returns why a target must not be blocked, or "".
func (d *Detector) NeverBlock(target netip.Prefix) string { return d.options.Guards.NeverBlock(target) }
