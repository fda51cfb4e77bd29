package actions

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"regwarden/detector"
)

// Reporter is an Action that may want to hear of what was not blocked too: would-block and spared.
type Reporter interface {
	Action
	Reports() bool
}

// Pacer is an Action that must not be called too often. Pace is how long its Runner waits before it gives out what has come; what
// comes meanwhile goes along. lifted says that somebody lifted a block, whose client waits for it. It is called only by the goroutine that calls Apply,
// and not waited for at the end.
type Pacer interface {
	Action
	Pace(lifted bool) time.Duration
}

// Limiter is an Action that takes no more than BatchLimit changes in one Apply.
type Limiter interface {
	Action
	BatchLimit() int
}

// RunnerOptions are the bounds within which an action is run.
type RunnerOptions struct {
	Logger *slog.Logger // none if nil
	// Kind is shown in the status; empty means what the action's own Kind method says.
	Kind string
	// Queue is how many changes may wait, 10000 if zero. A Syncer that falls further behind is synced; for others the
	// oldest changes are dropped.
	Queue int
	// AttemptTimeout ends an attempt, 30 s if zero.
	AttemptTimeout time.Duration
	// MaxAge is how old a change may grow while it is retried, 24 h if zero. It does not concern a Syncer.
	MaxAge time.Duration
	// Took is told, for each change that Apply carried out, how long after it came that was. It is called by Run's goroutine.
	Took func(time.Duration)
}

const (
	firstBackOff = 100 * time.Millisecond
	longestWait  = time.Minute
	// freshWait is the pause that is left when a change or a doubt comes for a Syncer that fails: a part of it may work, such as the other files
	// of a blocklist.
	freshWait = 2 * time.Second
	// lastMoments is what an action gets at the end to carry out what is left.
	lastMoments = 5 * time.Second
)

// Runner gives changes to one action, in order, from one goroutine (Run), and never holds up whoever enqueues them.
//
// It keeps what the action should hold at this moment. From that a Syncer is made right at the start, after a failure and when it fell
// behind; others get the same changes again, with growing pauses.
type Runner struct {
	action  Action
	syncer  Syncer // nil if the action is none
	options RunnerOptions
	share   share
	wake    chan struct{} // has room for one: there is something new to do

	mu       sync.Mutex // guards all below; held for moments, never during an attempt
	wanted   map[netip.Prefix]detector.Block
	queue    []queued
	limit    int    // of the queue; what Reset put there comes on top
	sequence uint64 // of the last change that came
	doubt    doubt
	busy     *attempt // the attempt that runs
	progress chan struct{}
	stopped  bool
	status   Status
	failures int       // in a row
	hold     time.Time // no attempt before it
}

// queued is a change that waits.
type queued struct {
	change   detector.Change
	sequence uint64
	since    time.Time
	attempts int
}

// doubt says that only a Sync can make the outside right, and what that would settle.
type doubt struct {
	dirty   bool
	changes int
	oldest  uint64 // sequence
	reason  string // what Doubt was told; "" for a start, a failure or a queue that was full
}

// Status is how an action fares.
type Status struct {
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
	// Healthy is false from a failed attempt to the next good one, and while an attempt hangs.
	Healthy bool `json:"healthy"`
	// Pending is how many changes are not carried out yet.
	Pending       int       `json:"pending"`
	Applied       uint64    `json:"applied"`
	Failed        uint64    `json:"failed"`  // attempts
	Dropped       uint64    `json:"dropped"` // changes that were given up
	LastError     string    `json:"last_error,omitempty"`
	LastErrorTime time.Time `json:"last_error_time,omitzero"`
	// Healed is how often it was made right again after somebody else had changed it, for an action that counts that.
	Healed      uint64    `json:"healed"`
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// NewRunner returns the runner of an action. Reset tells it what is blocked at the start; then Run it.
func NewRunner(a Action, options RunnerOptions) *Runner {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if k, ok := a.(interface{ Kind() string }); ok && options.Kind == "" {
		options.Kind = k.Kind()
	}
	options.Queue = positive(options.Queue, 10000)
	options.AttemptTimeout = positive(options.AttemptTimeout, 30*time.Second)
	options.MaxAge = positive(options.MaxAge, 24*time.Hour)
	syncer, _ := a.(Syncer)
	return &Runner{
		action: a, syncer: syncer, options: options, share: shareOf(a), limit: options.Queue,
		wake: make(chan struct{}, 1), progress: make(chan struct{}),
		wanted: make(map[netip.Prefix]detector.Block),
		doubt:  doubt{dirty: syncer != nil},
		status: Status{Name: a.Name(), Kind: options.Kind, Healthy: true},
	}
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n <= 0 {
		return otherwise
	}
	return n
}

// Reset tells what is blocked at this moment; call it before Run. A Syncer's first attempt makes the outside equal to it. An action
// that holds blocks and cannot sync is given each of them again; one that holds none hears nothing.
func (r *Runner) Reset(blocks []detector.Block) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.wanted)
	r.queue, r.limit = nil, r.options.Queue+len(blocks)
	for _, b := range blocks {
		mine, ok := r.share.of(b)
		if !ok || !r.share.holds {
			continue
		}
		r.wanted[mine.Target] = mine
		if r.syncer == nil {
			cause := mine.Causes[len(mine.Causes)-1]
			r.push(detector.Change{Time: cause.Since, Verb: detector.ChangeBlock, Block: mine, Cause: cause, By: cause.By, Note: "given again after a start"})
		}
	}
	if r.syncer != nil {
		r.sequence++
		r.doubt = doubt{dirty: true, changes: len(r.wanted), oldest: r.sequence}
	}
	r.rouse()
}

