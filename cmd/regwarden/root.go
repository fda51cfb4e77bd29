package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
)

// The exit codes.
const (
	exitOK         = 0
	exitWrong      = 1 // wrong use, or a check that failed
	exitNotFound   = 2 // not found, or not blocked
	exitNoDaemon   = 3 // nobody answers on the socket
	exitNotAllowed = 4
)

// The groups of verbs in the root's help.
const (
	groupDaemon = "daemon"
	groupLogs   = "logs"
	groupBlocks = "blocks"
	groupOther  = "other"
)

var groups = []*cobra.Group{
	{ID: groupDaemon, Title: "The daemon:"},
	{ID: groupLogs, Title: "Logs, without a daemon:"},
	{ID: groupBlocks, Title: "Blocks, of a running daemon:"},
	{ID: groupOther, Title: "Other:"},
}

// commands are all verbs; each is made in the file of its name and says its group itself.
func commands() []*cobra.Command {
	return []*cobra.Command{
		runCommand(),
		demoCommand(),
		flushCommand(),
		setupCommand(),
		checkCommand(),
		replayCommand(),
		reportCommand(),
		explainCommand(),
		statusCommand(),
		blocksCommand(),
		historyCommand(),
		blockCommand(),
		unblockCommand(),
		importCommand(),
		allowCommand(),
		reloadCommand(),
		versionCommand(),
		completionCommand(),
		manCommand(),
	}
}

const rootLong = `regwarden follows the logs of a container registry and finds the
clients that abuse it: a swarm that asks for a missing tag for ever, a guesser
of passwords, a crawler over its throttle. It blocks them for a limited time,
tells them why and until when, and lets the right people lift a block early.

The exit code is 0 when all went well, 1 for wrong use or a failed check, 2 when
nothing was found or the target is not blocked, 3 when no daemon answers on the
socket, and 4 when you are not allowed. Verbs that print facts print them as
JSON with --json.`

// usage is the help of every verb below its description. Verbs of one word stand in their groups; the two that have verbs below them
// show how those are used.
const usage = `Usage:
  {{.UseLine}}{{if .HasParent}}{{range .Commands}}{{if .IsAvailableCommand}}
  {{.UseLine}}{{end}}{{end}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{$verbs := .Commands}}{{range $group := .Groups}}

{{.Title}}{{range $verbs}}{{if and (eq .GroupID $group.ID) (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasParent}}{{if .HasAvailableSubCommands}}

Verbs:{{range $verbs}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every verb:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if not .HasParent}}

{{.Root.Name}} VERB -h tells more about a verb.{{end}}
`

// newRoot returns the whole command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:                   "regwarden VERB",
		Version:               thisBuild().String(),
		Short:                 "block the clients that abuse a container registry, for a limited time",
		Long:                  rootLong,
		Args:                  cobra.ArbitraryArgs, // an unknown verb is answered by group, in one line
		RunE:                  group,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		SilenceErrors:         true,
		DisableAutoGenTag:     true,
		CompletionOptions:     cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.PersistentFlags().String("socket", "", "`PATH` of the daemon's control socket\n(default $REGWARDEN_SOCKET, or else "+control.DefaultPath+")")
	root.PersistentFlags().BoolP("help", "h", false, "print this help")
	root.Flags().BoolP("version", "v", false, "print the version")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return wrongUse(c, "%w", err)
	})
	cobra.AddTemplateFunc("wrap", wrap)
	root.SetHelpTemplate("{{wrap .Long}}\n\n{{.UsageString}}")
	root.SetUsageTemplate(usage)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetHelpCommand(helpCommand())
	root.AddCommand(commands()...)
	for _, g := range groups {
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && !root.ContainsGroup(g.ID) {
				root.AddGroup(g)
			}
		}
	}
	root.SetHelpCommandGroupID(groupOther)
	return root
}

// group is what a command does that only has verbs below it: help, or one line about a verb that it does not know.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	return unknownVerb(c, args[0])
}

func unknownVerb(c *cobra.Command, name string) error {
	hint := fmt.Sprintf("%s -h lists the verbs", c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s %s?", c.CommandPath(), near[0])
	}
	return &exitError{exitWrong, fmt.Errorf("there is no verb %q", strings.TrimPrefix(c.CommandPath()+" "+name, "regwarden ")), hint}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]...",
		Short: "print the help of a verb",
		Long:  "Print the help of a verb, as the verb itself does with -h.",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownVerb(c.Root(), strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// run is the whole program but for its exit. Signals end it at once, as they end other programs; verbs that must clean up (run and demo) catch them themselves.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &checkedWriter{to: stdout}
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(out)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil && out.err != nil {
		err = fmt.Errorf("write the output: %w", out.err)
	}
	return tell(stderr, err)
}

// checkedWriter remembers the first error, which those who print do not look at: a full disk must not look like success.
type checkedWriter struct {
	to  io.Writer
	err error
}

func (w *checkedWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// exitError is an error that knows its exit code and, where it helps, what to do about it.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

// wrongUse is the error of a command line that makes no sense.
func wrongUse(c *cobra.Command, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if c.HasParent() {
		err = fmt.Errorf("%s: %w", strings.TrimPrefix(c.CommandPath(), "regwarden "), err)
	}
	return &exitError{exitWrong, err, c.CommandPath() + " -h shows how it is used"}
}

// tell prints an error as people get it, one line and perhaps a hint, and returns the exit code. Only an error of several lines,
// which lists several faults, makes several.
func tell(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	e := describe(err)
	for line := range strings.Lines(e.err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(stderr, "regwarden: %s\n", escape(line))
		}
	}
	if e.hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", escape(e.hint))
	}
	return e.code
}

// describe gives an error its exit code and hint.
func describe(err error) *exitError {
	var e *exitError
	if errors.As(err, &e) {
		return e
	}
	e = &exitError{code: exitWrong, err: err}
	var p *control.Problem
	if errors.As(err, &p) {
		e.hint = p.Hint
	}
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		e.code, e.hint = exitNoDaemon, "start it with regwarden run, or name its socket with --socket"
	case errors.Is(err, control.ErrNotAllowed):
		e.code = exitNotAllowed
		if e.hint == "" {
			e.hint = "run it as root, or as a member of the group that owns the socket"
		}
	case errors.Is(err, control.ErrNotFound):
		e.code, e.hint = exitNotFound, "regwarden blocks lists who is blocked"
	}
	return e
}

// client returns a client of the socket that the command line or the environment names.
func client(c *cobra.Command) *control.Client {
	path, _ := c.Flags().GetString("socket")
	if path == "" {
		path = os.Getenv("REGWARDEN_SOCKET")
	}
	if path == "" {
		path = control.DefaultPath
	}
	return control.NewClient(path)
}

// jsonFlag gives a verb that prints facts its --json.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON, as the socket answers it")
}

// takes wants exactly the named arguments.
func takes(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return wrongUse(c, "%s is missing", names[len(args)])
		case len(args) > len(names):
			return wrongUse(c, "%q is too much", args[len(names)])
		}
		return nil
	}
}
