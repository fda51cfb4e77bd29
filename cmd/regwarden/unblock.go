package main

import (
	"fmt"
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
			"of that rule are lifted: a target stays blocked while it has another. The exit\n" +
			"code is 2 when the target is not blocked.",
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
			printChanges(c.OutOrStdout(), done, time.Now())
		}
		return nil
	}
	return c
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
