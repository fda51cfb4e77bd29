package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
	"regwarden/internal/report"
)

// reportFlags are what `report` is told.
type reportFlags struct {
	replayFlags
	since, database, html string
	logs                  bool
}

func reportCommand() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report [FILE…]",
		Short: "tell what would have been blocked and why, in words or as a page",
		Long: `Report tells whom the rules would have blocked (or have blocked), by which lines, whom the guards spared and why, and what to change before blocks are enforced.

Without FILE it asks the daemon for its history of the last day, or reads the database where no daemon runs. With FILE it replays these logs, and with --logs those that the
configuration names, rotated files and the journal too: then nothing of the past is needed. It changes nothing.`,
		Example: `  regwarden report --since 24h --html report.html
  regwarden report --logs --html report.html
  regwarden report /var/log/gitlab/nginx/gitlab_registry_access.log*`,
		GroupID: groupLogs,
		Args:    cobra.ArbitraryArgs,
		RunE:    func(cmd *cobra.Command, files []string) error { return runReport(cmd, f, files) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "only what happened since `TIME`, or that long ago (default 24h of the daemon's history, all of logs)")
	flags.StringVar(&f.database, "database", "", "read the history in this `file` instead of asking the daemon")
	flags.StringVar(&f.html, "html", "", "write a page to this `file`, which is replaced")
	flags.BoolVar(&f.logs, "logs", false, "replay the logs of the configuration's sources")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	return cmd
}

func runReport(cmd *cobra.Command, f reportFlags, files []string) error {
	since, err := parseTime("--since", f.since, time.Now())
	if err != nil {
		return err
	}
	if len(files) > 0 && f.logs || f.database != "" && (f.logs || len(files) > 0) {
		return wrongUse(cmd, "of FILE, --logs and --database only one can be told")
	}
	var r *report.Report
	switch {
	case f.logs:
		r, err = f.fromConfigured(cmd, since)
	case len(files) > 0:
		r, err = f.fromLogs(cmd, files, since)
	default:
		r, err = f.fromHistory(cmd, since)
	}
	if err != nil {
		return err
	}
	if f.html != "" {
		if err := writeReport(f.html, r); err != nil {
			return err
		}
	}
	if f.json {
		return control.WriteJSON(cmd.OutOrStdout(), r)
	}
	printReport(cmd.OutOrStdout(), r)
	if f.html != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "\nThe page is in %s.\n", escape(f.html))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// fromHistory asks the daemon, or reads its database.
func (f *reportFlags) fromHistory(cmd *cobra.Command, since time.Time) (*report.Report, error) {
	now := time.Now()
	if since.IsZero() {
		since = now.Add(-24 * time.Hour)
	}
	filter := control.HistoryFilter{Since: since, Limit: 1000}
	if f.database == "" {
		o := f.builder(report.FromHistory, "the daemon's history", since)
		o.To = now
		c := client(cmd)
		status, err := c.Status(cmd.Context())
		if err == nil {
			o.DryRun, o.Config = status.DryRun, status.Config
			for _, s := range status.Sources {
				o.Sources = append(o.Sources, report.Source{Path: s.Path, Lines: s.Lines, Unparsed: s.Unparsed, Error: s.Error})
			}
			b := report.New(o)
			if err := pages(cmd.Context(), c, filter, b); err != nil {
				return nil, err
			}
			return b.Report(), nil
		}
		if !errors.Is(err, control.ErrNoDaemon) {
			return nil, err
		}
		path, pathErr := f.databasePath()
		if pathErr != nil {
			return nil, err // no daemon, and nothing to read instead
		}
		f.database = path
	}
	o := f.builder(report.FromHistory, "the history in "+f.database, since)
	o.To = now
	b := report.New(o)
	err := daemon.ReadHistory(cmd.Context(), f.database, filter, func(e control.HistoryEntry) bool {
		b.Add(told(e))
		return true
	})
	if err != nil {
		return nil, &exitError{exitWrong, err, "name logs to replay instead: regwarden report FILE…"}
	}
	return b.Report(), nil
}

// pages asks for the whole of the history, page by page.
func pages(ctx context.Context, c *control.Client, filter control.HistoryFilter, b *report.Builder) error {
	for {
		entries, err := c.History(ctx, filter)
		if err != nil {
			return err
		}
		for _, e := range entries {
			b.Add(told(e))
			filter.BeforeID = e.ID
		}
		if len(entries) < filter.Limit {
			return nil
		}
	}
}

// databasePath is where the configuration keeps the database, if it is there.
func (f *reportFlags) databasePath() (string, error) {
	c, err := configFor(f.config)
	if err != nil {
		return "", err
	}
	path := config.Default().StateFile
	if c != nil {
		path = c.StateFile
	}
	_, err = os.Stat(path)
	return path, err
}

// builder begins the options of a report: what is known of the configuration, and what each rule sees.
func (f *reportFlags) builder(origin, where string, since time.Time) report.Options {
	o := report.Options{Origin: origin, Where: escape(where), From: since, Location: time.Local, Printable: escape, Summaries: map[string]string{}}
	c, err := configFor(f.config)
	if err == nil && c != nil {
		o.DryRun, o.Config = c.DryRun, c.Path
	}
	set, err := ruleSet(c, f.rules)
	if err != nil {
		return o // the report only loses what rules see
	}
	for _, r := range set.Rules {
		o.Summaries[r.Name] = escape(r.Summary)
	}
	return o
}

