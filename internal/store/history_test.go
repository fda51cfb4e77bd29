package store_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/store"
)

func TestHistoryFilters(t *testing.T) {
	s := fresh(t)
	entry := func(id, target, rule string, hours int, repositories, projects []string) {
		c := cause(id, noon)
		c.Rule, c.Repositories, c.Projects = rule, repositories, projects
		change := change(detector.ChangeBlock, target, c)
		change.Time, change.Note = noon.Add(time.Duration(hours)*time.Hour), "note "+id
		save(t, s, change)
	}
	entry("a", "203.0.113.7/32", "missing-manifest", 0, []string{"acme/web"}, []string{"acme"})
	entry("b", "203.0.113.0/24", "crawler", 1, []string{"acme/api", "acme/web"}, []string{"acme", "acme/api"})
	entry("c", "2001:db8:1::/64", "crawler", 2, nil, nil)
	entry("d", "198.51.100.1/32", "guesser", 3, []string{"acme/web/x"}, nil)
	for _, row := range []struct {
		name   string
		filter store.HistoryFilter
		want   string
	}{
		{"all, the newest first", store.HistoryFilter{}, "d c b a"},
		{"an address and the networks around it", store.HistoryFilter{Target: netip.MustParsePrefix("203.0.113.7/32")}, "b a"},
		{"another address of the network", store.HistoryFilter{Target: netip.MustParsePrefix("203.0.113.8/32")}, "b"},
		{"all in a network", store.HistoryFilter{Target: netip.MustParsePrefix("203.0.0.0/16")}, "b a"},
		{"all of IPv4", store.HistoryFilter{Target: netip.MustParsePrefix("0.0.0.0/0")}, "d b a"},
		{"all of IPv6", store.HistoryFilter{Target: netip.MustParsePrefix("::/0")}, "c"},
		{"an IPv6 address", store.HistoryFilter{Target: netip.MustParsePrefix("2001:db8:1::5/128")}, "c"},
		{"its neighbour", store.HistoryFilter{Target: netip.MustParsePrefix("2001:db8:2::5/128")}, ""},
		{"rule", store.HistoryFilter{Rule: "crawler"}, "c b"},
		{"repository", store.HistoryFilter{Repository: "acme/web"}, "b a"},
		{"project", store.HistoryFilter{Project: "acme/api"}, "b"},
		{"since", store.HistoryFilter{Since: noon.Add(2 * time.Hour)}, "d c"},
		{"until", store.HistoryFilter{Until: noon.Add(2 * time.Hour)}, "b a"},
		{"limit", store.HistoryFilter{Limit: 2}, "d c"},
		{"the page after", store.HistoryFilter{Limit: 2, BeforeID: 3}, "b a"},
		{"all together", store.HistoryFilter{Rule: "crawler", Repository: "acme/web", Project: "acme", Since: noon, Until: noon.Add(9 * time.Hour),
			Target: netip.MustParsePrefix("203.0.113.0/25"), BeforeID: 4}, "b"},
	} {
		entries, err := s.History(t.Context(), row.filter)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range entries {
			ids = append(ids, e.Cause.ID)
			if e.Note != "note "+e.Cause.ID || e.By != "rule" || e.Verb != "block" || !e.Target.IsValid() {
				t.Errorf("%s: want the entry whole, got %+v", row.name, e)
			}
		}
		if got := strings.Join(ids, " "); got != row.want {
			t.Errorf("%s: want %q, got %q", row.name, row.want, got)
		}
	}
}

func TestManyChanges(t *testing.T) {
	s := fresh(t)
	n := 10_000
	switch {
	case raceDetector:
		n = 1000
		t.Log("SKIPPED in part: 10,000 changes run without the race detector: go test -run TestManyChanges -v ./internal/store")
	case os.Getenv("REGWARDEN_STRESS") != "":
		n = 100_000
	default:
		t.Log("SKIPPED in part: 100,000 changes run with: REGWARDEN_STRESS=1 go test -run TestManyChanges -v ./internal/store")
	}
	changes := make([]detector.Change, n)
	for i := range changes {
		c := cause(fmt.Sprint(i), noon.Add(time.Hour))
		c.Repositories, c.Samples = []string{"acme/web"}, []string{strings.Repeat("x", 200)}
		changes[i] = change(detector.ChangeBlock, fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff), c)
	}
	began := time.Now()
	save(t, s, changes...)
	saved := time.Now()
	if got := len(blocks(t, s)); got != n {
		t.Errorf("want %d blocks, got %d", n, got)
	}
	blocksRead := time.Now()
	entries, err := s.History(t.Context(), store.HistoryFilter{Target: netip.MustParsePrefix("2001:db8:0:5::/64")})
	if err != nil || len(entries) != 1 {
		t.Errorf("want one entry, got %d, %v", len(entries), err)
	}
	t.Logf("%d changes: saved in %v, read in %v, found one in %v", n, saved.Sub(began), blocksRead.Sub(saved), time.Since(blocksRead))
}
