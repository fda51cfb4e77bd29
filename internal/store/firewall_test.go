package store_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"regwarden/internal/store"
)

// TestFirewallPlacesAreKept over a restart, in a database of the first version too, and replaced as a whole.
func TestFirewallPlacesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	s.Close()
	older(t, path)
	want := []store.FirewallPlace{{Kind: "iptables", Name: "REGWARDEN", Set: "regwarden"}, {Kind: "nftables", Name: "regwarden"}}
	s = open(t, path)
	if got, err := s.FirewallPlaces(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("want none in the beginning, got %v, %v", got, err)
	}
	for range 2 {
		if err := s.SaveFirewallPlaces(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s, err := store.OpenExisting(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.FirewallPlaces(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("want %v, got %v, %v", want, got, err)
	}
	if err := s.SaveFirewallPlaces(t.Context(), want[1:]); err != nil {
		t.Fatal(err)
	}
	if got, err := s.FirewallPlaces(t.Context()); err != nil || !slices.Equal(got, want[1:]) {
		t.Errorf("want %v, got %v, %v", want[1:], got, err)
	}
}

// older makes the database one of version 1.
func older(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec(`DROP TABLE firewall_places; ALTER TABLE causes DROP COLUMN tags; ALTER TABLE history DROP COLUMN tags;
			DROP INDEX history_made; DROP INDEX history_target; DROP TABLE history_paths; DROP TABLE probations; DROP TABLE uses;
			ALTER TABLE causes DROP COLUMN about; ALTER TABLE causes DROP COLUMN reblock;
			ALTER TABLE history DROP COLUMN about; ALTER TABLE history DROP COLUMN reblock; PRAGMA user_version = 1`)
	}
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

// TestOpenExistingBeginsNothing: it makes no file, moves no damaged one, and does not come between a daemon and its database.
func TestOpenExistingBeginsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if _, err := store.OpenExisting(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want it missing, got %v", err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 0 {
		t.Errorf("want nothing made, got %v", list)
	}
	s := open(t, path)
	if _, err := store.OpenExisting(path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("want it locked, got %v", err)
	}
	s.Close()
	if err := os.WriteFile(path, []byte("this is no database, and it is longer than a header of one hundred bytes would be: so it must be damaged......"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenExisting(path); err == nil {
		t.Error("want the damage told")
	}
	if aside, _ := filepath.Glob(path + ".damaged*"); len(aside) != 0 {
		t.Errorf("want it left where it is, got %v", aside)
	}
}
