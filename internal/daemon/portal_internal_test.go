package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/portal"
	"regwarden/internal/store"
)

var shopTarget = netip.MustParsePrefix("203.0.113.7/32")

// portalCore is a core that runs over a database, without sources and actions; stop ends both.
func portalCore(t *testing.T, path string) (d *Daemon, stop func()) {
	t.Helper()
	st, err := store.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Actions.Log = false
	plan, err := makePlan(&c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	d = &Daemon{options: Options{Config: &c}, logger: slog.New(slog.DiscardHandler), since: time.Now()}
	if d.core, err = newCore(t.Context(), plan, st, d.logger); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.core.run() }()
	return d, func() {
		d.core.stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		st.Close()
	}
}

func addCause(d *Daemon, c detector.Cause) {
	d.core.do(func(core *core) {
		now := time.Now().UTC()
		c.Rule, c.By, c.Since, c.Until = "missing-manifest", "rule", now, now.Add(time.Hour)
		core.settle([]detector.Change{core.ledger.Add(shopTarget, c, now)})
	})
}

func probation(d *Daemon) (p detector.Probation, on bool) {
	d.core.do(func(c *core) { p, on = c.ledger.Probation(shopTarget, time.Now().Add(time.Minute)) })
	return p, on
}

// TestALiftOnThePageIsALift like one on the socket: in the history, on the disk, with what it brings for the next day.
func TestALiftOnThePageIsALift(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	d, stop := portalCore(t, path)
	page := portalBackend{d}
	addCause(d, detector.Cause{ID: "a", About: "acme/shop/backend", Repositories: []string{"acme/shop/backend"}, Reblock: 1})
	addCause(d, detector.Cause{ID: "b", About: "acme/shop"})
	addCause(d, detector.Cause{ID: "c", About: "corp/tools"})
	lift := portal.Lift{Project: "acme/shop", ID: "a", By: "web:dana (gitlab 17)", Reason: "pushed", Reblocks: 1, Probation: 24 * time.Hour}
	for _, row := range []struct {
		name   string
		change func(*portal.Lift)
		want   error
	}{
		{"another project's", func(l *portal.Lift) { l.ID = "c" }, portal.ErrNotYours},
		{"none", func(l *portal.Lift) { l.ID = "x" }, portal.ErrNotBlocked},
		{"a neighbour of the same beginning", func(l *portal.Lift) { l.Project = "acme/sho" }, portal.ErrNotYours},
	} {
		l := lift
		row.change(&l)
		if _, err := page.Lift(t.Context(), l); !errors.Is(err, row.want) {
			t.Errorf("%s: want %v, got %v", row.name, row.want, err)
		}
	}
	low := lift
	low.Reblocks = 0
	var reblocked *portal.ErrReblocked
	if _, err := page.Lift(t.Context(), low); !errors.As(err, &reblocked) || reblocked.Reblock != 1 {
		t.Errorf("too low a role: %v", err)
	}
	done, err := page.Lift(t.Context(), lift)
	if err != nil || done.Target != shopTarget || len(done.Causes) != 2 || !done.Remains {
		t.Fatalf("got %+v, %v", done, err)
	}
	entries, err := page.History(t.Context(), portal.HistoryQuery{Within: "acme/shop", Limit: 2})
	if err != nil || len(entries) != 2 || entries[0].By != lift.By || entries[0].Note != "pushed" || entries[0].Verb != detector.ChangeShorten {
		t.Errorf("the history: %+v, %v", entries, err)
	}
	if p, on := probation(d); !on || p.Reblocks != 1 || p.Until.Sub(p.Since) != 24*time.Hour {
		t.Errorf("the probation: %+v", p)
	}
	over := portal.Quota{What: "unblocks by 17", Max: 1, Window: time.Hour}
	if err := page.Use(t.Context(), time.Now(), over); err != nil {
		t.Error(err)
	}
	stop()

	d, stop = portalCore(t, path) // a restart forgets nothing of it
	defer stop()
	if p, on := probation(d); !on || p.Reblocks != 1 {
		t.Errorf("after a restart: %+v", p)
	}
	var full *portal.Full
	if err := (portalBackend{d}).Use(t.Context(), time.Now(), over); !errors.As(err, &full) {
		t.Errorf("the quota after a restart: %v", err)
	}
	var again, others []detector.Change
	d.core.do(func(c *core) {
		late := detector.Decision{ID: "late", Time: time.Now().Add(-time.Hour), Verb: detector.VerbBlock, Target: shopTarget, Rule: "missing-manifest", About: "acme/shop", Until: time.Now().Add(time.Hour)}
		again = c.decide(late)
		late.ID, late.About = "other", "corp/site" // nobody has lifted a block about that
		others = c.decide(late)
	})
	if len(others) != 1 {
		t.Errorf("a lift for one project forgives what was asked of another: %+v", others)
	}
	if len(again) != 0 {
		t.Errorf("what was done before the lift is forgiven, and blocks again: %+v", again)
	}
	if _, err := d.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.7"}, control.Peer{}); err != nil {
		t.Fatal(err)
	}
	if p, on := probation(d); on {
		t.Errorf("an operator has unblocked it, and it is on probation still: %+v", p)
	}
}

