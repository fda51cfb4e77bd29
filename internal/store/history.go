package store

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"regwarden/detector"
)

// HistoryFilter says which entries of the history are wanted. A zero field filters nothing.
type HistoryFilter struct {
	// Target takes the entries whose target has an address in common with it.
	Target     netip.Prefix
	Rule       string
	Repository string
	Project    string
	// Within takes the entries that may concern what lies at or below that path, a repository's or a project's.
	Within string
	// Holds takes the entries whose target has that address in it. It is found faster than by Target.
	Holds    netip.Addr
	Since    time.Time // this one included
	Until    time.Time // this one not
	Limit    int       // 100 if zero
	BeforeID int64     // only older ones: the ID of the last one shown
}

// HistoryEntry is a change that was made, or a dry run's that was not.
type HistoryEntry struct {
	ID     int64          `json:"id"`
	Time   time.Time      `json:"time"`
	Verb   string         `json:"verb"`
	Target netip.Prefix   `json:"target"`
	Cause  detector.Cause `json:"cause"`
	By     string         `json:"by"`
	Note   string         `json:"note,omitempty"`
}

// History returns entries, the newest first.
func (s *Store) History(ctx context.Context, filter HistoryFilter) ([]HistoryEntry, error) {
	from, order := "history", "history.id"
	switch {
	case filter.Within != "":
		// In the order of the index, so that one page is read and not all that there is of the path.
		from, order = "history_paths CROSS JOIN history ON history.id = history_paths.id", "history_paths.id"
	case filter.Holds.IsValid():
		order = "+history.id" // the plus keeps it from reading all of the table in order instead of by the target
	}
	where, values := filter.conditions(strings.TrimPrefix(order, "+"))
	rows, err := s.reader.QueryContext(ctx, `SELECT history.id, time_ms, verb, target, `+causeColumns+`, changed_by, note FROM `+from+
		where+` ORDER BY `+order+` DESC LIMIT ?`, values...)
	if err != nil {
		return nil, s.failed("read the history", err)
	}
	defer rows.Close()
	var entries []HistoryEntry
	for rows.Next() {
		var e HistoryEntry
		var at int64
		var target string
		if err := scanCause(rows, &e.Cause, []any{&e.ID, &at, &e.Verb, &target}, &e.By, &e.Note); err != nil {
			return nil, s.failed("read the history", err)
		}
		e.Time = fromMilliseconds(at)
		e.Target, _ = netip.ParsePrefix(target)
		entries = append(entries, e)
	}
	return entries, s.failed("read the history", rows.Err())
}

// conditions returns the WHERE clause and its values, the limit last; id is the column of the IDs.
func (f HistoryFilter) conditions(id string) (string, []any) {
	var where []string
	var values []any
	add := func(wanted bool, condition string, v ...any) {
		if wanted {
			where, values = append(where, condition), append(values, v...)
		}
	}
	if f.Target.IsValid() {
		lowest, highest := bounds(f.Target)
		add(true, "lowest <= ? AND highest >= ?", highest, lowest)
	}
	add(f.Rule != "", "rule = ?", f.Rule)
	add(f.Within != "", "history_paths.path = ?", strings.ToLower(f.Within))
	add(f.Holds.IsValid(), "target IN (SELECT value FROM json_each(?))", targetsAround(f.Holds))
	add(f.Repository != "", "EXISTS (SELECT 1 FROM json_each(repositories) WHERE value = ?)", f.Repository)
	add(f.Project != "", "EXISTS (SELECT 1 FROM json_each(projects) WHERE value = ?)", f.Project)
	add(!f.Since.IsZero(), "time_ms >= ?", milliseconds(f.Since))
	add(!f.Until.IsZero(), "time_ms < ?", milliseconds(f.Until))
	add(f.BeforeID > 0, id+" < ?", f.BeforeID)
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	values = append(values, limit)
	if len(where) == 0 {
		return "", values
	}
	return " WHERE " + strings.Join(where, " AND "), values
}

// Known returns the IDs of the causes that were decided, dry runs and spared ones too, and recorded since then by the host's clock: a
// decision that is made again after a crash is known by them. Causes that are active are always known.
func (s *Store) Known(ctx context.Context, since time.Time) (map[string]bool, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT cause_id FROM history WHERE recorded_ms >= ? AND verb IN (?, ?, ?, ?) UNION SELECT cause_id FROM causes`,
		milliseconds(since), detector.ChangeBlock, detector.ChangeExtend, detector.ChangeDryRun, detector.ChangeSpared)
	if err != nil {
		return nil, s.failed("read the known causes", err)
	}
	defer rows.Close()
	known := make(map[string]bool)
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, s.failed("read the known causes", err)
		}
		known[id] = true
	}
	return known, s.failed("read the known causes", rows.Err())
}
