package actions

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"regwarden/detector"
)

// Recorder is an Action that remembers what it was told: the fake for tests, with no effect outside. It can sync; hide that in a
// struct that embeds only the Action interface where a test wants an action that cannot.
type Recorder struct {
	name   string
	scopes []detector.Scope

	mu       sync.Mutex
	changes  []detector.Change
	blocks   map[netip.Prefix]detector.Block
	syncs    int
	failures []error
	calls    chan struct{}
}

// NewRecorder returns a recorder that holds blocks of these scopes.
func NewRecorder(name string, scopes ...detector.Scope) *Recorder {
	return &Recorder{name: name, scopes: scopes, blocks: make(map[netip.Prefix]detector.Block), calls: make(chan struct{}, 1)}
}

// Name is the name it was given.
func (r *Recorder) Name() string { return r.name }

// Kind is "recorder".
func (r *Recorder) Kind() string { return "recorder" }

// Holds is true for the scopes that it was given.
func (r *Recorder) Holds(scope detector.Scope) bool { return slices.Contains(r.scopes, scope) }

// Reports is true if it holds nothing.
func (r *Recorder) Reports() bool { return len(r.scopes) == 0 }

// Fail makes the next calls return these errors, one each.
func (r *Recorder) Fail(errs ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, errs...)
}

// Apply remembers the changes.
func (r *Recorder) Apply(_ context.Context, changes []detector.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.called()
	if err := r.failure(); err != nil {
		return err
	}
	r.changes = append(r.changes, changes...)
	hold(r.blocks, changes)
	return nil
}

// Sync remembers the blocks instead of what it had.
func (r *Recorder) Sync(_ context.Context, blocks []detector.Block) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.called()
	if err := r.failure(); err != nil {
		return err
	}
	r.syncs++
	clear(r.blocks)
	for _, b := range blocks {
		r.blocks[b.Target] = b
	}
	return nil
}

func (r *Recorder) failure() error {
	if len(r.failures) == 0 {
		return nil
	}
	err := r.failures[0]
	r.failures = r.failures[1:]
	return err
}

func (r *Recorder) called() {
	select {
	case r.calls <- struct{}{}:
	default:
	}
}

// Calls gives out a value after calls, at least one after the latest, so that a test can wait for them.
func (r *Recorder) Calls() <-chan struct{} { return r.calls }

// Changes returns the changes that were applied.
func (r *Recorder) Changes() []detector.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}

// Syncs returns how often it was synced.
func (r *Recorder) Syncs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.syncs
}

// Blocks returns what it holds, sorted by target.
func (r *Recorder) Blocks() []detector.Block {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sorted(maps.Values(r.blocks))
}
