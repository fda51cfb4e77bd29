// Package controltest has a daemon in memory for tests of the control socket and of what talks to it.
package controltest

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"regwarden/detector"
	"regwarden/internal/control"
)

// Backend is a control.Backend that blocks people in memory only. Set its fields before it is used.
type Backend struct {
	// State is what Status answers, with the number of blocks filled in.
	State control.Status
	// Entries is what History answers from, newest first.
	Entries []control.HistoryEntry
	// Reloaded is what Reload answers.
	Reloaded control.ReloadResult
	// Errors are answered instead, by the method's name.
	Errors map[string]error
	// Never is never blocked.
	Never []netip.Prefix
	// Now is the clock.
	Now func() time.Time

	mu      sync.Mutex
	ledger  *detector.Ledger
	allowed []control.AllowEntry
	peers   []control.Peer
	next    int
}

var _ control.Backend = (*Backend)(nil)

// NewBackend returns a daemon that blocks these.
func NewBackend(now func() time.Time, blocks ...detector.Block) *Backend {
	return &Backend{Now: now, ledger: detector.NewLedger(blocks, nil), Errors: map[string]error{}}
}

// Peers are who changed something, in order.
func (b *Backend) Peers() []control.Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.peers)
}

// Status answers State.
func (b *Backend) Status(context.Context) (control.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.State
	s.Blocks = b.ledger.Len()
	return s, b.Errors["Status"]
}

// Blocks answers the blocks that the filter selects.
func (b *Backend) Blocks(_ context.Context, f control.BlockFilter) ([]detector.Block, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var selected []detector.Block
	for _, block := range b.ledger.Blocks() {
		if slices.ContainsFunc(block.Causes, func(c detector.Cause) bool { return selects(f, block.Target, c) }) {
			selected = append(selected, block)
		}
	}
	return selected, b.Errors["Blocks"]
}

func selects(f control.BlockFilter, target netip.Prefix, c detector.Cause) bool {
	return (!f.Client.IsValid() || f.Client.Overlaps(target)) &&
		(f.Repository == "" || slices.Contains(c.Repositories, f.Repository)) &&
		(f.Project == "" || slices.Contains(c.Projects, f.Project)) &&
		(f.Rule == "" || c.Rule == f.Rule)
}

// History answers from Entries.
func (b *Backend) History(_ context.Context, f control.HistoryFilter) ([]control.HistoryEntry, error) {
	var selected []control.HistoryEntry
	for _, e := range b.Entries {
		if selects(f.BlockFilter, e.Target, e.Cause) && !e.Time.Before(f.Since) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
			(f.BeforeID == 0 || e.ID < f.BeforeID) && len(selected) < f.Limit {
			selected = append(selected, e)
		}
	}
	return selected, b.Errors["History"]
}

// Block blocks by hand, for a time that time.ParseDuration reads.
func (b *Backend) Block(_ context.Context, r control.BlockRequest, by control.Peer) (control.Changed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, by)
	target, err := control.ParseTarget(r.Target)
	if err != nil {
		return control.Changed{}, err
	}
	if !strings.Contains(r.Target, "/") {
		target = detector.Mask{V4: 32, V6: 64}.Target(target.Addr())
	}
	for _, n := range b.Never {
		if n.Overlaps(target) {
			return control.Changed{}, &control.Problem{Title: "Conflict", Status: http.StatusConflict,
				Detail: fmt.Sprintf("%s is never blocked: ignoreip has %v", control.TargetText(target), n), Hint: "take it out of ignoreip"}
		}
	}
	d, err := time.ParseDuration(r.For)
	if err != nil {
		return control.Changed{}, &control.Problem{Title: "Bad Request", Status: http.StatusBadRequest,
			Detail: fmt.Sprintf("for: invalid duration %q", r.For)}
	}
	if r.Check {
		return control.Changed{}, b.Errors["Block"]
	}
	b.next++
	now := b.Now()
	c := control.ByHand(b.ledger.Find(target), target, fmt.Sprintf("manual-%d", b.next), by.String(), r.Reason, now, now.Add(d))
	return control.Changed{Changes: []detector.Change{b.ledger.Add(target, c, now)}}, b.Errors["Block"]
}

// Unblock lifts causes.
func (b *Backend) Unblock(_ context.Context, r control.UnblockRequest, by control.Peer) (control.Changed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, by)
	var target netip.Prefix
	var id string
	if !r.All {
		var err error
		if target, id, err = control.ParseSubject(r.Target); err != nil {
			return control.Changed{}, err
		}
	}
	var done control.Changed
	blocks := b.ledger.Blocks()
	if target.IsValid() {
		blocks = control.Meant(blocks, target, detector.DefaultMask)
	}
	for _, block := range blocks {
		done.Changes = append(done.Changes, b.ledger.Lift(block.Target, func(c detector.Cause) bool {
			return (id == "" || c.ID == id) && (r.Rule == "" || c.Rule == r.Rule)
		}, by.String(), r.Reason, b.Now())...)
	}
	if p := control.OnlyWider(b.ledger.Blocks(), target, r.Rule); p != nil && len(done.Changes) == 0 && target.IsValid() {
		return done, p
	}
	if !r.All {
		done.Lifted(target, b.ledger.Blocks())
	}
	return done, b.Errors["Unblock"]
}

// AllowList answers what Allow was told.
func (b *Backend) AllowList(context.Context) ([]control.AllowEntry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.allowed), b.Errors["AllowList"]
}

// Allow remembers the entry and lifts what is blocked in it.
func (b *Backend) Allow(_ context.Context, e control.AllowEntry, by control.Peer) (control.Changed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, by)
	target, err := control.ParseTarget(e.Target)
	if err != nil {
		return control.Changed{}, err
	}
	e.Target, e.By, e.Since = target.String(), by.String(), b.Now()
	if e.For != "" {
		d, err := time.ParseDuration(e.For)
		if err != nil {
			return control.Changed{}, &control.Problem{Title: "Bad Request", Status: http.StatusBadRequest, Detail: "for: invalid duration"}
		}
		e.Until, e.For = e.Since.Add(d), ""
	}
	b.allowed = append(b.allowed, e)
	var done control.Changed
	for _, block := range b.ledger.Find(target) {
		done.Changes = append(done.Changes, b.ledger.Lift(block.Target, func(detector.Cause) bool { return true }, by.String(), "allowed", b.Now())...)
	}
	return done, b.Errors["Allow"]
}

// Disallow forgets the entry.
func (b *Backend) Disallow(_ context.Context, text string, by control.Peer) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, by)
	target, err := control.ParseTarget(text)
	if err != nil {
		return err
	}
	before := len(b.allowed)
	b.allowed = slices.DeleteFunc(b.allowed, func(e control.AllowEntry) bool { return e.Target == target.String() })
	if len(b.allowed) == before {
		return &control.Problem{Title: "Not Found", Status: http.StatusNotFound, Detail: control.TargetText(target) + " is not on the allow list"}
	}
	return b.Errors["Disallow"]
}

// Reload answers Reloaded.
func (b *Backend) Reload(_ context.Context, by control.Peer) (control.ReloadResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers = append(b.peers, by)
	return b.Reloaded, b.Errors["Reload"]
}
