package actions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"regwarden/detector"
)

// attempt is one call of the action: a Sync with all that is wanted, or an Apply of some changes.
type attempt struct {
	started time.Time
	sync    bool
	blocks  []detector.Block
	settles doubt // what the Sync makes good
	changes []queued
}

func (a *attempt) size() int {
	if a.sync {
		return a.settles.changes
	}
	return len(a.changes)
}

func (a *attempt) oldest() uint64 {
	if a.sync {
		return a.settles.oldest
	}
	return slices.MinFunc(a.changes, func(x, y queued) int { return int(x.sequence) - int(y.sequence) }).sequence
}

// carriedOut notes that of all changes only so many are left: blocks for which there was no room.
func (a *attempt) carriedOut(left int) {
	if a.sync {
		a.settles.changes = left
		return
	}
	a.changes = a.changes[max(0, len(a.changes)-left):]
}

// permanent is an error that the same change would meet again and again.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// postponed is an error that names the pause after it.
type postponed struct {
	error
	after time.Duration
}

func (p postponed) Unwrap() error { return p.error }

// Run carries changes out until ctx ends; what is left then gets one last attempt, within 5 s. It returns an error if changes remain.
func (r *Runner) Run(ctx context.Context) error {
	final, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(lastMoments, release)
		context.AfterFunc(final, func() { t.Stop() })
	})
	defer stop()
	for r.await(ctx) {
		r.try(final)
	}
	for final.Err() == nil && r.begin() {
		if !r.try(final) {
			break
		}
	}
	r.mu.Lock()
	r.stopped = true
	r.told()
	left := r.doubt.dirty || len(r.queue) > 0
	r.mu.Unlock()
	if left {
		return r.unfinished()
	}
	return nil
}

func (r *Runner) unfinished() error {
	s := r.Status()
	return fmt.Errorf("action %s: %d changes were not carried out: %s", s.Name, s.Pending, s.LastError)
}

// await returns true when there is work and its time has come, false when ctx has ended.
func (r *Runner) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		pause, work := r.due()
		if work && pause <= 0 {
			if r.begin() {
				return true
			}
			continue
		}
		var timer <-chan time.Time
		if work {
			timer = time.After(pause)
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer:
		}
	}
	return false
}

// due says whether there is work, and how long it has to wait.
func (r *Runner) due() (time.Duration, bool) {
	r.mu.Lock()
	work, pause := r.doubt.dirty || len(r.queue) > 0, time.Until(r.hold)
	p, paced := r.action.(Pacer)
	lifted := paced && slices.ContainsFunc(r.queue, func(q queued) bool { return q.change.Verb == detector.ChangeUnblock })
	r.mu.Unlock()
	if paced && work {
		pause = max(pause, p.Pace(lifted))
	}
	return pause, work
}

// begin takes the work of the next attempt out of the queue; false if there is none.
func (r *Runner) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &attempt{started: time.Now()}
	if r.doubt.dirty {
		a.sync, a.settles, a.blocks = true, r.doubt, make([]detector.Block, 0, len(r.wanted))
		for _, b := range r.wanted {
			a.blocks = append(a.blocks, b)
		}
		r.doubt = doubt{}
		r.busy = a
		return true
	}
	r.dropStale(a.started)
	n := len(r.queue)
	if l, ok := r.action.(Limiter); ok {
		n = min(n, max(1, l.BatchLimit()))
	}
	if n == 0 {
		return false
	}
	a.changes = slices.Clone(r.queue[:n])
	clear(r.queue[:n])
	r.queue = r.queue[n:]
	r.busy = a
	return true
}

// dropStale gives up changes that have been retried for too long.
func (r *Runner) dropStale(now time.Time) {
	if r.syncer != nil {
		return
	}
	before := len(r.queue)
	r.queue = slices.DeleteFunc(r.queue, func(q queued) bool { return q.attempts > 0 && now.Sub(q.since) > r.options.MaxAge })
	if n := before - len(r.queue); n > 0 {
		r.status.Dropped += uint64(n)
		r.told()
	}
}

