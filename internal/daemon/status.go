package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"regwarden/internal/control"
)

// Status tells how everything fares.
func (d *Daemon) Status(context.Context) (control.Status, error) {
	var s control.Status
	if !d.core.do(func(c *core) { c.expire(); s = c.status() }) {
		return s, stopped
	}
	s.Version, s.Since = d.options.Version, d.since
	s.Warnings = append(s.Warnings, d.pageTroubles()...)
	return s, nil
}

func (c *core) status() control.Status {
	s := control.Status{Config: c.plan.config.Path, DryRun: c.plan.config.DryRun, Blocks: c.ledger.Len(), Counts: c.detector.Stats(),
		ReloadError: c.reloadError, SetAside: c.store.SetAside(), Rules: []control.RuleStatus{}, Sources: []control.SourceStatus{}, Actions: []control.ActionStatus{}}
	for _, r := range c.plan.set.Rules {
		s.Rules = append(s.Rules, control.RuleStatus{Name: r.Name, Origin: r.Origin, DryRun: r.DryRun, Hits: s.Counts.RuleHits[r.Name]})
	}
	troubles := c.troubles()
	for p, n := range c.counts {
		s.Sources = append(s.Sources, control.SourceStatus{Source: p.Source, Path: p.Path, Dialect: c.seen[p].dialect, Lines: n.Lines,
			Events: n.Events, Unparsed: n.Unparsed, Cut: n.Cut, Bytes: n.Bytes, LastLine: c.seen[p].line, Error: cmp.Or(c.ended[p.Source], troubles[p])})
		delete(troubles, p)
	}
	for p, text := range troubles {
		s.Sources = append(s.Sources, control.SourceStatus{Source: p.Source, Path: p.Path, Error: cmp.Or(c.ended[p.Source], text)})
	}
	for _, src := range c.plan.config.Sources {
		if !slices.ContainsFunc(s.Sources, func(x control.SourceStatus) bool { return x.Source == src.Name }) {
			s.Sources = append(s.Sources, control.SourceStatus{Source: src.Name, Path: strings.Join(src.Paths, " "), Error: c.ended[src.Name]})
		}
	}
	slices.SortFunc(s.Sources, func(a, b control.SourceStatus) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Path, b.Path))
	})
	for _, r := range c.runners {
		a := r.Status()
		s.Actions = append(s.Actions, control.ActionStatus{Name: a.Name, Kind: a.Kind, Healthy: a.Healthy, Pending: a.Pending,
			Applied: a.Applied, Failed: a.Failed, Dropped: a.Dropped, Healed: a.Healed, LastError: a.LastError, LastSuccess: a.LastSuccess})
	}
	s.Warnings = c.warnings()
	for i := range s.Sources {
		src := &s.Sources[i]
		if !slices.ContainsFunc(s.Sources, func(x control.SourceStatus) bool { return x.Source == src.Source && x.Error != "" }) {
			src.Error = c.plan.trouble(src.Source) // of a pattern that finds nothing, for one
		}
	}
	return s
}

// troubles are the paths that cannot be read at this moment, and why, as the log says it.
func (c *core) troubles() map[place]string {
	if c.intake == nil {
		return nil
	}
	all := c.intake.troubles()
	for p := range all {
		if _, err := os.Stat(p.Path); errors.Is(err, fs.ErrNotExist) {
			all[p] = p.Path + " is not there; the daemon waits for it"
		}
	}
	return all
}

// trouble says why a source of files cannot be read at this moment; "" if it can.
func (p *plan) trouble(source string) string {
	for _, s := range p.config.Sources {
		if s.Name != source || s.Type != "file" {
			continue
		}
		for _, path := range s.Paths {
			if warned := checkPath(s.Name, path); len(warned) > 0 {
				return strings.TrimPrefix(warned[0], "source "+s.Name+": ")
			}
		}
	}
	return ""
}

// warnings are the faults that need a hand.
func (c *core) warnings() []string {
	var out []string
	if c.saveError != "" {
		out = append(out, "changes cannot be saved: "+c.saveError)
	}
	if aside := c.store.SetAside(); aside != "" {
		out = append(out, "the database was damaged and is set aside as "+aside)
	}
	if !c.plan.config.DryRun && !c.plan.config.Actions.Hold() {
		out = append(out, "no action is configured that stops anybody: add [[actions.blocklist]]")
	}
	if names := c.leftNames(); names != "" {
		out = append(out, "an earlier configuration still blocks in the kernel: "+names+"; remove it with "+c.flushCommand())
	}
	out = append(out, c.plan.faults...)
	if c.metricsError != "" {
		out = append(out, "metrics are not served: "+c.metricsError)
	}
	if time.Since(c.late) < time.Hour {
		out = append(out, "blocks came too late to be made: lines are hours old, or their clock or time zone is not this host's (source.timezone)")
	}
	if c.detector.Stats().Evicted > 0 {
		out = append(out, "counts were evicted before their time: a flood of addresses, or state.memory is small")
	}
	return out
}

// doubts are why a change may not take effect or not last.
func (c *core) doubts() []string {
	var out []string
	if c.saveError != "" {
		out = append(out, "the change is not saved and would be lost in a crash: "+c.saveError)
	}
	for _, r := range c.runners {
		if s := r.Status(); !s.Healthy {
			out = append(out, fmt.Sprintf("action %s fails, so the change may not have taken effect there: %s", s.Name, s.LastError))
		}
	}
	return out
}
