package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/internal/store"
)

var noon = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

// netipEqual lets cmp look at prefixes and addresses.
var netipEqual = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fresh(t *testing.T) *store.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state", "regwarden.db"))
}

func cause(id string, until time.Time) detector.Cause {
	return detector.Cause{ID: id, Rule: "missing-manifest", By: "rule", Reason: "asked too often", Since: noon, Until: until, Strike: 1}
}

func change(verb, target string, causes ...detector.Cause) detector.Change {
	b := detector.Block{Target: netip.MustParsePrefix(target), Causes: causes}
	c := detector.Change{Time: noon, Verb: verb, By: "rule"}
	for _, cause := range causes {
		c.Cause = cause
		if cause.Until.After(b.Until) {
			b.Until = cause.Until
		}
	}
	c.Block = b
	return c
}

func save(t *testing.T, s *store.Store, changes ...detector.Change) {
	t.Helper()
	if err := s.SaveChanges(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func blocks(t *testing.T, s *store.Store) []detector.Block {
	t.Helper()
	got, err := s.Blocks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestEveryFieldOfACauseComesBack(t *testing.T) {
	var full detector.Cause
	for i := range reflect.TypeFor[detector.Cause]().NumField() {
		field := reflect.ValueOf(&full).Elem().Field(i)
		switch v := field.Addr().Interface().(type) {
		case *string:
			*v = fmt.Sprintf("text %d", i)
		case *int:
			*v = i
		case *bool:
			*v = true
		case *time.Time:
			*v = noon.Add(time.Duration(i) * time.Millisecond)
		case *[]string:
			*v = []string{fmt.Sprintf("acme/%d", i), `a "quoted", one`}
		case *detector.Scope:
			*v = detector.ScopeRepository
		default:
			t.Fatalf("field %s is of a type that this test does not know", reflect.TypeFor[detector.Cause]().Field(i).Name)
		}
	}
	path := filepath.Join(t.TempDir(), "r.db")
	s := open(t, path)
	c := change(detector.ChangeBlock, "203.0.113.7/32", full)
	save(t, s, c)
	s.Close()
	s = open(t, path)
	if diff := cmp.Diff([]detector.Block{c.Block}, blocks(t, s), netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	entries, err := s.History(t.Context(), store.HistoryFilter{})
	if err != nil || len(entries) != 1 {
		t.Fatalf("want one entry, got %v, %v", entries, err)
	}
	if diff := cmp.Diff(full, entries[0].Cause); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestBlocksAreWhatTheChangesLeft(t *testing.T) {
	s := fresh(t)
	a, b := cause("a", noon.Add(time.Hour)), cause("b", noon.Add(2*time.Hour))
	save(t, s,
		change(detector.ChangeBlock, "203.0.113.7/32", a),
		change(detector.ChangeExtend, "203.0.113.7/32", a, b),
		change(detector.ChangeBlock, "2001:db8:1::/64", a),
		change(detector.ChangeBlock, "198.51.100.1/32", a),
		change(detector.ChangeUnblock, "198.51.100.1/32"),
		change(detector.ChangeDryRun, "192.0.2.1/32", a),
		change(detector.ChangeSpared, "192.0.2.2/32", a),
	)
	want := []detector.Block{
		{Target: netip.MustParsePrefix("203.0.113.7/32"), Until: b.Until, Causes: []detector.Cause{a, b}},
		{Target: netip.MustParsePrefix("2001:db8:1::/64"), Until: a.Until, Causes: []detector.Cause{a}},
	}
	if diff := cmp.Diff(want, blocks(t, s), netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	save(t, s, change(detector.ChangeShorten, "203.0.113.7/32", a), change(detector.ChangeExpire, "2001:db8:1::/64"))
	want = []detector.Block{{Target: netip.MustParsePrefix("203.0.113.7/32"), Until: a.Until, Causes: []detector.Cause{a}}}
	if diff := cmp.Diff(want, blocks(t, s), netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestAChangeThatCannotBeSavedTakesTheOthersAlong(t *testing.T) {
	s := fresh(t)
	good := change(detector.ChangeBlock, "203.0.113.7/32", cause("a", noon))
	if err := s.Save(t.Context(), []detector.Change{good, {Verb: detector.ChangeBlock}}, &store.Checkpoint{State: []byte("x")}); err == nil {
		t.Fatal("want an error for a change without a target")
	}
	if got := blocks(t, s); len(got) != 0 {
		t.Errorf("want nothing saved, got %v", got)
	}
	if c, err := s.Checkpoint(t.Context()); err != nil || c.State != nil {
		t.Errorf("want no checkpoint, got %v, %v", c, err)
	}
}

func TestChangesAndCheckpointAreSavedTogether(t *testing.T) {
	s := fresh(t)
	first := store.Checkpoint{Time: noon, State: []byte("old"), Positions: []store.SourcePosition{
		{Source: "nginx", Path: "/a", Position: json.RawMessage(`{"offset":1}`)},
		{Source: "nginx", Path: "/b", Position: json.RawMessage(`{"offset":2}`)},
	}}
	second := store.Checkpoint{Time: noon.Add(time.Second), State: []byte{0, 1, 2}, Positions: []store.SourcePosition{
		{Source: "nginx", Path: "/a", Position: json.RawMessage(`{"offset":3}`), Pending: []byte("half")},
	}}
	if err := s.SaveCheckpoint(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), []detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", cause("a", noon))}, &second); err != nil {
		t.Fatal(err)
	}
	got, err := s.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(second, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	if n := len(blocks(t, s)); n != 1 {
		t.Errorf("want 1 block, got %d", n)
	}
}

func TestANewStoreIsEmptyAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "er", "a name?with%odd#signs.db")
	s := open(t, path)
	if c, err := s.Checkpoint(t.Context()); err != nil || !reflect.DeepEqual(c, store.Checkpoint{}) {
		t.Errorf("want the zero checkpoint, got %v, %v", c, err)
	}
	if s.SetAside() != "" {
		t.Errorf("want nothing set aside, got %s", s.SetAside())
	}
	save(t, s, change(detector.ChangeBlock, "203.0.113.7/32", cause("a", noon)))
	for name, want := range map[string]fs.FileMode{path: 0o600, path + "-wal": 0o600, path + ".lock": 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("%s: want mode %v, got %v", name, want, info.Mode())
		}
	}
}

func TestASecondOpenerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	s := open(t, path)
	_, err := store.Open(path, nil)
	if !errors.Is(err, store.ErrLocked) {
		t.Fatalf("want ErrLocked, got %v", err)
	}
	if want := fmt.Sprintf("store %s: in use by another regwarden (process %d)", path, os.Getpid()); err.Error() != want {
		t.Errorf("want %q, got %q", want, err)
	}
	s.Close()
	open(t, path)
}

func TestKnownIsWhatWasDecided(t *testing.T) {
	s := fresh(t)
	start := time.Now()
	save(t, s,
		change(detector.ChangeBlock, "203.0.113.1/32", cause("block", noon)),
		change(detector.ChangeExtend, "203.0.113.1/32", cause("extend", noon)),
		change(detector.ChangeDryRun, "203.0.113.2/32", cause("dry", noon)),
		change(detector.ChangeSpared, "203.0.113.3/32", cause("spared", noon)),
	)
	lifted := change(detector.ChangeUnblock, "203.0.113.1/32")
	lifted.Cause = cause("lifted", noon)
	save(t, s, lifted)
	for _, row := range []struct {
		name  string
		since time.Time
		want  map[string]bool
	}{
		{"all", start.Add(-time.Minute), map[string]bool{"block": true, "extend": true, "dry": true, "spared": true}},
		{"none so late", start.Add(time.Hour), map[string]bool{}},
	} {
		got, err := s.Known(t.Context(), row.since)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, got); diff != "" {
			t.Errorf("%s: want -, got +\n%s", row.name, diff)
		}
	}
}

func TestStrikesAreTheLastOfEachRuleAndTarget(t *testing.T) {
	s := fresh(t)
	twice := cause("b", noon.Add(time.Hour)) // the block's end is what counts: from then on it is forgotten
	twice.Strike = 2
	second := change(detector.ChangeBlock, "203.0.113.7/32", twice)
	dry := cause("c", noon)
	dry.Strike = 9
	save(t, s, change(detector.ChangeBlock, "203.0.113.7/32", cause("a", noon)), change(detector.ChangeUnblock, "203.0.113.7/32"), second,
		change(detector.ChangeDryRun, "203.0.113.8/32", dry))
	got, err := s.Strikes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Strike{{Rule: "missing-manifest", Target: netip.MustParsePrefix("203.0.113.7/32"), Count: 2, Last: noon.Add(time.Hour)}}
	if diff := cmp.Diff(want, got, netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestAllowedPrefixes(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	office := store.AllowEntry{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Comment: "office", By: "uid 0 (root)", Since: noon}
	guest := store.AllowEntry{Prefix: netip.MustParsePrefix("2001:db8::/32"), Until: noon.Add(time.Hour), By: "uid 0 (root)", Since: noon.Add(time.Second)}
	for _, e := range []store.AllowEntry{office, guest, office} {
		if err := s.AllowAdd(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.AllowList(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.AllowEntry{office, guest}, got, netipEqual); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	for _, want := range []bool{true, false} {
		if removed, err := s.AllowRemove(ctx, office.Prefix); err != nil || removed != want {
			t.Errorf("want removed %v, got %v, %v", want, removed, err)
		}
	}
}

func TestPruneLeavesTheYoungestAndGivesSpaceBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	s := open(t, path)
	var changes []detector.Change
	for i := range 2500 { // more than one step of Prune
		c := cause(fmt.Sprint(i), noon)
		c.Samples = []string{string(make([]byte, 400))}
		changes = append(changes, change(detector.ChangeDryRun, "203.0.113.7/32", c))
	}
	save(t, s, changes...)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	calls := 1
	for ; errors.Is(s.Prune(ended, time.Hour, 10), context.Canceled); calls++ {
		if calls > 50 {
			t.Fatal("a Prune that is stopped between two steps comes to no end")
		}
	}
	if calls < 2 {
		t.Error("it was not stopped between two steps")
	}
	entries, err := s.History(t.Context(), store.HistoryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 10 || entries[0].Cause.ID != "2499" || entries[9].Cause.ID != "2490" {
		t.Errorf("want the ten youngest, got %d: %v", len(entries), entries)
	}
	s.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 200<<10 {
		t.Errorf("want a small file after pruning, got %d bytes", info.Size())
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := fresh(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveCheckpoint(t.Context(), store.Checkpoint{}); err == nil {
		t.Error("want an error from a save after the end")
	}
	if _, err := s.Blocks(t.Context()); err == nil {
		t.Error("want an error from a read after the end")
	}
	if err := s.Close(); err != nil {
		t.Errorf("want a second Close to do nothing, got %v", err)
	}
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	var all sync.WaitGroup
	for g := range 3 {
		all.Go(func() {
			for i := range 30 {
				c := change(detector.ChangeBlock, fmt.Sprintf("2001:db8:%x:%x::/64", g, i), cause(fmt.Sprintf("%d-%d", g, i), noon))
				if err := s.Save(ctx, []detector.Change{c}, &store.Checkpoint{Time: noon}); err != nil {
					t.Error(err)
				}
				if _, err := s.History(ctx, store.HistoryFilter{}); err != nil {
					t.Error(err)
				}
				if i == 15 {
					if err := s.Prune(ctx, time.Hour, 1000); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if n := len(blocks(t, s)); n != 90 {
		t.Errorf("want 90 blocks, got %d", n)
	}
}
