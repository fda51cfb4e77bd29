package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"regwarden/actions"
	"regwarden/internal/answer"
	"regwarden/internal/config"
)

// EmptyLists empties the blocklist files and the answers that the configuration has front ends read, and runs the commands that make them read again,
// for a host from which the daemon goes: nobody would take the entries off any more. What is not there is not made.
func EmptyLists(ctx context.Context, c *config.Config) (emptied []string, err error) {
	there := *c
	there.Actions.Blocklists = nil
	for _, b := range c.Actions.Blocklists {
		if _, err := os.Stat(b.Path); err == nil {
			there.Actions.Blocklists = append(there.Actions.Blocklists, b)
		}
	}
	var list []actions.Placed
	var errs []error
	for _, b := range there.Actions.Blocklists {
		a, err := actions.NewBlocklist(actions.BlocklistOptions{Name: "blocklist", SetName: b.Set,
			Files: []actions.BlocklistFile{{Path: b.Path, Format: b.Format, Mode: b.Mode, After: b.After}}})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, placedList{a, b.Path})
	}
	text, err := answer.NewText("", "") // nobody reads it: there is no block
	if err != nil {
		return nil, err
	}
	answers, err := makeAnswers(&there, text, slog.New(slog.DiscardHandler))
	if err != nil {
		errs = append(errs, err)
	}
	for _, a := range answers {
		if p, ok := a.(actions.Placed); ok {
			if _, err := os.Stat(p.Place()); err == nil {
				list = append(list, p)
			}
		}
	}
	for _, a := range list {
		bounded, cancel := context.WithTimeout(ctx, runnersStop)
		if err := a.Sync(bounded, nil); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.Place(), err))
		} else {
			emptied = append(emptied, a.Place())
		}
		cancel()
	}
	return emptied, errors.Join(errs...)
}

// placedList is a blocklist of one file.
type placedList struct {
	*actions.Blocklist
	path string
}

// Place is the file.
func (p placedList) Place() string { return p.path }
