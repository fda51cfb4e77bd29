package report_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"regwarden/internal/report"
)

var morning = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

func entry(minute int, verb, client, rule string) report.Entry {
	at := morning.Add(time.Duration(minute) * time.Minute)
	return report.Entry{Time: at, Verb: verb, ID: fmt.Sprintf("%s%d%s", client, minute, rule), Target: netip.MustParsePrefix(client), Rule: rule, By: "rule",
		Reason: fmt.Sprintf("did it at %d", minute), Since: at, Until: at.Add(10 * time.Minute)}
}

func build(o report.Options, entries ...report.Entry) *report.Report {
	b := report.New(o)
	for _, e := range entries {
		b.Add(e)
	}
	return b.Report()
}

func day() []report.Entry {
	spared := entry(7, "spared", "198.51.100.20/32", "missing-manifest")
	spared.Guard = "crowd"
	first, second := entry(0, "would-block", "203.0.113.7/32", "missing-manifest"), entry(30, "would-block", "203.0.113.7/32", "tag-scan")
	first.Repositories, second.Repositories = []string{"acme/web"}, []string{"acme/web", "acme/api"}
	second.Samples = []string{"a line"}
	second.Until = second.Since.Add(time.Hour)
	return []report.Entry{first, entry(5, "would-block", "2001:db8:0:1::/64", "missing-manifest"), spared, second}
}

func TestADryRunsDay(t *testing.T) {
	r := build(report.Options{Origin: report.FromHistory, DryRun: true, Config: "/etc/r.toml"}, day()...)
	if r.Would != 3 || r.Clients != 2 || r.WouldClients != 2 || r.Spared != 1 || r.SparedClients != 1 || r.Blocked != 0 {
		t.Errorf("got %+v", r)
	}
	if got := r.Targets[0]; got.Target != "203.0.113.7" || got.Would != 2 || !slices.Equal(got.Rules, []string{"missing-manifest", "tag-scan"}) || got.Longest != 3600 ||
		got.Reason != "did it at 30" || !slices.Equal(got.Samples, []string{"a line"}) || !got.First.Equal(morning) {
		t.Errorf("got %+v", got)
	}
	if got := r.Repositories[0]; got.Name != "acme/web" || got.Clients != 1 || got.Times != 2 {
		t.Errorf("got %+v", got)
	}
	if got := r.Guards; len(got) != 1 || got[0].Name != "crowd" || got[0].Spared[0].Target != "198.51.100.20" {
		t.Errorf("got %+v", got)
	}
	if want := "2 clients would have been blocked (3 decisions); the guards spared 1 client (1 decision)."; r.Headline() != want {
		t.Errorf("got %s", r.Headline())
	}
	todo := strings.Join(r.ToDo, "\n")
	for _, say := range []string{"remove the line dry_run = true from /etc/r.toml", "crowd (1 client)", "regwarden allow add"} {
		if !strings.Contains(todo, say) {
			t.Errorf("want %q in\n%s", say, todo)
		}
	}
}

// TestTheOrderOfEntriesChangesNothing: a history comes newest first, a replay oldest first.
func TestTheOrderOfEntriesChangesNothing(t *testing.T) {
	o := report.Options{Origin: report.FromHistory}
	forward, backward := day(), day()
	slices.Reverse(backward)
	if a, b := build(o, forward...), build(o, backward...); !reflect.DeepEqual(a, b) {
		t.Errorf("got %+v\nand %+v", a, b)
	}
}

