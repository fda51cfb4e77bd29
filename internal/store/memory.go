package store

import (
	"context"
	"database/sql"
	"net/netip"
	"time"
)

// Strike is how often a rule has blocked a target, and when the latest of those blocks ends.
type Strike struct {
	Rule   string
	Target netip.Prefix
	Count  int
	Last   time.Time
}

// Strikes returns the strikes that SaveChanges took from the causes and Prune has left.
func (s *Store) Strikes(ctx context.Context) ([]Strike, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT rule, target, count, last_ms FROM strikes ORDER BY rule, target`)
	if err != nil {
		return nil, s.failed("read the strikes", err)
	}
	defer rows.Close()
	var strikes []Strike
	for rows.Next() {
		var k Strike
		var target string
		var last int64
		if err := rows.Scan(&k.Rule, &target, &k.Count, &last); err != nil {
			return nil, s.failed("read the strikes", err)
		}
		if k.Target, err = netip.ParsePrefix(target); err != nil {
			continue // a strike that nobody can be given is no loss
		}
		k.Last = fromMilliseconds(last)
		strikes = append(strikes, k)
	}
	return strikes, s.failed("read the strikes", rows.Err())
}

// AllowEntry is a prefix that is never blocked, by hand.
type AllowEntry struct {
	Prefix  netip.Prefix `json:"prefix"`
	Until   time.Time    `json:"until,omitzero"` // zero is for ever
	Comment string       `json:"comment,omitempty"`
	By      string       `json:"by"`
	Since   time.Time    `json:"since"`
}

// AllowAdd adds an entry, in place of one for the same prefix.
func (s *Store) AllowAdd(ctx context.Context, e AllowEntry) error {
	return s.transact(ctx, "allow "+e.Prefix.String(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO allowed (prefix, until_ms, comment, by_whom, since_ms) VALUES (?, ?, ?, ?, ?)`,
			e.Prefix.Masked().String(), milliseconds(e.Until), e.Comment, e.By, milliseconds(e.Since))
		return err
	})
}

// AllowRemove removes the entry of exactly that prefix; it says whether there was one.
func (s *Store) AllowRemove(ctx context.Context, prefix netip.Prefix) (bool, error) {
	var removed int64
	err := s.transact(ctx, "no longer allow "+prefix.String(), func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM allowed WHERE prefix = ?`, prefix.Masked().String())
		if err == nil {
			removed, err = result.RowsAffected()
		}
		return err
	})
	return removed > 0, err
}

// AllowList returns the entries in the order in which they were made, those that have ended included until Prune removes them.
func (s *Store) AllowList(ctx context.Context) ([]AllowEntry, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT prefix, until_ms, comment, by_whom, since_ms FROM allowed ORDER BY since_ms, prefix`)
	if err != nil {
		return nil, s.failed("read the allowed prefixes", err)
	}
	defer rows.Close()
	var entries []AllowEntry
	for rows.Next() {
		var e AllowEntry
		var prefix string
		var until, since int64
		if err := rows.Scan(&prefix, &until, &e.Comment, &e.By, &since); err != nil {
			return nil, s.failed("read the allowed prefixes", err)
		}
		if e.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			s.logger.Warn("an allowed prefix in the database is not valid and is left out", "store", s.path, "prefix", prefix)
			continue
		}
		e.Until, e.Since = fromMilliseconds(until), fromMilliseconds(since)
		entries = append(entries, e)
	}
	return entries, s.failed("read the allowed prefixes", rows.Err())
}
