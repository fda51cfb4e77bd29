package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// flushed is what `flush --json` prints.
type flushed struct {
	// Action is the firewall action whose tables, chains and sets are gone; "" if none is configured.
	Action string `json:"action"`
}

func flushCommand() *cobra.Command {
	path := defaultConfig
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "remove all that is ours from the kernel",
		Long: `Flush removes the table, or the chain, rules and sets, that the configured firewall action has made, and nothing else. Blocks in the database stay: the
daemon makes them again at its next start. It needs the daemon to be stopped, and the same rights.`,
		GroupID: groupDaemon,
		Args:    takes(),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(path)
		if err != nil {
			return configError(err)
		}
		if _, err := control.NewClient(c.Socket).Status(cmd.Context()); err == nil {
			return &exitError{code: exitWrong, err: fmt.Errorf("a daemon answers on %s and would make everything again", c.Socket), hint: "stop it first; regwarden unblock --all lifts all blocks while it runs"}
		}
		name, err := daemon.FlushFirewall(cmd.Context(), c, slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			return &exitError{code: exitWrong, err: fmt.Errorf("flush: %w", err), hint: "it takes the rights that the daemon has: root, or CAP_NET_ADMIN"}
		case *asJSON:
			return control.WriteJSON(cmd.OutOrStdout(), flushed{name})
		case name == "":
			fmt.Fprintf(cmd.OutOrStdout(), "no firewall action is configured in %s, so nothing of ours is in the kernel\n", path)
		default:
			fmt.Fprintf(cmd.OutOrStdout(), "%s: all that was ours is gone from the kernel\n", name)
		}
		return nil
	}
	cmd.Flags().StringVar(&path, "config", path, "the configuration `file`")
	return cmd
}
