package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"regwarden/detector"
)

// NginxGeoOptions say which file a NginxGeo writes and how nginx reads it again.
type NginxGeoOptions struct {
	Name string
	Path string
	// Test is a command that fails when nginx would not take its configuration, such as nginx -t; Reload makes nginx read it again. Both are run without a
	// shell, by the absolute path of the program. Test may be empty.
	Test, Reload []string
	// Interval is the least time between two reloads, 5 s if zero: each leaves old workers behind that hold their copy of the list until their last
	// transfer ends. A block that somebody lifts waits a second at most.
	Interval time.Duration
	Answers  Answers
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// NginxGeo keeps an include for nginx's geo, in which each blocked address has its message as the value: for an nginx without auth_request, as GitLab's
// package has it. nginx reads it when it is reloaded, which is done only when the list has changed, and only after nginx has said that it takes
// it: a list that is refused is replaced by the one before, so that no restart of nginx meets it.
type NginxGeo struct {
	options NginxGeoOptions
	file    replacedFile
	seal    seal
	list    heldList
	good    []byte // the list that nginx last took; nil before it has taken one of ours
	owed    bool   // the file is right, and nginx was not told yet
}

// NewNginxGeo returns the action. It touches nothing before the first Apply or Sync.
func NewNginxGeo(o NginxGeoOptions) (*NginxGeo, error) {
	if o.Path == "" {
		return nil, fmt.Errorf("action %s: path: is missing", o.Name)
	}
	if len(o.Reload) == 0 {
		return nil, fmt.Errorf("action %s: reload: is missing; nginx does not read the list again by itself", o.Name)
	}
	for _, c := range [][]string{o.Test, o.Reload} {
		if len(c) > 0 && !filepath.IsAbs(c[0]) {
			return nil, fmt.Errorf("action %s: %q is no full path of a program", o.Name, c[0])
		}
	}
	o.Interval = positive(o.Interval, 5*time.Second)
	return &NginxGeo{options: o, file: replacedFile{path: filepath.Clean(o.Path)}, list: newHeldList(o.Clock), owed: true}, nil
}

// Name is the configured name.
func (g *NginxGeo) Name() string { return g.options.Name }

// Kind is "nginx-geo".
func (g *NginxGeo) Kind() string { return "nginx-geo" }

// Holds is true for the host only: a list of addresses cannot say which repository.
func (g *NginxGeo) Holds(scope detector.Scope) bool { return scope == detector.ScopeHost }

// Answers is true.
func (g *NginxGeo) Answers() bool { return true }

// Place is the file.
func (g *NginxGeo) Place() string { return g.file.path }

// liftInterval is the least time between two reloads when somebody lifted a block: whoever does so tries at once whether it works.
const liftInterval = time.Second

// Pace keeps reloads apart.
func (g *NginxGeo) Pace(lifted bool) time.Duration {
	if lifted {
		return g.list.wait(min(g.options.Interval, liftInterval))
	}
	return g.list.wait(g.options.Interval)
}

// Apply writes the list anew with the changes.
func (g *NginxGeo) Apply(ctx context.Context, changes []detector.Change) error {
	if len(changes) == 0 {
		return nil
	}
	hold(g.list.blocks, changes)
	return g.write(ctx)
}

// Sync writes the list anew with these blocks.
func (g *NginxGeo) Sync(ctx context.Context, blocks []detector.Block) error {
	g.list.reset(blocks)
	return g.write(ctx)
}

const geoPurpose = "include it inside a geo block whose default is empty; the value of a blocked client is its message"

// write brings the file up to date and lets nginx read it.
func (g *NginxGeo) write(ctx context.Context) error {
	content := head(geoPurpose)
	now := g.list.clock()
	for _, b := range g.list.all() {
		if a, ok := g.options.Answers(b, "", now); ok {
			content = append(append(append(b.Target.AppendTo(content), " '"...), a.Message...), "';\n"...)
		}
	}
	sum := identityOf(content)
	changed := !g.file.unchanged(&g.seal, sum, content)
	if changed {
		state, err := g.file.replace(content)
		if err != nil {
			g.seal = seal{}
			return err
		}
		g.seal, g.owed = seal{identity: sum, state: state}, true
	}
	if !g.owed {
		return nil
	}
	if err := g.test(ctx); err != nil {
		return g.undo(content, err)
	}
	g.good = slices.Clone(content)
	if err := runCommand(ctx, g.options.Reload); err != nil {
		return fmt.Errorf("reload: %s: %w", g.options.Reload[0], err)
	}
	g.owed, g.list.written = false, g.list.clock()
	return nil
}

func (g *NginxGeo) test(ctx context.Context) error {
	if len(g.options.Test) == 0 {
		return nil
	}
	return runCommand(ctx, g.options.Test)
}

// undo puts the list back that nginx last took, or an empty one, which it always takes.
func (g *NginxGeo) undo(refused []byte, why error) error {
	before := g.good
	if before == nil {
		before = head(geoPurpose)
	}
	if string(before) != string(refused) {
		if _, err := g.file.replace(before); err != nil {
			return fmt.Errorf("nginx refuses its configuration (%w), and the list before cannot be put back: %w", why, err)
		}
	}
	g.seal = seal{} // what is there is not what should be
	return fmt.Errorf("nginx refuses its configuration, so the list before stays: %s: %w", g.options.Test[0], why)
}

// Watch doubts the list when it was removed or changed by somebody else.
func (g *NginxGeo) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(blocklistWatch)
	defer tick.Stop()
	there := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		_, err := os.Stat(g.file.path)
		if there && errors.Is(err, fs.ErrNotExist) {
			doubt(g.file.path + " was removed by somebody else")
		}
		there = err == nil
	}
}
