package metrics

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Take makes a snapshot: the daemon's core answers it between two batches of lines. An error says why it does not.
type Take func(context.Context) (Snapshot, error)

// patience is how long a scrape waits for its snapshot. The core is away for longer only when it hangs.
const patience = 10 * time.Second

// collector turns snapshots into metrics.
type collector struct{ take Take }

// NewRegistry has our metrics, those of the process and of the Go runtime.
func NewRegistry(take Take) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{take}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(collectors.WithGoCollectorMemStatsMetricsDisabled(), collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/memory/classes/(total|heap/objects|heap/released):bytes$`)})))
	return r
}

// Describe names all families.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// Collect takes one snapshot and tells all of it. Without one the scrape fails, which Prometheus shows as up = 0.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := c.take(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(buildInfo.desc, fmt.Errorf("no snapshot: %w", err))
		return
	}
	t := teller{ch}
	t.daemon(&s)
	for i := range s.Sources {
		t.source(&s.Sources[i])
	}
	for i := range s.Rules {
		t.rule(&s.Rules[i])
	}
	for _, b := range s.Blocks {
		t.one(blocksTotal, float64(b.Made), b.Rule)
		t.one(activeBlocks, float64(b.Active), b.Rule)
	}
	for i := range s.Actions {
		t.action(&s.Actions[i])
	}
	t.database(&s)
}

// teller writes metrics to a scrape.
type teller struct{ ch chan<- prometheus.Metric }

func (t teller) one(f family, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if f.kind == "counter" {
		kind = prometheus.CounterValue
	}
	t.ch <- prometheus.MustNewConstMetric(f.desc, kind, value, labels...)
}

func (t teller) yes(f family, value bool, labels ...string) {
	n := 0.0
	if value {
		n = 1
	}
	t.one(f, n, labels...)
}

// when tells a time; none is left out, for 1970 would look like an age of decades.
func (t teller) when(f family, at time.Time, labels ...string) {
	if !at.IsZero() {
		t.one(f, float64(at.UnixMilli())/1000, labels...)
	}
}

func (t teller) daemon(s *Snapshot) {
	t.one(buildInfo, 1, s.Version, s.Revision, runtime.Version())
	t.yes(dryRun, s.DryRun)
	t.yes(reloadFailed, s.ReloadFailed)
	t.one(warnings, float64(s.Warnings))
	t.one(blockedTargets, float64(s.BlockedTargets))
	for _, via := range Vias {
		t.one(unblocks, float64(s.Lifted[via]), via)
	}
	for test, n := range s.HumanTests {
		t.one(humanTests, float64(n), test.Provider, test.Result)
	}
	for result, n := range s.Logins {
		t.one(logins, float64(n), result)
	}
	t.one(late, float64(s.Late))
	t.one(trackedKeys, float64(s.TrackedKeys))
	t.one(activeTargets, float64(s.ActiveTargets))
	t.one(evictions, float64(s.Evicted))
	t.one(tableBytes, float64(s.TableBytes))
	t.one(tableLimit, float64(s.TableLimit))
}

func (t teller) source(s *Source) {
	t.one(linesRead, float64(s.Lines), s.Name)
	t.one(events, float64(s.Events), s.Name)
	t.one(linesUnparsed, float64(s.Unparsed), s.Name)
	t.one(linesCut, float64(s.Cut), s.Name)
	t.one(bytesRead, float64(s.Read), s.Name)
	t.one(bytesBehind, float64(s.Behind), s.Name)
	t.one(logLag, s.Lag.Seconds(), s.Name)
	t.when(lastLine, s.LastLine, s.Name)
	t.yes(sourceUp, s.Readable, s.Name)
	t.one(sourceFiles, float64(s.Files), s.Name)
}

func (t teller) rule(r *Rule) {
	t.one(ruleMatches, float64(r.Matches), r.Name)
	for _, verb := range Verbs {
		t.one(decisions, float64(r.Decisions[verb]), r.Name, verb)
	}
	for _, guard := range Guards {
		t.one(spared, float64(r.Spared[guard]), r.Name, guard)
	}
}

func (t teller) action(a *Action) {
	t.yes(actionUp, a.Healthy, a.Name)
	t.one(actionPending, float64(a.Pending), a.Name)
	t.one(actionApplied, float64(a.Applied), a.Name)
	t.one(actionFailures, float64(a.Failed), a.Name)
	t.one(actionDropped, float64(a.Dropped), a.Name)
	t.one(actionHealed, float64(a.Healed), a.Name)
	t.when(actionLastError, a.LastError, a.Name)
	t.when(actionLastSuccess, a.LastSuccess, a.Name)
	t.ch <- a.Delay.metric(blockApply, a.Name)
}

func (t teller) database(s *Snapshot) {
	t.ch <- s.Checkpoints.Took.metric(checkpointTime)
	t.one(checkpointFailures, float64(s.Checkpoints.Failures))
	t.when(checkpointLast, s.Checkpoints.Last)
	t.one(checkpointBytes, float64(s.CheckpointBytes))
	t.ch <- s.Saves.Took.metric(saveTime)
	t.one(saveFailures, float64(s.Saves.Failures))
	t.one(unsavedChanges, float64(s.UnsavedChanges))
}