// Enqueue takes changes and returns at once. It may be called by any goroutine; the order of the calls is the order of the changes.
func (r *Runner) Enqueue(changes []detector.Change) {
	if len(changes) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if mine, ok := r.share.narrow(r.wanted, c); ok {
			r.push(mine)
		}
	}
	r.rouse()
}

// push puts a change into the queue, which stays within its bound.
func (r *Runner) push(c detector.Change) {
	r.sequence++
	if r.doubt.dirty {
		r.doubt.changes++ // the Sync that is due tells it
		r.hurry()
		return
	}
	r.queue = append(r.queue, queued{change: c, sequence: r.sequence, since: time.Now()})
	if len(r.queue) <= r.limit {
		return
	}
	if r.syncer != nil {
		r.doubt = doubt{dirty: true, changes: len(r.queue), oldest: r.queue[0].sequence}
		r.queue = nil
		return
	}
	r.drop(1)
}

// hurry shortens the pause after a failure.
func (r *Runner) hurry() {
	if fresh := r.status.LastErrorTime.Add(freshWait); fresh.Before(r.hold) {
		r.hold = fresh
	}
}

// Doubt says that the outside may no longer be what was made of it, and why: a Syncer is synced soon, others cannot be helped. It is logged
// once, when that is done. Any goroutine may call it.
func (r *Runner) Doubt(reason string) {
	if r.syncer != nil {
		r.suspect(reason)
	}
}

// suspect leaves all that waits to a Sync, unless that is due already.
func (r *Runner) suspect(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doubt.dirty {
		r.hurry()
		r.rouse()
		return
	}
	r.sequence++
	d := doubt{dirty: true, changes: len(r.queue), oldest: r.sequence, reason: reason}
	if len(r.queue) > 0 {
		d.oldest = r.queue[0].sequence
	}
	r.doubt, r.queue = d, nil
	r.rouse()
}

// drop gives up the oldest changes.
func (r *Runner) drop(n int) {
	if n <= 0 {
		return
	}
	clear(r.queue[:n])
	r.queue = r.queue[n:]
	r.status.Dropped += uint64(n)
	r.told()
}

func (r *Runner) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// told wakes those who wait in Flush.
func (r *Runner) told() {
	close(r.progress)
	r.progress = make(chan struct{})
}

// Status returns how the action fares. Any goroutine may ask.
func (r *Runner) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Healed = r.healed()
	s.Pending = len(r.queue) + r.doubt.changes
	if r.busy != nil {
		s.Pending += r.busy.size()
		if time.Since(r.busy.started) > 2*r.options.AttemptTimeout {
			s.Healthy = false
			s.LastError = "the attempt that began at " + r.busy.started.UTC().Format(time.RFC3339) + " hangs"
			s.LastErrorTime = r.busy.started
		}
	}
	return s
}

func (r *Runner) healed() uint64 {
	if h, ok := r.action.(interface{ Healed() uint64 }); ok {
		return h.Healed()
	}
	return 0
}

// Flush waits until all that was enqueued before is carried out or given up. It fails when ctx ends first, when the runner has ended with changes
// left, and without any waiting while the action is known to fail: the pauses between attempts are longer than anybody waits, and Run makes a last
// attempt at its end.
func (r *Runner) Flush(ctx context.Context) error {
	r.mu.Lock()
	last := r.sequence
	r.mu.Unlock()
	for {
		r.mu.Lock()
		left, hopeless, progress := r.outstanding(last), r.stopped || r.failures > 0, r.progress
		r.mu.Unlock()
		switch {
		case !left:
			return nil
		case hopeless:
			return r.unfinished()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-progress:
		}
	}
}

// outstanding says whether a change up to that sequence is still to be carried out.
func (r *Runner) outstanding(last uint64) bool {
	if r.doubt.dirty && r.doubt.oldest <= last {
		return true
	}
	if r.busy != nil && r.busy.oldest() <= last {
		return true
	}
	return slices.ContainsFunc(r.queue, func(q queued) bool { return q.sequence <= last })
}
