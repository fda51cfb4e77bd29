package actions_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

var noon = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

func cause(id string, more ...func(*detector.Cause)) detector.Cause {
	c := detector.Cause{ID: id, Rule: "missing-manifest", By: "rule", Reason: "asked too often", Since: noon, Until: noon.Add(time.Hour)}
	for _, m := range more {
		m(&c)
	}
	return c
}

func only(names ...string) func(*detector.Cause) {
	return func(c *detector.Cause) { c.Actions = names }
}

func narrow(c *detector.Cause) { c.Scope = detector.ScopeRepository }

func block(target string, causes ...detector.Cause) detector.Block {
	b := detector.Block{Target: netip.MustParsePrefix(target), Causes: causes}
	for _, c := range causes {
		if c.Until.After(b.Until) {
			b.Until = c.Until
		}
	}
	return b
}

// change is about the last of the causes.
func change(verb, target string, causes ...detector.Cause) detector.Change {
	c := detector.Change{Time: noon, Verb: verb, By: "rule", Block: block(target, causes...)}
	if n := len(causes); n > 0 {
		c.Cause = causes[n-1]
	}
	return c
}

func blocked(target string) detector.Change {
	return change(detector.ChangeBlock, target, cause("id "+target))
}

func unblocked(target string) detector.Change { return change(detector.ChangeUnblock, target) }

// plain hides that a recorder can sync.
type plain struct{ actions.Action }

// start runs a runner until the test ends and returns what stops it.
func start(t *testing.T, r *actions.Runner) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	return stop
}

func flush(t *testing.T, r *actions.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for err := r.Flush(ctx); err != nil; err = r.Flush(ctx) { // it does not wait for an action that fails
		select {
		case <-ctx.Done():
			t.Fatalf("flush: %v; status %+v", err, r.Status())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func targets(blocks []detector.Block) string {
	var names []string
	for _, b := range blocks {
		names = append(names, b.Target.String())
	}
	return strings.Join(names, " ")
}

func told(changes []detector.Change) string {
	var names []string
	for _, c := range changes {
		names = append(names, c.Verb+" "+c.Block.Target.String())
	}
	return strings.Join(names, ", ")
}

func TestASyncerStartsWithAllThatIsBlocked(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(rec, actions.RunnerOptions{})
	r.Reset([]detector.Block{block("203.0.113.7/32", cause("a")), block("203.0.113.8/32", cause("b", narrow)), block("203.0.113.9/32", cause("c", only("other")))})
	start(t, r)
	flush(t, r)
	if want, got := "203.0.113.7/32", targets(rec.Blocks()); want != got {
		t.Errorf("want %s, got %s", want, got)
	}
	r.Enqueue([]detector.Change{blocked("198.51.100.1/32"), unblocked("203.0.113.7/32")})
	flush(t, r)
	if want, got := "198.51.100.1/32", targets(rec.Blocks()); want != got {
		t.Errorf("want %s, got %s", want, got)
	}
	if rec.Syncs() != 1 {
		t.Errorf("want 1 sync, got %d", rec.Syncs())
	}
}

func TestASyncerIsHealedByASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		r := actions.NewRunner(rec, actions.RunnerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		start(t, r)
		flush(t, r)
		rec.Fail(errors.New("no route"), errors.New("no route"))
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
		synctest.Wait()
		if s := r.Status(); s.Healthy || s.Failed != 1 || s.Pending != 1 || s.LastError != "no route" || s.LastErrorTime.IsZero() {
			t.Errorf("want an unhealthy status with the error, got %+v", s)
		}
		flush(t, r)
		if want, got := "203.0.113.7/32", targets(rec.Blocks()); want != got {
			t.Errorf("want %s, got %s", want, got)
		}
		if s := r.Status(); !s.Healthy || s.Failed != 2 || s.Applied != 1 || s.Pending != 0 || rec.Syncs() != 2 {
			t.Errorf("want a healed status, got %+v after %d syncs", s, rec.Syncs())
		}
		if n := strings.Count(logged.String(), "action fails"); n != 1 {
			t.Errorf("want one warning, got %d", n)
		}
		if n := strings.Count(logged.String(), "works again"); n != 1 {
			t.Errorf("want one word of healing, got %d", n)
		}
	})
}

// hanging is an action that waits for its context.
type hanging struct {
	actions.Action
	began chan struct{}
}

func (h hanging) Apply(ctx context.Context, _ []detector.Change) error {
	h.began <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (h hanging) Sync(ctx context.Context, _ []detector.Block) error { return h.Apply(ctx, nil) }

// TestFlushDoesNotWaitForAnActionThatFails, as a stop would otherwise wait in vain; the end of Run tries once more.
// TestItIsToldHowLongChangesTook, the failed attempts and the pauses between them included.
func TestItIsToldHowLongChangesTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		rec.Fail(errors.New("one"), errors.New("two"), errors.New("three"))
		var took []time.Duration
		r := actions.NewRunner(plain{rec}, actions.RunnerOptions{Took: func(d time.Duration) { took = append(took, d) }})
		stop := start(t, r)
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32"), blocked("203.0.113.8/32")})
		<-time.After(time.Minute) // the bubble's
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(took) != 2 || took[0] < 350*time.Millisecond || took[0] > 700*time.Millisecond || took[0] != took[1] {
			t.Errorf("want twice the three pauses, got %v", took)
		}
	})
}

