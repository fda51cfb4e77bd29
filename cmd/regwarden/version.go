package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

// version and commit are set by the linker in a release: -ldflags "-X main.version=1.2.3 -X main.commit=0123abc".
var version, commit string

// build is what this program was made from.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	// Modified says that the tree had changes that are in no commit.
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild is the linker's word, and where it says nothing the Go tool's.
func thisBuild() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "version",
		GroupID: groupOther,
		Short:   "tell the version of this program",
		Long: "Tell the version of this program, and what it was built from. The version of a\n" +
			"running daemon is in regwarden status.",
		Args: takes(),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		b := thisBuild()
		if *asJSON {
			return control.WriteJSON(c.OutOrStdout(), b)
		}
		fmt.Fprintln(c.OutOrStdout(), b)
		return nil
	}
	return c
}

// String is the build in one line.
func (b build) String() string {
	from := ""
	if b.Commit != "" {
		from = "commit " + b.Commit
		if b.Modified {
			from += " with changes"
		}
		from += ", "
	}
	return fmt.Sprintf("regwarden %s (%s%s, %s)", b.Version, from, b.Go, b.Platform)
}
