package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// LookAt opens the history of a database that no daemon need have, changes nothing and takes no lock. What it returns can only be asked for history.
func LookAt(path string) (*Store, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("store %s: %w", path, errors.Unwrap(err))
	} else if info.IsDir() {
		return nil, fmt.Errorf("store %s: it is a directory, want the path of a file", path)
	}
	s := &Store{path: path}
	parameters := []string{"mode=ro", "_pragma=query_only(on)"}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		parameters = append(parameters, "immutable=1") // nobody has it open, so that nothing need be written beside it
	}
	var err error
	if s.reader, err = sql.Open("sqlite", s.address(parameters...)); err != nil {
		return nil, s.failed("open it", err)
	}
	if err := s.ours(); err != nil {
		s.Close()
		return nil, s.failed("look at it", err)
	}
	return s, nil
}

// ours fails for a file that is no database of this version.
func (s *Store) ours() error {
	id, err := pragma(s.reader, "application_id")
	if err != nil {
		return err
	}
	version, err := pragma(s.reader, "user_version")
	switch {
	case err != nil:
		return err
	case id != applicationID:
		return errors.New("it is no database of regwarden")
	case version > len(migrations):
		return errors.New("a newer regwarden has written it; use that one")
	case version < len(migrations):
		return errors.New("an older regwarden has written it; start the daemon once, which brings it up to date")
	}
	return nil
}

// Each calls do with the entries that the filter takes, the newest first, until it returns false. Limit is the size of a page.
func (s *Store) Each(ctx context.Context, filter HistoryFilter, do func(HistoryEntry) bool) error {
	for {
		entries, err := s.History(ctx, filter)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !do(e) {
				return nil
			}
			filter.BeforeID = e.ID
		}
		if len(entries) == 0 {
			return nil
		}
	}
}
