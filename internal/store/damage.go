package store

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrLocked says that another daemon has the database.
var ErrLocked = errors.New("in use by another regwarden")

// errDamaged is what quick_check found.
var errDamaged = errors.New("quick_check")

// takeLock takes the lock beside the database for the life of the process. SQLite's own locks last a transaction only.
func takeLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store %s: open its lock: %w", path, err)
	}
	if err := flockSoon(lock); err != nil {
		owner := ownerOf(lock)
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("store %s: %w%s", path, ErrLocked, owner)
		}
		return nil, fmt.Errorf("store %s: lock %s.lock: %w", path, path, err)
	}
	if lock.Truncate(0) == nil { // for whoever is refused; nothing depends on it
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return lock, nil
}

// lockPatience is how long a lock is waited for: a daemon that was killed while it started a command leaves its lock, for a moment, to the
// child that has not become that command yet.
const lockPatience = time.Second

func flockSoon(f *os.File) error {
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := flock(f)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begun) > lockPatience {
			return err
		}
	}
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// ownerOf reads who holds the lock, as far as it is told.
func ownerOf(lock *os.File) string {
	var text [20]byte
	n, _ := lock.ReadAt(text[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// damaged says whether an error means that the file is no database any more. Trouble of the disk or with permissions
// is none: the file may be whole.
func damaged(err error) bool {
	if errors.Is(err, errDamaged) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return e.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
}

// setAside renames the database with its log, and returns its new path.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	for n := 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.damaged-%s-%d", path, now.UTC().Format("20060102T150405Z"), n)
	}
	for _, suffix := range []string{"-wal", "-shm", ""} { // the file last: a log without it would be taken for the new one's
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer d.Close()
	return aside, d.Sync()
}

// inspect refuses a file that belongs to another program or to a newer regwarden, and finds out whether ours is whole. It opens the
// file for reading only: nothing in it is changed, and a log that belongs to a damaged file stays beside it.
func (s *Store) inspect() error {
	db, err := sql.Open("sqlite", s.address("mode=ro"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := belongs(db); err != nil {
		return err
	}
	var found string
	if err := db.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, strings.ReplaceAll(found, "\n", ", "))
	}
	return nil
}

// belongs says whether the database is one that this regwarden can go on with, or new.
func belongs(db *sql.DB) error {
	id, err := pragma(db, "application_id")
	if err != nil {
		return err
	}
	var tables int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if id != applicationID && (id != 0 || tables > 0) {
		return errors.New("it is a database of another program")
	}
	version, err := pragma(db, "user_version")
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("its tables are of version %d and this regwarden knows up to %d: a newer one wrote it", version, len(migrations))
	}
	return nil
}
