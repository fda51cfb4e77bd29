package answer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/detector"
)

// Held is the blocks as they are looked up for each request: without a lock, and while they change. Its one writer is the goroutine that runs it
// as an action.
type Held struct {
	name  string
	table atomic.Pointer[table]
}

// table is what Sync swaps as a whole and Apply changes target by target.
type table struct {
	blocks sync.Map // netip.Prefix to *detector.Block, which is not changed after
	counts map[length]int
	// lengths are the prefix lengths in use: all that a look-up has to try.
	lengths atomic.Pointer[[]length]
}

// length is a prefix length of a family.
type length struct {
	v6   bool
	bits int
}

// NewHeld returns an empty table; it is Ready after the first Sync.
func NewHeld(name string) *Held { return &Held{name: name} }

// Name is the action's name.
func (h *Held) Name() string { return h.name }

// Kind is "answer-endpoint".
func (h *Held) Kind() string { return "answer-endpoint" }

// Holds is true for both scopes: it sees which repository a request is for.
func (h *Held) Holds(detector.Scope) bool { return true }

// Answers is true: a client that it refuses reads why.
func (h *Held) Answers() bool { return true }

// Ready says whether the table has been filled.
func (h *Held) Ready() bool { return h.table.Load() != nil }

// Sync swaps the whole table.
func (h *Held) Sync(_ context.Context, blocks []detector.Block) error {
	t := &table{counts: map[length]int{}}
	for i := range blocks {
		t.put(blocks[i])
	}
	t.measure()
	h.table.Store(t)
	return nil
}

// Apply changes the targets that changed.
func (h *Held) Apply(_ context.Context, changes []detector.Change) error {
	t := h.table.Load()
	if t == nil {
		t = &table{counts: map[length]int{}}
		t.measure()
		h.table.Store(t)
	}
	for _, c := range changes {
		switch {
		case c.Verb == detector.ChangeDryRun || c.Verb == detector.ChangeSpared:
		case len(c.Block.Causes) > 0:
			t.put(c.Block)
		default:
			if _, there := t.blocks.LoadAndDelete(c.Block.Target); there {
				t.counts[lengthOf(c.Block.Target)]--
			}
		}
	}
	t.measure()
	return nil
}

func (t *table) put(b detector.Block) {
	b.Causes = slices.Clone(b.Causes)
	if _, there := t.blocks.Swap(b.Target, &b); !there {
		l := lengthOf(b.Target)
		if t.counts[l]++; t.counts[l] == 1 {
			t.measure() // before it is said anywhere that the block is made
		}
	}
}

// measure publishes the lengths in use.
func (t *table) measure() {
	var list []length
	for l, n := range t.counts {
		if n > 0 {
			list = append(list, l)
		}
	}
	t.lengths.Store(&list)
}

func lengthOf(p netip.Prefix) length { return length{p.Addr().Is6(), p.Bits()} }

// Find returns what a client's request is told; false lets it pass.
func (h *Held) Find(text *Text, client netip.Addr, r Request, now time.Time) (Notice, bool) {
	var last Notice
	found := false
	t := h.table.Load()
	if t == nil || !client.IsValid() {
		return last, false
	}
	client = client.Unmap().WithZone("")
	for _, l := range *t.lengths.Load() {
		if l.v6 != client.Is6() {
			continue
		}
		p, err := client.Prefix(l.bits)
		if err != nil {
			continue
		}
		b, there := t.blocks.Load(p)
		if !there {
			continue
		}
		if n, ok := text.Concerning(b.(*detector.Block), r.Repository, r.Operation == detector.OpToken, now); ok && (!found || n.Cause.Until.After(last.Cause.Until)) {
			last, found = n, true
		}
	}
	return last, found
}
