package daemon

import (
	"context"
	"io"
	"os"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

// stdin is what a source of type "stdin" reads.
var stdin io.Reader = os.Stdin

// startRunners gives each action its goroutine and the blocks that there are.
func (c *core) startRunners(list []actions.Action) {
	ctx, cancel := context.WithCancel(context.Background())
	c.stopRun = cancel
	c.runners = nil
	blocks := c.ledger.Blocks()
	for _, a := range list {
		r := actions.NewRunner(a, actions.RunnerOptions{Logger: c.logger.With("action", a.Name())})
		r.Reset(blocks)
		c.runners = append(c.runners, r)
		c.runnersWG.Go(func() {
			if err := r.Run(ctx); err != nil && ctx.Err() == nil {
				c.logger.Error("an action has stopped", "action", a.Name(), "error", err)
			}
		})
	}
}

// stopRunners lets each action carry out what is left, within its own time limit, and waits.
func (c *core) stopRunners() {
	flush, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for _, r := range c.runners {
		if err := r.Flush(flush); err != nil {
			c.logger.Warn("an action did not finish; its blocks are made right at the next start", "action", r.Status().Name, "error", err)
		}
	}
	if c.stopRun != nil {
		c.stopRun()
	}
	c.runnersWG.Wait()
}

// spareAllowed lifts the blocks of targets that must not be blocked any more.
func (c *core) spareAllowed() []detector.Change {
	var changes []detector.Change
	now := time.Now()
	for _, b := range c.ledger.Blocks() {
		if why := c.detector.NeverBlock(b.Target); why != "" {
			changes = append(changes, c.ledger.Lift(b.Target, func(detector.Cause) bool { return true }, "never-block", why, now)...)
		}
	}
	c.settle(changes)
	return changes
}