func TestFlushDoesNotWaitForAnActionThatFails(t *testing.T) {
	for name, hide := range map[string]func(actions.Action) actions.Action{
		"syncer": func(a actions.Action) actions.Action { return a }, "plain": func(a actions.Action) actions.Action { return plain{a} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := actions.NewRecorder("rec", detector.ScopeHost)
				rec.Fail(errors.New("one"), errors.New("two"), errors.New("three"))
				r := actions.NewRunner(hide(rec), actions.RunnerOptions{})
				stop := start(t, r)
				r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
				synctest.Wait() // the first attempt has failed
				before := time.Now()
				if err := r.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "1 changes were not carried out: one") {
					t.Errorf("want it to say what fails, got %v", err)
				}
				if err := stop(); err == nil || !strings.Contains(err.Error(), "two") {
					t.Errorf("want one more attempt at the end, got %v", err)
				}
				if waited := time.Since(before); waited != 0 {
					t.Errorf("want no waiting, got %v", waited)
				}
			})
		})
	}
}

func TestEnqueueNeverWaitsForAHangingAction(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	for name, a := range map[string]actions.Action{
		"syncer": hanging{rec, make(chan struct{}, 10)},
		"plain":  plain{hanging{rec, make(chan struct{}, 10)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := actions.NewRunner(a, actions.RunnerOptions{Queue: 10})
				stop := start(t, r)
				before := time.Now()
				for i := range 1000 {
					r.Enqueue([]detector.Change{blocked(fmt.Sprintf("203.0.113.%d/32", i%250))})
				}
				if time.Since(before) != 0 {
					t.Error("want no waiting")
				}
				if name == "plain" && r.Status().Dropped == 0 {
					t.Error("want the oldest dropped and counted")
				}
				if name == "syncer" && r.Status().Dropped != 0 {
					t.Error("want nothing dropped: a sync tells all of it")
				}
				if err := stop(); err == nil || !strings.Contains(err.Error(), "were not carried out") {
					t.Errorf("want an error that says what is left, got %v", err)
				}
				if waited := time.Since(before); waited > 5*time.Second {
					t.Errorf("want the end within 5 s, got %v", waited)
				}
				if err := r.Flush(t.Context()); err == nil {
					t.Error("want Flush to fail after the end")
				}
			})
		})
	}
}

func TestAnAttemptEndsInTimeAndIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hanging{actions.NewRecorder("rec", detector.ScopeHost), make(chan struct{})}
		r := actions.NewRunner(h, actions.RunnerOptions{AttemptTimeout: 3 * time.Second})
		start(t, r)
		<-h.began
		before := time.Now()
		<-h.began
		if took := time.Since(before); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("want the next attempt after 3 s and a short pause, got %v", took)
		}
		go func() { <-h.began }() // the last one
	})
}

func TestPausesGrowToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := actions.NewRecorder("rec")
		r := actions.NewRunner(plain{rec}, actions.RunnerOptions{})
		for range 15 {
			rec.Fail(errors.New("refused"))
		}
		start(t, r)
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
		<-rec.Calls()
		for i := range 14 {
			before := time.Now()
			<-rec.Calls()
			longest := min(time.Minute, 100*time.Millisecond<<i)
			if pause := time.Since(before); pause < longest/2 || pause > longest {
				t.Errorf("pause %d: want %v to %v, got %v", i+1, longest/2, longest, pause)
			}
		}
	})
}

func TestChangesGoToTheActionsThatTheyName(t *testing.T) {
	both, other := cause("a"), cause("b", only("other"))
	for _, row := range []struct {
		name    string
		scopes  []detector.Scope
		changes []detector.Change
		want    string
	}{
		{"a cause of another action is nothing", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", other)}, ""},
		{"a second cause of another action changes nothing", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", both), change(detector.ChangeExtend, "203.0.113.7/32", both, other)},
			"block 203.0.113.7/32"},
		{"the second cause is the first that concerns the action", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", other), change(detector.ChangeExtend, "203.0.113.7/32", other, both)},
			"block 203.0.113.7/32"},
		{"the last cause of its own goes and one of another stays", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", both), change(detector.ChangeExtend, "203.0.113.7/32", both, other),
				change(detector.ChangeShorten, "203.0.113.7/32", other)},
			"block 203.0.113.7/32, unblock 203.0.113.7/32"},
		{"a scope that it cannot hold is nothing", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", cause("n", narrow))}, ""},
		{"a scope that it can hold is a block", []detector.Scope{detector.ScopeRepository},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", cause("n", narrow))}, "block 203.0.113.7/32"},
		{"a dry run is for those that report", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeDryRun, "203.0.113.7/32", both), change(detector.ChangeSpared, "203.0.113.7/32", both)}, ""},
		{"those that hold nothing hear of every scope, and of dry runs", nil,
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", cause("n", narrow)), change(detector.ChangeDryRun, "203.0.113.8/32", both),
				change(detector.ChangeSpared, "203.0.113.9/32", other), change(detector.ChangeUnblock, "203.0.113.7/32")},
			"block 203.0.113.7/32, would-block 203.0.113.8/32, unblock 203.0.113.7/32"},
		{"what was never told is not taken back by a command", []detector.Scope{detector.ScopeHost},
			[]detector.Change{change(detector.ChangeBlock, "203.0.113.7/32", other), change(detector.ChangeUnblock, "203.0.113.7/32")}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			rec := actions.NewRecorder("rec", row.scopes...)
			r := actions.NewRunner(reporter{plain{rec}, rec}, actions.RunnerOptions{})
			start(t, r)
			r.Enqueue(row.changes)
			flush(t, r)
			if got := told(rec.Changes()); got != row.want {
				t.Errorf("want %q, got %q", row.want, got)
			}
		})
	}
}

// reporter gives a plain action back whether it reports.
type reporter struct {
	plain
	rec *actions.Recorder
}

func (r reporter) Reports() bool { return r.rec.Reports() }

func TestASyncerThatFellBehindIsSynced(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(rec, actions.RunnerOptions{Queue: 3})
	start(t, r)
	flush(t, r)
	var changes []detector.Change
	for i := range 200 {
		changes = append(changes, blocked(fmt.Sprintf("203.0.113.%d/32", i)))
	}
	r.Enqueue(changes)
	flush(t, r)
	if n := len(rec.Blocks()); n != 200 {
		t.Errorf("want 200 blocks, got %d", n)
	}
	if len(rec.Changes()) != 0 || rec.Syncs() != 2 {
		t.Errorf("want one more sync and no changes, got %d syncs and %d changes", rec.Syncs(), len(rec.Changes()))
	}
	if s := r.Status(); s.Applied != 200 || s.Dropped != 0 {
		t.Errorf("want 200 applied and none dropped, got %+v", s)
	}
}

