package store_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/internal/store"
)

func ids(t *testing.T, s *store.Store, f store.HistoryFilter) string {
	t.Helper()
	entries, err := s.History(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Cause.ID)
	}
	return strings.Join(out, " ")
}

func TestAProjectsHistory(t *testing.T) {
	s := fresh(t)
	entry := func(id, target, about string, repositories ...string) {
		c := cause(id, noon)
		c.About, c.Repositories = about, repositories
		save(t, s, change(detector.ChangeBlock, target, c))
	}
	entry("a", "203.0.113.7/32", "acme/web", "acme/web")
	entry("b", "203.0.113.7/32", "Acme/Web/api/debug", "Acme/Web/api/debug")
	entry("c", "203.0.113.8/32", "", "corp/api", "acme/web/x")
	entry("d", "2001:db8::/64", "acme/website", "acme/website")
	entry("e", "203.0.113.0/24", "corp/api", "corp/api")
	entry("f", "203.0.113.9/32", "one/2/3/4/5/6/7/8", "one/2/3/4/5/6/7/8")
	for _, row := range []struct {
		name   string
		filter store.HistoryFilter
		want   string
	}{
		{"a project: its repositories in any capitals, and what it shares with others", store.HistoryFilter{Within: "acme/web"}, "c b a"},
		{"a repository", store.HistoryFilter{Within: "ACME/web/api/debug"}, "b"},
		{"a group", store.HistoryFilter{Within: "acme"}, "d c b a"},
		{"a page", store.HistoryFilter{Within: "acme/web", Limit: 2}, "c b"},
		{"the page after", store.HistoryFilter{Within: "acme/web", Limit: 2, BeforeID: 2}, "a"},
		{"of a long path what GitLab would allow", store.HistoryFilter{Within: "one/2/3/4/5/6"}, "f"},
		{"and its first steps", store.HistoryFilter{Within: "one/2"}, "f"},
		{"and no more", store.HistoryFilter{Within: "one/2/3/4"}, ""},
		{"nothing", store.HistoryFilter{Within: "nobody/here"}, ""},
		{"a pattern is a name", store.HistoryFilter{Within: "acme/%"}, ""},
		{"an address and the networks around it", store.HistoryFilter{Holds: netip.MustParseAddr("203.0.113.7")}, "e b a"},
		{"an IPv6 address", store.HistoryFilter{Holds: netip.MustParseAddr("2001:db8::77")}, "d"},
		{"both", store.HistoryFilter{Holds: netip.MustParseAddr("203.0.113.7"), Within: "corp/api"}, "e"},
	} {
		if got := ids(t, s, row.filter); got != row.want {
			t.Errorf("%s: want %q, got %q", row.name, row.want, got)
		}
	}
	if err := s.Prune(t.Context(), 0, 2); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, s, store.HistoryFilter{Within: "acme"}); got != "" {
		t.Errorf("pruned: got %q", got)
	}
}

func TestProbationsAreSavedWithTheirChange(t *testing.T) {
	s := fresh(t)
	p := detector.Probation{Target: netip.MustParsePrefix("203.0.113.7/32"), Since: noon, Until: noon.Add(24 * time.Hour), Reblocks: 1}
	lift := change(detector.ChangeUnblock, "203.0.113.7/32")
	lift.Probation = &p
	save(t, s, lift)
	got, err := s.Probations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]detector.Probation{p}, got, netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	lift.Probation = &detector.Probation{Target: p.Target}
	save(t, s, lift)
	if got, err := s.Probations(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("want none after its end, got %v, %v", got, err)
	}
}

func TestQuotas(t *testing.T) {
	s := fresh(t)
	user := store.Quota{What: "unblock by dana", Max: 2, Window: time.Hour}
	project := store.Quota{What: "unblock of acme/web", Max: 3, Window: 24 * time.Hour}
	use := func(at time.Time, quotas ...store.Quota) string {
		t.Helper()
		over, again, err := s.Use(t.Context(), at, quotas...)
		if err != nil {
			t.Fatal(err)
		}
		looked, lookedAgain, err := s.Spent(t.Context(), at, quotas...)
		if over == nil {
			return "ok"
		}
		if err != nil || looked == nil || looked.What != over.What || !lookedAgain.Equal(again) {
			t.Errorf("Spent says %v, %v, %v after Use said %v, %v", looked, lookedAgain, err, over, again)
		}
		return over.What + " " + again.Format("15:04")
	}
	for i, want := range []string{"ok", "ok", "unblock by dana 13:00"} {
		if got := use(noon.Add(time.Duration(i)*10*time.Minute), user, project); got != want {
			t.Errorf("use %d: want %s, got %s", i+1, want, got)
		}
	}
	for _, row := range []struct {
		after time.Duration
		who   store.Quota
		want  string
	}{
		{59 * time.Minute, user, "unblock by dana 13:00"},
		{time.Hour, user, "ok"}, // the refused one was no use of the project's
		{time.Hour, store.Quota{What: "unblock by sam", Max: 2, Window: time.Hour}, "unblock of acme/web 12:00"},
		{23 * time.Hour, user, "unblock of acme/web 12:00"},
		{24 * time.Hour, user, "ok"},
	} {
		if got := use(noon.Add(row.after), row.who, project); got != row.want {
			t.Errorf("%v later: want %s, got %s", row.after, row.want, got)
		}
	}
	if over, _, err := s.Use(t.Context(), noon, store.Quota{What: "nothing", Max: 0, Window: time.Hour}); err != nil || over == nil {
		t.Errorf("a quota of none: want it refused, got %v, %v", over, err)
	}
}

func TestBlocksAreCountedForCharts(t *testing.T) {
	s := fresh(t)
	since := time.Now().Add(-time.Hour)
	for i := range 7 {
		c := cause(fmt.Sprint(i), noon)
		if c.Rule = "tag-scan"; i < 5 {
			c.Rule, c.About = "missing-manifest", []string{"acme/web", "acme/web", "acme/api", "acme/web", "acme/api"}[i]
		}
		save(t, s, change(detector.ChangeBlock, "203.0.113.7/32", c), change(detector.ChangeUnblock, "203.0.113.7/32", c))
	}
	rules, err := s.MadeByRule(t.Context(), since, 24*time.Hour)
	if err != nil || len(rules) != 2 || rules[0].Name != "missing-manifest" || rules[0].N != 5 || rules[1].N != 2 || !rules[0].From.Equal(since) {
		t.Errorf("by rule: %v, %v", rules, err)
	}
	repositories, err := s.MadeByRepository(t.Context(), since, 1)
	if err != nil || len(repositories) != 1 || repositories[0].Name != "acme/web" || repositories[0].N != 3 {
		t.Errorf("by repository: %v, %v", repositories, err)
	}
	if none, err := s.MadeByRule(t.Context(), time.Now().Add(time.Hour), time.Hour); err != nil || len(none) != 0 {
		t.Errorf("later: %v, %v", none, err)
	}
}
