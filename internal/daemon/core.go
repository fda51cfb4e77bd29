package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/portal"
	"regwarden/internal/store"
	"regwarden/sources"
)

// core owns the detector, the ledger and the database. Only its run goroutine touches them; everybody else sends it a function.
type core struct {
	logger *slog.Logger
	plan   *plan
	store  *store.Store

	detector *detector.Detector
	ledger   *detector.Ledger
	matcher  atomic.Pointer[detector.Matcher]
	seed     detector.Seed

	in     chan message
	calls  chan func(*core)
	ending chan struct{}
	broken chan struct{} // closed when the core cannot go on
	intake *intake

	// gone are the ends of blocks since the checkpoint that we went on from.
	gone      []store.HistoryEntry
	runners   []*actions.Runner
	runnersWG *sync.WaitGroup
	stopRun   context.CancelFunc
	// leftBehind are places in the kernel that are not configured and not emptied yet, or could not be.
	leftBehind []store.FirewallPlace
	// moving says that they are to be emptied as soon as the configured firewall stands.
	moving bool
	// placesUnknown says that the database could not tell them, so that what it knows must not be written over.
	placesUnknown bool

	positions map[place]sources.Position
	pending   map[place][]byte
	counts    map[place]*lineCounts
	seen      map[place]seen
	readThen  uint64 // bytes that were read when catching up was looked at last, at readAt
	readAt    time.Time
	ended     map[string]string // source to error

	// known are the decisions of the last day: after a crash some lines are read again, and what was decided on them is not decided again,
	// least of all when somebody has lifted it meanwhile.
	known map[string]time.Time
	// lifts are those of the last day, while the core recalls what was before.
	lifts []store.HistoryEntry
	// unsaved are changes that the database did not take yet.
	unsaved   []detector.Change
	saveError string
	warned    map[string]time.Time
	allowed   []store.AllowEntry
	hosts     []detector.Never // this host's own addresses, its gateways and resolvers

	// alive is called in each tick.
	alive func()

	dirty       bool
	lastSaved   time.Time
	saveEvery   time.Duration
	reloadError string
	// late is when a decision last came too late to block anybody.
	late time.Time
	// tally is what metrics tell; metricsError why they are not served.
	tally tally
	// storms are the rules that the storm guard has held lately, for people to see.
	storms       map[string]portal.Storm
	metricsError string
}

type seen struct {
	dialect string
	at      time.Time // when anything was heard of the place
	line    time.Time // when a line came; zero if none did since the start
}

// How often the core looks after what time brings.
const (
	tickEvery  = 250 * time.Millisecond
	leastSave  = time.Second
	mostSave   = 10 * time.Minute
	hostsEvery = time.Minute
	pruneEvery = time.Hour
	pruneFor   = 500 * time.Millisecond // of each pruneAgain, while there is something left to prune
	pruneAgain = 5 * time.Second
	// stateRate is how many bytes of state are written a second, so that checkpoints wear no disk out.
	stateRate = 64 << 10
)

