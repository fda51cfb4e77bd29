package control

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// Meant returns the blocks that somebody means who names a target to unblock: those of exactly that target. An address also means the block that stands
// for its client, which is as wide as the mask counts. A network that has no block of its own means those that lie in it. A wider block is never meant: it
// holds others too.
func Meant(blocks []detector.Block, named netip.Prefix, mask detector.Mask) []detector.Block {
	client := named
	if named.IsSingleIP() {
		client = mask.Target(named.Addr())
	}
	var same, inside []detector.Block
	for _, b := range blocks {
		switch {
		case b.Target == named, b.Target == client:
			same = append(same, b)
		case within(b.Target, named):
			inside = append(inside, b)
		}
	}
	if len(same) > 0 {
		return same
	}
	return inside
}

// within says whether a target lies in a wider one.
func within(narrow, wide netip.Prefix) bool {
	return wide.Bits() < narrow.Bits() && wide.Contains(narrow.Addr())
}

// Lifted completes the answer to an unblock of a target, or of a cause if none was named: which blocks still cover it, and how many lie in it.
func (c *Changed) Lifted(named netip.Prefix, now []detector.Block) {
	if len(c.Changes) == 0 {
		return
	}
	if !named.IsValid() {
		named = c.Changes[0].Block.Target
	}
	told := map[netip.Prefix]bool{} // a block that lost a cause says itself that it stays
	for _, ch := range c.Changes {
		told[ch.Block.Target] = true
	}
	for _, b := range now {
		switch {
		case told[b.Target]:
		case within(named, b.Target):
			c.StillBlocked = append(c.StillBlocked, b)
		case within(b.Target, named):
			c.StillWithin++
		}
	}
}

// OnlyWider is the problem of a target that has no block of its own while wider ones cover it; nil if none does.
func OnlyWider(now []detector.Block, named netip.Prefix, rule string) *Problem {
	covers := func(b detector.Block) bool {
		return within(named, b.Target) && (rule == "" || slices.ContainsFunc(b.Causes, func(c detector.Cause) bool { return c.Rule == rule }))
	}
	var wider []detector.Block
	for _, b := range now {
		if covers(b) {
			wider = append(wider, b)
		}
	}
	if len(wider) == 0 {
		return nil
	}
	b := wider[len(wider)-1] // sorted by target, so this is the narrowest
	by := ""
	if rule != "" {
		by = " by the rule \"" + cut(rule) + "\""
	}
	p := problem(http.StatusNotFound, "regwarden unblock "+TargetText(b.Target)+" lifts that block, for everybody in it",
		"%s has no block of its own%s, but the wider block %s (%s) covers it", TargetText(named), by, TargetText(b.Target), causeIDs(b))
	p.StillBlocked = wholeBlocks(wider)
	return p
}

// causeIDs names the causes of a block, the first few.
func causeIDs(b detector.Block) string {
	out := ""
	for i, c := range b.Causes {
		switch {
		case i == 3:
			return out + ", …"
		case i > 0:
			out += ", "
		}
		out += cut(c.ID)
	}
	return out
}

// ByHand is the cause of a block by hand that begins now under this ID. If the same person has blocked the target for the same reason already, that cause is
// extended instead: a list that is imported twice blocks nobody twice.
func ByHand(there []detector.Block, target netip.Prefix, id, by, reason string, now, until time.Time) detector.Cause {
	c := detector.Cause{ID: id, Rule: "manual", By: by, Reason: reason, Since: now, Until: until}
	for _, b := range there {
		for _, old := range b.Causes {
			if b.Target == target && old.Rule == c.Rule && old.By == by && old.Reason == reason && now.Before(old.Until) {
				c.ID, c.Since = old.ID, old.Since
				if old.Until.After(until) {
					c.Until = old.Until
				}
			}
		}
	}
	return c
}
