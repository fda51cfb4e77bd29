package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/strict"
)

func blocksCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "blocks",
		GroupID: groupBlocks,
		Short:   "tell who is blocked, until when and by which rule",
		Long: "Tell who is blocked. With --client it tells whether that address or prefix is,\n" +
			"and the exit code is 2 when it is not; blocks show tells all about one block.\n" +
			"Blocks that were made before dry_run was switched on are kept and listed, but\n" +
			"not enforced: a warning says so, and status --json has it as dry_run.",
		Example: "  regwarden blocks\n  regwarden blocks --repository acme/web\n  regwarden blocks --client 203.0.113.7",
		Args:    cobra.ArbitraryArgs,
	}
	asJSON := jsonFlag(c)
	filter := filterFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownVerb(c, args[0])
		}
		f, err := filter.parse(c)
		if err != nil {
			return err
		}
		blocks, err := client(c).Blocks(c.Context(), f)
		if err != nil {
			return err
		}
		if *asJSON {
			err = control.WriteJSONList(c.OutOrStdout(), blocks)
		} else if len(blocks) > 0 {
			printBlocks(c.OutOrStdout(), blocks, time.Now())
		}
		if err != nil || len(blocks) > 0 {
			notEnforced(c, blocks)
			return err
		}
		return nobody(c, filter, f, *asJSON)
	}
	c.AddCommand(showCommand())
	return c
}

// notEnforced warns that a dry run lets everybody through, those included who are listed.
func notEnforced(c *cobra.Command, blocks []detector.Block) {
	if s, err := client(c).Status(c.Context()); err == nil && s.DryRun && len(blocks) > 0 {
		fmt.Fprintln(c.ErrOrStderr(), "regwarden: warning: not enforced now: dry_run is on, and everybody gets through until it is off")
	}
}

// nobody says that no block was found. For a client that was asked for this is a finding of its own.
func nobody(c *cobra.Command, filter *filterValues, f control.BlockFilter, asJSON bool) error {
	if f.Client.IsValid() {
		what := target(f.Client) + " is not blocked"
		if f.Repository != "" || f.Project != "" || f.Rule != "" {
			what += " by what was asked for"
		}
		return &exitError{exitNotFound, fmt.Errorf("%s", what), ""}
	}
	if asJSON {
		return nil
	}
	what := "nobody is blocked"
	if *filter != (filterValues{}) {
		what = "no block is as asked for"
	}
	fmt.Fprintln(c.OutOrStdout(), what)
	return nil
}

// filterValues are the flags that select blocks and history.
type filterValues struct{ client, repository, project, rule string }

func filterFlags(c *cobra.Command) *filterValues {
	f := &filterValues{}
	c.Flags().StringVar(&f.client, "client", "", "only what covers `TARGET`, an address or prefix, or lies in it")
	c.Flags().StringVar(&f.repository, "repository", "", "only what repository `NAME` caused")
	c.Flags().StringVar(&f.project, "project", "", "only what project `NAME` caused")
	c.Flags().StringVar(&f.rule, "rule", "", "only what rule `NAME` caused; manual is by hand")
	return f
}

func (v *filterValues) parse(c *cobra.Command) (control.BlockFilter, error) {
	f := control.BlockFilter{Repository: v.repository, Project: v.project, Rule: v.rule}
	if !c.Flags().Changed("client") {
		return f, nil
	}
	p, err := control.ParseTarget(v.client)
	if err != nil {
		return f, fmt.Errorf("--client: %w", err)
	}
	f.Client = p
	return f, nil
}

func printBlocks(w io.Writer, blocks []detector.Block, now time.Time) {
	t := newTable(w, "TARGET", "SINCE", "UNTIL", "RULE", "SCOPE", "COUNT", "REPOSITORIES")
	for _, b := range blocks {
		s := summarise(b)
		t.row(target(b.Target), moment(s.since), until(b.Until, now), names(s.rules, 3), strings.Join(s.scopes, ", "),
			strconv.Itoa(s.count), names(s.repositories, 3))
	}
	t.flush()
}

// summary is what the causes of a block come to.
type summary struct {
	since                       time.Time
	count                       int
	rules, scopes, repositories []string
}

func summarise(b detector.Block) summary {
	var s summary
	for _, c := range b.Causes {
		if s.since.IsZero() || c.Since.Before(s.since) {
			s.since = c.Since
		}
		s.count += c.Count
		s.rules = append(s.rules, c.Rule)
		s.scopes = append(s.scopes, scope(c))
		s.repositories = append(s.repositories, c.Repositories...)
	}
	for _, list := range []*[]string{&s.rules, &s.scopes, &s.repositories} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return s
}

// scope is how much a cause closes, and whether it closes more than its rule wanted.
func scope(c detector.Cause) string {
	if c.Widened {
		return "host (widened)"
	}
	return c.Scope.String()
}

func showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show TARGET|ID",
		Short: "tell all about a block: causes, evidence, how to lift it",
		Long: "Tell all about the blocks that cover an address or prefix or lie in it, or\n" +
			"about the block that has a cause with this ID.",
		Example:           "  regwarden blocks show 203.0.113.7",
		Args:              takes("TARGET or ID"),
		ValidArgsFunction: completeBlocked,
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if _, _, err := control.ParseSubject(args[0]); err != nil {
			return err
		}
		blocks, err := client(c).Find(c.Context(), args[0])
		if err != nil {
			return err
		}
		notEnforced(c, blocks)
		if *asJSON {
			return control.WriteJSONList(c.OutOrStdout(), blocks)
		}
		for i, b := range blocks {
			if i > 0 {
				fmt.Fprintln(c.OutOrStdout())
			}
			printBlock(c.OutOrStdout(), b, time.Now())
		}
		return nil
	}
	return c
}

func printBlock(w io.Writer, b detector.Block, now time.Time) {
	fmt.Fprintf(w, "%s is blocked until %s\n", target(b.Target), until(b.Until, now))
	for _, c := range b.Causes {
		fmt.Fprintln(w)
		printCause(w, c, now)
	}
	fmt.Fprintf(w, "\nto lift it: regwarden unblock %s\n", target(b.Target))
	if len(b.Causes) > 1 {
		fmt.Fprintln(w, "or one cause of it: regwarden unblock ID")
	}
}

func printCause(w io.Writer, c detector.Cause, now time.Time) {
	fmt.Fprintf(w, "cause %s: %s\n", name(c.ID), escape(c.Reason))
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-13s %s\n", label, value)
		}
	}
	line("rule", name(c.Rule))
	line("by", escape(c.By))
	line("scope", scope(c))
	if c.Count > 0 {
		line("count", counted(c))
	}
	line("first", seen(c.First))
	line("last", seen(c.Last))
	line("since", moment(c.Since))
	line("until", until(c.Until, now))
	if c.Strike > 0 {
		line("strike", strconv.Itoa(c.Strike))
	}
	line("repositories", names(c.Repositories, 0))
	line("projects", names(c.Projects, 0))
	line("actions", names(c.Actions, 0))
	for _, s := range c.Samples {
		line("sample", strconv.Quote(s))
	}
}

func seen(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return moment(t)
}

// counted is the number of requests, in their window.
func counted(c detector.Cause) string {
	if c.Window == 0 {
		return count(c.Count, "request")
	}
	return fmt.Sprintf("%s within %s", count(c.Count, "request"), strict.FormatDuration(time.Duration(c.Window)*time.Second))
}
