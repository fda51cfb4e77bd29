package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man [DIR]",
		GroupID: groupOther,
		Short:   "write the man pages",
		Long: "Write one man page a verb into the directory DIR, which is made if it is not\n" +
			"there. Without DIR print the page of regwarden itself. The pages say what -h\n" +
			"says. Their date is that of SOURCE_DATE_EPOCH, if it is set.",
		Example: "  regwarden man | man -l -\n  regwarden man /usr/local/share/man/man1",
		Args:    cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Section: "1", Source: "regwarden " + thisBuild().Version, Manual: "regwarden"}
			switch len(args) {
			case 0:
				return doc.GenMan(c.Root(), header, c.OutOrStdout())
			case 1:
				return writePages(c.Root(), header, args[0])
			}
			return wrongUse(c, "%q is too much", args[1])
		},
	}
}

func writePages(root *cobra.Command, header *doc.GenManHeader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory for man pages: %w", err)
	}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return fmt.Errorf("write man pages: %w", err)
	}
	return nil
}
