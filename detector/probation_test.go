package detector_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
)

const probationer = "203.0.113.7"

var probationTarget = netip.MustParsePrefix(probationer + "/32")

// hits feeds one hit a second until something is decided, at most n, and returns the decision and how many hits it took.
func (b *bench) hits(at time.Time, client string, n int) (detector.Decision, int) {
	b.t.Helper()
	for i := range n {
		if got := b.feed(event(at.Add(time.Duration(i)*time.Second), client, 404)); len(got) > 0 {
			return got[0], i + 1
		}
	}
	return detector.Decision{}, n
}

func TestProbationTakesHalfTheHits(t *testing.T) {
	for _, row := range []struct {
		name              string
		maxretry, windows int
		want              int
	}{
		{"an even number", 6, 1, 3},
		{"an odd one, rounded up", 5, 1, 3},
		{"never less than one", 1, 1, 1},
		{"of all windows together", 10, 3, 15},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, detector.Options{}, rule(func(r *detector.Rule) { r.MaxRetry, r.Windows = row.maxretry, row.windows }))
			b.ledger.Probe(probationTarget, begin, begin.Add(24*time.Hour), 0)
			dec, n := b.hits(begin.Add(time.Minute), probationer, 100)
			if n != row.want || dec.Verb != detector.VerbBlock || !strings.Contains(dec.Reason, "on probation") {
				t.Errorf("want a block after %d hits, got %q after %d: %s", row.want, dec.Verb, n, dec.Reason)
			}
			if row.windows > 1 || row.maxretry == 1 {
				return
			}
			if _, n := b.hits(begin.Add(time.Minute), "203.0.113.8", 100); n != row.maxretry {
				t.Errorf("its neighbour: want a block after %d hits, got %d", row.maxretry, n)
			}
		})
	}
}

func TestProbationEnds(t *testing.T) {
	for name, at := range map[string]time.Time{"when its time is over": begin.Add(2 * time.Hour), "before it began": begin.Add(-time.Hour)} {
		b := newBench(t, detector.Options{}, rule(nil))
		b.ledger.Probe(probationTarget, begin, begin.Add(time.Hour), 0)
		if _, n := b.hits(at, probationer, 100); n != 5 {
			t.Errorf("%s: want all 5 hits, got %d", name, n)
		}
	}
}

// TestBlocksInProbationGrowLonger, and their number stays with the block, so that it is known who may lift it.
func TestBlocksInProbationGrowLonger(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	at := begin
	b.ledger.Probe(probationTarget, at, at.Add(24*time.Hour), 0)
	for n, want := range []time.Duration{2 * time.Hour, 4 * time.Hour, 8 * time.Hour} {
		at = at.Add(time.Minute)
		dec, _ := b.hits(at, probationer, 10)
		if length := dec.Until.Sub(dec.Time); length != want {
			t.Errorf("block %d: want %v, got %v", n+1, want, length)
		}
		cause := b.ledger.Find(probationTarget)[0].Causes[0]
		if cause.Reblock != n+1 {
			t.Errorf("block %d: got number %d", n+1, cause.Reblock)
		}
		b.ledger.Lift(probationTarget, func(detector.Cause) bool { return true }, "test", "", at.Add(10*time.Second))
		b.ledger.Probe(probationTarget, at.Add(10*time.Second), at.Add(24*time.Hour), cause.Reblock)
	}
}

func TestAProbationsBlocksAreBounded(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	b.ledger.Probe(probationTarget, begin, begin.Add(24*time.Hour), 1000)
	if dec, _ := b.hits(begin.Add(time.Minute), probationer, 10); dec.Until.Sub(dec.Time) != 30*24*time.Hour {
		t.Errorf("want 30 days, got %v", dec.Until.Sub(dec.Time))
	}
}

// TestWhoseACauseIs: a project's path is known to be one, so that all below it is its own; nothing else is.
func TestWhoseACauseIs(t *testing.T) {
	for _, row := range []struct {
		name    string
		cause   detector.Cause
		project string
		want    detector.Share
	}{
		{"its repository", detector.Cause{About: "acme/web"}, "acme/web", detector.ShareWhole},
		{"an image below it", detector.Cause{About: "acme/web/api/debug"}, "acme/web", detector.ShareWhole},
		{"capitals", detector.Cause{About: "Acme/Web/api"}, "acme/web", detector.ShareWhole},
		{"a neighbour whose name begins so", detector.Cause{About: "acme/website"}, "acme/web", detector.ShareNone},
		{"the group's other project, though it is a candidate", detector.Cause{About: "acme/web/api", Projects: []string{"acme/web/api", "acme/web"}}, "acme/other", detector.ShareNone},
		{"a rule over all repositories that saw only this one at the end", detector.Cause{Repositories: []string{"acme/web"}}, "acme/web", detector.SharePart},
		{"several projects", detector.Cause{Repositories: []string{"acme/web", "corp/api"}}, "acme/web", detector.SharePart},
		{"the log named the project", detector.Cause{Projects: []string{"acme/web"}}, "acme/web", detector.SharePart},
		{"by hand", detector.Cause{Rule: "manual"}, "acme/web", detector.ShareNone},
		{"no project", detector.Cause{About: "acme/web"}, "", detector.ShareNone},
	} {
		if got := row.cause.Share(row.project); got != row.want {
			t.Errorf("%s: want %d, got %d", row.name, row.want, got)
		}
		above := false
		row.cause.Above(func(path string) { above = above || path == row.project })
		if above != (row.want > detector.ShareNone) {
			t.Errorf("%s: Above says %v", row.name, above)
		}
	}
}

func TestTheBlocksThatHoldAnAddress(t *testing.T) {
	l := detector.NewLedger(nil, nil)
	for _, target := range []string{"203.0.113.7/32", "203.0.113.0/24", "203.0.113.8/32", "2001:db8:1::/64", "0.0.0.0/0"} {
		l.Add(netip.MustParsePrefix(target), detector.Cause{ID: target, Until: begin.Add(time.Hour)}, begin)
	}
	for address, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32 203.0.113.0/24 0.0.0.0/0", "198.51.100.1": "0.0.0.0/0", "2001:db8:1::5": "2001:db8:1::/64", "2001:db8:2::5": "",
	} {
		var got []string
		for _, b := range l.Holding(netip.MustParseAddr(address)) {
			got = append(got, b.Target.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: want %s, got %v", address, want, got)
		}
	}
	if got := l.Holding(netip.Addr{}); got != nil {
		t.Errorf("no address: %v", got)
	}
}
