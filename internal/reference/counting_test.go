package reference

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"regwarden/detector"
)

// decision is what is compared of a detector.Decision.
type decision struct {
	id           string
	Time         time.Time
	Verb         string
	Target       netip.Prefix
	Rule         string
	Scope        detector.Scope
	Widened      bool
	Guard        string
	Count        int
	Until        time.Time
	Strike       int
	Repositories []string
}

// naive is the naive detector.
type naive struct {
	rules   []*detector.Rule
	options detector.Options
	now     time.Time // the wall clock

	counts   map[string]*count
	attempts map[string]time.Time // when each attempt that goes on ends
	evidence evidence
	traffic  *traffic
	storms   map[string]*storm
	ledger   *ledger
	tidied   time.Time
	decided  []decision
}

func newNaive(rules []*detector.Rule, o detector.Options, now time.Time) *naive {
	return &naive{rules: rules, options: o, now: now, counts: map[string]*count{}, attempts: map[string]time.Time{},
		evidence: evidence{of: map[string][]string{}}, traffic: newTraffic(), storms: map[string]*storm{}, ledger: newLedger()}
}

// hit is an event that one rule counts.
type hit struct {
	rule       *detector.Rule
	at         time.Time
	target     netip.Prefix
	key        string
	value      string // of the distinct field
	thing      string // what hits of one attempt have in common
	weight     int
	repository string
	reference  string
}

// take takes the next line of all logs.
func (n *naive) take(l entry) {
	e := factsOf(l.event)
	at := n.when(e)
	var counted, resets []hit
	if !exempt(e) {
		for _, r := range n.rules {
			client, ok := taken(r, l.line, e)
			if ok {
				counted = append(counted, n.hit(r, client, at, e))
				continue
			}
			if e.Client.IsValid() && anyHolds(r.Reset, e) && namesAll(r, e) {
				if h := n.hit(r, e.Client, at, e); e.texts["operation"] != "ping" || e.texts["status"] != "200" || !n.ledger.closed(h.target, at) {
					resets = append(resets, h)
				}
			}
		}
	}
	if n.tidied.IsZero() || at.Sub(n.tidied) >= time.Minute {
		n.ledger.expire(at)
		n.tidied = at
	}
	n.see(e, at, counted, resets)
	for _, h := range resets { // rules do not touch each other's counts
		delete(n.counts, h.key)
		n.evidence.drop(h.key)
	}
	for i := range counted {
		n.count(&counted[i])
	}
}

// names says whether the line names somebody: the event does, or a rule's failregex finds him.
func (n *naive) names(l entry) bool {
	e := factsOf(l.event)
	if e.Client.IsValid() {
		return true
	}
	return !exempt(e) && slices.ContainsFunc(n.rules, func(r *detector.Rule) bool {
		_, ok := taken(r, l.line, e)
		return ok
	})
}

