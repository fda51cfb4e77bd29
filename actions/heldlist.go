package actions

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// heldList is what an action holds that writes all of it anew with each change, and not too often.
type heldList struct {
	blocks  map[netip.Prefix]detector.Block
	clock   func() time.Time
	written time.Time // zero before the first time
}

func newHeldList(clock func() time.Time) heldList {
	if clock == nil {
		clock = time.Now
	}
	return heldList{blocks: map[netip.Prefix]detector.Block{}, clock: clock}
}

// reset makes it hold exactly these blocks.
func (l *heldList) reset(blocks []detector.Block) {
	clear(l.blocks)
	for _, b := range blocks {
		l.blocks[b.Target] = b
	}
}

// all are the blocks, sorted by target.
func (l *heldList) all() []detector.Block { return sorted(maps.Values(l.blocks)) }

// wait is what is left of the least time between two writes.
func (l *heldList) wait(interval time.Duration) time.Duration {
	if l.written.IsZero() {
		return 0
	}
	since := l.clock().Sub(l.written)
	if since < 0 { // the clock was set back
		return 0
	}
	return interval - since
}

// hold brings a table of blocks up to date.
func hold(blocks map[netip.Prefix]detector.Block, changes []detector.Change) {
	for _, c := range changes {
		switch {
		case c.Verb == detector.ChangeDryRun || c.Verb == detector.ChangeSpared:
		case len(c.Block.Causes) == 0:
			delete(blocks, c.Block.Target)
		default:
			blocks[c.Block.Target] = c.Block
		}
	}
}

func sorted(blocks iter.Seq[detector.Block]) []detector.Block {
	return slices.SortedFunc(blocks, func(a, b detector.Block) int { return a.Target.Compare(b.Target) })
}
