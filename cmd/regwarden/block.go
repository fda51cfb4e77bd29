package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/control"
)

func blockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "block TARGET --reason TEXT",
		GroupID: groupBlocks,
		Short:   "block an address or prefix by hand",
		Long: "Block an address or prefix by hand, for a limited time. The blocked client and\n" +
			"your colleagues read the reason. Who must never be blocked (the host itself,\n" +
			"ignoreip, trusted proxies, the allow list) is not blocked by hand either. An IPv6\n" +
			"address stands for its /64, as for the rules; with /128 it is meant alone.",
		Example: `  regwarden block 203.0.113.7 --for 12h --reason "scrapes every tag"`,
		Args:    takes("TARGET"),
	}
	asJSON := jsonFlag(c)
	length := c.Flags().String("for", "1h", "`DURATION` such as 90s, 15m, 1h30m or 7d")
	reason := c.Flags().String("reason", "", "why, in a sentence: `TEXT`")
	c.RunE = func(c *cobra.Command, args []string) error {
		named, err := control.ParseTarget(args[0])
		if err != nil {
			return err
		}
		if strings.TrimSpace(*reason) == "" {
			return &exitError{exitWrong, fmt.Errorf("block: --reason is missing"), "say why: the blocked client and your colleagues read it"}
		}
		done, err := client(c).Block(c.Context(), control.BlockRequest{Target: args[0], For: *length, Reason: *reason})
		if err != nil {
			return err
		}
		printDoubts(c.ErrOrStderr(), done)
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), done)
		}
		printChanges(c.OutOrStdout(), done, time.Now())
		for _, change := range done.Changes {
			if wide := change.Block.Target; wide.Bits() < named.Bits() {
				fmt.Fprintf(c.OutOrStdout(), "this is all of %s's net, as rules block it; for the address alone: regwarden block %s\n", target(named), named)
			}
		}
		return nil
	}
	return c
}

// printDoubts tells what keeps a change from taking effect or from lasting.
func printDoubts(w io.Writer, done control.Changed) {
	for _, line := range done.Warnings {
		fmt.Fprintf(w, "regwarden: warning: %s\n", escape(line))
	}
}

// printChanges says what became of each target, in the words of who asked for it.
func printChanges(w io.Writer, done control.Changed, now time.Time) {
	for _, change := range done.Changes {
		fmt.Fprintln(w, sentence(change, now))
	}
}

func sentence(c detector.Change, now time.Time) string {
	who := target(c.Block.Target)
	switch c.Verb {
	case detector.ChangeBlock:
		return fmt.Sprintf("%s is blocked until %s; to lift it: regwarden unblock %s", who, until(c.Block.Until, now), who)
	case detector.ChangeExtend:
		if c.Cause.Since.Before(c.Time) { // no other cause, the same one again
			return fmt.Sprintf("%s was blocked already for this reason; it is blocked until %s", who, until(c.Block.Until, now))
		}
		return fmt.Sprintf("%s was blocked already and has one more cause; it is blocked until %s", who, until(c.Block.Until, now))
	case detector.ChangeShorten:
		return fmt.Sprintf("%s has lost the cause %s (%s) and stays blocked until %s by %s", who, name(c.Cause.ID), name(c.Cause.Rule),
			until(c.Block.Until, now), names(summarise(c.Block).rules, 0))
	case detector.ChangeUnblock, detector.ChangeExpire:
		return fmt.Sprintf("%s is free; it was blocked until %s by %s", who, moment(c.Cause.Until), name(c.Cause.Rule))
	case detector.ChangeDryRun:
		return fmt.Sprintf("%s would be blocked until %s, but this is a dry run", who, until(c.Cause.Until, now))
	case detector.ChangeSpared:
		return fmt.Sprintf("%s is spared: %s", who, escape(c.Note))
	}
	return fmt.Sprintf("%s: %s", who, escape(c.Verb))
}
