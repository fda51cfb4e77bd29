package detector_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
)

var begin = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// bench is a detector with its ledger, fed event by event.
type bench struct {
	t        testing.TB
	rules    []*detector.Rule
	options  detector.Options
	seed     detector.Seed
	matcher  *detector.Scan
	detector *detector.Detector
	ledger   *detector.Ledger
	findings detector.Findings
	expired  time.Time
	got      []detector.Decision
}

func newBench(t testing.TB, o detector.Options, rules ...*detector.Rule) *bench {
	t.Helper()
	b := &bench{t: t, rules: rules, options: o, seed: detector.Seed{3, 5}, ledger: detector.NewLedger(nil, nil)}
	if b.options.Memory == 0 {
		b.options.Memory = 4 << 20
	}
	if b.options.Mask == (detector.Mask{}) {
		b.options.Mask = detector.DefaultMask
	}
	if b.options.Guards.StormLimit == 0 {
		b.options.Guards = detector.DefaultGuards
		b.options.Guards.StormLimit = 1 << 20
	}
	for _, r := range rules {
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	b.detector = detector.New(rules, b.options, b.seed, b.ledger)
	b.matcher = detector.NewMatcher(rules, b.options.Mask, b.seed, b.detector.Watch()).NewScan()
	return b
}

// rule is a rule that counts 404s of manifests, to be changed by its test.
func rule(change func(*detector.Rule)) *detector.Rule {
	status := detector.Condition{Field: detector.FieldStatus, Ranges: []detector.Range{{From: 404, To: 404}}, Text: "status = 404"}
	status.Ready()
	r := &detector.Rule{Name: "missing", Summary: "asks in vain", MaxRetry: 5, FindTime: 10 * time.Minute, Windows: 1, SuccessRatio: 0.5,
		Steps: []detector.Step{{Time: time.Hour}}, Forget: 24 * time.Hour, Widen: true, Storm: true, Match: detector.Conditions{status}}
	if change != nil {
		change(r)
	}
	return r
}

// event is a GET of a manifest.
func event(at time.Time, client string, status int, change ...func(*detector.Event)) *detector.Event {
	e := &detector.Event{Time: at, Client: netip.MustParseAddr(client), Kind: detector.KindAccess, Operation: detector.OpManifest,
		Method: "GET", Status: status, Path: "/v2/a/b/manifests/c", Repository: "a/b", Reference: "c", UserAgent: "docker", Weight: 1}
	for _, c := range change {
		c(e)
	}
	return e
}

// feed matches and counts one event and returns what was decided on it.
func (b *bench) feed(e *detector.Event) []detector.Decision {
	before := len(b.got)
	b.findings.Reset()
	b.matcher.Match([]byte("the line of "+e.Client.String()), e, e.Time.UnixMilli(), &b.findings)
	if e.Time.Sub(b.expired).Abs() >= time.Second {
		b.ledger.Expire(e.Time)
		b.expired = e.Time
	}
	b.detector.Count(&b.findings, func(d detector.Decision) {
		b.ledger.Enter(d)
		b.got = append(b.got, d)
	})
	return b.got[before:]
}

// feedAll feeds n events, one every step, and returns what was decided.
func (b *bench) feedAll(n int, at time.Time, step time.Duration, client string, status int, change ...func(*detector.Event)) []detector.Decision {
	before := len(b.got)
	for i := range n {
		b.feed(event(at.Add(time.Duration(i)*step), client, status, change...))
	}
	return b.got[before:]
}

func verbs(ds []detector.Decision) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Verb+" "+d.Target.String())
	}
	return strings.Join(out, ", ")
}

func TestTheMaxretrythHitBlocks(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	if got := b.feedAll(4, begin, time.Minute, "203.0.113.7", 404); len(got) > 0 {
		t.Fatalf("four hits of five: %s", verbs(got))
	}
	got := b.feed(event(begin.Add(10*time.Minute), "203.0.113.7", 404))
	if verbs(got) != "block 203.0.113.7/32" {
		t.Fatalf("the fifth hit, 10 minutes after the first: %q", verbs(got))
	}
	d := got[0]
	if d.Count != 5 || !d.First.Equal(begin) || !d.Last.Equal(begin.Add(10*time.Minute)) || !d.Until.Equal(d.Last.Add(time.Hour)) || d.Strike != 1 {
		t.Errorf("the decision does not say what happened: %+v", d)
	}
	if len(d.Samples) == 0 || d.Repositories[0] != "a/b" || d.Projects[0] != "a/b" || !strings.Contains(d.Reason, `repository "a/b"`) {
		t.Errorf("the decision lacks evidence: %+v", d)
	}
}

