package store

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"regwarden/detector"
)

// saveProbation keeps a target's probation, or forgets one that has no end.
func saveProbation(ctx context.Context, tx *sql.Tx, p *detector.Probation) error {
	if p == nil {
		return nil
	}
	if p.Until.IsZero() {
		_, err := tx.ExecContext(ctx, `DELETE FROM probations WHERE target = ?`, p.Target.String())
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO probations (target, since_ms, until_ms, reblocks) VALUES (?, ?, ?, ?)`,
		p.Target.String(), milliseconds(p.Since), milliseconds(p.Until), p.Reblocks)
	return err
}

// Probations returns the targets that are on probation, those whose time is over too until Prune removes them.
func (s *Store) Probations(ctx context.Context) ([]detector.Probation, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT target, since_ms, until_ms, reblocks FROM probations`)
	if err != nil {
		return nil, s.failed("read the probations", err)
	}
	defer rows.Close()
	var out []detector.Probation
	for rows.Next() {
		var p detector.Probation
		var target string
		var since, until int64
		if err := rows.Scan(&target, &since, &until, &p.Reblocks); err != nil {
			return nil, s.failed("read the probations", err)
		}
		if p.Target, err = netip.ParsePrefix(target); err != nil {
			continue
		}
		p.Since, p.Until = fromMilliseconds(since), fromMilliseconds(until)
		out = append(out, p)
	}
	return out, s.failed("read the probations", rows.Err())
}

// Quota says how often something may be done within a window of time that ends now.
type Quota struct {
	// What is what is limited, and whose use it is.
	What   string
	Max    int
	Window time.Duration
}

// LongestWindow is how long uses are remembered, and so the longest window of a quota.
const LongestWindow = 7 * 24 * time.Hour

// Spent looks whether one more use would go beyond a quota, and returns the first of them that it would, with when there is room again.
func (s *Store) Spent(ctx context.Context, now time.Time, quotas ...Quota) (over *Quota, again time.Time, err error) {
	for _, q := range quotas {
		again, full, err := spent(ctx, s.reader.QueryRowContext, q, now)
		if err != nil || full {
			return &q, again, s.failed("read a quota", err)
		}
	}
	return nil, time.Time{}, nil
}

// Use notes one use of each quota, unless that would go beyond one of them: then nothing is noted, and it is returned with when there is room again.
func (s *Store) Use(ctx context.Context, now time.Time, quotas ...Quota) (over *Quota, again time.Time, err error) {
	err = s.transact(ctx, "use a quota", func(tx *sql.Tx) error {
		for _, q := range quotas {
			at, full, err := spent(ctx, tx.QueryRowContext, q, now)
			if err != nil {
				return err
			}
			if full {
				over, again = &q, at
				return nil
			}
		}
		for _, q := range quotas {
			if _, err := tx.ExecContext(ctx, `INSERT INTO uses (what, time_ms) VALUES (?, ?)`, q.What, milliseconds(now)); err != nil {
				return err
			}
		}
		return nil
	})
	return over, again, err
}

// spent says whether the window is full: the use that must leave it first is then as many back as may be in it.
func spent(ctx context.Context, row func(context.Context, string, ...any) *sql.Row, q Quota, now time.Time) (again time.Time, full bool, err error) {
	if q.Max <= 0 {
		return now.Add(q.Window), true, nil
	}
	var at int64
	err = row(ctx, `SELECT time_ms FROM uses WHERE what = ? AND time_ms > ? ORDER BY time_ms DESC LIMIT 1 OFFSET ?`,
		q.What, milliseconds(now.Add(-q.Window)), q.Max-1).Scan(&at)
	if err == sql.ErrNoRows {
		return time.Time{}, false, nil
	}
	return fromMilliseconds(at).Add(q.Window), err == nil, err
}

// Made is how many blocks a rule or a repository had in a span of time.
type Made struct {
	From time.Time
	Name string
	N    int
}

// MadeByRule counts the blocks since then, in spans of that length counted from it.
func (s *Store) MadeByRule(ctx context.Context, since time.Time, span time.Duration) ([]Made, error) {
	return s.made(ctx, since, span, `SELECT (recorded_ms - ?) / ?, rule, count(*) FROM history INDEXED BY history_made
		WHERE recorded_ms >= ? AND verb IN ('block', 'extend') GROUP BY 1, 2 ORDER BY 1, 2`, milliseconds(since), span.Milliseconds(), milliseconds(since))
}

// MadeByRepository counts the blocks since then for the repositories that had the most. Blocks by rules that count over all repositories are not in it.
func (s *Store) MadeByRepository(ctx context.Context, since time.Time, limit int) ([]Made, error) {
	return s.made(ctx, since, 0, `SELECT 0, about, count(*) FROM history INDEXED BY history_made
		WHERE recorded_ms >= ? AND verb IN ('block', 'extend') AND about != '' GROUP BY about ORDER BY 3 DESC, 2 LIMIT ?`, milliseconds(since), limit)
}

func (s *Store) made(ctx context.Context, since time.Time, span time.Duration, query string, values ...any) ([]Made, error) {
	rows, err := s.reader.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, s.failed("count blocks", err)
	}
	defer rows.Close()
	var out []Made
	for rows.Next() {
		var m Made
		var n int64
		if err := rows.Scan(&n, &m.Name, &m.N); err != nil {
			return nil, s.failed("count blocks", err)
		}
		m.From = since.Add(time.Duration(n) * span)
		out = append(out, m)
	}
	return out, s.failed("count blocks", rows.Err())
}

// RecentPaths are the repositories, and what may be their projects, of the latest so many rows of the history; the latest first.
func (s *Store) RecentPaths(ctx context.Context, rows, limit int) ([]string, error) {
	found, err := s.reader.QueryContext(ctx, `SELECT path FROM history_paths INDEXED BY history_paths_id WHERE id > (SELECT coalesce(max(id), 0) - ? FROM history)
		GROUP BY path ORDER BY max(id) DESC LIMIT ?`, rows, limit)
	if err != nil {
		return nil, s.failed("read the latest paths", err)
	}
	defer found.Close()
	var out []string
	for found.Next() {
		var path string
		if err := found.Scan(&path); err != nil {
			return nil, s.failed("read the latest paths", err)
		}
		out = append(out, path)
	}
	return out, s.failed("read the latest paths", found.Err())
}
