package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

func flushCommand() *cobra.Command {
	path, lists := defaultConfig, false
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "remove all that is ours from the kernel",
		Long: `Flush removes the table, or the chain, rules and sets, that the configured firewall action has made, and those that earlier configurations have left,
as the database tells, and nothing else: what somebody else made under such a name is not touched, and of a chain and its sets either all goes or nothing.
Blocks in the database stay: the daemon makes them again at its next start. It needs the daemon to be stopped, and the same rights.
With --lists it also empties the blocklist files and answers that front ends read, and runs their after and reload commands: the package does so when it is removed.`,
		GroupID: groupDaemon,
		Args:    takes(),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(path)
		if err != nil {
			return configError(err)
		}
		socket := socketFor(cmd, c)
		if _, err := control.NewClient(socket).Status(cmd.Context()); err == nil {
			return &exitError{code: exitWrong, err: fmt.Errorf("a daemon answers on %s and would make everything again", socket), hint: "stop it first; regwarden unblock --all lifts all blocks while it runs"}
		}
		done, err := daemon.FlushFirewall(cmd.Context(), c)
		if lists && !errors.Is(err, daemon.ErrRuns) {
			emptied, failed := daemon.EmptyLists(cmd.Context(), c)
			done.Emptied, err = emptied, errors.Join(err, failed)
		}
		if *asJSON {
			if err := control.WriteJSON(cmd.OutOrStdout(), done); err != nil {
				return err
			}
		} else if err == nil || len(done.Removed)+len(done.Absent)+len(done.Emptied) > 0 {
			printFlushed(cmd.OutOrStdout(), done, path)
		}
		if errors.Is(err, daemon.ErrRuns) {
			return &exitError{code: exitWrong, err: fmt.Errorf("flush: %w", err), hint: "stop it first; nothing was removed"}
		}
		if errors.Is(err, daemon.ErrForeign) {
			return &exitError{code: exitWrong, err: fmt.Errorf("flush: %w", err), hint: "regwarden removes only what it has made: give its firewall another name in " + path}
		}
		if err != nil {
			return &exitError{code: exitWrong, err: fmt.Errorf("flush: %w", err), hint: "it takes the rights that the daemon has: root, or CAP_NET_ADMIN and the database"}
		}
		return nil
	}
	cmd.Flags().BoolVar(&lists, "lists", false, "empty the blocklist files and answers of front ends, too")
	cmd.Flags().StringVar(&path, "config", path, "the configuration `file`")
	return cmd
}

func printFlushed(w io.Writer, done daemon.Flushed, path string) {
	for _, place := range done.Removed {
		fmt.Fprintf(w, "%s: removed\n", escape(place))
	}
	for _, place := range done.Absent {
		fmt.Fprintf(w, "%s: nothing of ours was there\n", escape(place))
	}
	for _, place := range done.Emptied {
		fmt.Fprintf(w, "%s: emptied\n", escape(place))
	}
	switch {
	case done.Unknown != "" && len(done.Removed)+len(done.Absent) == 0:
		fmt.Fprintf(w, "no firewall action is configured in %s; whether an earlier one left something is not known: %s\n", path, escape(done.Unknown))
	case done.Unknown != "":
		fmt.Fprintf(w, "what earlier configurations may have left is not known: %s\n", escape(done.Unknown))
	case len(done.Removed)+len(done.Absent) == 0:
		fmt.Fprintf(w, "no firewall action is configured in %s, and the database knows of nothing that an earlier one left in the kernel\n", path)
	}
}

// socketFor is the socket of the daemon that a configuration is about: the one that the command line names, or else the configured one.
func socketFor(cmd *cobra.Command, c *config.Config) string {
	if path, _ := cmd.Flags().GetString("socket"); path != "" {
		return path
	}
	return c.Socket
}
