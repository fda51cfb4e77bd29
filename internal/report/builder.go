package report

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// Builder collects entries, in any order.
type Builder struct {
	options Options
	entries []Entry
	leftOut int
}

// New begins a report.
func New(o Options) *Builder {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Printable == nil {
		o.Printable = func(text string) string { return text }
	}
	return &Builder{options: o}
}

// Add takes an entry. It says whether there is room for more: beyond it entries are only counted.
func (b *Builder) Add(e Entry) bool {
	if len(b.entries) == mostEntries {
		b.leftOut++
		return false
	}
	e.Repositories = e.Repositories[:min(len(e.Repositories), mostNames)]
	e.Samples = e.Samples[:min(len(e.Samples), mostSamples)]
	b.entries = append(b.entries, e)
	return true
}

// What an entry is in a report.
type outcome int

const (
	nothing outcome = iota // the end of a block, or a block by hand
	would
	blocked
	spared
	lifted
	takenBack
)

func (o *Options) outcome(e *Entry) outcome {
	switch e.Verb {
	case detector.VerbSpared:
		return spared
	case detector.VerbWouldBlock:
		return would
	case detector.ChangeBlock, detector.ChangeExtend:
		switch {
		case e.By != "rule" && e.By != "":
			return nothing
		case o.Origin == FromLogs:
			return would
		}
		return blocked
	case detector.ChangeUnblock, detector.ChangeShorten:
		switch e.By {
		case "rule", "expiry":
			return nothing
		case "storm guard", "":
			return takenBack
		}
		return lifted
	}
	return nothing
}

// client is what is collected about one target.
type client struct {
	Target
	spared map[string]*Spared // by guard
}

// Report makes the report of all that was added.
func (b *Builder) Report() *Report {
	o := &b.options
	r := &Report{Origin: o.Origin, Where: o.Where, From: o.From, To: o.To, DryRun: o.DryRun, Config: o.Config, LeftOut: b.leftOut,
		Sources: o.Sources, location: o.Location, Rules: []Rule{}, Targets: []Target{}, Repositories: []Repository{}, Guards: []Guard{},
		Lifted: []Lifted{}, Buckets: []Bucket{}, ToDo: []string{}}
	gone := map[string]bool{}
	for i := range b.entries {
		if e := &b.entries[i]; o.outcome(e) == takenBack && !gone[e.ID] {
			gone[e.ID] = true
			r.TakenBack++
		}
	}
	slices.SortStableFunc(b.entries, func(x, y Entry) int { return x.Time.Compare(y.Time) })
	for _, s := range o.Sources {
		if mostlyUnknown(s) {
			r.Notes = append(r.Notes, fmt.Sprintf("Nearly all lines of %s (%d of %d) are in a form that regwarden does not know: this report says nothing of them.", o.Printable(s.Path), s.Unparsed, s.Lines))
		}
	}
	for _, n := range o.Notes {
		r.Notes = append(r.Notes, o.Printable(n)+".")
	}
	b.span(r)
	c := collected{options: o, clients: map[netip.Prefix]*client{}, rules: map[string]*ruleSum{}, repositories: map[string]*repositorySum{}}
	for i := range b.entries {
		e := &b.entries[i]
		s := o.outcome(e)
		if (s == would || s == blocked) && gone[e.ID] {
			continue
		}
		switch s {
		case would:
			r.Would++
			c.block(e, s)
		case blocked:
			r.Blocked++
			c.block(e, s)
		case spared:
			r.Spared++
			c.spare(e)
		case lifted:
			r.Lifted = append(r.Lifted, Lifted{e.Time, targetText(e.Target), o.Printable(e.Rule), o.Printable(e.By), o.Printable(e.Note)})
		}
		r.count(e.Time, s)
	}
	c.sums(r)
	r.ToDo = advice(r, o)
	return r
}

// span sets the report's span and its buckets.
func (b *Builder) span(r *Report) {
	if n := len(b.entries); n > 0 {
		if r.From.IsZero() {
			r.From = b.entries[0].Time
		}
		if r.To.IsZero() {
			r.To = b.entries[n-1].Time
		}
	}
	if r.From.IsZero() || r.To.Before(r.From) {
		return
	}
	r.Step = stepOf(r.To.Sub(r.From))
	for at := r.From.Truncate(r.Step); !at.After(r.To); at = at.Add(r.Step) {
		r.Buckets = append(r.Buckets, Bucket{Start: at})
	}
}

// stepOf is a round step that makes 12 to 48 buckets of a span, or days of a longer one.
func stepOf(span time.Duration) time.Duration {
	for _, s := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour} {
		if span <= 36*s {
			return s
		}
	}
	const day = 24 * time.Hour
	return day * (span/(36*day) + 1)
}

func (r *Report) count(at time.Time, s outcome) {
	if r.Step == 0 || at.Before(r.Buckets[0].Start) {
		return
	}
	i := int(at.Sub(r.Buckets[0].Start) / r.Step)
	if i >= len(r.Buckets) {
		return
	}
	switch b := &r.Buckets[i]; s {
	case would:
		b.Would++
	case blocked:
		b.Blocked++
	case spared:
		b.Spared++
	}
}

// collected is what is summed up entry by entry.
type collected struct {
	options      *Options
	clients      map[netip.Prefix]*client
	rules        map[string]*ruleSum
	repositories map[string]*repositorySum
}

