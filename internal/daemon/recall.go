package daemon

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"regwarden/detector"
	"regwarden/internal/store"
	"regwarden/sources"
)

// savedCounts is the part of the checkpoint's state that is the daemon's own; the detector's follows it.
type savedCounts struct {
	Place  place      `json:"place"`
	Counts lineCounts `json:"counts"`
}

// recall goes on where the last daemon stopped: blocks, strikes, counts and positions.
func (c *core) recall(ctx context.Context) error {
	blocks, err := c.store.Blocks(ctx)
	if err != nil {
		return err
	}
	strikes, err := c.strikes(ctx)
	if err != nil {
		return err
	}
	if c.allowed, err = c.store.AllowList(ctx); err != nil {
		return err
	}
	point, err := c.store.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if err := c.recallKnown(ctx, point.Time); err != nil {
		return err
	}
	c.hosts = HostAddresses(c.logger)
	c.ledger = detector.NewLedger(blocks, strikes)
	probations, err := c.store.Probations(ctx)
	if err != nil {
		return err
	}
	c.ledger.Recall(probations)
	c.restore(point)
	for _, e := range c.lifts { // their lines may be read again
		c.detector.Forgive(e.Target, &e.Cause, e.Time)
	}
	c.lifts = nil
	c.tally.matchedBefore = c.detector.Stats().RuleHits
	c.matcher.Store(detector.NewMatcher(c.plan.set.Rules, c.plan.config.Mask, c.seed, c.detector.Watch()))
	if len(point.State) == 0 {
		// The key of the counts must be known before the first line is: after a crash, the same lines must make the same decisions.
		return c.checkpoint(time.Now())
	}
	return nil
}

// knownFor is how long a decision is remembered as taken; lines are read again within a minute of a crash's restart.
const knownFor = 24 * time.Hour

func (c *core) recallKnown(ctx context.Context, checkpoint time.Time) error {
	lifts, err := c.store.History(ctx, store.HistoryFilter{Since: time.Now().Add(-knownFor), Limit: 100_000})
	if err != nil {
		return err
	}
	for _, e := range lifts {
		if (e.Verb == detector.ChangeUnblock || e.Verb == detector.ChangeExpire) && e.Time.After(checkpoint.Add(-time.Second)) && len(c.gone) < 1000 {
			c.gone = append(c.gone, e)
		}
		if (e.Verb == detector.ChangeUnblock || e.Verb == detector.ChangeShorten) && e.By != "storm guard" && e.By != "expiry" {
			c.lifts = append(c.lifts, e)
		}
	}
	ids, err := c.store.Known(ctx, checkpoint.Add(-knownFor))
	c.known = map[string]time.Time{}
	for id := range ids {
		c.known[id] = time.Now()
	}
	return err
}

// forgetKnown keeps the decisions of the last day, and of a storm of them no more than fit in a few megabytes.
func (c *core) forgetKnown(now time.Time) {
	const most = 50_000
	c.detector.ForgetForgiven(now.Add(-knownFor))
	for id, at := range c.known {
		if now.Sub(at) > knownFor || len(c.known) > most {
			delete(c.known, id)
		}
	}
}

func (c *core) strikes(ctx context.Context) ([]detector.Strike, error) {
	saved, err := c.store.Strikes(ctx)
	var out []detector.Strike
	for _, s := range saved {
		out = append(out, detector.Strike{Rule: s.Rule, Target: s.Target, Count: s.Count, Until: s.Last})
	}
	return out, err
}

// restore makes the detector and the positions from a checkpoint. Counts that cannot be read are forgotten, said, and the positions stay.
func (c *core) restore(point store.Checkpoint) {
	counts, state := splitState(point.State)
	seed, err := detector.SeedOf(state)
	if err != nil {
		seed = newSeed()
	}
	c.seed = seed
	c.detector = detector.New(c.plan.set.Rules, c.options(c.plan), seed, c.ledger)
	if len(state) > 0 {
		err := c.detector.Restore(state)
		if ahead := time.Until(c.detector.Newest()); err == nil && ahead > time.Hour {
			err = fmt.Errorf("they are %v ahead of this host's clock", ahead.Round(time.Minute))
		}
		if err != nil {
			c.logger.Error("saved counts cannot be read and are forgotten; blocks and positions are kept", "error", err)
			c.detector = detector.New(c.plan.set.Rules, c.options(c.plan), seed, c.ledger)
		}
	}
	for _, s := range counts {
		c.counts[s.Place] = &s.Counts
	}
	for _, p := range point.Positions {
		var at sources.Position
		if err := json.Unmarshal(p.Position, &at); err != nil {
			c.logger.Error("a saved position cannot be read and is forgotten", "source", p.Source, "path", p.Path, "error", err)
			continue
		}
		c.positions[place{p.Source, p.Path}] = at
		c.pending[place{p.Source, p.Path}] = p.Pending
	}
}

