package main

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

func allowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:                   "allow add|rm|list",
		DisableFlagsInUseLine: true,
		GroupID:               groupBlocks,
		Short:                 "keep the list of targets that are never blocked",
		Long: "Keep the list of addresses and prefixes that are never blocked, beside\n" +
			"ignoreip in the configuration. It lasts over restarts, and takes effect at\n" +
			"once.",
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	c.AddCommand(allowAddCommand(), allowRemoveCommand(), allowListCommand())
	return c
}

func allowAddCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "add TARGET",
		Short:   "never block an address or prefix",
		Long:    "Never block an address or prefix from now on, and lift the blocks that it has.",
		Example: `  regwarden allow add 198.51.100.0/24 --comment "the build farm" --for 7d`,
		Args:    takes("TARGET"),
	}
	asJSON := jsonFlag(c)
	length := c.Flags().String("for", "", "`DURATION` such as 12h or 7d (default for ever)")
	comment := c.Flags().String("comment", "", "who or what it is: `TEXT`")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := control.ParseTarget(args[0])
		if err != nil {
			return err
		}
		done, err := client(c).Allow(c.Context(), control.AllowEntry{Target: args[0], Comment: *comment, For: *length})
		if err != nil {
			return err
		}
		printDoubts(c.ErrOrStderr(), done)
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), done)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s is never blocked from now on\n", target(p))
		printChanges(c.OutOrStdout(), done, time.Now())
		return nil
	}
	return c
}

func allowRemoveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rm TARGET",
		Short: "take an address or prefix off the list",
		Long: "Take an address or prefix off the list, written as allow list shows it. Rules\n" +
			"may block it again.",
		Args:              takes("TARGET"),
		ValidArgsFunction: completeAllowed,
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := control.ParseTarget(args[0])
		if err != nil {
			return err
		}
		if err := client(c).Disallow(c.Context(), args[0]); err != nil {
			return onAllowList(err)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s may be blocked again\n", target(p))
		return nil
	}
	return c
}

// onAllowList points to the right list when the target was not on it.
func onAllowList(err error) error {
	e := describe(err)
	if e.code == exitNotFound {
		e.hint = "regwarden allow list shows who is"
	}
	return e
}

func allowListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "tell who is never blocked by hand, until when and why",
		Long: "Tell who is never blocked because somebody put it on the list. The\n" +
			"configuration's ignoreip is not in it.",
		Args: takes(),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		entries, err := client(c).AllowList(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return control.WriteJSONList(c.OutOrStdout(), entries)
		}
		printAllowed(c.OutOrStdout(), entries, time.Now())
		return nil
	}
	return c
}

func printAllowed(w io.Writer, entries []control.AllowEntry, now time.Time) {
	if len(entries) == 0 {
		fmt.Fprintln(w, "the allow list is empty")
		return
	}
	t := newTable(w, "TARGET", "SINCE", "UNTIL", "BY", "COMMENT")
	for _, e := range entries {
		t.row(allowed(e), moment(e.Since), until(e.Until, now), escape(e.By), escape(e.Comment))
	}
	t.flush()
}

// allowed is the entry's target as people write it.
func allowed(e control.AllowEntry) string {
	p, err := netip.ParsePrefix(e.Target)
	if err != nil {
		return escape(e.Target)
	}
	return target(p)
}