// TestWhatDoesNotCount: ends of blocks and blocks by hand; blocks that the storm guard took back; what people lifted is told.
func TestWhatDoesNotCount(t *testing.T) {
	by := func(e report.Entry, who string) report.Entry { e.By = who; return e }
	block := entry(1, "block", "203.0.113.8/32", "tag-scan")
	back := by(block, "storm guard")
	back.Verb = "unblock"
	lifted := by(entry(9, "unblock", "203.0.113.9/32", "tag-scan"), "uid 0 (root)")
	r := build(report.Options{Origin: report.FromHistory}, entry(0, "block", "203.0.113.7/32", "tag-scan"), block, back, by(entry(2, "block", "203.0.113.6/32", "manual"), "uid 0 (root)"),
		by(entry(20, "expire", "203.0.113.7/32", "tag-scan"), "expiry"), lifted)
	if r.Blocked != 1 || r.Clients != 1 || r.TakenBack != 1 || len(r.Lifted) != 1 || r.Lifted[0].Target != "203.0.113.9" {
		t.Errorf("got %+v", r)
	}
	r = build(report.Options{Origin: report.FromLogs}, block)
	if r.Would != 1 || r.Blocked != 0 {
		t.Errorf("a replay blocks nobody: got %+v", r)
	}
}

// TestThePageIsHarmless: text of an attacker stays text, and nothing is fetched or run.
func TestThePageIsHarmless(t *testing.T) {
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)> </pre>{{.}}`
	e := entry(0, "would-block", "203.0.113.7/32", "tag-scan")
	e.Reason, e.Samples, e.Repositories = evil, []string{evil}, []string{evil}
	spared := entry(1, "spared", "203.0.113.8/32", "tag-scan")
	spared.Reason, spared.Guard = evil, "crowd"
	lifted := entry(2, "unblock", "203.0.113.9/32", "tag-scan")
	lifted.By, lifted.Note = evil, evil
	r := build(report.Options{Origin: report.FromHistory, Where: evil, Config: evil, Summaries: map[string]string{"tag-scan": evil},
		Sources: []report.Source{{Path: evil, Error: evil}}}, e, spared, lifted)
	var b strings.Builder
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	if n := strings.Count(page, "&lt;script&gt;"); n < 8 {
		t.Errorf("the text stands %d times in the page", n)
	}
	if m := regexp.MustCompile(`(?i)<script|<img|<a |<link|<iframe|javascript:|url\(|@import|https?://`).FindString(page); m != "" {
		t.Errorf("the page has %q", m)
	}
	for _, want := range []string{"prefers-color-scheme: dark", "<svg", "<h2>When</h2>", "The numbers", `class="would"`, `class="spared"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// TestAReportIsBounded whatever the history has.
func TestAReportIsBounded(t *testing.T) {
	b := report.New(report.Options{Origin: report.FromHistory})
	taken := 0
	for i := range 100_010 {
		e := entry(i%600, "would-block", fmt.Sprintf("198.51.%d.%d/32", i/256%256, i%256), "tag-scan")
		e.Repositories = []string{fmt.Sprintf("r/%d", i)}
		if b.Add(e) {
			taken++
		}
	}
	r := b.Report()
	if taken != 100_000 || r.LeftOut != 10 || len(r.Targets) != 500 || len(r.Repositories) != 500 || r.Clients != 65536 {
		t.Errorf("%d taken, %d left out, %d of %d clients, %d repositories", taken, r.LeftOut, len(r.Targets), r.Clients, len(r.Repositories))
	}
}

// TestEveryDecisionIsInTheChart for spans of minutes to months.
func TestEveryDecisionIsInTheChart(t *testing.T) {
	for _, span := range []time.Duration{0, time.Second, time.Hour, 25 * time.Hour, 90 * 24 * time.Hour} {
		last := entry(0, "spared", "203.0.113.8/32", "tag-scan")
		last.Time = last.Time.Add(span)
		r := build(report.Options{Origin: report.FromHistory}, entry(0, "would-block", "203.0.113.7/32", "tag-scan"), last)
		n := 0
		for _, b := range r.Buckets {
			n += b.Would + b.Spared
		}
		if n != 2 || len(r.Buckets) > 50 {
			t.Errorf("%v: %d of 2 decisions in %d buckets", span, n, len(r.Buckets))
		}
	}
}
