package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/control"
)

func unblockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "unblock TARGET|ID|--all",
		GroupID: groupBlocks,
		Short:   "lift a block early",
		Long: "Lift the blocks of an address or prefix, the one cause that has this ID, or\n" +
			"with --all every block there is, without asking again. With --rule only causes\n" +
			"of that rule are lifted: a target stays blocked while it has another.\n\n" +
			"An address stands for its client, so that the block of an IPv6 client's /64 is\n" +
			"lifted by each of its addresses. Of a prefix that has no block of its own, the\n" +
			"blocks in it are lifted. A wider block holds others too and is lifted only if\n" +
			"it is named itself: where one still covers the target, that is told. The exit\n" +
			"code is 2 when there was nothing to lift.",
		Example:           "  regwarden unblock 203.0.113.7 --reason \"the pipeline is mended\"\n  regwarden unblock --all --rule missing-manifest",
		ValidArgsFunction: completeBlocked,
	}
	asJSON := jsonFlag(c)
	all := c.Flags().Bool("all", false, "lift every block")
	rule := c.Flags().String("rule", "", "lift only causes of rule `NAME`; manual is by hand")
	reason := c.Flags().String("reason", "", "why, for the history: `TEXT`")
	c.Args = func(c *cobra.Command, args []string) error {
		switch {
		case *all && len(args) > 0:
			return wrongUse(c, "TARGET and --all exclude each other")
		case *all:
			return nil
		case len(args) == 0:
			return wrongUse(c, "TARGET, ID or --all is missing")
		}
		return takes("TARGET")(c, args)
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		q := control.UnblockRequest{All: *all, Rule: *rule, Reason: *reason}
		if !*all {
			q.Target = args[0]
			if _, _, err := control.ParseSubject(q.Target); err != nil {
				return err
			}
		}
		done, err := client(c).Unblock(c.Context(), q)
		var p *control.Problem
		if errors.As(err, &p) && len(p.StillBlocked) > 0 {
			if *asJSON {
				done = control.Changed{Changes: []detector.Change{}, StillBlocked: p.StillBlocked}
				err = errors.Join(err, control.WriteJSON(c.OutOrStdout(), done))
			}
			return &exitError{exitNotFound, err, p.Hint}
		}
		if err != nil {
			return err
		}
		printDoubts(c.ErrOrStderr(), done)
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), done)
		}
		if *all {
			fmt.Fprintln(c.OutOrStdout(), lifted(done))
		} else {
			printLifted(c.OutOrStdout(), q.Target, done, time.Now())
		}
		return nil
	}
	return c
}

// printLifted says what became of each target. None is called free while a wider block still covers it.
func printLifted(w io.Writer, named string, done control.Changed, now time.Time) {
	for _, c := range done.Changes {
		if len(done.StillBlocked) > 0 && c.Verb == detector.ChangeUnblock {
			fmt.Fprintf(w, "the block of %s by %s is lifted\n", target(c.Block.Target), name(c.Cause.Rule))
			continue
		}
		fmt.Fprintln(w, sentence(c, now))
	}
	for _, b := range done.StillBlocked {
		var ids []string
		for _, c := range b.Causes {
			ids = append(ids, c.ID)
		}
		fmt.Fprintf(w, "it is still blocked until %s by the wider block %s (%s); to lift that for everybody in it: regwarden unblock %s\n",
			until(b.Until, now), target(b.Target), names(ids, 3), target(b.Target))
	}
	switch n := done.StillWithin; {
	case n == 1:
		fmt.Fprintf(w, "1 target in it is still blocked; regwarden blocks --client %s lists it\n", escape(named))
	case n > 1:
		fmt.Fprintf(w, "%d targets in it are still blocked; regwarden blocks --client %s lists them\n", n, escape(named))
	}
}

// lifted says how many blocks went.
func lifted(done control.Changed) string {
	if len(done.Changes) == 0 {
		return "nobody was blocked"
	}
	free, stay := 0, map[string]bool{}
	for _, c := range done.Changes {
		if c.Verb == detector.ChangeUnblock {
			free++
			delete(stay, target(c.Block.Target))
		} else {
			stay[target(c.Block.Target)] = true
		}
	}
	said := []string{count(free, "target") + " free"}
	if len(stay) > 0 {
		said = append(said, count(len(stay), "target")+" still blocked by other rules")
	}
	return fmt.Sprintf("lifted %s: %s", count(len(done.Changes), "cause"), strings.Join(said, ", "))
}
