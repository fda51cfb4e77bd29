package detector

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dchest/siphash"
)

// Seed keys the hashes of all counts, so that nobody can choose addresses or names that collide. It lives as long as the counts do.
type Seed [2]uint64

// Matcher turns events into findings. It is never changed, so that every source's goroutine can make its Scan of the same one.
type Matcher struct {
	rules    []*Rule
	salts    []uint64 // one a rule: its name and what it counts by
	mask     Mask
	seed     Seed
	watch    *Watch
	patterns *patterns
	sieve    *sieve
	every    *cell // all rules, for events that the sieve has no cell for
}

// ReadsLines says that some rule matches raw lines, so that lines of no dialect are worth matching too.
func (m *Matcher) ReadsLines() bool { return m.patterns.lines != nil }

// NewMatcher returns a matcher of these rules. Counts are found again under the same seed, mask and rule. watch is the detector's; it is nil where
// lines are matched before it is known who is watched, and whoever counts the findings recalls lines.
func NewMatcher(rules []*Rule, mask Mask, seed Seed, watch *Watch) *Matcher {
	m := &Matcher{rules: rules, mask: mask, seed: seed, watch: watch, patterns: newPatterns(rules)}
	m.sieve = newSieve(rules, m.patterns)
	m.every = &cell{plain: true, resets: true, paths: m.patterns.paths != nil, lines: m.patterns.lines != nil}
	for i, r := range rules {
		m.every.rules = append(m.every.rules, uint16(i))
		distinct := "none"
		if r.Distinct != nil {
			distinct = r.Distinct.String()
		}
		m.salts = append(m.salts, siphash.Hash(seed[0], seed[1], fmt.Appendf(nil, "%s\x00%v %s %d %v %d",
			r.Name, r.Key, distinct, r.MaxRetry, r.FindTime, r.Windows)))
	}
	return m
}

// Exempt says why an event never counts against an address, or "": what GitLab let pass on its operator's word, what it
// only tracked, and what it counted by another key than the address.
func Exempt(e *Event) string {
	switch {
	case e.Safelist != "":
		return "GitLab exempted it: " + e.Safelist
	case e.ThrottleEnv == "track":
		return "GitLab only tracked it (dry run)"
	case e.Throttle != "" && e.ThrottleEnv == "throttle" && !AddressKeyed(e):
		return "GitLab counted it by user or token, not by address"
	}
	return ""
}

// AddressKeyed says whether the throttle that was hit counts by address. GitLab's names say so: only the unauthenticated ones
// do. An unknown name without that word is taken as keyed by something else.
func AddressKeyed(e *Event) bool {
	return strings.Contains(e.Throttle, "unauthenticated") && e.User == ""
}

// Scan is a matcher at work. Each goroutine makes its own.
type Scan struct {
	*Matcher
	paths, lines *search
	agents       agents
}

// NewScan returns a scan for one goroutine.
func (m *Matcher) NewScan() *Scan {
	return &Scan{Matcher: m, paths: newSearch(m.patterns.paths), lines: newSearch(m.patterns.lines), agents: agents{seed: m.seed}}
}

// Glance takes an event at first sight: it adds it to f as traffic and says yes, or says that the event must be read whole. Where only a count of a watched
// target could be cleared, it depends on whether the target is watched; without a watch, f notes that somebody who knows must Recall the line at offset.
func (s *Scan) Glance(line []byte, g *Glance, now int64, offset int, f *Findings) bool {
	c := s.sieve.cell(g.Kind, g.Operation, g.Status, g.Anonymous)
	if c == nil || c.plain {
		return false
	}
	if c.paths && meet(c.pathGroups, s.paths.in(g.Path)) || c.lines && meet(c.lineGroups, s.lines.in(view(line))) {
		return false
	}
	target := s.mask.key(g.Client)
	if target == 0 {
		f.Events++
		return true
	}
	key, recall := s.targetHash(target), uint32(0)
	if c.resets {
		switch {
		case s.watch == nil:
			recall = uint32(offset) + 1
		case s.watch.has(key):
			return false
		}
	}
	f.Events++
	seen := f.sight()
	seen.key, seen.recall = key, recall
	s.see(seen, g, clamp(g.Time, now))
	return true
}

