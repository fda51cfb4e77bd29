package daemon

import (
	"sync"
	"time"

	"regwarden/detector"
	"regwarden/internal/metrics"
)

// tally is what the core counts for metrics, since the daemon began. Its goroutine alone writes it, once a batch, a decision or a change.
type tally struct {
	sources   map[string]*sourceTally
	decisions map[string]map[string]uint64 // by rule and verb
	spared    map[string]map[string]uint64 // by rule and guard
	made      map[string]uint64            // blocks by rule
	lifted    map[string]uint64            // by what took them away
	late      uint64

	checkpoints, saves metrics.Saving
	checkpointBytes    int
	// matchedBefore are the rules' hits of earlier runs, which the checkpoint brings along.
	matchedBefore map[string]uint64
	delays        map[string]*delay // by action
}

// sourceTally are all files of a source, those that are gone too.
type sourceTally struct {
	lineCounts
	lag  time.Duration
	last time.Time
}

// delay is how long an action's changes took. Its runner writes it.
type delay struct {
	mu     sync.Mutex
	timing metrics.Timing
}

func (d *delay) observe(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timing.Observe(took)
}

func (d *delay) snapshot() metrics.Timing {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.timing
}

func newTally() tally {
	return tally{sources: map[string]*sourceTally{}, decisions: map[string]map[string]uint64{}, spared: map[string]map[string]uint64{},
		made: map[string]uint64{}, lifted: map[string]uint64{}, delays: map[string]*delay{}}
}

// batch counts what became of a batch's lines.
func (t *tally) batch(m message, now time.Time) {
	s := t.sources[m.place.Source]
	if s == nil {
		s = &sourceTally{}
		t.sources[m.place.Source] = s
	}
	s.add(m.lines)
	if m.lines.Lines > 0 {
		s.last = now
	}
	if m.latest > 0 {
		s.lag = max(now.Sub(time.UnixMilli(m.latest)), 0)
	}
}

// decision counts what a rule decided.
func (t *tally) decision(d detector.Decision) {
	bump(t.decisions, d.Rule, d.Verb)
	if d.Guard != "" {
		bump(t.spared, d.Rule, d.Guard)
	}
}

func bump(of map[string]map[string]uint64, rule, what string) {
	if of[rule] == nil {
		of[rule] = map[string]uint64{}
	}
	of[rule][what]++
}

// changes counts blocks that came and went.
func (t *tally) changes(list []detector.Change) {
	for _, c := range list {
		switch c.Verb {
		case detector.ChangeBlock, detector.ChangeExtend:
			t.made[c.Cause.Rule]++
		case detector.ChangeUnblock, detector.ChangeShorten, detector.ChangeExpire:
			t.lifted[via(c.By)]++
		}
	}
}

// via is what takes blocks away: time, a guard, a list, or somebody on the project page or the socket.
func via(by string) string {
	switch by {
	case "expiry", "never-block":
		return by
	case "storm guard":
		return "storm-guard"
	}
	if fromWeb(by) {
		return "web"
	}
	return "socket"
}

// delayOf is what the action's runner tells how long its changes took; it outlives a reload.
func (t *tally) delayOf(action string) *delay {
	if t.delays[action] == nil {
		t.delays[action] = &delay{}
	}
	return t.delays[action]
}

// saved counts a time that something was written to the database.
func saved(s *metrics.Saving, begun time.Time, err error) {
	s.Took.Observe(time.Since(begun))
	if err != nil {
		s.Failures++
		return
	}
	s.Last = time.Now()
}
