package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// results are all contenders with what was measured of them.
type results struct {
	begun  time.Time
	rounds int
	run    []*contender
	absent []*contender // what is not installed
	// floor is the peak memory in KiB that the kernel tells of any child: that of the program in between, from which it is forked.
	floor  int64
	memory *memory
}

// memory is the run on a large log.
type memory struct {
	bytes   int64
	cost    cost
	summary summary
}

func (r *results) add(all ...*contender) {
	for _, c := range all {
		if c.missing == "" {
			r.run = append(r.run, c)
			continue
		}
		fmt.Fprintf(os.Stderr, "%s is left out: %s\n", c.name, c.missing)
		r.absent = append(r.absent, c)
	}
}

func (r *results) keep(want func(*contender) bool) {
	r.run = slices.DeleteFunc(r.run, func(c *contender) bool { return !want(c) })
}

// get returns a contender that has run, or nil.
func (r *results) get(log, name string) *contender {
	for _, c := range r.run {
		if c.log.name == log && c.name == name && len(c.runs) > 0 {
			return c
		}
	}
	return nil
}

// of returns all that have run on a log.
func (r *results) of(log string) []*contender {
	var all []*contender
	for _, c := range r.run {
		if c.log.name == log {
			all = append(all, c)
		}
	}
	return all
}

func (r *results) calibrate(budget time.Duration) error {
	for _, c := range r.run {
		if err := c.calibrate(budget); err != nil {
			return err
		}
	}
	level(r.run)
	nothing := &contender{name: "true", args: func(string) []string { return []string{"true"} }}
	k, _, err := nothing.run("")
	r.floor = k.RSS
	return err
}

// checkAll lets those who have read only a part find all abusers in a short log that has all of them in it.
func (r *results) checkAll() error {
	for _, c := range r.run {
		if c.found == nil || c.lines == c.log.lines {
			continue
		}
		fmt.Fprintln(os.Stderr, "check that it finds all:", c.name)
		path, err := c.log.thin()
		if err != nil {
			return err
		}
		_, out, err := c.run(path)
		if err != nil {
			return err
		}
		c.verdict = c.judge(c.found(out), c.log.truth(c.log.lines))
	}
	return nil
}

// faults are whom the contenders missed or named wrongly, and decisions that differ between one core and two.
func (r *results) faults() []string {
	var all []string
	for _, c := range r.run {
		slices.Sort(c.faults)
		few := slices.Compact(c.faults)
		if len(few) > 5 {
			few = append(few[:5:5], fmt.Sprintf("and %d more", len(few)-5))
		}
		if len(few) > 0 {
			all = append(all, fmt.Sprintf("%s, %s: %s", c.log.name, c.name, strings.Join(few, "; ")))
		}
	}
	for _, l := range logs {
		one, two := r.get(l.name, oursName), r.get(l.name, oursTwoName)
		if one != nil && two != nil && !bytes.Equal(one.decisions, two.decisions) {
			all = append(all, l.name+": one core and two decide differently")
		}
	}
	return all
}

// measureMemory replays a large access log once.
func (r *results) measureMemory(o options) error {
	nginx := logs[0]
	large := *nginx
	path := fmt.Sprintf("%s-%dMB.log", nginx.stem, o.memory)
	if err := repeat(nginx.part(nginx.lines), path, nginx.lines, o.memory*1_000_000); err != nil {
		return err
	}
	if err := warm(path); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "replay", path)
	c := ours(oursName, &large)
	k, out, err := c.run(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	r.memory = &memory{bytes: info.Size(), cost: k, summary: summaryOf(out)}
	return nil
}

// warm brings a file into the page cache, where the other logs are too after their first round.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// perLine is how many bytes a line of the log has.
func (l *corpus) perLine() float64 { return float64(l.bytes) / float64(l.lines) }
