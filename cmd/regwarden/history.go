package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
	"regwarden/internal/strict"
)

func historyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "history",
		GroupID: groupBlocks,
		Short:   "tell what happened, the newest first",
		Long: "Tell who was blocked, spared, unblocked and by whom, the newest first. --since\n" +
			"and --until take a time such as 2026-10-05T08:00:00Z or a duration such as\n" +
			"24h, which counts back from now.",
		Example: "  regwarden history --since 24h\n  regwarden history --client 203.0.113.7 --limit 10",
		Args:    takes(),
	}
	asJSON := jsonFlag(c)
	filter := filterFlags(c)
	since := c.Flags().String("since", "", "only what happened since `TIME`, or that long ago")
	before := c.Flags().String("until", "", "only what happened before `TIME`, or that long ago")
	limit := c.Flags().Int("limit", 100, "at most `N`, up to 1000")
	beforeID := c.Flags().Int64("before", 0, "only what came before `ID`: the next page")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f := control.HistoryFilter{Limit: *limit, BeforeID: *beforeID}
		var err error
		now := time.Now()
		if f.BlockFilter, err = filter.parse(c); err != nil {
			return err
		}
		if f.Since, err = parseTime("--since", *since, now); err != nil {
			return err
		}
		if f.Until, err = parseTime("--until", *before, now); err != nil {
			return err
		}
		if *limit < 1 || *limit > 1000 {
			return wrongUse(c, "--limit: %d is not from 1 to 1000", *limit)
		}
		entries, err := client(c).History(c.Context(), f)
		if err != nil {
			return err
		}
		if *asJSON {
			return control.WriteJSONList(c.OutOrStdout(), entries)
		}
		printHistory(c.OutOrStdout(), entries, *limit)
		return nil
	}
	return c
}

// parseTime reads a time, or a duration before now.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := strict.Duration(text)
	if err != nil || d <= 0 {
		return time.Time{}, &exitError{exitWrong, errors.New(flag + ": " + strconv.Quote(text) + " is neither a time nor a duration"),
			"write it like 2026-10-05T08:00:00Z, 90m, 24h or 7d"}
	}
	return now.Add(-d), nil
}

func printHistory(w io.Writer, entries []control.HistoryEntry, limit int) {
	if len(entries) == 0 {
		fmt.Fprintln(w, "nothing happened")
		return
	}
	t := newTable(w, "TIME", "WHAT", "TARGET", "RULE", "BY", "WHY")
	for _, e := range entries {
		why := e.Note
		if why == "" {
			why = e.Cause.Reason
		}
		t.row(moment(e.Time), escape(e.Verb), target(e.Target), name(e.Cause.Rule), escape(e.By), escape(why))
	}
	t.flush()
	if len(entries) == limit {
		fmt.Fprintf(w, "older ones: --before %d\n", entries[len(entries)-1].ID)
	}
}
