package actions_test

import (
	"bytes"
	"cmp"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

// subject is an action with a way to look at what it holds outside; nil for one that holds nothing.
type subject struct {
	action actions.Action
	held   func(t *testing.T) string
}

// subjects makes one action of each kind. A new kind is added here.
func subjects(t *testing.T) map[string]subject {
	t.Helper()
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	rec := actions.NewRecorder("recorder", detector.ScopeHost)
	table := filepath.Join(dir, "table")
	if err := os.Mkdir(table, 0o755); err != nil {
		t.Fatal(err)
	}
	files, answers := answerFiles(t, func() time.Time { return noon })
	geo, err := actions.NewNginxGeo(actions.NginxGeoOptions{Name: "nginx-geo", Path: filepath.Join(dir, "geo"), Reload: []string{"/bin/true"}, Answers: says(t), Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]subject{
		"answer-files": {files, func(t *testing.T) string {
			return strings.NewReplacer("2001:db8:1:0/DENIED", "2001:db8:1::/64", "203.0.113.7/DENIED", "203.0.113.7/32").Replace(lines(tree(t, answers)))
		}},
		"nginx-geo": {geo, func(t *testing.T) string {
			var targets []string
			for line := range strings.Lines(withoutHead(read(t, filepath.Join(dir, "geo")))) {
				targets = append(targets, strings.Fields(line)[0])
			}
			return strings.Join(targets, " ")
		}},
		"recorder": {rec, func(*testing.T) string { return targets(rec.Blocks()) }},
		"blocklist": {blocklist(t, actions.BlocklistFile{Path: list, Format: "nginx-geo"}), func(t *testing.T) string {
			return strings.TrimSpace(strings.ReplaceAll(withoutHead(read(t, list)), " 1;\n", " "))
		}},
		"exec": {command(t, actions.ExecOptions{Command: shell(`f="$1/$3-$4"; case $2 in unblock|expire) rm -f "$f";; *) : >"$f";; esac`,
			table, "{verb}", "{address}", "{prefix_length}")}), func(t *testing.T) string { return listed(t, table) }},
		"webhook": {webhook(t, actions.WebhookOptions{URL: receive(t).URL}), nil},
		"log":     {actions.NewLog("log", slog.New(slog.DiscardHandler)), nil},
	}
}

// lines are sorted as addresses are: IPv4 first.
func lines(text string) string {
	list := strings.Fields(text)
	slices.SortFunc(list, func(a, b string) int {
		return cmp.Or(strings.Count(a, ":")-strings.Count(b, ":"), strings.Compare(a, b))
	})
	return strings.Join(list, " ")
}

func withoutHead(text string) string {
	_, rest, _ := strings.Cut(text, "\n")
	return rest
}

func listed(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.ReplaceAll(e.Name(), "-", "/"))
	}
	slices.SortFunc(names, func(a, b string) int { return netip.MustParsePrefix(a).Compare(netip.MustParsePrefix(b)) })
	return strings.Join(names, " ")
}

func TestEveryKindOfAction(t *testing.T) {
	for kind, s := range subjects(t) {
		t.Run(kind, func(t *testing.T) {
			holds := s.action.Holds(detector.ScopeHost) || s.action.Holds(detector.ScopeRepository)
			if holds != (s.held != nil) {
				t.Fatalf("want it to hold blocks: %v, got %v", s.held != nil, holds)
			}
			want := func(want string) {
				t.Helper()
				if s.held == nil {
					return
				}
				if got := s.held(t); got != want {
					t.Errorf("want %q, got %q", want, got)
				}
			}
			if err := s.action.Apply(t.Context(), nil); err != nil {
				t.Errorf("want an empty list to be free, got %v", err)
			}
			v4, v6 := blocked("203.0.113.7/32"), blocked("2001:db8:1::/64")
			apply(t, s.action, v4, v6)
			apply(t, s.action, v4)
			want("203.0.113.7/32 2001:db8:1::/64")
			apply(t, s.action, unblocked("203.0.113.7/32"))
			apply(t, s.action, unblocked("203.0.113.7/32"), change(detector.ChangeExpire, "2001:db8:1::/64"))
			want("")
			syncer, ok := s.action.(actions.Syncer)
			if !ok {
				return
			}
			for range 2 {
				if err := syncer.Sync(t.Context(), []detector.Block{v4.Block}); err != nil {
					t.Fatal(err)
				}
				want("203.0.113.7/32")
			}
			if err := syncer.Sync(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			want("")
		})
	}
}

func TestTheLogShowsAttackersTextSafely(t *testing.T) {
	var out bytes.Buffer
	l := actions.NewLog("log", slog.New(slog.NewTextHandler(&out, nil)))
	apply(t, l, change(detector.ChangeDryRun, "203.0.113.7/32", cause("a", func(c *detector.Cause) {
		c.Reason = "asked for \x1b[2Jx\nlevel=INFO \xff " + strings.Repeat("é", 500)
		c.Repositories = []string{"acme/web"}
		c.Count = 60
	})))
	got := out.String()
	if strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b") || len(got) > 1000 {
		t.Errorf("want one short line without control characters, got %q", got)
	}
	for _, want := range []string{"msg=decision verb=would-block target=203.0.113.7/32 rule=missing-manifest scope=host by=rule until=2026-10-05T13:00:00Z count=60 repositories=acme/web",
		`\\x1b[2Jx\\nlevel=INFO \\xff éé`, `é…"`, "id=a"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in %s", want, got)
		}
	}
}

func TestOnlyHostBlocksStandInAList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	b := blocklist(t, actions.BlocklistFile{Path: path, Format: "plain"})
	apply(t, b, change(detector.ChangeBlock, "203.0.113.7/32", cause("n", narrow)), change(detector.ChangeDryRun, "203.0.113.8/32", cause("d")))
	if got := withoutHead(read(t, path)); got != "" {
		t.Errorf("want an empty list, got %q", got)
	}
	if !b.Holds(detector.ScopeHost) || b.Holds(detector.ScopeRepository) {
		t.Error("want it to hold the host and no repository")
	}
}
