package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

func reloadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "reload",
		GroupID: groupDaemon,
		Short:   "have the running daemon read its configuration and rules again",
		Long: "Have the running daemon read its configuration and rules again, and tell what\n" +
			"is different now. It is all or nothing: with one mistake in them, or a rule\n" +
			"whose own [[test]] fails, the old configuration goes on running, every mistake\n" +
			"is told, and the exit code is 1.\n" +
			"Blocks and counts stay.",
		Args: takes(),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := client(c).Reload(c.Context())
		if err != nil {
			return stillOld(err)
		}
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), r)
		}
		printReload(c.OutOrStdout(), r)
		return nil
	}
	return c
}

// stillOld adds to the mistakes of a configuration that they have done no harm.
func stillOld(err error) error {
	var p *control.Problem
	if !errors.As(err, &p) || errors.Is(err, control.ErrNotAllowed) {
		return err
	}
	return &exitError{exitWrong, err, "the old configuration goes on running; regwarden check tells when all is right"}
}

func printReload(w io.Writer, r control.ReloadResult) {
	fmt.Fprintf(w, "reloaded: %s in force\n", count(r.Rules, "rule"))
	for _, line := range r.Changed {
		fmt.Fprintf(w, "  changed: %s\n", escape(line))
	}
	for _, key := range r.Restart {
		fmt.Fprintf(w, "  takes a restart: %s\n", escape(key))
	}
	if len(r.Changed)+len(r.Restart) == 0 {
		fmt.Fprintln(w, "  nothing is different")
	}
}
