package daemon

import (
	"context"
	"errors"
	"maps"
	"runtime/debug"
	"slices"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/metrics"
	"regwarden/sources"
)

// ask is do for those who cannot wait for ever: it gives up when ctx ends.
func ask[T any](ctx context.Context, c *core, f func(*core) T) (T, error) {
	var none T
	answer := make(chan T, 1)
	select {
	case c.calls <- func(c *core) { answer <- f(c) }:
	case <-c.broken:
		return none, errors.New("the daemon is stopping")
	case <-ctx.Done():
		return none, errors.New("the core does not answer")
	}
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		return none, errors.New("the core does not answer")
	}
}

// moment is what the core gives for a snapshot. What takes longer, such as looking at files, is left to whoever asked.
type moment struct {
	metrics.Snapshot
	plan      *plan
	started   bool
	ended     map[string]string
	positions map[place]sources.Position
	sources   map[string]sourceTally
	runners   []*actions.Runner
	delays    map[string]*delay
}

// moment runs in the core's goroutine.
func (c *core) moment() *moment {
	stats := c.detector.Stats()
	m := &moment{plan: c.plan, started: c.intake != nil, ended: maps.Clone(c.ended), positions: maps.Clone(c.positions), sources: map[string]sourceTally{},
		runners: slices.Clone(c.runners), delays: maps.Clone(c.tally.delays)}
	for name, s := range c.tally.sources {
		m.sources[name] = *s
	}
	m.Snapshot = metrics.Snapshot{DryRun: c.plan.config.DryRun, ReloadFailed: c.reloadError != "", Warnings: len(c.warnings()),
		BlockedTargets: c.ledger.Len(), Lifted: maps.Clone(c.tally.lifted), Late: c.tally.late,
		Checkpoints: c.tally.checkpoints, Saves: c.tally.saves, CheckpointBytes: c.tally.checkpointBytes, UnsavedChanges: len(c.unsaved),
		TrackedKeys: stats.Tracked, ActiveTargets: c.detector.Active(), Evicted: stats.Evicted, TableBytes: c.detector.TableBytes(), TableLimit: stats.Memory}
	for _, r := range c.plan.set.Rules {
		m.Rules = append(m.Rules, metrics.Rule{Name: r.Name, Matches: stats.RuleHits[r.Name] - c.tally.matchedBefore[r.Name],
			Decisions: maps.Clone(c.tally.decisions[r.Name]), Spared: maps.Clone(c.tally.spared[r.Name])})
	}
	m.Blocks = blocksByRule(m.Rules, c.tally.made, c.ledger.ByRule())
	return m
}

// blocksByRule are the blocks of the rules in force, of hands, and of all that is left.
func blocksByRule(rules []metrics.Rule, made map[string]uint64, active map[string]int) []metrics.Blocks {
	out := make([]metrics.Blocks, 0, len(rules)+2)
	other := metrics.Blocks{Rule: "other"}
	for _, n := range made {
		other.Made += n
	}
	for _, n := range active {
		other.Active += n
	}
	one := func(rule string) {
		b := metrics.Blocks{Rule: rule, Made: made[rule], Active: active[rule]}
		other.Made, other.Active = other.Made-b.Made, other.Active-b.Active
		out = append(out, b)
	}
	for _, r := range rules {
		one(r.Name)
	}
	one("manual")
	return append(out, other)
}

// snapshot is what metrics tell.
func (d *Daemon) snapshot(ctx context.Context) (metrics.Snapshot, error) {
	m, err := ask(ctx, d.core, (*core).moment)
	if err != nil {
		return metrics.Snapshot{}, err
	}
	m.Version, m.Revision = d.options.Version, revision()
	if d.page != nil {
		m.HumanTests, m.Logins = d.page.tally.snapshot()
	}
	for _, s := range m.plan.config.Sources {
		t := m.sources[s.Name]
		out := metrics.Source{Name: s.Name, Lines: t.Lines, Events: t.Events, Unparsed: t.Unparsed, Cut: t.Cut, Read: t.Bytes, Lag: t.lag, LastLine: t.last,
			Readable: m.ended[s.Name] == "" && m.plan.trouble(s.Name) == ""}
		for p, at := range m.positions {
			if p.Source == s.Name {
				out.Files++
				out.Behind += bytesBehind(p.Path, at)
			}
		}
		m.Sources = append(m.Sources, out)
	}
	for _, r := range m.runners {
		s := r.Status()
		out := metrics.Action{Name: s.Name, Healthy: s.Healthy, Pending: s.Pending, Applied: s.Applied, Failed: s.Failed, Dropped: s.Dropped,
			Healed: s.Healed, LastError: s.LastErrorTime, LastSuccess: s.LastSuccess}
		if took := m.delays[s.Name]; took != nil {
			out.Delay = took.snapshot()
		}
		m.Actions = append(m.Actions, out)
	}
	return m.Snapshot, nil
}

// revision is the commit that the binary was built from, if it knows.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// alive says why the core does not answer.
func (d *Daemon) alive(ctx context.Context) error {
	_, err := ask(ctx, d.core, func(*core) bool { return true })
	return err
}

// health says whether the daemon can read something and stop somebody. It names what fails and not why: that may have what clients wrote in it.
func (d *Daemon) health(ctx context.Context) metrics.Health {
	m, err := ask(ctx, d.core, (*core).moment)
	if err != nil {
		return metrics.Health{Faults: []string{err.Error()}}
	}
	var h metrics.Health
	reading := false
	for _, s := range m.plan.config.Sources {
		if m.ended[s.Name] == "" && m.plan.trouble(s.Name) == "" {
			reading = true
		} else {
			h.Faults = append(h.Faults, "source "+s.Name+" cannot be read")
		}
	}
	holders, holding := 0, false
	for _, r := range m.runners {
		s := r.Status()
		if !s.Healthy {
			h.Faults = append(h.Faults, "action "+s.Name+" fails")
		}
		if m.plan.holds(s.Name) {
			holders, holding = holders+1, holding || s.Healthy
		}
	}
	h.Ready = m.started && reading && (holders == 0 || holding)
	if !m.started {
		h.Faults = append(h.Faults, "it has not begun to read")
	}
	return h
}

// holds says whether the action of that name stops anybody.
func (p *plan) holds(name string) bool {
	return slices.ContainsFunc(p.actions, func(a actions.Action) bool {
		return a.Name() == name && (a.Holds(detector.ScopeHost) || a.Holds(detector.ScopeRepository))
	})
}

// pages are what the daemon answers besides the control socket's own routes.
func (d *Daemon) pages() metrics.Pages {
	return metrics.NewPages(metrics.NewRegistry(d.snapshot), d.alive, d.health)
}

func socketPages(p metrics.Pages) []control.Page {
	return []control.Page{
		{Path: "/v1/metrics", Does: "counts for Prometheus", Handler: p.Metrics},
		{Path: "/healthz", Does: "200 while the core answers", Handler: p.Alive},
		{Path: "/readyz", Does: "200 while it can read and block", Handler: p.Ready},
	}
}

// serveMetrics answers on the configured address, if there is one. A port that is taken keeps nobody from being blocked.
func (d *Daemon) serveMetrics(ctx context.Context, p metrics.Pages) {
	address := d.options.Config.MetricsListen
	if address == "" {
		return
	}
	if err := metrics.Serve(ctx, address, p, d.logger); err != nil && ctx.Err() == nil {
		d.logger.Error("metrics are not served", "error", err)
		d.core.do(func(c *core) { c.metricsError = err.Error() })
	}
}