// clamp keeps one wrong clock from ageing all counts: what is later than a minute after now is taken as of then, and what has no time as of now.
func clamp(at, now int64) int64 {
	if at == 0 {
		return now
	}
	return max(min(at, now+time.Minute.Milliseconds()), 1)
}

// see fills in how an event counts as traffic.
func (s *Scan) see(to *sighting, g *Glance, at int64) {
	to.time, to.service, to.outcome, to.fate = at, serviceOf(g.Kind, g.Operation), outcome(g), fate(g)
	if to.outcome == Success {
		to.agent = s.agents.number(g.Agent)
	}
}

// Match adds to f what the rules make of the event that was read from line. now, in unix milliseconds, is used for
// an event without a time, and an event later than a minute after now is taken as of then, so that one wrong clock cannot age all counts.
func (s *Scan) Match(line []byte, e *Event, now int64, f *Findings) {
	f.Events++
	at := now
	if !e.Time.IsZero() {
		at = clamp(max(e.Time.UnixMilli(), 1), now) // 1970 is a time, too
	}
	first := len(f.hits)
	g := e.glance()
	if Exempt(e) == "" {
		s.matchRules(line, e, &g, at, f)
	}
	n := len(f.hits) - first
	target := s.mask.key(e.Client)
	if target == 0 {
		if n == 0 {
			return
		}
		target = f.hits[first].target // a failregex found it
	}
	seen := f.sight()
	if target != 0 {
		seen.key = s.targetHash(target)
	}
	s.see(seen, &g, at)
	seen.hits = uint16(n)
	for _, h := range f.hits[first:] {
		if !h.Reset {
			f.Hits++
			seen.outcome, seen.fate = Failure, Failure // what a rule counts is no success
			break
		}
	}
}

// matchRules asks the rules that may want the event, in their order.
func (s *Scan) matchRules(line []byte, e *Event, g *Glance, at int64, f *Findings) {
	c := s.sieve.cell(g.Kind, g.Operation, g.Status, g.Anonymous)
	if c == nil {
		c = s.every
	}
	var paths, lines []uint64
	if c.paths {
		paths = s.paths.in(e.Path)
	}
	if c.lines {
		lines = s.lines.in(view(line))
	}
	for _, i := range c.rules {
		s.matchRule(int(i), line, e, at, found(paths, s.patterns.path[i]) && found(lines, s.patterns.line[i]), f)
	}
}

// found says whether the rule may take a text of which these groups were found; it may where it has no group or none was looked for.
func found(groups []uint64, group int) bool { return groups == nil || group < 0 || has(groups, group) }

func (s *Scan) matchRule(i int, line []byte, e *Event, at int64, may bool, f *Findings) {
	r := s.rules[i]
	if may {
		if client, refusal := r.Explain(line, e); refusal == nil {
			s.hit(i, r, client, line, e, at, false, f)
			return
		}
	}
	for _, alternative := range r.Reset {
		if e.Client.IsValid() && alternative.Failing(e) == nil {
			s.hit(i, r, e.Client, line, e, at, true, f)
			return
		}
	}
}

// Refusal is why a rule does not take an event.
type Refusal struct {
	// Part is what held it off: client, source, match, unless, failregex, ignoreregex.
	Part string
	// Condition is the condition of the rule file that decided; empty where there is none.
	Condition string
}

// Refusals that need no allocation on the path of every line.
var (
	refusedClient = &Refusal{Part: "client", Condition: "the line names no client that can be trusted"}
	refusedSource = &Refusal{Part: "source", Condition: "the rule counts from another kind of log"}
	refusedRegex  = &Refusal{Part: "failregex", Condition: "no failregex matches"}
	refusedIgnore = &Refusal{Part: "ignoreregex", Condition: "an ignoreregex matches"}
)

