package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

const (
	// pruneRows is how many rows one transaction of Prune removes, so that changes need not wait long.
	pruneRows = 2000
	// vacuumPages is how many free pages one step gives back to the file system.
	vacuumPages = 1000
)

// Prune removes history recorded more than keep ago, and the oldest beyond maxRows, strikes that are as old, and allowed prefixes that
// have ended. A zero keep or maxRows sets no bound. Then it gives free space back. When ctx ends it stops between two steps with ctx's error, and whoever calls
// again goes on from there.
func (s *Store) Prune(ctx context.Context, keep time.Duration, maxRows int) error {
	now := s.clock()
	if keep > 0 {
		before := milliseconds(now.Add(-keep))
		if err := s.remove(ctx, `DELETE FROM history WHERE id IN (SELECT id FROM history WHERE recorded_ms < ? LIMIT ?)`, before); err != nil {
			return err
		}
		if err := s.remove(ctx, `DELETE FROM strikes WHERE (rule, target) IN (SELECT rule, target FROM strikes WHERE last_ms < ? LIMIT ?)`, before); err != nil {
			return err
		}
	}
	if maxRows > 0 {
		err := s.remove(ctx, `DELETE FROM history WHERE id IN (SELECT id FROM history
			WHERE id <= (SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?) LIMIT ?)`, int64(maxRows))
		if err != nil {
			return err
		}
	}
	if err := s.remove(ctx, `DELETE FROM history_paths WHERE (path, id) IN (SELECT path, id FROM history_paths
			WHERE id < coalesce((SELECT min(id) FROM history), ?) LIMIT ?)`, math.MaxInt64); err != nil {
		return err
	}
	if err := s.remove(ctx, `DELETE FROM probations WHERE target IN (SELECT target FROM probations WHERE until_ms < ? LIMIT ?)`, milliseconds(now)); err != nil {
		return err
	}
	if err := s.remove(ctx, `DELETE FROM uses WHERE id IN (SELECT id FROM uses WHERE time_ms < ? LIMIT ?)`, milliseconds(now.Add(-LongestWindow))); err != nil {
		return err
	}
	err := s.remove(ctx, `DELETE FROM allowed WHERE prefix IN (SELECT prefix FROM allowed WHERE until_ms > 0 AND until_ms < ? LIMIT ?)`, milliseconds(now))
	if err != nil {
		return err
	}
	return s.vacuum(ctx)
}

// remove runs a DELETE of at most so many rows until nothing is left to it.
func (s *Store) remove(ctx context.Context, statement string, bound int64) error {
	step := context.WithoutCancel(ctx)
	for {
		var removed int64
		err := s.transact(step, "prune", func(tx *sql.Tx) error {
			result, err := tx.ExecContext(step, statement, bound, pruneRows)
			if err == nil {
				removed, err = result.RowsAffected()
			}
			return err
		})
		if err != nil || removed < pruneRows {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// vacuum gives the pages that hold nothing back, some at a time.
func (s *Store) vacuum(ctx context.Context) error {
	for {
		free, err := pragma(s.writer, "freelist_count")
		if err != nil || free == 0 {
			return s.failed("vacuum", err)
		}
		if err := s.vacuumStep(context.WithoutCancel(ctx)); err != nil {
			return s.failed("vacuum", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		left, err := pragma(s.writer, "freelist_count")
		if err != nil || left >= free {
			return s.failed("vacuum", err)
		}
	}
}

// vacuumStep reads the pragma to its end: each row that it gives is a page.
func (s *Store) vacuumStep(ctx context.Context) error {
	rows, err := s.writer.QueryContext(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumPages))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
