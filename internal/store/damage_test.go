package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/internal/store"
)

// filled returns the bytes of a database with some changes in it.
func filled(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.db")
	s := open(t, path)
	for i := range 200 {
		save(t, s, change(detector.ChangeBlock, fmt.Sprintf("203.0.113.%d/32", i), cause(fmt.Sprint(i), noon)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestADamagedDatabaseIsSetAside(t *testing.T) {
	whole := filled(t)
	garbage := []byte(strings.Repeat("no database at all\n", 1000))
	scribbled := append([]byte(nil), whole...)
	for i := 4096; i < len(scribbled)-4096; i += 7 {
		scribbled[i] ^= 0x55
	}
	for _, row := range []struct {
		name    string
		content []byte
		wal     []byte
	}{
		{"garbage", garbage, nil},
		{"garbage with a log", garbage, garbage},
		{"truncated in the middle", whole[:len(whole)/2/4096*4096+100], nil},
		{"truncated in the header", whole[:60], nil},
		{"scribbled over", scribbled, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r.db")
			put(t, path, row.content)
			if row.wal != nil {
				put(t, path+"-wal", row.wal)
			}
			s := open(t, path)
			if want := regexp.QuoteMeta(path) + `\.damaged-\d{8}T\d{6}Z`; !regexp.MustCompile(`^` + want + `$`).MatchString(s.SetAside()) {
				t.Fatalf("want it set aside as %s, got %q", want, s.SetAside())
			}
			if kept, err := os.ReadFile(s.SetAside()); err != nil || string(kept) != string(row.content) {
				t.Errorf("want the damaged file kept as it was, got %d bytes, %v", len(kept), err)
			}
			if kept, err := os.ReadFile(s.SetAside() + "-wal"); row.wal != nil && string(kept) != string(row.wal) {
				t.Errorf("want its log kept with it, got %d bytes, %v", len(kept), err)
			}
			if got := blocks(t, s); len(got) != 0 {
				t.Errorf("want an empty new database, got %v", got)
			}
			save(t, s, change(detector.ChangeBlock, "203.0.113.7/32", cause("a", noon)))
			s.Close()
			if s = open(t, path); s.SetAside() != "" || len(blocks(t, s)) != 1 {
				t.Errorf("want the new database to stay, got %q, %v", s.SetAside(), blocks(t, s))
			}
		})
	}
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnEmptyFileBecomesADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	put(t, path, nil)
	if s := open(t, path); s.SetAside() != "" || len(blocks(t, s)) != 0 {
		t.Errorf("want a new database in its place, got %q", s.SetAside())
	}
}

func TestWhatIsNotOursIsRefusedAndLeftAlone(t *testing.T) {
	for _, row := range []struct{ name, sql, want string }{
		{"another program's", "CREATE TABLE theirs (x)", "it is a database of another program"},
		{"another program's by its mark", "PRAGMA application_id = 7", "it is a database of another program"},
		{"a newer version's", fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = 99", 0x52675764), "its tables are of version 99 and this regwarden knows up to 4: a newer one wrote it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "r.db")
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(row.sql); err != nil {
				t.Fatal(err)
			}
			db.Close()
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(path, nil); err == nil || err.Error() != "store "+path+": "+row.want {
				t.Errorf("want %q, got %v", row.want, err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("want the file untouched, got a change (%v)", err)
			}
			if _, err := store.Open(path, nil); errors.Is(err, store.ErrLocked) {
				t.Error("want the lock given back after an error")
			}
		})
	}
}

func TestADirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.Open(dir, nil); err == nil || err.Error() != "store "+dir+": it is a directory, want the path of a file" {
		t.Errorf("want an error that says so, got %v", err)
	}
	file := filepath.Join(dir, "file")
	put(t, file, nil)
	if _, err := store.Open(filepath.Join(file, "r.db"), nil); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("want an error for a file in the way, got %v", err)
	}
}
