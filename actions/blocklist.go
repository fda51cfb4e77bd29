package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"regwarden/detector"
)

// BlocklistFile is one file that a Blocklist writes. Each file has one writer: where several hosts share a directory, each writes a file
// of its own name and the readers take them together, which needs no lock.
type BlocklistFile struct {
	Path string
	// Format is one of BlocklistFormats.
	Format string
	// Mode is the file's; zero keeps that of a file that is there, and makes a new one 0644.
	Mode fs.FileMode
	// After is a command, by its absolute path, with its arguments, that makes the file's reader read it again. It is run without a shell when the file was
	// rewritten, and once at the start; files with the same command share a run.
	After []string
}

// BlocklistOptions say which files a Blocklist writes.
type BlocklistOptions struct {
	Name  string
	Files []BlocklistFile
	// SetName is the base name of the ipset format's sets, "regwarden" if empty: it becomes regwarden4 and regwarden6.
	SetName string
	// MinInterval is the least time between two rewrites, 1 s if zero. The first change after a quiet time is written at once.
	MinInterval time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Blocklist writes the blocked addresses to files that a web server, a load balancer or another tool reads.
//
// A reader sees the old file or the new one, never a part. A file whose content is right already is not touched.
// It is not for concurrent use but for Watch; its Runner calls it from one goroutine.
type Blocklist struct {
	options BlocklistOptions
	outputs []output
	list    heldList
	left    atomic.Pointer[[]sealed] // the files as they were left, for Watch
}

// output is one file with what makes its content.
type output struct {
	renderer
	file replacedFile
	seal seal
	// after is the command that readers need; owed says that it was not run since the file was last rewritten.
	after []string
	owed  bool
}

// seal tells whether a file still is what was written last: for a format whose text depends on when it is written, the bytes do not.
type seal struct {
	identity [32]byte
	state    fileState
}

// NewBlocklist returns the action. It touches no file before the first Apply or Sync.
func NewBlocklist(options BlocklistOptions) (*Blocklist, error) {
	if options.Name == "" {
		options.Name = "blocklist"
	}
	if len(options.Files) == 0 {
		return nil, fmt.Errorf("action %s: no file is named", options.Name)
	}
	if options.SetName == "" {
		options.SetName = "regwarden"
	}
	options.MinInterval = positive(options.MinInterval, time.Second)
	b := &Blocklist{options: options, list: newHeldList(options.Clock)}
	for _, f := range options.Files {
		if err := b.add(f); err != nil {
			return nil, fmt.Errorf("action %s: %w", options.Name, err)
		}
	}
	return b, nil
}

func (b *Blocklist) add(f BlocklistFile) error {
	if f.Path == "" {
		return errors.New("a file has no path")
	}
	path := filepath.Clean(f.Path)
	for _, o := range b.outputs {
		if o.file.path == path {
			return fmt.Errorf("%s is named twice", path)
		}
	}
	r, err := rendererOf(f.Format, b.options.SetName)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b.outputs = append(b.outputs, output{renderer: r, file: replacedFile{path: path, mode: f.Mode}, after: f.After, owed: len(f.After) > 0})
	return nil
}

// Name is the configured name.
func (b *Blocklist) Name() string { return b.options.Name }

// Kind is "blocklist".
func (b *Blocklist) Kind() string { return "blocklist" }

// Holds is true for the host only: a list of addresses cannot say which repository.
func (b *Blocklist) Holds(scope detector.Scope) bool { return scope == detector.ScopeHost }

// Pace keeps rewrites apart.
func (b *Blocklist) Pace(bool) time.Duration {
	return b.list.wait(b.options.MinInterval)
}

// Apply writes the files anew with the changes.
func (b *Blocklist) Apply(ctx context.Context, changes []detector.Change) error {
	if len(changes) == 0 {
		return nil
	}
	hold(b.list.blocks, changes)
	return b.write(ctx)
}

// Sync writes the files anew with these blocks.
func (b *Blocklist) Sync(ctx context.Context, blocks []detector.Block) error {
	b.list.reset(blocks)
	return b.write(ctx)
}

// write brings every file up to date; one that cannot be written does not hold up the others.
func (b *Blocklist) write(ctx context.Context) error {
	blocks, now := b.held(), b.list.clock()
	var errs []error
	for i := range b.outputs {
		if err := ctx.Err(); err != nil {
			return err
		}
		written, err := b.outputs[i].update(blocks, now)
		if err != nil {
			errs = append(errs, err)
		}
		if written {
			b.list.written = b.list.clock()
			b.outputs[i].owed = len(b.outputs[i].after) > 0
		}
	}
	b.remember()
	errs = append(errs, b.runAfter(ctx)...)
	if len(errs) > 0 {
		return fmt.Errorf("%s", oneLine(errs))
	}
	return nil
}

// runAfter runs the commands of the files that were rewritten, each once. One that fails is owed and run again with the next attempt.
func (b *Blocklist) runAfter(ctx context.Context) []error {
	var errs []error
	ran := map[string]error{}
	for i := range b.outputs {
		o := &b.outputs[i]
		if !o.owed || o.seal == (seal{}) {
			continue // nothing to tell, or the file itself could not be written
		}
		name := strings.Join(o.after, "\x00")
		err, known := ran[name]
		if !known {
			if err = runCommand(ctx, o.after); err != nil {
				errs = append(errs, fmt.Errorf("after %s: %s: %w", o.file.path, o.after[0], err))
			}
			ran[name] = err
		}
		o.owed = err != nil
	}
	return errs
}

// afterTimeout is what a command that runs after a rewrite may take.
const afterTimeout = 20 * time.Second

// runCommand runs a command without a shell and without input.
func runCommand(parent context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(parent, afterTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	output := &cut{limit: outputLimit}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", baseEnvironment(), output, output
	return contained(parent, ctx, cmd, afterTimeout, output)
}

// held is what the files list, sorted.
func (b *Blocklist) held() []detector.Block {
	return slices.DeleteFunc(b.list.all(), func(block detector.Block) bool {
		return !slices.ContainsFunc(block.Causes, func(c detector.Cause) bool { return b.Holds(c.Closes()) })
	})
}

// update writes the file unless it is right already; it says whether it wrote.
func (o *output) update(blocks []detector.Block, now time.Time) (bool, error) {
	identity, content := o.content(blocks, now)
	if o.file.unchanged(&o.seal, identity, content) {
		return false, nil
	}
	state, err := o.file.replace(content)
	if err != nil {
		o.seal = seal{}
		return false, err
	}
	o.seal = seal{identity: identity, state: state}
	return true, nil
}

// BlocklistFormats returns the names of the formats.
func BlocklistFormats() []string { return slices.Sorted(maps.Keys(renderers)) }
