package actions

import (
	"context"
	"fmt"
	"time"
)

const (
	// watchPeriod is how often the ruleset's generation is asked for, which takes microseconds.
	watchPeriod = 500 * time.Millisecond
	// clockJump is how far the wall clock may part from the kernel's timers before all elements are written with new times. Those
	// stand still while the machine is suspended, and do not hear of a clock that is set.
	clockJump = 5 * time.Second
	// blindLooks is how many looks in a row may fail before that is a doubt of its own.
	blindLooks = 4
)

// Watch calls doubt, once for each event, when the kernel may no longer have what was written: another program changed our table, or the
// clock was set. Whoever is called must see to it that Sync is called soon: Runner.Doubt does. It returns when ctx ends.
func (n *NFTables) Watch(ctx context.Context, doubt func(reason string)) error {
	ticker := time.NewTicker(watchPeriod)
	defer ticker.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		reason, err := n.inspect()
		if err == nil {
			failures = 0
		} else if failures++; failures >= blindLooks {
			failures, reason = 0, fmt.Sprintf("the table cannot be looked at: %v", err)
		}
		if reason != "" && n.doubting() {
			doubt(reason)
		}
	}
}

// moment is a time by two clocks.
type moment struct {
	wall    time.Time // without a monotonic part
	elapsed time.Time // with one
}

func (n *NFTables) moment() moment {
	return moment{wall: n.options.Clock().Round(0), elapsed: time.Now()}
}

// jump says how far the wall clock went since an earlier moment beyond the time that passed, if that is far.
func (m moment) jump(since moment) string {
	by := m.wall.Sub(since.wall) - m.elapsed.Sub(since.elapsed)
	if by.Abs() <= clockJump {
		return ""
	}
	return fmt.Sprintf("the clock jumped by %v", by.Round(time.Second))
}

// inspect compares the clocks, asks for the generation, and looks at the table if others have changed the ruleset.
func (n *NFTables) inspect() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken != "" && !n.doubted {
		return n.broken, nil
	}
	if !n.synced || n.doubted {
		return "", nil // a Sync is to come
	}
	if reason := n.moment().jump(n.written); reason != "" {
		return reason, nil
	}
	gen, err := n.conn.GetGen()
	if err != nil || gen.ID == n.generation && !(n.unproven && n.proofs.due()) {
		return "", err
	}
	known := n.generation
	reason, err := n.verify()
	if err != nil {
		n.generation = known // look again
		return "", err
	}
	n.damaged = reason != ""
	return reason, nil
}

// doubting notes that a Sync is asked for; false if one is already, or none has been yet.
func (n *NFTables) doubting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.doubted || !n.synced && n.broken == "" {
		return false
	}
	n.doubted = true
	return true
}