// when is the event's time in milliseconds, as all counting has it. One that is later than the wall clock counts as of then.
func (n *naive) when(e *facts) time.Time {
	at := n.now
	if !e.Time.IsZero() {
		at = earlier(e.Time, n.now.Add(time.Minute))
	}
	if at.Before(time.Unix(0, 0)) {
		at = time.Unix(0, 0)
	}
	return time.UnixMilli(at.UnixMilli()).UTC()
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// namesAll says that an event has a value for everything that the rule counts by; otherwise it cannot say what it clears.
func namesAll(r *detector.Rule, e *facts) bool {
	for _, f := range r.Key {
		if e.texts[f.String()] == "" {
			return false
		}
	}
	return true
}

func (n *naive) hit(r *detector.Rule, client netip.Addr, at time.Time, e *facts) hit {
	h := hit{rule: r, at: at, target: target(n.options.Mask, client), weight: e.Weight * r.Weight, repository: e.Repository, reference: e.Reference}
	key := []string{r.Name, h.target.String()}
	for _, f := range r.Key {
		key = append(key, e.texts[f.String()])
	}
	h.key = fmt.Sprintf("%q", key)
	if r.Distinct != nil {
		h.value = e.texts[r.Distinct.String()]
	}
	path := ""
	if e.Repository == "" {
		path = e.Path
	}
	h.thing = fmt.Sprintf("%s %q %q %q", h.key, e.Repository, e.Reference, path)
	return h
}

// count counts a hit and decides when it is one too many.
func (n *naive) count(h *hit) {
	r := h.rule
	if r.Attempt > 0 {
		last := n.attempts[h.thing]
		switch {
		case h.at.After(last.Add(-r.Attempt)) && h.at.Before(last.Add(r.Attempt)):
			return // the attempt was counted already
		case h.at.After(last):
			n.attempts[h.thing] = h.at
		}
	}
	c := n.counts[h.key]
	if c == nil {
		c = &count{}
		n.counts[h.key] = c
	}
	many, full := c.add(r, h)
	if many >= min(3, r.MaxRetry) {
		n.suspect(h, many)
	}
	if full || many >= max(2, r.MaxRetry*r.Windows-20) {
		n.evidence.keep(h.key, h.repository)
	} else {
		n.evidence.drop(h.key) // it was of hits that no longer count
	}
	if full {
		delete(n.counts, h.key)
		n.decide(h, many, n.evidence.take(h.key))
	}
}

// count is where one key of one rule stands.
type count struct {
	hits   []time.Time          // of a sliding window
	values map[string]time.Time // distinct values, and when each was seen last

	start                time.Time // of the present window of several running
	inWindow, total, ran int       // hits in it; in all of them; windows before it that had enough
}

// add counts a hit and says how many there are now and whether that is too many.
func (c *count) add(r *detector.Rule, h *hit) (many int, full bool) {
	switch {
	case r.Windows > 1:
		return c.addToWindows(r, h)
	case r.Distinct != nil:
		return c.addValue(r, h)
	}
	for range min(h.weight, r.MaxRetry) { // more would say no more
		c.hits = append(c.hits, h.at)
	}
	newest := slices.MaxFunc(c.hits, time.Time.Compare)
	c.hits = slices.DeleteFunc(c.hits, func(t time.Time) bool { return newest.Sub(t) > r.FindTime })
	many = min(len(c.hits), r.MaxRetry) // nobody is told of more
	return many, many >= r.MaxRetry
}

func (c *count) addValue(r *detector.Rule, h *hit) (many int, full bool) {
	if c.values == nil {
		c.values = map[string]time.Time{}
	}
	if h.at.After(c.values[h.value]) {
		c.values[h.value] = h.at
	}
	newest := h.at
	for _, t := range c.values {
		if t.After(newest) {
			newest = t
		}
	}
	for v, t := range c.values {
		if newest.Sub(t) > r.FindTime {
			delete(c.values, v)
		}
	}
	return len(c.values), len(c.values) >= r.MaxRetry
}

// addToWindows counts in windows that follow each other from the first hit on. One that had too few ends the row: the next begins another.
func (c *count) addToWindows(r *detector.Rule, h *hit) (many int, full bool) {
	switch passed := int(h.at.Sub(c.start) / r.FindTime); {
	case c.start.IsZero() || passed > 1:
		*c = count{start: h.at}
	case passed == 1 && c.inWindow < r.MaxRetry:
		*c = count{start: c.start.Add(r.FindTime)}
	case passed == 1:
		c.start, c.inWindow, c.ran = c.start.Add(r.FindTime), 0, c.ran+1
	}
	c.inWindow += h.weight
	c.total = min(c.total+h.weight, 32767) // nobody is told of more
	return c.total, c.inWindow >= r.MaxRetry && c.ran+1 >= r.Windows
}

// evidence is the repositories that will be told of a key if it is blocked, kept for the 4096 latest keys that come near to it.
type evidence struct {
	of    map[string][]string
	order []string
}

func (f *evidence) keep(key, repository string) {
	if _, ok := f.of[key]; !ok {
		if len(f.order) >= 4096 {
			f.drop(f.order[0])
		}
		f.of[key], f.order = nil, append(f.order, key)
	}
	repository = clean(repository)
	if repository != "" && len(f.of[key]) < 20 && !slices.Contains(f.of[key], repository) {
		f.of[key] = append(f.of[key], repository)
	}
}

func (f *evidence) drop(key string) {
	delete(f.of, key)
	f.order = slices.DeleteFunc(f.order, func(k string) bool { return k == key })
}

func (f *evidence) take(key string) []string {
	got := f.of[key]
	f.drop(key)
	return got
}

// clean is a text as it is told: at most 255 bytes, and UTF-8.
func clean(s string) string { return strings.ToValidUTF8(s[:min(len(s), 255)], "�") }