func TestHitsOlderThanFindtimeDoNotCount(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	if got := b.feedAll(200, begin, 151*time.Second, "203.0.113.7", 404); len(got) > 0 {
		t.Fatalf("5 hits never stand within 10 minutes: %s", verbs(got))
	}
	b = newBench(t, detector.Options{}, rule(nil))
	if got := b.feedAll(5, begin, 150*time.Second, "203.0.113.7", 404); len(got) != 1 {
		t.Fatal("5 hits stand within exactly 10 minutes, and nothing is decided")
	}
}

func TestLinesOutOfOrderCountAllTheSame(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	for _, s := range []int{10, 5, 8, 3, 9} {
		b.feed(event(begin.Add(time.Duration(s)*time.Second), "203.0.113.7", 404))
	}
	if len(b.got) != 1 || b.got[0].Count != 5 {
		t.Fatalf("got %s", verbs(b.got))
	}
}

// TestEvidenceIsOfTheHitsThatCount: what was asked for an hour before is no cause of the block.
func TestEvidenceIsOfTheHitsThatCount(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	b.feedAll(4, begin, time.Second, "203.0.113.7", 404, func(e *detector.Event) { e.Repository = "old/one" })
	got := b.feedAll(5, begin.Add(time.Hour), time.Second, "203.0.113.7", 404)
	if len(got) != 1 || len(got[0].Repositories) != 1 || got[0].Repositories[0] != "a/b" {
		t.Errorf("got %+v", got)
	}
}

// TestTwoHitsExactlyFindtimeApart are within it, though nothing came in between.
func TestTwoHitsExactlyFindtimeApart(t *testing.T) {
	path := detector.FieldPath
	for name, distinct := range map[string]*detector.Field{"hits": nil, "values": &path} {
		b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.MaxRetry, r.Distinct = 2, distinct }))
		b.feed(event(begin, "203.0.113.7", 404))
		if got := b.feed(event(begin.Add(10*time.Minute), "203.0.113.7", 404, func(e *detector.Event) { e.Path = "/other" })); len(got) != 1 || got[0].Count != 2 {
			t.Errorf("%s: got %s", name, verbs(got))
		}
	}
}

// TestLinesFarTooLateAreNotCountedAsOneMoment: a source that is read from its beginning, a month ago, beside one of today. Its lines lie hours apart.
func TestLinesFarTooLateAreNotCountedAsOneMoment(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	b.feed(event(begin.AddDate(0, 1, 0), "203.0.113.8", 404))
	if got := b.feedAll(50, begin, 3*time.Hour, "203.0.113.7", 404); len(got) > 0 {
		t.Errorf("5 hits never stand within 10 minutes: %s", verbs(got))
	}
	if got := b.feedAll(5, begin.AddDate(0, 1, 0), time.Second, "203.0.113.7", 404); len(got) != 1 {
		t.Errorf("what is of today counts: %s", verbs(got))
	}
}

// TestALateLineTakesNoPlaceOfOneThatCounts: lines come as 100, 95, 106, 107; three of them lie within 10 s of the newest.
func TestALateLineTakesNoPlaceOfOneThatCounts(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.MaxRetry, r.FindTime = 3, 10*time.Second }))
	for _, s := range []int{100, 95, 106, 107} {
		b.feed(event(begin.Add(time.Duration(s)*time.Second), "203.0.113.7", 404))
	}
	if len(b.got) != 1 || b.got[0].Count != 3 {
		t.Errorf("got %s", verbs(b.got))
	}
}

// TestALateLineMakesNoValueOlder, and values that have ended take no room from others, however late these come.
func TestALateLineMakesNoValueOlder(t *testing.T) {
	path := detector.FieldPath
	values := func(most int) *bench {
		return newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.MaxRetry, r.FindTime, r.Distinct = most, 10*time.Second, &path }))
	}
	feed := func(b *bench, s int, value string) {
		b.feed(event(begin.Add(time.Duration(s)*time.Second), "203.0.113.7", 404, func(e *detector.Event) { e.Path = value }))
	}
	b := values(2)
	feed(b, 100, "a")
	feed(b, 95, "a")
	feed(b, 106, "b")
	if len(b.got) != 1 {
		t.Errorf("a was seen 6 s before b: %s", verbs(b.got))
	}
	b = values(7) // the largest that fits into its size of record
	for i := range 5 {
		feed(b, 100, fmt.Sprint("old ", i))
	}
	feed(b, 105, "older")
	feed(b, 111, "new")
	for i := range 5 {
		feed(b, 110, fmt.Sprint("late ", i))
	}
	if len(b.got) != 1 || b.got[0].Count != 7 {
		t.Errorf("seven values within a second: %s", verbs(b.got))
	}
}

