package actions

import (
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// share says what of the ledger concerns one action: the causes that name it or name nobody, in a scope that it can
// hold. An action that holds nothing only tells of things, and is told of every scope.
type share struct {
	name    string
	holds   bool
	reports bool
	syncs   bool
	scope   func(detector.Scope) bool
}

func shareOf(a Action) share {
	s := share{name: a.Name(), scope: a.Holds}
	s.holds = a.Holds(detector.ScopeHost) || a.Holds(detector.ScopeRepository)
	_, s.syncs = a.(Syncer)
	if r, ok := a.(Reporter); ok {
		s.reports = r.Reports()
	}
	return s
}

// owns says whether a cause concerns the action.
func (s *share) owns(c detector.Cause) bool {
	named := len(c.Actions) == 0 || slices.Contains(c.Actions, s.name)
	return named && (!s.holds || s.scope(c.Closes()))
}

// of returns the block with the causes that concern the action only; false if none does.
func (s *share) of(b detector.Block) (detector.Block, bool) {
	if !slices.ContainsFunc(b.Causes, func(c detector.Cause) bool { return !s.owns(c) }) {
		return b, len(b.Causes) > 0
	}
	mine := detector.Block{Target: b.Target}
	for _, c := range b.Causes {
		if s.owns(c) {
			mine.Causes = append(mine.Causes, c)
			mine.Until = later(mine.Until, c.Until)
		}
	}
	return mine, len(mine.Causes) > 0
}

// Concerned returns what of these blocks concerns an action, as its Runner would tell it.
func Concerned(a Action, blocks []detector.Block) []detector.Block {
	s := shareOf(a)
	var mine []detector.Block
	for _, b := range blocks {
		if part, ok := s.of(b); ok {
			mine = append(mine, part)
		}
	}
	return mine
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// narrow returns the change as the action should see it, and whether it should see it at all, and keeps wanted up to date.
func (s *share) narrow(wanted map[netip.Prefix]detector.Block, c detector.Change) (detector.Change, bool) {
	switch {
	case c.Verb == detector.ChangeDryRun || c.Verb == detector.ChangeSpared:
		return c, s.reports && s.owns(c.Cause)
	case s.holds:
		return s.keep(wanted, c)
	}
	return c, removal(c.Verb) || s.owns(c.Cause)
}

func removal(verb string) bool {
	return verb == detector.ChangeUnblock || verb == detector.ChangeExpire
}

// keep is narrow for an action that holds blocks. Its verbs are about what the action holds: a second cause that is
// its first is a block, and the last of its own that goes is an unblock even where others remain elsewhere.
func (s *share) keep(wanted map[netip.Prefix]detector.Block, c detector.Change) (detector.Change, bool) {
	target := c.Block.Target
	before, held := wanted[target]
	mine, ok := s.of(c.Block)
	c.Block = mine
	if !ok {
		delete(wanted, target)
		if !removal(c.Verb) {
			c.Verb = detector.ChangeUnblock
			return c, held
		}
		// A Syncer forgets what it does not hold at no cost; a command would fail at it.
		return c, held || s.syncs
	}
	wanted[target] = mine
	if !held {
		c.Verb = detector.ChangeBlock
		return c, true
	}
	return c, s.owns(c.Cause) || !sameCauses(before, mine)
}

func sameCauses(a, b detector.Block) bool {
	return a.Until.Equal(b.Until) && slices.EqualFunc(a.Causes, b.Causes, func(x, y detector.Cause) bool {
		return x.ID == y.ID && x.Until.Equal(y.Until)
	})
}
