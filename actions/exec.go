package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"regwarden/detector"
)

// ExecOptions say which command an Exec runs.
type ExecOptions struct {
	Name string
	// Command is the program, by its absolute path, and its arguments. No shell is involved. Placeholders in the arguments are replaced: see Placeholders.
	Command []string
	// Timeout is what one run may take, 10 s if zero. Then the command and its children are killed.
	Timeout time.Duration
	// HoldsNothing says that the command only tells of blocks. It then hears of every scope; a command that blocks hears of host blocks only.
	HoldsNothing bool
	// DryRun also runs the command for would-block and spared.
	DryRun bool
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Exec runs a command once a change: the change as JSON is its standard input, REGWARDEN_* its environment.
// An exit status other than 0 is a failure, and the same change is tried again.
type Exec struct {
	options   ExecOptions
	arguments []template
}

// outputLimit is how much of what a failing command says is kept.
const outputLimit = 4 << 10

// NewExec returns the action, or an error if the command cannot be one.
func NewExec(options ExecOptions) (*Exec, error) {
	if options.Name == "" {
		options.Name = "exec"
	}
	if len(options.Command) == 0 || !filepath.IsAbs(options.Command[0]) {
		return nil, fmt.Errorf("action %s: command %q: want the absolute path of a program and its arguments", options.Name, options.Command)
	}
	options.Timeout = positive(options.Timeout, 10*time.Second)
	if options.Clock == nil {
		options.Clock = time.Now
	}
	e := &Exec{options: options}
	for _, text := range options.Command[1:] {
		t, err := parseTemplate(text)
		if err != nil {
			return nil, fmt.Errorf("action %s: command: %w", options.Name, err)
		}
		e.arguments = append(e.arguments, t)
	}
	return e, nil
}

// Name is the configured name.
func (e *Exec) Name() string { return e.options.Name }

// Kind is "exec".
func (e *Exec) Kind() string { return "exec" }

// Holds is true for the host, unless the command only tells of blocks. Nothing says that a command can block one repository.
func (e *Exec) Holds(scope detector.Scope) bool {
	return scope == detector.ScopeHost && !e.options.HoldsNothing
}

// Reports says whether the command hears of dry runs.
func (e *Exec) Reports() bool { return e.options.DryRun }

// BatchLimit is 1: each change is a run of its own, and retried alone.
func (e *Exec) BatchLimit() int { return 1 }

// Apply runs the command for each change.
func (e *Exec) Apply(ctx context.Context, changes []detector.Change) error {
	for _, c := range changes {
		if err := e.run(ctx, c); err != nil {
			return fmt.Errorf("%s for %s %s: %w", e.options.Command[0], c.Verb, c.Block.Target, err)
		}
	}
	return nil
}

func (e *Exec) run(parent context.Context, c detector.Change) error {
	ctx, cancel := context.WithTimeout(parent, e.options.Timeout)
	defer cancel()
	input, err := json.Marshal(c)
	if err != nil {
		return permanent{fmt.Errorf("write the change as JSON: %w", err)}
	}
	values := valuesOf(c, e.options.Clock())
	cmd := exec.CommandContext(ctx, e.options.Command[0])
	for _, t := range e.arguments {
		cmd.Args = append(cmd.Args, t.fill(values))
	}
	output := &cut{limit: outputLimit}
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = "/", values.environment(), bytes.NewReader(append(input, '\n')), output, output
	return contained(parent, ctx, cmd, e.options.Timeout, output)
}

// contained runs a command in a process group of its own, which is killed as a whole when ctx, made of parent with a time limit, ends.
func contained(parent, ctx context.Context, cmd *exec.Cmd, limit time.Duration, output *cut) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for a child that left the group and keeps the output open
	err := cmd.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay): // it went well and left a child behind
		return nil
	case parent.Err() == nil && ctx.Err() != nil:
		return fmt.Errorf("killed after %v%s", limit, output)
	}
	return fmt.Errorf("%w%s", err, output)
}

// cut keeps the first bytes that are written to it.
type cut struct {
	limit int
	kept  []byte
}

func (c *cut) Write(data []byte) (int, error) {
	c.kept = append(c.kept, data[:min(len(data), c.limit-len(c.kept))]...)
	return len(data), nil
}

// String is what was kept as the end of a one-line error.
func (c *cut) String() string {
	text := bytes.TrimSpace(c.kept)
	if len(text) == 0 {
		return ""
	}
	return ": " + clean(string(text), outputLimit)
}