// try carries the attempt out that begin took; it says whether it went well.
func (r *Runner) try(parent context.Context) bool {
	ctx, cancel := context.WithTimeout(parent, r.options.AttemptTimeout)
	defer cancel()
	a := r.busy // written only by this goroutine
	var err error
	if a.sync {
		err = r.syncer.Sync(ctx, a.blocks)
	} else {
		changes := make([]detector.Change, len(a.changes))
		for i, q := range a.changes {
			changes[i] = q.change
		}
		err = r.action.Apply(ctx, changes)
	}
	if err == nil {
		r.succeeded(a)
		return true
	}
	r.failed(a, err)
	return false
}

func (r *Runner) succeeded(a *attempt) {
	r.mu.Lock()
	healed := !r.status.Healthy
	r.busy, r.failures, r.hold = nil, 0, time.Time{}
	r.status.Healthy, r.status.LastSuccess = true, time.Now()
	r.status.Applied += uint64(a.size())
	r.limit = max(r.options.Queue, r.limit-a.size())
	dropped := r.status.Dropped
	r.told()
	r.mu.Unlock()
	if r.options.Took != nil {
		for _, q := range a.changes {
			r.options.Took(time.Since(q.since))
		}
	}
	if why := a.settles.reason; why != "" {
		r.options.Logger.Warn("action was in doubt and is made right again", "action", r.status.Name, "reason", why, "healed", r.healed())
	}
	if healed {
		r.options.Logger.Info("action works again", "action", r.status.Name, "dropped", dropped)
	}
}

func (r *Runner) failed(a *attempt, err error) {
	r.mu.Lock()
	first := r.status.Healthy
	r.busy = nil
	r.status.Healthy, r.status.LastError, r.status.LastErrorTime = false, err.Error(), time.Now()
	r.status.Failed++
	if n := unfit(err); n > 0 && r.syncer != nil {
		r.status.Applied += uint64(max(0, a.size()-n))
		r.status.LastSuccess = time.Now() // for all else
		a.carriedOut(n)
	}
	if errors.As(err, new(permanent)) && r.syncer == nil {
		r.status.Dropped += uint64(len(a.changes))
	} else {
		r.failures++
		r.hold = time.Now().Add(pauseAfter(err, r.failures))
		r.putBack(a)
	}
	r.told()
	r.mu.Unlock()
	if first {
		attrs := []any{"action", r.status.Name, "error", err}
		if a.settles.reason != "" {
			attrs = append(attrs, "doubt", a.settles.reason)
		}
		r.options.Logger.Warn("action fails", attrs...)
	}
}

// putBack returns the work of a failed attempt: as a doubt for a Syncer, to the head of the queue for others.
func (r *Runner) putBack(a *attempt) {
	if r.syncer != nil {
		r.doubtAll(a)
		return
	}
	for i := range a.changes {
		a.changes[i].attempts++
	}
	r.queue = append(a.changes, r.queue...)
	if a.changes[0].attempts%3 == 0 {
		r.letOthersPass(a.changes)
	}
	r.drop(len(r.queue) - r.limit)
}

// doubtAll leaves the failed attempt and all that came meanwhile to the next Sync.
func (r *Runner) doubtAll(a *attempt) {
	d := doubt{dirty: true, changes: a.size(), oldest: a.oldest(), reason: a.settles.reason}
	d.changes += len(r.queue) + r.doubt.changes // both are younger
	r.doubt, r.queue = d, nil
}

// letOthersPass moves what fails behind the changes of other targets, so that one change that can never succeed does not
// hold up the rest. The order of the changes of one target stays.
func (r *Runner) letOthersPass(failing []queued) {
	late := make(map[netip.Prefix]int)
	for _, q := range failing {
		late[q.change.Block.Target] = 1
	}
	slices.SortStableFunc(r.queue, func(x, y queued) int {
		return late[x.change.Block.Target] - late[y.change.Block.Target]
	})
}

// pauseAfter is 100 ms doubled with each failure, up to a minute, less up to half of it by chance, or what the error asks for.
func pauseAfter(err error, failures int) time.Duration {
	var p postponed
	if errors.As(err, &p) && p.after > 0 {
		return min(p.after, longestWait)
	}
	pause := longestWait
	if failures < 11 {
		pause = min(longestWait, firstBackOff<<(failures-1))
	}
	return pause/2 + rand.N(pause/2)
}
