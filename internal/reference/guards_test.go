package reference

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// generation is the pace at which traffic is forgotten: every five minutes of the clock a quarter of what was counted goes.
const generation = 5 * time.Minute

// fares is how a target's requests fare.
type fares struct {
	success, failure, neutral int
	agents                    map[string]bool // of what succeeded, in the present hour
}

// traffic is how everybody fares.
type traffic struct {
	generation int
	total      float64
	targets    map[netip.Prefix]*fares
	// Targets by service, in this generation and the one before: that asked it, and that it served last.
	seen, wereSeen     map[string]map[netip.Prefix]bool
	served, wereServed map[string]map[netip.Prefix]bool
	active, wereActive map[netip.Prefix]bool
}

func newTraffic() *traffic {
	type targets = map[netip.Prefix]bool
	return &traffic{targets: map[netip.Prefix]*fares{}, seen: map[string]targets{}, wereSeen: map[string]targets{}, served: map[string]targets{},
		wereServed: map[string]targets{}, active: targets{}, wereActive: targets{}}
}

// turn moves on to the generation of a time; time never runs back here.
func (t *traffic) turn(at time.Time) {
	now := int(at.UnixMilli() / generation.Milliseconds())
	if t.generation == 0 {
		t.generation = now
	}
	if now-t.generation > 40 { // nothing is left of it
		*t = *newTraffic()
		t.generation = now
	}
	for ; t.generation < now; t.generation++ {
		type targets = map[netip.Prefix]bool
		t.wereSeen, t.wereServed, t.wereActive = t.seen, t.served, t.active
		t.seen, t.served, t.active = map[string]targets{}, map[string]targets{}, targets{}
		t.total *= 0.75
		for _, f := range t.targets {
			for _, n := range []*int{&f.success, &f.failure, &f.neutral} {
				*n -= (*n + 3) / 4
			}
			if (t.generation+1)%12 == 0 {
				clear(f.agents)
			}
		}
	}
}

// see notes how an event fares. It belongs to its client, or to the one that a rule's pattern found.
func (n *naive) see(e *facts, at time.Time, counted, resets []hit) {
	client := target(n.options.Mask, e.Client)
	if !isTarget(client) {
		if len(counted) == 0 {
			return
		}
		client = counted[0].target
	}
	if !isTarget(client) {
		return
	}
	t := n.traffic
	t.turn(at)
	f := t.targets[client]
	if f == nil {
		f = &fares{agents: map[string]bool{}}
		t.targets[client] = f
	}
	how, treated := outcome(e), fate(e)
	if len(counted) > 0 {
		how, treated = "failure", "failure" // what a rule counts is no success
	}
	switch how {
	case "success":
		f.success++
		f.agents[e.UserAgent] = true // who only fails could name a new agent each time
	case "failure":
		f.failure++
	default:
		f.neutral++
	}
	t.total++
	t.active[client] = true
	if s := service(e.Kind.String(), e.Operation.String()); s != "" {
		t.serve(s, client, treated)
	}
}

// isTarget says that the prefix is one that a client can have: none of ::/64.
func isTarget(p netip.Prefix) bool {
	return p.IsValid() && !(p.Addr().Is6() && [8]byte(p.Addr().AsSlice()[:8]) == [8]byte{})
}

func (t *traffic) serve(service string, client netip.Prefix, treated string) {
	for _, of := range []map[string]map[netip.Prefix]bool{t.seen, t.served, t.wereServed} {
		if of[service] == nil {
			of[service] = map[netip.Prefix]bool{}
		}
	}
	t.seen[service][client] = true
	switch treated {
	case "success":
		delete(t.wereServed[service], client) // what is known now takes the place of what was
		t.served[service][client] = true
	case "failure":
		delete(t.wereServed[service], client)
		delete(t.served[service], client)
	}
}