// Explain says for which client the rule takes the event, or why it does not.
func (r *Rule) Explain(line []byte, e *Event) (netip.Addr, *Refusal) {
	if len(r.Sources) > 0 && !r.counts(e.Kind) {
		return netip.Addr{}, refusedSource
	}
	if c := r.Match.Failing(e); c != nil {
		return netip.Addr{}, c.refusal("match")
	}
	for _, alternative := range r.Unless {
		if alternative.Failing(e) == nil {
			return netip.Addr{}, alternative[0].refusal("unless")
		}
	}
	client := e.Client
	if len(r.FailRegex) > 0 {
		var ok bool
		if client, ok = clientIn(line, r.FailRegex); !ok {
			return netip.Addr{}, refusedRegex
		}
		for _, rx := range r.IgnoreRegex {
			if rx.Match(line) {
				return netip.Addr{}, refusedIgnore
			}
		}
	}
	if !client.IsValid() {
		return netip.Addr{}, refusedClient
	}
	return client, nil
}

func (c *Condition) refusal(part string) *Refusal {
	if part == "match" {
		return &c.refused
	}
	return &c.spared
}

func (r *Rule) counts(k Kind) bool {
	for _, s := range r.Sources {
		if s == k {
			return true
		}
	}
	return false
}

// clientIn returns the address in the first regexp's group "client" that matches.
func clientIn(line []byte, regexps []*regexp.Regexp) (netip.Addr, bool) {
	for _, rx := range regexps {
		at := rx.FindSubmatchIndex(line)
		if at == nil {
			continue
		}
		g := rx.SubexpIndex("client")
		if g < 0 || at[2*g] < 0 {
			continue
		}
		if addr, err := netip.ParseAddr(string(line[at[2*g]:at[2*g+1]])); err == nil {
			return addr.Unmap().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

func (m *Matcher) hit(i int, r *Rule, client netip.Addr, line []byte, e *Event, at int64, reset bool, f *Findings) {
	h := Hit{Rule: r, Reset: reset, Weight: max(e.Weight, 1) * max(r.Weight, 1), salt: m.salts[i], time: at, target: m.mask.key(client),
		ping: e.Operation == OpPing && e.Status == 200}
	var buf [256]byte
	key := binary.LittleEndian.AppendUint64(buf[:0], uint64(h.target))
	for _, k := range r.Key {
		v := e.counted(k)
		if reset && v == "" {
			return // a reset that does not name what was counted cannot clear it
		}
		key = append(append(key, v...), 0)
	}
	h.key = m.hashBytes(h.salt, key) | 1
	if r.Distinct != nil {
		h.distinct = uint32(m.hash(h.salt, e.counted(*r.Distinct)))
	}
	if r.Attempt > 0 {
		key = append(append(append(append(key, 'a', 0), e.Repository...), 0), e.Reference...)
		if e.Repository == "" {
			key = append(key, e.Path...)
		}
		h.attempt = m.hashBytes(h.salt, key) | 1
	}
	h.repository, h.project, h.reference, h.user = f.own(e.Repository), f.own(e.Project), f.own(e.Reference), f.own(e.User)
	h.line = f.own(view(line[:min(len(line), SampleLength)]))
	if !reset && m.watch != nil {
		m.watch.add(m.targetHash(h.target))
	}
	f.hits = append(f.hits, h)
}

// counted returns a field as counts know it; a number in decimal.
func (e *Event) counted(f Field) string {
	if f == FieldStatus && e.Status >= 0 && e.Status < len(statusTexts) {
		return statusTexts[e.Status]
	}
	if f.Numeric() {
		return strconv.FormatInt(e.number(f), 10)
	}
	return e.Text(f)
}

var statusTexts = func() (t [1000]string) {
	for i := range t {
		t[i] = fmt.Sprint(i)
	}
	return t
}()

// targetHash is the target's key in tables, which nobody can choose. It is never 0.
func (m *Matcher) targetHash(target targetKey) uint64 { return m.seed.target(target) }

func (m *Matcher) hash(salt uint64, text string) uint64 { return m.hashBytes(salt, bytesOf(text)) }

func (m *Matcher) hashBytes(salt uint64, b []byte) uint64 {
	return siphash.Hash(m.seed[0]^salt, m.seed[1]^bits.RotateLeft64(salt, 32), b)
}