// TestOnlyWhatNeedsNoRestartIsTakenOver by a reload of the page.
func TestOnlyWhatNeedsNoRestartIsTakenOver(t *testing.T) {
	a := config.DefaultPortal()
	for _, row := range []struct {
		name   string
		change func(*config.Portal)
		want   bool
	}{
		{"a limit", func(p *config.Portal) { p.Limits.UserHour = 9 }, false},
		{"a role", func(p *config.Portal) { p.Lift = "owner" }, false},
		{"the login", func(p *config.Portal) { p.Login = "oidc" }, true},
		{"the place", func(p *config.Portal) { p.Socket = "/s" }, true},
		{"whose headers are believed", func(p *config.Portal) { p.TrustedPeers = []netip.Prefix{shopTarget} }, true},
	} {
		b := a
		row.change(&b)
		if got := len(portalRestarts(&a, &b)) > 0; got != row.want {
			t.Errorf("%s: takes a restart: want %v, got %v", row.name, row.want, got)
		}
	}
	if portalRestarts(nil, &a) == nil || portalRestarts(nil, nil) != nil {
		t.Error("a page that comes or goes takes a restart")
	}
}

// TestAReloadOfThePage tells what it took over, and keeps the old login until a restart.
func TestAReloadOfThePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.toml")
	load := func(text string) *config.Config {
		t.Helper()
		c, err := config.Parse(path, []byte("[[source]]\npath = \"a.log\"\n[portal]\nsocket = \"/run/page.sock\"\nurl = \"https://blocks.example.org\"\n"+text+
			"[[portal.grant]]\ngroup = \"web\"\nnamespace = \"acme\"\nrole = \"developer\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const header, oidc = "login = \"header\"\ngroups_header = \"X-Groups\"\n", "login = \"oidc\"\nissuer = \"https://id.example.org\"\nclient_id = \"a\"\n"
	st, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	next := load(header)
	d := &Daemon{options: Options{Config: next, Load: func() (*config.Config, error) { return next, nil }, Ready: func() {}, Reloading: func() {}}, logger: slog.New(slog.DiscardHandler)}
	plan, err := makePlan(next, d.logger)
	if err != nil {
		t.Fatal(err)
	}
	if d.core, err = newCore(t.Context(), plan, st, d.logger); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.core.run() }()
	defer func() { d.core.stop(); <-ended }()
	if d.page, err = d.newPage(plan); err != nil {
		t.Fatal(err)
	}
	test, _ := d.page.portal.Test()
	for _, row := range []struct{ text, changed, restart string }{
		{header, "[]", "[]"},
		{header + "lift = \"owner\"\n", "[the project page]", "[]"},
		{header + "lift = \"owner\"\n[portal.limits]\nuser_hour = 5\n", "[the project page]", "[]"},
		{oidc, "[]", "[portal.login portal's headers]"},
		{oidc, "[]", "[portal.login portal's headers]"}, // it still does
	} {
		next = load(row.text)
		result, err := d.Reload(t.Context(), control.Peer{})
		if changed, restart := fmt.Sprint(result.Changed), fmt.Sprint(result.Restart); err != nil || changed != row.changed || restart != row.restart {
			t.Errorf("%q: want %s and %s, got %s and %s, %v", row.text, row.changed, row.restart, changed, restart, err)
		}
	}
	if now, _ := d.page.portal.Test(); now != test {
		t.Error("human tests that are under way were forgotten")
	}
}
