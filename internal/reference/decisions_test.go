package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/replay"
	"regwarden/rules"
	"regwarden/sources/format"
)

// seeds key the counts' hashes. The detector keeps two things as a few bits of a hash, how many user agents a target has and how many things suspects run
// into, so two of them may fall together under one seed; they do not under another.
var seeds = []detector.Seed{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}}

// replayed replays the files as regwarden does.
func replayed(t testing.TB, o replay.Options) (got []decision, evicted uint64) {
	t.Helper()
	summary, err := replay.Run(t.Context(), o, func(d detector.Decision) {
		got = append(got, decision{Time: d.Time, Verb: d.Verb, Target: d.Target, Rule: d.Rule, Scope: d.Scope, Widened: d.Widened, Guard: d.Guard, Count: d.Count,
			Until: d.Until, Strike: d.Strike, Repositories: d.Repositories})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got, summary.Evicted
}

// compare holds the detector against the naive one; the number of decisions tells that something was compared.
func compare(t testing.TB, o replay.Options) []decision {
	t.Helper()
	want := decisions(t, o)
	first := ""
	for i, seed := range seeds {
		o.Seed = seed
		got, evicted := replayed(t, o)
		if evicted > 0 {
			t.Fatalf("%d counts were evicted: the tables are too small for an exact comparison", evicted)
		}
		difference := differ(want, got)
		if difference == "" {
			if i > 0 {
				t.Logf("under seed %v only; under %v: %s", seed, seeds[0], first)
			}
			return want
		}
		if i == 0 {
			first = difference
		}
	}
	t.Errorf("%s", first)
	return want
}

// differ says where two lists of decisions differ first, or "".
func differ(want, got []decision) string {
	for i := range max(len(want), len(got)) {
		a, b := "nothing", "nothing"
		if i < len(want) {
			a = want[i].String()
		}
		if i < len(got) {
			b = got[i].String()
		}
		if a != b {
			return fmt.Sprintf("decision %d of %d:\nwant %s\ngot  %s", i+1, len(want), a, b)
		}
	}
	return ""
}

func options(rules []*detector.Rule, files ...string) replay.Options {
	return replay.Options{Files: files, Rules: rules, Now: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		Detector: detector.Options{Guards: detector.DefaultGuards, Mask: detector.DefaultMask, Memory: 64 << 20}}
}

func shipped(t testing.TB) []*detector.Rule {
	t.Helper()
	set, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return set.Rules
}

// write writes one log and returns its path.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tally says how many decisions of each sort there are.
func tally(ds []decision) string {
	n := map[string]int{}
	for _, d := range ds {
		n[d.Verb+" "+d.Guard+" "+d.Rule]++
	}
	var out []string
	for k, v := range n {
		out = append(out, fmt.Sprintf("%s: %d", k, v))
	}
	slices.Sort(out)
	return fmt.Sprint(len(ds), " decisions ", out)
}

var begin = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// TestGeneratedLogs: 50,000 lines of each log by the shipped rules, and a quarter of that of all together.
func TestGeneratedLogs(t *testing.T) {
	logs := []string{"nginx", "registry", "rails", "auth"}
	generate := func(t *testing.T, i, n int) string {
		m := newMaker(uint64(i+1), begin, 6*time.Hour)
		if i < 2 {
			m.sorts = accessSorts
		}
		return write(t, t.TempDir(), logs[i], m.lines(m.requests(n, 1), logs[i], "", 5))
	}
	for i, log := range logs {
		t.Run(log, func(t *testing.T) {
			t.Parallel()
			o := options(shipped(t), generate(t, i, 50_000))
			if log == "registry" {
				o.Kind = detector.KindAccess // as README says for a registry without a proxy in front
			}
			got := compare(t, o)
			t.Log(tally(got))
			if len(got) < 20 {
				t.Errorf("%d decisions: nothing was compared", len(got))
			}
		})
	}
	t.Run("together", func(t *testing.T) {
		t.Parallel()
		var all []string
		for i := range logs {
			all = append(all, generate(t, i, 12_500))
		}
		got := compare(t, options(shipped(t), all...))
		t.Log(tally(got))
		if len(got) < 20 {
			t.Errorf("%d decisions: nothing was compared", len(got))
		}
	})
}

// TestEveryHitOfGeneratedLogs: by rules that decide at each hit, so that a single line which is read, matched or left out wrongly shows.
func TestEveryHitOfGeneratedLogs(t *testing.T) {
	for i, log := range []string{"nginx", "registry", "rails", "auth"} {
		t.Run(log, func(t *testing.T) {
			t.Parallel()
			m := newMaker(uint64(i+11), begin, 6*time.Hour)
			o := options(sharp(shipped(t)), write(t, t.TempDir(), log, m.lines(m.requests(15_000, 1), log, "", 40)))
			o.Detector.Guards = detector.Guards{BlockPrivate: true, ProxyShare: 1} // they have their own cases, and would hide hits
			if log == "registry" {
				o.Kind = detector.KindAccess
			}
			got := compare(t, o)
			t.Log(tally(got))
			if len(got) < 2000 {
				t.Errorf("%d decisions: nothing was compared", len(got))
			}
		})
	}
}

// sharp are rules that match like the others and decide at each hit: what they decide is over after a millisecond.
func sharp(rules []*detector.Rule) (out []*detector.Rule) {
	for _, r := range rules {
		s := *r
		s.MaxRetry, s.FindTime, s.Windows, s.Weight, s.Distinct, s.Attempt, s.SuccessRatio = 1, time.Millisecond, 1, 1, nil, 0, 1
		s.Steps, s.Forget = []detector.Step{{Time: time.Millisecond}}, time.Millisecond
		out = append(out, &s)
	}
	return out
}

// TestTheIncident: the recorded one, whose logs have labels.
func TestTheIncident(t *testing.T) {
	files, _ := filepath.Glob("../replay/testdata/incident/*.log")
	if len(files) != 3 {
		t.Fatalf("want three logs, got %v", files)
	}
	for _, held := range []bool{false, true} {
		o := options(shipped(t), files...)
		o.Detector.NarrowHeld = held
		got := compare(t, o)
		t.Log(tally(got))
		if len(got) < 5 {
			t.Errorf("%d decisions: nothing was compared", len(got))
		}
	}
}

// FuzzDecisions makes up rules, guards and logs from a seed; size and mood say how many lines there are and how they are.
func FuzzDecisions(f *testing.F) {
	for i := range uint64(25) {
		f.Add(i, uint16(i*97), uint8(i*31))
	}
	f.Fuzz(madeUp)
}

// madeUp compares one made-up case.
func madeUp(t *testing.T, seed uint64, size uint16, mood uint8) {
	m := newMaker(seed, begin.Add(time.Duration(seed%9973)*time.Second), time.Duration(1+int(size)%120)*time.Minute)
	m.abusers = 1 + int(mood)%40
	o := options(nil)
	o.TrustForwarded = m.chance(20)
	o.Detector = m.detector()
	if m.chance(15) {
		o.Kind = detector.KindAccess
	}
	if m.chance(10) {
		o.Format = pick(m, "nginx", "gitlab-rails", "gitlab-auth", "gitlab-registry", "sshd", "combined", "ingress-nginx", "distribution")
	}
	late := pick(m, 0, 0, 1, 20.0)
	dir := t.TempDir()
	for i := range 1 + m.IntN(3) {
		requests := m.requests(50+int(size)%1200, late)
		text := m.lines(requests, pick(m, "nginx", "nginx", "registry", "rails", "rails", "auth", "ssh"), pick(m, wrappers...), pick(m, odd(0), 5, 40))
		path := write(t, dir, fmt.Sprint(i), text)
		if err := os.Chtimes(path, o.Now, o.Now); err != nil { // the year of syslog lines
			t.Fatal(err)
		}
		entries := readFile(t, path, &o)
		if len(entries) > 0 && !timedSoon(text, &o) {
			continue // it begins with lines without a time: they happened at no known time, and are taken as of now, before all others
		}
		o.Files = append(o.Files, path)
		for _, l := range entries {
			if m.chance(10) || len(m.sample) == 0 {
				m.sample = append(m.sample, l.event)
			}
		}
	}
	o.Rules = m.rules(t, 1+m.IntN(6))
	if m.chance(25) {
		o.Rules = sharp(o.Rules)
	}
	t.Logf("%+v", o.Detector)
	t.Log(tally(compare(t, o)))
}

// timedSoon says whether a line with a time stands in what replay reads of a file at once, so that those before it can be given that.
func timedSoon(text string, o *replay.Options) bool {
	reader, err := format.New(format.Options{Name: o.Format, Reference: o.Now, Location: o.Location, TrustForwarded: o.TrustForwarded, Kind: o.Kind})
	if err != nil {
		return false
	}
	for line := range strings.Lines(text[:min(len(text), 60<<10)]) {
		var e detector.Event
		if reader.Read([]byte(strings.TrimSuffix(line, "\n")), &e); !e.Time.IsZero() {
			return true
		}
	}
	return false
}

// detector makes up how to count and whom to spare. Half of the time there are no guards, so that counting itself is seen.
func (m *maker) detector() detector.Options {
	o := detector.Options{Mask: detector.Mask{V4: pick(m, 32, 32, 24), V6: pick(m, 64, 64, 56, 48)}, Memory: 4 << 20, NarrowHeld: m.chance(50), SpelledOnly: m.chance(50)}
	o.Guards = detector.Guards{BlockPrivate: m.chance(50), StormLimit: 1 << 20, StormWindow: time.Minute, ProxyShare: 1}
	if m.chance(50) {
		o.Guards.Storm, o.Guards.StormLimit = true, pick(m, 1, 2, 4, 10, 1000)
		o.Guards.StormWindow, o.Guards.ProxyShare = pick(m, time.Second, time.Minute, 10*time.Minute), pick(m, 0.05, 0.2, 0.5)
	}
	return o
}