// decided is a replay's decision as an entry.
func decided(d detector.Decision) report.Entry {
	by := "rule"
	if d.Verb == detector.VerbUnblock {
		by = "storm guard"
	}
	return report.Entry{Time: d.Time, Verb: d.Verb, ID: d.ID, Target: d.Target, Rule: d.Rule, Guard: d.Guard, By: by, Reason: d.Reason, Count: d.Count,
		Since: d.Time, Until: d.Until, Repositories: d.Repositories, Samples: d.Samples}
}

// told is an entry of the history; of spared ones the note is the guard.
func told(e control.HistoryEntry) report.Entry {
	out := report.Entry{Time: e.Time, Verb: e.Verb, ID: e.Cause.ID, Target: e.Target, Rule: e.Cause.Rule, By: e.By, Reason: e.Cause.Reason, Note: e.Note,
		Count: e.Cause.Count, Since: e.Cause.Since, Until: e.Cause.Until, Repositories: e.Cause.Repositories, Samples: e.Cause.Samples}
	if e.Verb == detector.ChangeSpared {
		out.Guard, out.Note = e.Note, ""
	}
	return out
}

// writeReport replaces the page in one step, so that nobody reads half of it.
func writeReport(path string, r *report.Report) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return &exitError{exitWrong, fmt.Errorf("write %s: it is no plain file", path), "name a file that may be replaced"}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".regwarden-report-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, unwrapped(err))
	}
	defer os.Remove(f.Name()) // does nothing after the rename
	err = errors.Join(r.WriteHTML(f), f.Chmod(0o640), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func unwrapped(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// mostRows is how many rows of a list are printed; the page and the JSON have more.
const mostRows = 20

func printReport(w io.Writer, r *report.Report) {
	fmt.Fprintf(w, "%s to %s, from %s\n\n%s\n", moment(r.From), moment(r.To), r.Where, r.Headline())
	if r.DryRun {
		fmt.Fprintln(w, "This is a dry run (dry_run = true): everything is decided and nobody is blocked.")
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
	if r.LeftOut > 0 {
		fmt.Fprintf(w, "%d entries are left out; ask for a shorter time with --since.\n", r.LeftOut)
	}
	printRuleSums(w, r.Rules)
	printTargets(w, r)
	if len(r.Repositories) > 0 {
		fmt.Fprintln(w, "\nWhich repositories")
		t := newTable(w, "REPOSITORY", "CLIENTS", "TIMES", "RULES")
		for _, p := range r.Repositories[:min(len(r.Repositories), mostRows)] {
			t.row(p.Name, fmt.Sprint(p.Clients), fmt.Sprint(p.Times), strings.Join(p.Rules, ", "))
		}
		t.flush()
		more(w, len(r.Repositories))
	}
	for _, g := range r.Guards {
		fmt.Fprintf(w, "\nSpared by the guard %s: %s, %s\n", g.Name, count(g.Clients, "client"), count(g.Times, "time"))
		for _, s := range g.Spared[:min(len(g.Spared), mostRows)] {
			fmt.Fprintf(w, "  %s (%s, %s)\n      %s\n", s.Target, strings.Join(s.Rules, ", "), count(s.Times, "time"), s.Reason)
		}
		more(w, len(g.Spared))
	}
	if len(r.Lifted) > 0 {
		fmt.Fprintln(w, "\nLifted by hand")
		t := newTable(w, "WHEN", "CLIENT", "RULE", "BY", "BECAUSE")
		for _, l := range r.Lifted[:min(len(r.Lifted), mostRows)] {
			t.row(moment(l.Time), l.Target, l.Rule, l.By, l.Note)
		}
		t.flush()
		more(w, len(r.Lifted))
	}
	fmt.Fprintln(w, "\nWhat to do")
	for _, text := range r.ToDo {
		fmt.Fprintf(w, "- %s\n", text) // not wrapped, so that its commands can be copied
	}
}

func printRuleSums(w io.Writer, rules []report.Rule) {
	if len(rules) == 0 {
		return
	}
	fmt.Fprintln(w, "\nBy rule")
	t := newTable(w, "RULE", "CLIENTS", "WOULD BLOCK", "BLOCKED", "SPARED", "WHAT IT SEES")
	for _, r := range rules {
		t.row(r.Name, fmt.Sprint(r.Clients), fmt.Sprint(r.Would), fmt.Sprint(r.Blocked), fmt.Sprint(r.Spared), r.Summary)
	}
	t.flush()
}

func printTargets(w io.Writer, r *report.Report) {
	if len(r.Targets) == 0 {
		return
	}
	fmt.Fprintln(w, "\nWho, and why the last time")
	for _, t := range r.Targets[:min(len(r.Targets), mostRows)] {
		when := moment(t.First)
		if !t.Last.Equal(t.First) {
			when += " to " + moment(t.Last)
		}
		fmt.Fprintf(w, "  %s (%s), %s, up to %s, %s\n      %s\n", t.Target, strings.Join(t.Rules, ", "), count(t.Would+t.Blocked, "time"),
			span(time.Duration(t.Longest)*time.Second), when, t.Reason)
		if len(t.Samples) > 0 {
			fmt.Fprintf(w, "      | %s\n", t.Samples[0])
		}
	}
	more(w, r.Clients)
}

// more says how many rows are not printed.
func more(w io.Writer, n int) {
	if n > mostRows {
		fmt.Fprintf(w, "  … and %d more: --json or --html show them\n", n-mostRows)
	}
}
