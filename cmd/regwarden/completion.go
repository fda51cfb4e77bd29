package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

// completionTime is how long a shell that completes a word waits for the daemon.
const completionTime = time.Second

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		GroupID: groupOther,
		Short:   "print a script that completes words in your shell",
		Long: "Print a script with which your shell completes verbs, flags and, where a\n" +
			"daemon runs, blocked targets.",
		Example: "  regwarden completion bash > /etc/bash_completion.d/regwarden\n" +
			"  regwarden completion zsh > /usr/local/share/zsh/site-functions/_regwarden\n" +
			"  regwarden completion fish > /etc/fish/completions/regwarden.fish",
		ValidArgs: shells,
		Args:      takes(strings.Join(shells, ", ")),
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(c.OutOrStdout(), true)
			case "zsh":
				return c.Root().GenZshCompletion(c.OutOrStdout())
			case "fish":
				return c.Root().GenFishCompletion(c.OutOrStdout(), true)
			}
			return wrongUse(c, "%q is none of %s", args[0], strings.Join(shells, ", "))
		},
	}
}

// completeBlocked offers the targets that are blocked.
func completeBlocked(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offer(c, args, func(ctx context.Context) (targets []string) {
		blocks, _ := client(c).Blocks(ctx, control.BlockFilter{})
		for _, b := range blocks {
			targets = append(targets, target(b.Target))
		}
		return targets
	})
}

// completeAllowed offers the targets on the allow list.
func completeAllowed(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	return offer(c, args, func(ctx context.Context) (targets []string) {
		entries, _ := client(c).AllowList(ctx)
		for _, e := range entries {
			targets = append(targets, allowed(e))
		}
		return targets
	})
}

// offer asks for words for the one argument; without a daemon there are none.
func offer(c *cobra.Command, args []string, ask func(context.Context) []string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	return ask(ctx), cobra.ShellCompDirectiveNoFileComp
}