// picky is an action that takes one change at a time and never that of one target.
type picky struct{ plain }

func (picky) BatchLimit() int { return 1 }

func (p picky) Apply(ctx context.Context, changes []detector.Change) error {
	if len(changes) != 1 {
		return fmt.Errorf("%d changes at once", len(changes))
	}
	if changes[0].Block.Target.String() == "203.0.113.7/32" {
		return errors.New("cannot be done")
	}
	return p.plain.Apply(ctx, changes)
}

func TestAChangeThatNeverSucceedsDoesNotHoldUpTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		r := actions.NewRunner(picky{plain{rec}}, actions.RunnerOptions{MaxAge: time.Hour})
		start(t, r)
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32"), blocked("203.0.113.8/32"), unblocked("203.0.113.7/32"), blocked("203.0.113.9/32")})
		time.Sleep(time.Minute) // the bubble's time
		if want, got := "block 203.0.113.8/32, block 203.0.113.9/32", told(rec.Changes()); want != got {
			t.Errorf("want %q, got %q", want, got)
		}
		if s := r.Status(); s.Healthy || s.Pending != 2 {
			t.Errorf("want two that wait, got %+v", s)
		}
		time.Sleep(2 * time.Hour)
		if s := r.Status(); s.Pending != 0 || s.Dropped != 2 {
			t.Errorf("want both given up after an hour, got %+v", s)
		}
	})
}

func TestACommandIsGivenTheBlocksAgainAfterAStart(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(plain{rec}, actions.RunnerOptions{Queue: 2})
	r.Reset([]detector.Block{block("203.0.113.1/32", cause("a")), block("203.0.113.2/32", cause("b")), block("203.0.113.3/32", cause("c"))})
	r.Enqueue([]detector.Change{unblocked("203.0.113.2/32")})
	start(t, r)
	flush(t, r)
	want := "block 203.0.113.1/32, block 203.0.113.2/32, block 203.0.113.3/32, unblock 203.0.113.2/32"
	if got := told(rec.Changes()); got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestWhatIsLeftAtTheEndGetsOneLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		r := actions.NewRunner(rec, actions.RunnerOptions{})
		rec.Fail(errors.New("refused"))
		r.Reset([]detector.Block{block("203.0.113.1/32", cause("a"))})
		stop := start(t, r)
		<-rec.Calls()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if want, got := "203.0.113.1/32", targets(rec.Blocks()); want != got {
			t.Errorf("want %s, got %s", want, got)
		}
	})
}

func TestAChangeCutsTheLongPauseOfASyncer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		for range 12 {
			rec.Fail(errors.New("refused"))
		}
		r := actions.NewRunner(rec, actions.RunnerOptions{})
		start(t, r)
		for range 12 {
			<-rec.Calls()
		}
		synctest.Wait()
		before := time.Now()
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
		flush(t, r)
		if took := time.Since(before); took > 2*time.Second+10*time.Millisecond { // flush looks that often
			t.Errorf("want the next attempt within 2 s, got %v", took)
		}
	})
}

func TestManyMayUseARunnerAtOnce(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(rec, actions.RunnerOptions{Queue: 20})
	start(t, r)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 250 {
				target := fmt.Sprintf("2001:db8:%x:%x::/64", g, i)
				r.Enqueue([]detector.Change{blocked(target)})
				if i%2 == 0 {
					r.Enqueue([]detector.Change{unblocked(target)})
				}
				if i == 100 {
					rec.Fail(errors.New("refused"))
					flush(t, r)
				}
				_ = r.Status()
			}
		})
	}
	all.Wait()
	flush(t, r)
	if n := len(rec.Blocks()); n != 500 {
		t.Errorf("want 500 blocks, got %d; %+v", n, r.Status())
	}
}