func newCore(ctx context.Context, p *plan, st *store.Store, logger *slog.Logger) (*core, error) {
	c := &core{alive: func() {}, logger: logger, plan: p, store: st, in: make(chan message, 16), calls: make(chan func(*core)),
		ending: make(chan struct{}), broken: make(chan struct{}),
		positions: map[place]sources.Position{}, pending: map[place][]byte{}, counts: map[place]*lineCounts{}, seen: map[place]seen{},
		ended: map[string]string{}, warned: map[string]time.Time{}, saveEvery: leastSave, tally: newTally(),
		storms: map[string]portal.Storm{}}
	if err := c.recall(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// newSeed draws the key under which counts are hashed.
func newSeed() detector.Seed {
	var b [16]byte
	rand.Read(b[:]) // it never fails, it ends the process instead
	return detector.Seed{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// options are the detector's, by the plan and what the host and people add.
func (c *core) options(p *plan) detector.Options {
	extra := append([]detector.Never{}, c.hosts...)
	now := time.Now()
	for _, a := range c.allowed {
		if a.Until.IsZero() || now.Before(a.Until) {
			extra = append(extra, detector.Never{Prefix: a.Prefix, Why: "allowed by " + a.By})
		}
	}
	o := detectorOptions(p.config, extra)
	o.NarrowHeld, o.SpelledOnly, o.Answering = p.narrow, p.spelled, p.answering
	return o
}

// do runs f in the core's goroutine and waits for it; false if the core has ended.
func (c *core) do(f func(*core)) bool {
	done := make(chan struct{})
	select {
	case c.calls <- func(c *core) { f(c); close(done) }:
		<-done
		return true
	case <-c.broken:
		return false
	}
}

// stop asks the core to end; run returns when it has.
func (c *core) stop() {
	select {
	case c.ending <- struct{}{}:
	case <-c.broken:
	}
}

// start begins to act and to read. It runs in the core's goroutine.
func (c *core) start() {
	c.recallPlaces()
	c.protect()
	c.startRunners(c.plan.actions)
	c.expire()
	c.spareAllowed()
	c.startIntake()
}

func (c *core) startIntake() {
	c.intake = &intake{logger: c.logger, matcher: &c.matcher, out: c.in, free: make(chan *detector.Findings, 32), ended: c.sourceEnded}
	positions := map[string]map[string]sources.Position{}
	pending := map[place][]byte{}
	for p, at := range c.positions {
		if positions[p.Source] == nil {
			positions[p.Source] = map[string]sources.Position{}
		}
		positions[p.Source][p.Path] = at
		pending[p] = c.pending[p]
	}
	c.intake.start(c.plan.config.Sources, positions, pending)
}

// sourceEnded is called by a source's goroutine.
func (c *core) sourceEnded(source string, err error) {
	text := "it has ended"
	if err != nil {
		text = err.Error()
		c.logger.Error("a source has failed", "source", source, "error", err)
	}
	go c.do(func(c *core) { c.ended[source] = text }) // the core may be waiting for this very goroutine
}

// run is the core's goroutine.
func (c *core) run() error {
	defer close(c.broken)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case m := <-c.in:
			c.count(m)
		case f := <-c.calls:
			f(c)
		case now := <-tick.C:
			c.tick(now)
		case <-c.ending:
			return c.finish()
		}
	}
}

// stopIntake stops the sources while it goes on counting what they emit.
func (c *core) stopIntake() {
	if c.intake == nil {
		return
	}
	stopped := make(chan struct{})
	in := c.intake
	go func() { in.stop(); close(stopped) }()
	for {
		select {
		case m := <-c.in:
			c.count(m)
		case <-stopped:
			for len(c.in) > 0 {
				c.count(<-c.in)
			}
			c.intake = nil
			return
		}
	}
}

// finish stops the sources, saves everything and stops the actions. Blocks stay where they are.
func (c *core) finish() error {
	c.stopIntake()
	c.settle(nil)
	err := c.checkpoint(time.Now())
	c.stopRunners(true)
	if len(c.unsaved) > 0 {
		err = errors.Join(err, fmt.Errorf("%d changes could not be saved", len(c.unsaved)))
	}
	return err
}

// count takes a message into the detector and carries out what it decides.
func (c *core) count(m message) {
	var changes []detector.Change
	c.detector.Count(m.findings, func(d detector.Decision) { changes = append(changes, c.decide(d)...) })
	_, remembered := c.positions[m.place]
	c.positions[m.place], c.pending[m.place] = m.after, m.pending
	n := c.counts[m.place]
	if n == nil {
		n = &lineCounts{}
		c.counts[m.place] = n
	}
	n.add(m.lines)
	now := seen{dialect: m.dialect, at: time.Now(), line: c.seen[m.place].line}
	if m.lines.Lines > 0 {
		now.line = now.at
	}
	c.seen[m.place] = now
	c.tally.batch(m, now.at)
	c.dirty = true
	c.settle(changes)
	if !remembered { // until it is saved, a crash and a rotation together would leave nothing to find the old file by
		c.saveEvery = 0
		if time.Since(c.lastSaved) > tickEvery {
			c.saveNow()
		}
	}
	if c.intake != nil {
		select {
		case c.intake.free <- m.findings:
		default:
		}
	}
}

// decide enters a decision into the ledger, once.
func (c *core) decide(d detector.Decision) []detector.Change {
	if d.Verb != detector.VerbUnblock {
		if _, known := c.known[d.ID]; known {
			return nil
		}
		c.known[d.ID] = time.Now()
	}
	if c.detector.Forgiven(d.Target, d.Rule, d.About, d.Time) {
		return nil
	}
	c.tally.decision(d)
	switch d.Verb {
	case detector.VerbBlock, detector.VerbUnblock:
		if !d.Until.IsZero() && !d.Until.After(time.Now()) {
			// An old log: the block would have ended before it began.
			c.late = time.Now()
			c.tally.late++
			c.warn("late "+d.Rule, "a block would have ended before it was decided: the lines are late, or their clock or time zone is not this host's",
				"rule", d.Rule, "target", d.Target, "line_time", d.Time, "behind", time.Since(d.Time).Round(time.Second))
			return nil
		}
		return c.ledger.Enter(d)
	}
	if d.Guard == detector.GuardStorm {
		c.storms[d.Rule] = portal.Storm{Rule: d.Rule, Why: d.Reason, At: time.Now()} // as many as there are rules
		c.warn("storm "+d.Rule, "a storm: nobody is blocked by this rule until fewer clients run into it", "rule", d.Rule, "reason", d.Reason)
	}
	return []detector.Change{d.Told()}
}

// settle saves changes and then tells the actions, in this order: what is announced is never lost.
func (c *core) settle(changes []detector.Change) {
	c.unsaved = append(c.unsaved, changes...)
	c.tally.changes(changes)
	if len(c.unsaved) > 0 {
		begun := time.Now()
		err := c.store.SaveChanges(context.Background(), c.unsaved)
		saved(&c.tally.saves, begun, err)
		switch {
		case err == nil:
			c.unsaved, c.saveError = nil, ""
		case len(c.unsaved) > 10000:
			c.unsaved = c.unsaved[len(c.unsaved)-10000:]
			fallthrough
		default:
			c.saveError = err.Error()
			c.warn("save", "changes cannot be saved; they are carried out and saving is tried again", "error", err.Error())
		}
	}
	if len(changes) > 0 {
		for _, r := range c.runners {
			r.Enqueue(changes)
		}
	}
}

// warn logs a fault at most once a minute.
func (c *core) warn(key, message string, attrs ...any) {
	now := time.Now()
	if now.Sub(c.warned[key]) < time.Minute {
		return
	}
	c.warned[key] = now
	c.logger.Warn(message, attrs...)
}
