// Package store keeps what must outlive the daemon in one SQLite file: who is blocked and why, what was decided, how far each source is
// read, and the detector's memory. What a call has saved is on the disk when it returns.
//
// It decides nothing: a block that has ended stays until a change says so. One daemon has the file at a time; others may read it with
// the sqlite3 tool.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Store is an open database. Any goroutine may use it.
type Store struct {
	path     string
	logger   *slog.Logger
	lock     *os.File
	writer   *sql.DB           // one connection: all that changes something
	changes  *changeStatements // of the writer
	reader   *sql.DB           // looks on without waiting for the writer
	setAside string
	clock    func() time.Time
}

// Open opens the database at path, or begins one, with its directory. One that is damaged is set aside and a new one begun: SetAside tells.
// It fails with ErrLocked while another daemon has it, and for a file that is no database of ours.
func Open(path string, logger *slog.Logger) (*Store, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("store %s: it is a directory, want the path of a file", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store %s: make its directory: %w", path, err)
	}
	lock, err := takeLock(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, logger: logger, lock: lock, clock: time.Now}
	if err := s.open(); err != nil {
		s.Close()
		return nil, fmt.Errorf("store %s: %w", path, err)
	}
	return s, nil
}

// open opens the file, and a new one if it is damaged.
func (s *Store) open() error {
	err := s.connect()
	if !damaged(err) {
		return err
	}
	s.disconnect()
	aside, moveErr := setAside(s.path, s.clock())
	if moveErr != nil {
		return fmt.Errorf("damaged (%w) and cannot be set aside: %w", err, moveErr)
	}
	s.setAside = aside
	s.logger.Error("the database is damaged and was set aside, a new one is begun", "store", s.path, "set_aside", aside, "error", err)
	return s.connect()
}

// connect checks the file, opens both pools and brings the tables up to date.
func (s *Store) connect() error {
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would make it readable to all
	if err != nil {
		return errors.Unwrap(err)
	}
	file.Close()
	if err := s.inspect(); err != nil {
		return err
	}
	s.writer, err = sql.Open("sqlite", s.address("_txlock=immediate", "_pragma=auto_vacuum(incremental)", "_pragma=journal_mode(wal)",
		"_pragma=synchronous(full)", "_pragma=journal_size_limit(16777216)"))
	if err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.migrate(); err != nil {
		return err
	}
	if s.changes, err = prepareChanges(s.writer); err != nil {
		return err
	}
	s.reader, err = sql.Open("sqlite", s.address("_pragma=query_only(on)"))
	if err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(2)
	return nil
}

// address is the file's URI with the parameters and a time for which a busy database is waited for.
func (s *Store) address(parameters ...string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: s.path}).EscapedPath()}
	u.RawQuery = "_pragma=busy_timeout(10000)"
	for _, p := range parameters {
		u.RawQuery += "&" + p
	}
	return u.String()
}

// SetAside returns where Open put a damaged database, empty if there was none.
func (s *Store) SetAside() string { return s.setAside }

// Path returns the path that the store was opened with.
func (s *Store) Path() string { return s.path }

// Close closes the database and lets another daemon have it.
func (s *Store) Close() error {
	err := s.disconnect()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
		s.lock = nil
	}
	return err
}

func (s *Store) disconnect() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} { // the last to close folds the log into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// transact runs do in one transaction that is on the disk when it returns.
func (s *Store) transact(ctx context.Context, what string, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.failed(what, err)
	}
	defer tx.Rollback() // does nothing after a commit
	if err := do(tx); err != nil {
		return s.failed(what, err)
	}
	return s.failed(what, tx.Commit())
}

// failed says what was attempted on which database; nil stays nil.
func (s *Store) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %s: %w", s.path, what, err)
}

// milliseconds is a time as the tables have it; the zero time is 0.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func pragma(db *sql.DB, name string) (int, error) {
	var text string
	if err := db.QueryRow("PRAGMA " + name).Scan(&text); err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}