func TestTheKeyIsWhatIsCounted(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) {
		r.Key = []detector.Field{detector.FieldRepository, detector.FieldReference}
	}))
	for i := range 50 {
		b.feed(event(begin.Add(time.Duration(i)*time.Second), "203.0.113.7", 404, func(e *detector.Event) { e.Reference = fmt.Sprint(i % 25) }))
	}
	if len(b.got) > 0 {
		t.Fatalf("25 tags twice each are no loop: %s", verbs(b.got))
	}
}

func TestDistinctCountsValues(t *testing.T) {
	path := detector.FieldPath
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.Distinct = &path; r.MaxRetry = 6 }))
	at := func(i, value int) []detector.Decision {
		return b.feed(event(begin.Add(time.Duration(i)*time.Second), "203.0.113.7", 404, func(e *detector.Event) { e.Path = fmt.Sprint("/", value) }))
	}
	for i := range 100 {
		if got := at(i, i%5); len(got) > 0 {
			t.Fatalf("five values a hundred times: %s", verbs(got))
		}
	}
	if got := at(101, 6); len(got) != 1 || got[0].Count != 6 {
		t.Fatalf("the sixth value: %s", verbs(got))
	}
}

// TestALateLineIsOfItsOwnAttempt: what is late by more than an attempt's length is another attempt, whatever came before it in the log.
func TestALateLineIsOfItsOwnAttempt(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.Attempt = 2 * time.Second; r.MaxRetry = 3 }))
	b.feed(event(begin.Add(10*time.Second), "203.0.113.7", 404))
	b.feed(event(begin.Add(9*time.Second), "203.0.113.7", 404)) // the same attempt, a second late
	if got := b.feed(event(begin.Add(11*time.Second), "203.0.113.7", 404)); len(got) != 0 {
		t.Fatalf("one attempt: %s", verbs(got))
	}
	b.feed(event(begin.Add(4*time.Second), "203.0.113.7", 404))
	if got := b.feed(event(begin.Add(14*time.Second), "203.0.113.7", 404)); len(got) != 1 {
		t.Fatalf("the third attempt: %s", verbs(got))
	}
}

func TestHeadAndGetAreOneAttempt(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.Attempt = 2 * time.Second }))
	for i := range 4 {
		at := begin.Add(time.Duration(i) * 5 * time.Second)
		b.feed(event(at, "203.0.113.7", 404, func(e *detector.Event) { e.Method = "HEAD" }))
		b.feed(event(at.Add(time.Second), "203.0.113.7", 404))
	}
	if len(b.got) > 0 {
		t.Fatalf("8 lines are 4 attempts: %s", verbs(b.got))
	}
	if got := b.feed(event(begin.Add(20*time.Second), "203.0.113.7", 404)); len(got) != 1 || got[0].Count != 5 {
		t.Fatalf("the fifth attempt: %s", verbs(got))
	}
}

func TestWindowsRunning(t *testing.T) {
	windows := rule(func(r *detector.Rule) { r.Windows = 3; r.FindTime = time.Minute; r.MaxRetry = 5 })
	b := newBench(t, detector.Options{}, windows)
	got := b.feedAll(60, begin, 10*time.Second, "203.0.113.7", 404)
	if len(got) == 0 || got[0].Time.Sub(begin) != 160*time.Second {
		t.Fatalf("6 a minute block when the third minute has 5: %s %v", verbs(got), got)
	}
	b = newBench(t, detector.Options{}, windows)
	for minute := range 60 {
		n := 20
		if minute%3 == 2 {
			n = 4 // it pauses
		}
		b.feedAll(n, begin.Add(time.Duration(minute)*time.Minute), 2*time.Second, "203.0.113.7", 404)
	}
	if len(b.got) > 0 {
		t.Fatalf("a client that pauses is not persistent: %s", verbs(b.got))
	}
}

func TestASuccessClearsTheCount(t *testing.T) {
	ok := detector.Condition{Field: detector.FieldStatus, Ranges: []detector.Range{{From: 200, To: 299}}}
	ok.Ready()
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.Reset = []detector.Conditions{{ok}}; r.SuccessRatio = 1 }))
	for round := range 20 {
		at := begin.Add(time.Duration(round) * 10 * time.Second)
		b.feedAll(4, at, time.Second, "203.0.113.7", 404)
		b.feed(event(at.Add(5*time.Second), "203.0.113.7", 200))
	}
	if len(b.got) > 0 {
		t.Fatalf("got %s", verbs(b.got))
	}
}

