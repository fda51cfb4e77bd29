package daemon

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/config"
)

// stdin is what a source of type "stdin" reads.
var stdin io.Reader = os.Stdin

// startRunners gives each action its goroutine and the blocks that there are.
func (c *core) startRunners(list []actions.Action) {
	ctx, cancel := context.WithCancel(context.Background())
	c.stopRun = cancel
	c.runners, c.runnersWG = nil, &sync.WaitGroup{}
	c.ledger.Direct(func(cause detector.Cause) []string { return carriers(list, cause) })
	blocks := c.ledger.Blocks()
	before, gone := c.endedLately(blocks)
	c.gone = nil
	if c.plan.config.DryRun {
		blocks, before, gone = nil, nil, nil // a dry run lets everybody through, earlier blocks included
	}
	for _, a := range list {
		r := actions.NewRunner(a, actions.RunnerOptions{Logger: c.logger, Took: c.tally.delayOf(a.Name()).observe})
		if _, ok := a.(actions.Syncer); ok {
			r.Reset(blocks)
		} else {
			// A command may have died before it was told of an end: it is told of the block and its end again.
			r.Reset(append(before, blocks...))
			r.Enqueue(gone)
		}
		c.runners = append(c.runners, r)
		if w, ok := a.(actions.Watcher); ok {
			c.runnersWG.Go(func() {
				if err := w.Watch(ctx, r.Doubt); err != nil && ctx.Err() == nil {
					c.logger.Error("an action cannot be watched; what others change in it is not healed", "action", a.Name(), "error", err)
				}
			})
		}
		if s, ok := a.(actions.Server); ok {
			c.runnersWG.Go(func() {
				if err := s.Serve(ctx); err != nil && ctx.Err() == nil {
					c.logger.Error("an action does not serve any more", "action", a.Name(), "error", err)
				}
			})
		}
		c.runnersWG.Go(func() {
			if err := r.Run(ctx); err != nil && ctx.Err() == nil {
				c.logger.Error("an action has stopped", "action", a.Name(), "error", err)
			}
		})
	}
}

// carriers are the actions that carry a cause out: those that it names, or all where some of these are gone and none of the others stops anybody, as after
// a reload that took the answers out of the configuration. A rule that names only actions which tell of things is left alone.
func carriers(list []actions.Action, cause detector.Cause) []string {
	there := 0
	for _, a := range list {
		if !slices.Contains(cause.Actions, a.Name()) {
			continue
		}
		if a.Holds(cause.Closes()) {
			return cause.Actions
		}
		there++
	}
	if there == len(cause.Actions) {
		return cause.Actions
	}
	return nil
}

// protect tells the firewall whom it must let pass, which changes with the host's addresses and the allow list.
func (c *core) protect() {
	for _, a := range c.plan.actions {
		fw, ok := a.(actions.Firewall)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := fw.SetNever(ctx, neverPrefixes(c.options(c.plan).Guards.Never)); err != nil {
			c.warn("protect", "the firewall cannot be told whom never to block; no block concerns them all the same", "action", a.Name(), "error", err.Error())
		}
		cancel()
	}
}

// endedLately are blocks that ended just before a crash, as they were, and their ends.
func (c *core) endedLately(blocks []detector.Block) (before []detector.Block, gone []detector.Change) {
	for _, e := range c.gone {
		if slices.ContainsFunc(blocks, func(b detector.Block) bool { return b.Target == e.Target }) {
			continue
		}
		before = append(before, detector.Block{Target: e.Target, Until: e.Cause.Until, Causes: []detector.Cause{e.Cause}})
		gone = append(gone, detector.Change{Time: e.Time, Verb: e.Verb, Block: detector.Block{Target: e.Target}, Cause: e.Cause, By: e.By, Note: e.Note})
	}
	return before, gone
}

// stopRunners ends the actions' goroutines, within bounds: an action that ignores its time limit is left behind. With flush each first carries out what
// is left; without, others will make all right at once.
func (c *core) stopRunners(flush bool) {
	if c.stopRun == nil {
		return
	}
	if flush {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		for _, r := range c.runners {
			_ = r.Flush(ctx) // what is left then is told below, after a last attempt
		}
	}
	c.stopRun()
	ended, running := make(chan struct{}), c.runnersWG
	go func() { running.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(runnersStop):
		c.logger.Error("an action does not end and is left behind")
	}
	for _, r := range c.runners {
		if s := r.Status(); flush && s.Pending > 0 {
			c.logger.Warn("an action did not finish; its blocks are made right at the next start", "action", s.Name, "changes", s.Pending, "error", s.LastError)
		}
	}
}

// runnersStop is a little more than what a runner gives its action for a last attempt.
const runnersStop = 6 * time.Second

// emptyRemoved empties the blocklist files that a reload took out of the configuration: nobody would take their entries off any more.
func (c *core) emptyRemoved(old, now *config.Config) {
	var files []actions.BlocklistFile
	for _, b := range old.Actions.Blocklists {
		if !slices.ContainsFunc(now.Actions.Blocklists, func(n config.Blocklist) bool { return n.Path == b.Path }) {
			files = append(files, actions.BlocklistFile{Path: b.Path, Format: b.Format, Mode: b.Mode, After: b.After})
		}
	}
	if len(files) == 0 {
		return
	}
	list, err := actions.NewBlocklist(actions.BlocklistOptions{Name: "removed", Files: files})
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), runnersStop)
		defer cancel()
		err = list.Sync(ctx, nil)
	}
	if err != nil {
		c.logger.Error("a blocklist that is no longer configured could not be emptied; its entries stay", "error", err)
	}
}

// emptyPlaces empties what an old plan has written for front ends to a place that the new one does not have: nobody would take its answers away
// any more.
func (c *core) emptyPlaces(old, now *plan) {
	for _, a := range old.actions {
		placed, ok := a.(actions.Placed)
		if !ok || slices.ContainsFunc(now.actions, func(n actions.Action) bool {
			other, ok := n.(actions.Placed)
			return ok && n.Name() == a.Name() && other.Place() == placed.Place()
		}) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), runnersStop)
		if err := placed.Sync(ctx, nil); err != nil {
			c.logger.Error("answers that are no longer configured could not be taken away; their clients go on being refused", "action", a.Name(), "place", placed.Place(), "error", err)
		}
		cancel()
	}
}

// closeAction lets go of what an action holds open, so that another one may have it.
func closeAction(a actions.Action) {
	if closer, ok := a.(io.Closer); ok {
		closer.Close()
	}
}

// spareAllowed lifts the blocks of targets that must not be blocked any more.
func (c *core) spareAllowed() []detector.Change {
	var changes []detector.Change
	now := time.Now()
	for _, target := range c.ledger.Targets() {
		if why := c.detector.NeverBlock(target); why != "" {
			changes = append(changes, c.ledger.Lift(target, func(detector.Cause) bool { return true }, "never-block", why, now)...)
		}
	}
	c.forgive(changes)
	c.settle(changes)
	return changes
}