// expire takes off what has ended. Whoever asks for blocks has it done first: a tick may be late, as at the start. Before the actions run nothing
// ends, since they would not hear of it.
func (c *core) expire() {
	if c.stopRun != nil {
		c.settle(c.ledger.Expire(time.Now()))
	}
}

// tick does what time asks for.
func (c *core) tick(now time.Time) {
	c.alive()
	c.expire()
	if c.dirty && now.Sub(c.lastSaved) >= c.saveEvery {
		c.saveNow()
	}
	if c.due("hosts", hostsEvery, now) {
		c.lookAtHosts()
	}
	if c.moving && c.firewallStands() {
		c.leaveOld()
	}
	if c.due("catch-up", catchUpEvery, now) {
		c.sayCatchUp(now)
	}
	if c.due("prune", pruneEvery, now) {
		c.forgetKnown(now)
		c.forgetPaths(now)
		c.prune(now)
	}
}

// prune removes old history, for a moment at a time: after a flood there may be so much that nobody would be blocked meanwhile.
func (c *core) prune(now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), pruneFor)
	defer cancel()
	err := c.store.Prune(ctx, c.plan.config.HistoryKeep, maxHistory)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		c.warned["due prune"] = now.Add(pruneAgain - pruneEvery)
	case err != nil:
		c.warn("prune", "old history cannot be removed", "error", err.Error())
	}
}

func (c *core) saveNow() {
	if err := c.checkpoint(time.Now()); err != nil {
		c.warn("checkpoint", "positions and counts cannot be saved; that is tried again", "error", err.Error())
	}
}

// maxHistory is how many rows of history are kept at most: some hundred megabytes.
const maxHistory = 500_000

// due says whether something that is done from time to time is due now.
func (c *core) due(what string, every time.Duration, now time.Time) bool {
	if now.Sub(c.warned["due "+what]) < every {
		return false
	}
	c.warned["due "+what] = now
	return true
}

// checkpoint saves all positions together with what was counted up to them.
func (c *core) checkpoint(now time.Time) error {
	point := store.Checkpoint{State: c.joinState(), Time: now}
	for p, at := range c.positions {
		text, err := json.Marshal(at)
		if err != nil {
			return fmt.Errorf("position of %s: %w", p.Path, err)
		}
		point.Positions = append(point.Positions, store.SourcePosition{Source: p.Source, Path: p.Path, Position: text, Pending: c.pending[p]})
	}
	c.lastSaved = now
	c.saveEvery = min(max(leastSave, time.Duration(len(point.State))*time.Second/stateRate), mostSave)
	begun := time.Now()
	err := c.store.SaveCheckpoint(context.Background(), point)
	saved(&c.tally.checkpoints, begun, err)
	if err != nil {
		return err
	}
	c.tally.checkpointBytes = len(point.State)
	c.dirty = false
	return nil
}

// joinState is the length of the daemon's part, the part, and the detector's state.
func (c *core) joinState() []byte {
	var own []savedCounts
	for p, n := range c.counts {
		own = append(own, savedCounts{p, *n})
	}
	text, err := json.Marshal(own)
	if err != nil {
		panic(fmt.Sprintf("daemon: state: %v", err)) // names and numbers cannot fail
	}
	b := make([]byte, 0, 4+len(text)+c.detector.StateSize()) // in one piece, for it can be large
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	return c.detector.AppendState(append(b, text...))
}

// forgetPaths forgets files that are gone for good, such as the logs of containers that ended.
func (c *core) forgetPaths(now time.Time) {
	for p := range c.positions {
		last := c.seen[p].at
		if last.IsZero() {
			c.seen[p] = seen{at: now} // from an earlier run: it gets its time
			continue
		}
		if _, err := os.Lstat(p.Path); now.Sub(last) < goneFor || !errors.Is(err, fs.ErrNotExist) || p.Path == "journal" || p.Path == "stdin" {
			continue
		}
		delete(c.positions, p)
		delete(c.pending, p)
		delete(c.counts, p)
		delete(c.seen, p)
	}
}

// goneFor is how long a file may be away before its position is forgotten.
const goneFor = 24 * time.Hour

func splitState(b []byte) (own []savedCounts, state []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := binary.LittleEndian.Uint32(b)
	if uint64(len(b)-4) < uint64(n) || json.Unmarshal(b[4:4+n], &own) != nil {
		return nil, nil
	}
	return own, b[4+n:]
}