func TestWeightCountsForSeveral(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	got := b.feed(event(begin, "203.0.113.7", 404, func(e *detector.Event) { e.Weight = 500 }))
	if len(got) != 1 {
		t.Fatal("one row that stands for 500 requests is too much")
	}
}

func TestIPv6IsCountedAndBlockedAsItsNetwork(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	for i := range 5 {
		b.feed(event(begin.Add(time.Duration(i)*time.Second), fmt.Sprintf("2001:db8:1:2::%x", i+1), 404))
		b.feed(event(begin.Add(time.Duration(i)*time.Second), fmt.Sprintf("2001:db8:1:%x::1", i+10), 404))
	}
	if verbs(b.got) != "block 2001:db8:1:2::/64" {
		t.Fatalf("got %s", verbs(b.got))
	}
}

func TestMappedAddressesAreTheirIPv4(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	b.feedAll(3, begin, time.Second, "::ffff:203.0.113.7", 404)
	b.feedAll(2, begin.Add(3*time.Second), time.Second, "203.0.113.7", 404)
	if verbs(b.got) != "block 203.0.113.7/32" {
		t.Fatalf("got %s", verbs(b.got))
	}
}

func TestWhatGitLabExemptsNeverCounts(t *testing.T) {
	for name, change := range map[string]func(*detector.Event){
		"bypass header":    func(e *detector.Event) { e.Safelist = "throttle_bypass_header" },
		"dry run":          func(e *detector.Event) { e.ThrottleEnv = "track"; e.Throttle = "throttle_unauthenticated_web" },
		"user's throttle":  func(e *detector.Event) { e.ThrottleEnv = "throttle"; e.Throttle = "throttle_authenticated_api" },
		"unknown throttle": func(e *detector.Event) { e.ThrottleEnv = "throttle"; e.Throttle = "throttle_something_new" },
	} {
		b := newBench(t, detector.Options{}, rule(nil))
		if got := b.feedAll(50, begin, time.Second, "203.0.113.7", 404, change); len(got) > 0 {
			t.Errorf("%s: %s", name, verbs(got))
		}
	}
}

func TestEscalationRemembersAndForgets(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) {
		r.Steps = []detector.Step{{Time: 10 * time.Minute}, {Time: time.Hour}, {Time: 12 * time.Hour}}
		r.Forget = 24 * time.Hour
	}))
	strike := func(at time.Time) detector.Decision {
		t.Helper()
		got := b.feedAll(5, at, time.Second, "203.0.113.7", 404)
		if len(got) != 1 || got[0].Verb != detector.VerbBlock {
			t.Fatalf("at %v: %s", at, verbs(got))
		}
		return got[0]
	}
	at := begin
	for i, want := range []time.Duration{10 * time.Minute, time.Hour, 12 * time.Hour, 12 * time.Hour} {
		d := strike(at)
		if got := d.Until.Sub(d.Time); got != want || d.Strike != i+1 {
			t.Fatalf("strike %d: want %v, got %v (%d)", i+1, want, got, d.Strike)
		}
		at = d.Until.Add(time.Minute)
	}
	d := strike(at.Add(49 * time.Hour))
	if got := d.Until.Sub(d.Time); got != 12*time.Hour || d.Strike != 3 {
		t.Errorf("two days later two steps are forgotten: want strike 3, got %d, %v", d.Strike, got)
	}
	d = strike(at.Add(60 * 24 * time.Hour))
	if d.Strike != 1 {
		t.Errorf("two months later all is forgotten: got strike %d", d.Strike)
	}
}

func TestABlockedTargetIsNotBlockedAgain(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	if got := b.feedAll(300, begin, time.Second, "203.0.113.7", 404); len(got) != 1 {
		t.Fatalf("got %s", verbs(got))
	}
}

func TestADryRunIsToldOnce(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.DryRun = true }))
	if got := b.feedAll(300, begin, time.Second, "203.0.113.7", 404); len(got) != 1 || got[0].Verb != detector.VerbWouldBlock {
		t.Fatalf("got %s", verbs(got))
	}
	if b.ledger.Len() > 0 {
		t.Error("a dry run has blocked somebody")
	}
}

