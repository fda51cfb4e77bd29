package main

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/demo"
)

func demoCommand() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show the main job with nothing set up",
		Long: `Demo runs the whole daemon in a temporary directory: sample logs grow, a swarm and a guesser are blocked, a blocklist file is written
and the socket answers. It serves the project page too, on loopback, with made-up people to sign in as, and prints its address. It needs no root and no
configuration, and nobody is really blocked. Ctrl-C ends it.`,
		GroupID: groupDaemon,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return demo.Run(ctx, demo.Options{Out: cmd.OutOrStdout(), Version: thisBuild().Version, Program: program(), For: length})
		},
	}
	cmd.Flags().DurationVar(&length, "for", 0, "end after this `time`; 0 waits for Ctrl-C")
	return cmd
}

// program is how the user has called regwarden, to be shown in commands that he can copy.
func program() string {
	if strings.Contains(os.Args[0], "/go-build") { // go run
		return "go run ./cmd/regwarden"
	}
	return os.Args[0]
}
