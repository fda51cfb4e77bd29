package detector

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/dchest/siphash"
)

// Seed keys the hashes of all counts, so that nobody can choose addresses or names that collide. It lives as long as the counts do.
type Seed [2]uint64

// Matcher turns events into findings. It is never changed, so that every source's goroutine can use the same one.
type Matcher struct {
	rules []*Rule
	salts []uint64 // one a rule: its name and what it counts by
	mask  Mask
	seed  Seed
	raw   bool // some rule reads the raw line
}

// ReadsLines says that some rule matches raw lines, so that lines of no dialect are worth matching too.
func (m *Matcher) ReadsLines() bool { return m.raw }

// NewMatcher returns a matcher of these rules. Counts are found again under the same seed, mask and rule.
func NewMatcher(rules []*Rule, mask Mask, seed Seed) *Matcher {
	m := &Matcher{rules: rules, mask: mask, seed: seed}
	for _, r := range rules {
		distinct := "none"
		if r.Distinct != nil {
			distinct = r.Distinct.String()
		}
		m.salts = append(m.salts, siphash.Hash(seed[0], seed[1], fmt.Appendf(nil, "%s\x00%v %s %d %v %d",
			r.Name, r.Key, distinct, r.MaxRetry, r.FindTime, r.Windows)))
		m.raw = m.raw || len(r.FailRegex) > 0
	}
	return m
}

// Rules returns the rules that it matches.
func (m *Matcher) Rules() []*Rule { return m.rules }

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

// Match adds to f what the rules make of the event that was read from line. now, in unix milliseconds, is used for
// an event without a time, and an event later than a minute after now is taken as of then, so that one wrong clock cannot age all counts.
func (m *Matcher) Match(line []byte, e *Event, now int64, f *Findings) {
	f.Events++
	at := now
	if !e.Time.IsZero() {
		at = max(min(e.Time.UnixMilli(), now+time.Minute.Milliseconds()), 0)
	}
	first := len(f.hits)
	if Exempt(e) == "" {
		for i, r := range m.rules {
			m.matchRule(i, r, line, e, at, f)
		}
	}
	n := len(f.hits) - first
	target := m.mask.key(e.Client)
	if target == 0 {
		if n == 0 {
			return
		}
		target = f.hits[first].target // a failregex found it
	}
	s := sighting{time: at, target: target, outcome: outcome(e), agent: uint8(m.hash(0, e.UserAgent) % 32), hits: uint16(n),
		service: serviceOf(e.Kind, e.Operation), fate: fate(e)}
	for _, h := range f.hits[first:] {
		if !h.Reset {
			f.Hits++
			s.outcome, s.fate = Failure, Failure // what a rule counts is no success
			break
		}
	}
	f.sightings = append(f.sightings, s)
}

func (m *Matcher) matchRule(i int, r *Rule, line []byte, e *Event, at int64, f *Findings) {
	client, refusal := r.Explain(line, e)
	if refusal == nil {
		m.hit(i, r, client, line, e, at, false, f)
		return
	}
	for _, alternative := range r.Reset {
		if e.Client.IsValid() && alternative.Failing(e) == nil {
			m.hit(i, r, e.Client, line, e, at, true, f)
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
	h := Hit{Rule: r, Reset: reset, Weight: max(e.Weight, 1) * max(r.Weight, 1), salt: m.salts[i], time: at, target: m.mask.key(client)}
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
	h.repository, h.project, h.reference, h.user = e.Repository, e.Project, e.Reference, e.User
	h.line = view(line)
	f.hits = append(f.hits, h)
}

// counted returns a field as counts know it; a number in decimal.
func (e *Event) counted(f Field) string {
	if f == FieldStatus && e.Status >= 0 && e.Status < len(statusTexts) {
		return statusTexts[e.Status]
	}
	return e.Text(f)
}

var statusTexts = func() (t [1000]string) {
	for i := range t {
		t[i] = fmt.Sprint(i)
	}
	return t
}()

func (m *Matcher) hash(salt uint64, text string) uint64 { return m.hashBytes(salt, bytesOf(text)) }

func (m *Matcher) hashBytes(salt uint64, b []byte) uint64 {
	return siphash.Hash(m.seed[0]^salt, m.seed[1]^bits.RotateLeft64(salt, 32), b)
}
