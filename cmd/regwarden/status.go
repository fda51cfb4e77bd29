package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

func statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "status",
		GroupID: groupBlocks,
		Short:   "tell how the daemon, its sources, rules and actions are",
		Long: "Tell how the running daemon is, on one screen: whether it really blocks, what\n" +
			"it reads and when the last line came, what each rule has found, whether each\n" +
			"action works, and what needs a hand.",
		Args: takes(),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := client(c).Status(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), s)
		}
		printStatus(c.OutOrStdout(), s, time.Now())
		return nil
	}
	return c
}

func printStatus(w io.Writer, s control.Status, now time.Time) {
	fmt.Fprintf(w, "regwarden %s, running since %s (%s)\n", escape(s.Version), moment(s.Since), span(now.Sub(s.Since)))
	if s.Config != "" {
		fmt.Fprintf(w, "configuration %s\n", name(s.Config))
	}
	if s.DryRun {
		fmt.Fprintln(w, "DRY RUN: no rule blocks anybody, history tells what would have been blocked")
	}
	blocked := "nobody is blocked"
	if s.Blocks > 0 {
		blocked = count(s.Blocks, "target") + " blocked"
	}
	if s.DryRun && s.Blocks > 0 {
		blocked = count(s.Blocks, "block") + " from before, not enforced now"
	}
	fmt.Fprintf(w, "%s; %s, %s, %s in %s\n", blocked, count(s.Counts.Events, "event"), count(s.Counts.Hits, "hit"),
		count(s.Counts.Tracked, "count"), size(s.Counts.Memory))
	printSources(w, s.Sources, now)
	printRules(w, s.Rules)
	printActions(w, s.Actions)
	printWarnings(w, s)
}

func printSources(w io.Writer, sources []control.SourceStatus, now time.Time) {
	if len(sources) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w, "SOURCE", "LINES", "UNPARSED", "LAST LINE", "FORMAT", "PATH")
	for _, s := range sources {
		t.row(name(s.Source), fmt.Sprint(s.Lines), share(s.Unparsed, s.Lines), lastLine(s, now), escape(s.Dialect), escape(s.Path))
	}
	t.flush()
	for _, s := range sources {
		if s.Error != "" {
			fmt.Fprintf(w, "  %s fails: %s\n", name(s.Source), escape(s.Error))
		}
		if s.Cut > 0 {
			fmt.Fprintf(w, "  %s: %s too long and cut\n", name(s.Source), count(s.Cut, "line"))
		}
	}
}

// lastLine is how long ago a source's last line came.
func lastLine(s control.SourceStatus, now time.Time) string {
	switch {
	case !s.LastLine.IsZero():
		return ago(s.LastLine, now)
	case s.Lines > 0:
		return "before the start"
	}
	return "none yet"
}

// share is a number, and how much of the whole it is where it is some of it.
func share(n, whole uint64) string {
	if n == 0 || whole == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%.1f%%)", n, 100*float64(n)/float64(whole))
}

func printRules(w io.Writer, rules []control.RuleStatus) {
	if len(rules) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w, "RULE", "HITS", "MODE", "FROM")
	for _, r := range rules {
		mode := "blocks"
		if r.DryRun {
			mode = "dry run"
		}
		t.row(name(r.Name), fmt.Sprint(r.Hits), mode, escape(r.Origin))
	}
	t.flush()
}

func printActions(w io.Writer, actions []control.ActionStatus) {
	if len(actions) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(w, "ACTION", "KIND", "STATE", "APPLIED", "PENDING", "FAILED")
	for _, a := range actions {
		state := "healthy"
		if !a.Healthy {
			state = "fails"
		}
		t.row(name(a.Name), escape(a.Kind), state, fmt.Sprint(a.Applied), fmt.Sprint(a.Pending), fmt.Sprint(a.Failed))
	}
	t.flush()
	for _, a := range actions {
		if !a.Healthy {
			fmt.Fprintf(w, "  %s fails: %s\n", name(a.Name), escape(a.LastError))
		}
		if a.Healed > 0 {
			fmt.Fprintf(w, "  %s: %s made right again after others had changed it\n", name(a.Name), count(a.Healed, "time"))
		}
		if a.Dropped > 0 {
			fmt.Fprintf(w, "  %s: %s dropped\n", name(a.Name), count(a.Dropped, "change"))
		}
	}
}

func printWarnings(w io.Writer, s control.Status) {
	warnings := slices.Clone(s.Warnings)
	if s.ReloadError != "" {
		warnings = append(warnings, "the last reload changed nothing, the old configuration goes on running:\n"+s.ReloadError)
	}
	if len(warnings) > 0 {
		fmt.Fprintln(w)
	}
	for _, text := range warnings {
		for line := range strings.Lines(text) {
			fmt.Fprintf(w, "warning: %s\n", escape(strings.TrimRight(line, "\n")))
		}
	}
}