// TestAWidenedBlockIsAHostBlock: what the detector widened is for the actions that hold hosts.
func TestAWidenedBlockIsAHostBlock(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(rec, actions.RunnerOptions{})
	r.Reset(nil)
	stop := start(t, r)
	defer stop()
	r.Enqueue([]detector.Change{
		change(detector.ChangeBlock, "203.0.113.7/32", cause("1", narrow, func(c *detector.Cause) { c.Widened = true })),
		change(detector.ChangeBlock, "203.0.113.8/32", cause("2", narrow)),
	})
	flush(t, r)
	if got := targets(rec.Blocks()); got != "203.0.113.7/32" {
		t.Errorf("want the widened block only, got %q", got)
	}
}

func TestADoubtFromOutsideIsASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		rec := actions.NewRecorder("rec", detector.ScopeHost)
		r := actions.NewRunner(rec, actions.RunnerOptions{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		r.Reset([]detector.Block{block("203.0.113.7/32", cause("a"))})
		start(t, r)
		flush(t, r)
		if err := rec.Sync(t.Context(), nil); err != nil { // somebody removes it all
			t.Fatal(err)
		}
		r.Enqueue([]detector.Change{blocked("203.0.113.8/32")})
		r.Doubt("the table is gone")
		flush(t, r)
		if want, got := "203.0.113.7/32 203.0.113.8/32", targets(rec.Blocks()); want != got {
			t.Errorf("want %s, got %s", want, got)
		}
		if s := r.Status(); rec.Syncs() != 3 || !s.Healthy || s.Pending != 0 || s.Applied != 2 {
			t.Errorf("want one more sync and nothing pending, got %d syncs and %+v", rec.Syncs(), s)
		}
		rec.Fail(errors.New("no route"))
		r.Doubt("the set is gone")
		synctest.Wait()
		r.Doubt("the set is gone") // it is to be synced again as it is
		flush(t, r)
		if rec.Syncs() != 4 {
			t.Errorf("want one more sync, got %d", rec.Syncs())
		}
		synctest.Wait() // the runner has said that it works again
		for _, line := range []string{`made right again" action=rec reason="the table is gone"`, `action fails" action=rec error="no route" doubt="the set is gone"`,
			`made right again" action=rec reason="the set is gone"`} {
			if n := strings.Count(logged.String(), line); n != 1 {
				t.Errorf("want %q said once, got %s", line, logged.String())
			}
		}
	})
}

func TestADoubtAboutACommandIsNothing(t *testing.T) {
	rec := actions.NewRecorder("rec", detector.ScopeHost)
	r := actions.NewRunner(plain{rec}, actions.RunnerOptions{})
	r.Doubt("somebody removed a rule")
	start(t, r)
	flush(t, r)
	if s := r.Status(); s.Pending != 0 || len(rec.Changes()) != 0 {
		t.Errorf("want nothing to happen, got %+v", s)
	}
}

// paced takes blocks only once in an hour, and lifts at once.
type paced struct{ came chan []detector.Change }

func (p paced) Name() string                { return "paced" }
func (p paced) Holds(_ detector.Scope) bool { return true }
func (p paced) Pace(lifted bool) time.Duration {
	if lifted {
		return 0
	}
	return time.Hour
}
func (p paced) Apply(_ context.Context, changes []detector.Change) error {
	p.came <- changes
	return nil
}

// TestALiftDoesNotWaitForTheRestOfAnInterval, and takes along what came before it.
func TestALiftDoesNotWaitForTheRestOfAnInterval(t *testing.T) {
	p := paced{make(chan []detector.Change, 2)}
	r := actions.NewRunner(p, actions.RunnerOptions{})
	start(t, r)
	r.Enqueue([]detector.Change{blocked("203.0.113.7/32"), blocked("203.0.113.8/32")})
	r.Enqueue([]detector.Change{unblocked("203.0.113.7/32")})
	if changes := <-p.came; len(changes) != 3 || changes[2].Verb != detector.ChangeUnblock {
		t.Errorf("want both blocks and the lift, got %v", changes)
	}
}