func TestScopeIsWidenedOnlyWhereNothingHoldsIt(t *testing.T) {
	narrow := func(r *detector.Rule) {
		r.Steps = []detector.Step{{Time: time.Hour, Scope: detector.ScopeRepository}}
	}
	for _, c := range []struct {
		held, widen bool
		verb        string
		widened     bool
	}{{false, true, "block", true}, {true, true, "block", false}, {false, false, "spared", false}} {
		b := newBench(t, detector.Options{NarrowHeld: c.held}, rule(func(r *detector.Rule) { narrow(r); r.Widen = c.widen }))
		got := b.feedAll(5, begin, time.Second, "203.0.113.7", 404)
		if len(got) != 1 || got[0].Verb != c.verb || got[0].Widened != c.widened || got[0].Scope != detector.ScopeRepository {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}

// TestANameThatNoRegistryTakesIsWidened where only files and maps could hold it: they know a repository by its name alone.
func TestANameThatNoRegistryTakesIsWidened(t *testing.T) {
	for name, valid := range map[string]bool{"acme/web": true, "a/b_c/d__e/f.g/h--i": true, "0": true, strings.Repeat("a/", 127) + "a": true,
		"Acme/Web": false, "acme web": false, "../../etc": false, "acme//web": false, "acme/": false, "/acme": false, "a..b": false, "a_.b": false, "a___b": true, "-a": false, "a-/b": false,
		"acme/w\xc3\xa9b": false, strings.Repeat("a", 248): true, strings.Repeat("a", 249): false, "a/" + strings.Repeat("a", 249) + "/b": false} {
		for _, only := range []bool{false, true} {
			b := newBench(t, detector.Options{NarrowHeld: true, SpelledOnly: only}, rule(func(r *detector.Rule) {
				r.Steps = []detector.Step{{Time: time.Hour, Scope: detector.ScopeRepository}}
				r.Widen = true
			}))
			var got []detector.Decision
			for i := range 5 {
				got = append(got, b.feed(event(begin.Add(time.Duration(i)*time.Second), "203.0.113.7", 404, func(e *detector.Event) { e.Repository = name }))...)
			}
			if len(got) != 1 || got[0].Widened != (only && !valid) {
				t.Errorf("%q, names only %v: got %+v", name, only, got)
			}
		}
	}
}

// TestCountsGoOnFromASavedState: a detector that is made from another's state decides what the other would have decided.
func TestCountsGoOnFromASavedState(t *testing.T) {
	path := detector.FieldPath
	rules := []*detector.Rule{
		rule(nil),
		rule(func(r *detector.Rule) { r.Name = "many"; r.MaxRetry = 40 }),
		rule(func(r *detector.Rule) { r.Name = "windows"; r.Windows = 3; r.FindTime = time.Minute }),
		rule(func(r *detector.Rule) { r.Name = "distinct"; r.Distinct = &path; r.MaxRetry = 20 }),
		rule(func(r *detector.Rule) { r.Name = "attempts"; r.Attempt = 5 * time.Second; r.MaxRetry = 8 }),
	}
	events := func(yield func(*detector.Event)) {
		for i := range 3000 {
			yield(event(begin.Add(time.Duration(i)*1700*time.Millisecond), fmt.Sprintf("203.0.113.%d", i*i%17+1), 404,
				func(e *detector.Event) { e.Path = fmt.Sprint("/", i%31) }))
		}
	}
	whole := newBench(t, detector.Options{}, rules...)
	events(func(e *detector.Event) { whole.feed(e) })
	parts := newBench(t, detector.Options{}, rules...)
	n := 0
	events(func(e *detector.Event) {
		if n++; n%97 == 0 {
			again := detector.New(rules, parts.options, detector.Seed{}, parts.ledger)
			if err := again.Restore(parts.detector.State()); err != nil {
				t.Fatal(err)
			}
			parts.detector = again
		}
		parts.feed(e)
	})
	if len(whole.got) == 0 || len(whole.got) != len(parts.got) {
		t.Fatalf("want %d decisions, got %d", len(whole.got), len(parts.got))
	}
	for i := range whole.got {
		if whole.got[i].ID != parts.got[i].ID || whole.got[i].Reason != parts.got[i].Reason {
			t.Fatalf("decision %d: want %+v, got %+v", i, whole.got[i], parts.got[i])
		}
	}
	if a, b := whole.detector.Stats(), parts.detector.Stats(); a.Events != b.Events || a.Hits != b.Hits {
		t.Errorf("want %+v, got %+v", a, b)
	}
}

func TestADamagedStateIsRefused(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	b.feedAll(4, begin, time.Second, "203.0.113.7", 404)
	state := b.detector.State()
	for n := range len(state) {
		d := detector.New(b.rules, b.options, b.seed, b.ledger)
		if err := d.Restore(state[:n]); err == nil && n < len(state)-200 {
			t.Fatalf("a state cut to %d of %d bytes is taken", n, len(state))
		}
	}
}