type ruleSum struct {
	Rule
	clients map[netip.Prefix]bool
}

type repositorySum struct {
	Repository
	clients map[netip.Prefix]bool
}

func (c *collected) client(e *Entry) *client {
	t := c.clients[e.Target]
	if t == nil {
		t = &client{Target: Target{Target: targetText(e.Target)}, spared: map[string]*Spared{}}
		c.clients[e.Target] = t
	}
	return t
}

func (c *collected) rule(e *Entry) *ruleSum {
	s := c.rules[e.Rule]
	if s == nil {
		s = &ruleSum{Rule: Rule{Name: c.options.Printable(e.Rule), Summary: c.options.Summaries[e.Rule]}, clients: map[netip.Prefix]bool{}}
		c.rules[e.Rule] = s
	}
	return s
}

// block takes an entry that blocks or would; entries come in order of time.
func (c *collected) block(e *Entry, s outcome) {
	t, r := c.client(e), c.rule(e)
	for _, n := range []struct{ would, blocked *int }{{&t.Would, &t.Blocked}, {&r.Would, &r.Blocked}} {
		if s == would {
			*n.would++
		} else {
			*n.blocked++
		}
	}
	r.clients[e.Target] = true
	t.Rules = withName(t.Rules, r.Name)
	if t.First.IsZero() {
		t.First = e.Time
	}
	t.Last, t.Reason = e.Time, c.options.Printable(e.Reason)
	t.Samples = nil
	for _, line := range e.Samples {
		t.Samples = append(t.Samples, cut(c.options.Printable(line)))
	}
	since := e.Since
	if since.IsZero() {
		since = e.Time
	}
	if seconds := int(e.Until.Sub(since) / time.Second); !e.Until.IsZero() {
		t.Longest, r.Longest = max(t.Longest, seconds), max(r.Longest, seconds)
	}
	for _, name := range e.Repositories {
		p := c.repositories[name]
		if p == nil {
			p = &repositorySum{Repository: Repository{Name: cut(c.options.Printable(name))}, clients: map[netip.Prefix]bool{}}
			c.repositories[name] = p
		}
		p.Times++
		p.clients[e.Target] = true
		p.Rules = withName(p.Rules, r.Name)
	}
}

func (c *collected) spare(e *Entry) {
	r := c.rule(e)
	r.Spared++
	t := c.client(e)
	s := t.spared[e.Guard]
	if s == nil {
		s = &Spared{Target: t.Target.Target}
		t.spared[e.Guard] = s
	}
	s.Times++
	s.Last, s.Reason = e.Time, c.options.Printable(e.Reason)
	s.Rules = withName(s.Rules, r.Name)
}

// sums turns what was collected into the report's sorted lists.
func (c *collected) sums(r *Report) {
	guards := map[string]*Guard{}
	for _, t := range c.clients {
		if t.Would > 0 {
			r.WouldClients++
		}
		if t.Blocked > 0 {
			r.BlockedClients++
		}
		if t.Would+t.Blocked > 0 {
			r.Clients++
			r.Targets = append(r.Targets, t.Target)
		}
		if len(t.spared) > 0 {
			r.SparedClients++
		}
		for name, s := range t.spared {
			g := guards[name]
			if g == nil {
				g = &Guard{Name: name}
				guards[name] = g
			}
			g.Clients++
			g.Times += s.Times
			g.Spared = append(g.Spared, *s)
		}
	}
	slices.SortFunc(r.Targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(b.Would+b.Blocked, a.Would+a.Blocked), a.First.Compare(b.First), cmp.Compare(a.Target, b.Target))
	})
	r.Targets = shown(r.Targets)
	for _, s := range c.rules {
		s.Clients = len(s.clients)
		r.Rules = append(r.Rules, s.Rule)
	}
	slices.SortFunc(r.Rules, func(a, b Rule) int {
		return cmp.Or(cmp.Compare(b.Would+b.Blocked, a.Would+a.Blocked), cmp.Compare(b.Spared, a.Spared), cmp.Compare(a.Name, b.Name))
	})
	for _, s := range c.repositories {
		s.Clients = len(s.clients)
		r.Repositories = append(r.Repositories, s.Repository)
	}
	slices.SortFunc(r.Repositories, func(a, b Repository) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Name, b.Name))
	})
	r.Repositories = shown(r.Repositories)
	for _, name := range slices.Sorted(maps.Keys(guards)) {
		g := guards[name]
		slices.SortFunc(g.Spared, func(a, b Spared) int {
			return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Target, b.Target))
		})
		g.Spared = shown(g.Spared)
		r.Guards = append(r.Guards, *g)
	}
	slices.SortStableFunc(r.Guards, func(a, b Guard) int { return cmp.Compare(b.Times, a.Times) })
	slices.Reverse(r.Lifted) // the newest first
	r.Lifted = shown(r.Lifted)
}

func shown[T any](list []T) []T { return list[:min(len(list), mostTargets)] }

func withName(list []string, name string) []string {
	if len(list) < mostNames && !slices.Contains(list, name) {
		return append(list, name)
	}
	return list
}

// cut shortens a text that is printable already.
func cut(text string) string {
	if runes := []rune(text); len(runes) > mostSampleLength {
		return string(runes[:mostSampleLength]) + "…"
	}
	return text
}

// targetText is a target as people write it: a single address without its length.
func targetText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
