package daemon

import (
	"context"

	"regwarden/internal/control"
	"regwarden/internal/store"
)

// ReadHistory reads the history in a database without a daemon, the newest entry first, until do returns false. It changes nothing.
func ReadHistory(ctx context.Context, path string, f control.HistoryFilter, do func(control.HistoryEntry) bool) error {
	s, err := store.LookAt(path)
	if err != nil {
		return err
	}
	defer s.Close()
	filter := store.HistoryFilter{Target: f.Client, Rule: f.Rule, Repository: f.Repository, Project: f.Project, Since: f.Since, Until: f.Until, Limit: 1000}
	return s.Each(ctx, filter, func(e store.HistoryEntry) bool { return do(control.HistoryEntry(e)) })
}