// outcome says how the target fared. Asking for a token, the challenge and logins are neither success nor failure, nor is a push's question for a layer.
func outcome(e *facts) string {
	switch e.Operation.String() {
	case "other", "ping", "token", "login":
		return "neutral"
	}
	switch {
	case e.Status >= 200 && e.Status <= 399:
		return "success"
	case e.Status >= 400 && e.Status != 401 && !(e.Operation.String() == "blob" && e.Method == "HEAD" && e.Status == 404):
		return "failure"
	}
	return "neutral"
}

// fate says how the service treated the request. A 401 is the challenge that comes before an answer, and a push's question for a layer says nothing.
func fate(e *facts) string {
	switch {
	case e.Status >= 200 && e.Status <= 399:
		return "success"
	case e.Status < 400, e.Status == 401, e.Operation.String() == "blob" && e.Method == "HEAD":
		return "neutral"
	}
	return "failure"
}

// service is what can fail by itself; "" where nothing can be said.
func service(kind, operation string) string {
	switch kind + " " + operation {
	case "access manifest", "access tags":
		return "manifests"
	case "access blob", "access upload":
		return "blobs"
	case "access ping":
		return ""
	case "rails token", "auth token":
		return "tokens"
	case "rails login", "auth login":
		return "logins"
	}
	switch kind {
	case "access":
		return "site"
	case "unknown":
		return ""
	}
	return kind
}

// services are what the rule is about: those of its kinds of log and, where it names them, its operations.
func services(r *detector.Rule) map[string]bool {
	var operations []string
	for _, c := range r.Match {
		if c.Field == detector.FieldOperation && !c.Not && len(c.Regexps)+len(c.Prefixes) == 0 {
			operations = append(operations, c.Equals...)
		}
	}
	of := map[string]bool{}
	for _, kind := range detector.KindNames() {
		k, _ := detector.ParseKind(kind)
		for _, o := range detector.OperationNames() {
			if (len(r.Sources) == 0 || slices.Contains(r.Sources, k)) && (len(operations) == 0 || slices.Contains(operations, o)) {
				of[service(kind, o)] = true
			}
		}
	}
	delete(of, "")
	return of
}

func (t *traffic) of(target netip.Prefix) fares {
	if f := t.targets[target]; f != nil {
		return *f
	}
	return fares{}
}

// crowd says that enough of the requests which had an outcome succeed.
func (f fares) crowd(r *detector.Rule) bool {
	return f.success > 0 && float64(f.success)/float64(f.success+f.failure) >= r.SuccessRatio
}

// proxy says that most of all requests come from the target, with five or more user agents.
func (t *traffic) proxy(f fares, g *detector.Guards) bool {
	share := float64(f.success+f.failure+f.neutral) / max(t.total, 1)
	return t.total >= 200 && share > g.ProxyShare && len(f.agents) >= 5
}

// storm watches one rule.
type storm struct {
	rule     *detector.Rule
	services map[string]bool
	blocks   []wouldBlock // of the storm window, a target once
	// Who runs into the rule again and again while most of his requests fail, in this generation and the one before.
	generation int
	now, was   trouble
	told       int // the latest generation in which an outage was told
}

type trouble struct {
	suspects map[netip.Prefix]bool // by network: an IPv6 /48
	fallen   int                   // that were served before
	things   map[string]bool       // what they run into
}

func newTrouble() trouble {
	return trouble{suspects: map[netip.Prefix]bool{}, things: map[string]bool{}}
}

type wouldBlock struct {
	at     time.Time
	target netip.Prefix
	id     string
	made   bool // there is a block that can be taken back
}

func (n *naive) storm(r *detector.Rule) *storm {
	if n.storms[r.Name] == nil {
		n.storms[r.Name] = &storm{rule: r, services: services(r), now: newTrouble(), was: newTrouble()}
	}
	return n.storms[r.Name]
}

func (s *storm) turn(generation int) {
	switch generation - s.generation {
	case 0:
		return
	case 1:
		s.was = s.now
	default:
		s.was = newTrouble()
	}
	s.generation, s.now = generation, newTrouble()
}

