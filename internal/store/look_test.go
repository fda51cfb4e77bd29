package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/internal/store"
)

// TestTheHistoryOfADatabaseCanBeLookedAt while a daemon has it, after it has stopped, and after it was killed; nothing is left beside it.
func TestTheHistoryOfADatabaseCanBeLookedAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	for i := range 7 {
		save(t, s, change(detector.ChangeDryRun, "203.0.113.7/32", cause(fmt.Sprint(i), noon)))
	}
	look := func(when, path string) {
		t.Helper()
		l, err := store.LookAt(path)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		var ids []string
		err = l.Each(t.Context(), store.HistoryFilter{Limit: 3}, func(e store.HistoryEntry) bool {
			ids = append(ids, e.Cause.ID)
			return e.Cause.ID != "1"
		})
		if err != nil || strings.Join(ids, "") != "654321" {
			t.Errorf("%s: got %v, %v", when, ids, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	look("while the daemon runs", path)
	save(t, s, change(detector.ChangeUnblock, "198.51.100.1/32")) // which still works
	killed := filepath.Join(t.TempDir(), "state.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(killed+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := filepath.Glob(path + "*")
	l, err := store.LookAt(path)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := l.History(t.Context(), store.HistoryFilter{})
	if err != nil || len(entries) != 8 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	l.Close()
	if after, _ := filepath.Glob(path + "*"); len(after) != len(before) {
		t.Errorf("it left %v", after)
	}
	if l, err = store.LookAt(killed); err != nil {
		t.Fatal(err)
	}
	if entries, err = l.History(t.Context(), store.HistoryFilter{}); err != nil || len(entries) != 8 {
		t.Errorf("after a kill: %d entries, %v", len(entries), err)
	}
	l.Close()
}

func TestWhatIsNoHistory(t *testing.T) {
	dir := t.TempDir()
	text, other := filepath.Join(dir, "text"), filepath.Join(dir, "other.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE x (y)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for path, want := range map[string]string{filepath.Join(dir, "none"): "no such file", dir: "it is a directory", text: "look at it: ", other: "it is no database of regwarden"} {
		l, err := store.LookAt(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "store "+path+": ") {
			t.Errorf("want %s: got %v", want, err)
			continue
		}
		if l != nil {
			t.Errorf("%s: a store beside the error", path)
		}
	}
}