// network is what one owner of addresses usually has at least.
func network(target netip.Prefix) netip.Prefix {
	if target.Addr().Is6() && target.Bits() > 48 {
		p, _ := target.Addr().Prefix(48)
		return p
	}
	return target
}

// suspect notes a network that mostly fails and runs into the rule, and tells of an outage when that is the first sign of it.
func (n *naive) suspect(h *hit, many int) {
	r := h.rule
	if !r.Storm || !n.options.Guards.Storm {
		return
	}
	s, f, from := n.storm(r), n.traffic.of(h.target), network(h.target)
	s.turn(n.traffic.generation)
	if s.now.suspects[from] || f.crowd(r) {
		return
	}
	s.now.suspects[from] = true
	if f.success > 0 {
		s.now.fallen++
	}
	if about(h) != "" {
		s.now.things[h.repository+"\x00"+h.reference] = true
	} else {
		s.now.things[from.String()] = true // a rule that counts over all things: every suspect is another sign
	}
	if !s.outage(n.traffic) {
		return
	}
	told := s.told
	s.told = s.generation
	if told != 0 && s.generation-told <= 1 {
		return // it lasts
	}
	d := decision{Time: h.at, Verb: "block", Target: h.target, Rule: r.Name, Count: many}
	n.takeBack(s, &d)
	d.spare("storm")
	n.say(d)
}

// outage says that hardly anybody is served by what the rule is about: a fifth of those in trouble or served, or a twentieth if they all want one
// thing; or, with fewer clients, that all were served before and nobody is now.
func (s *storm) outage(t *traffic) bool {
	s.turn(t.generation)
	served, asked := 0, 0
	for of := range s.services {
		served = max(served, len(t.served[of])+len(t.wereServed[of]))
		asked = max(asked, len(t.seen[of]), len(t.wereSeen[of]))
	}
	for _, now := range []trouble{s.now, s.was} {
		n, share := len(now.suspects), 0.95
		if len(now.things) >= 3 {
			share = 0.8
		}
		few := n >= 2 && now.fallen == n && served == 0 && len(now.things) > 1
		many := n >= 5 && 10*n >= asked && float64(n) >= share*float64(n+served)
		if few || many {
			return true
		}
	}
	return false
}

// tooMany notes a would-be block and says whether the rule would block more targets, and networks, than storm_limit or a tenth of the active ones.
func (s *storm) tooMany(n *naive, b wouldBlock) bool {
	g := n.options.Guards
	for len(s.blocks) > 0 && b.at.Sub(s.blocks[0].at) > g.StormWindow {
		s.blocks = s.blocks[1:]
	}
	if !slices.ContainsFunc(s.blocks, func(o wouldBlock) bool { return o.target == b.target }) {
		s.blocks = append(s.blocks, b)
	}
	networks := map[netip.Prefix]bool{}
	for _, o := range s.blocks {
		networks[network(o.target)] = true
	}
	limit := max(g.StormLimit, len(n.traffic.active)/10, len(n.traffic.wereActive)/10)
	return len(networks) > limit
}

// takeBack lifts what the rule has blocked in the storm window.
func (n *naive) takeBack(s *storm, now *decision) {
	for i := range s.blocks {
		b := &s.blocks[i]
		if b.made && b.id != now.id && now.Time.Sub(b.at) <= n.options.Guards.StormWindow {
			n.say(decision{id: b.id, Time: now.Time, Verb: "unblock", Target: b.target, Rule: s.rule.Name, Guard: "storm"})
		}
		b.made = false
	}
}

// String makes a decision readable where two differ.
func (d decision) String() string {
	until := ""
	if !d.Until.IsZero() {
		until = " until " + d.Until.Format(time.TimeOnly)
	}
	return fmt.Sprintf("%s %s %v by %s, %s widened=%v guard=%q count=%d strike=%d%s %q", d.Time.Format("01-02 15:04:05.000"), d.Verb, d.Target, d.Rule, d.Scope, d.Widened,
		d.Guard, d.Count, d.Strike, until, d.Repositories)
}
