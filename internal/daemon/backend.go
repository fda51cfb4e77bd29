package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/store"
	"regwarden/internal/strict"
)

// Daemon answers on the control socket.
var _ control.Backend = (*Daemon)(nil)

// stopped is the answer while the daemon ends.
var stopped = &control.Problem{Title: "the daemon is stopping", Status: http.StatusServiceUnavailable}

func wrong(detail, hint string) *control.Problem {
	return &control.Problem{Title: "wrong request", Status: http.StatusBadRequest, Detail: detail, Hint: hint}
}

// Blocks tells who is blocked.
func (d *Daemon) Blocks(_ context.Context, f control.BlockFilter) ([]detector.Block, error) {
	var blocks []detector.Block
	if !d.core.do(func(c *core) { c.expire(); blocks = c.ledger.Blocks(); keepHolders(blocks, c.plan.actions) }) {
		return nil, stopped
	}
	now := time.Now()
	return slices.DeleteFunc(blocks, func(b detector.Block) bool {
		return !now.Before(b.Until) || f.Client.IsValid() && !b.Target.Overlaps(f.Client) ||
			!slices.ContainsFunc(b.Causes, func(c detector.Cause) bool { return wanted(c, f) })
	}), nil
}

// keepHolders makes the actions of the blocks' causes those that hold them: a list of addresses holds no repository, files no wide network, a log nobody.
func keepHolders(blocks []detector.Block, list []actions.Action) {
	for _, b := range blocks {
		for i := range b.Causes {
			c := &b.Causes[i]
			var holding []string
			for _, a := range list {
				if (len(c.Actions) == 0 || slices.Contains(c.Actions, a.Name())) && a.Holds(c.Closes()) && refuses(a, b.Target) == "" {
					holding = append(holding, a.Name())
				}
			}
			c.Actions = holding
		}
	}
}

func wanted(c detector.Cause, f control.BlockFilter) bool {
	return (f.Rule == "" || c.Rule == f.Rule) && (f.Repository == "" || slices.Contains(c.Repositories, f.Repository)) &&
		(f.Project == "" || slices.Contains(c.Projects, f.Project))
}

// History tells what happened. It asks the database without troubling the core.
func (d *Daemon) History(ctx context.Context, f control.HistoryFilter) ([]control.HistoryEntry, error) {
	entries, err := d.core.store.History(ctx, store.HistoryFilter{Target: f.Client, Rule: f.Rule, Repository: f.Repository, Project: f.Project,
		Since: f.Since, Until: f.Until, Limit: f.Limit, BeforeID: f.BeforeID})
	out := []control.HistoryEntry{}
	for _, e := range entries {
		out = append(out, control.HistoryEntry(e))
	}
	return out, err
}

// Block blocks a target by hand.
func (d *Daemon) Block(_ context.Context, r control.BlockRequest, p control.Peer) (control.Changed, error) {
	target, err := control.ParseTarget(r.Target)
	if err != nil {
		return control.Changed{}, err
	}
	length, err := strict.Duration(r.For)
	if err != nil || length <= 0 || length > 366*24*time.Hour {
		return control.Changed{}, wrong(fmt.Sprintf("%q is no duration of at most a year", r.For), strict.DurationHint)
	}
	if strings.TrimSpace(r.Reason) == "" {
		return control.Changed{}, wrong("there is no reason", "say why: the blocked client and your colleagues will read it")
	}
	if len(r.Reason) > 500 {
		return control.Changed{}, wrong("the reason is longer than 500 bytes", "say it shorter")
	}
	var refused []string
	done, err := d.change(func(c *core) ([]detector.Change, error) {
		if err := c.mayBlock(target); err != nil {
			return nil, err
		}
		defer func() { refused = refusals(c.plan.actions, target) }()
		if !strings.Contains(r.Target, "/") { // what is counted is what is blocked
			address := target
			target = c.plan.config.Mask.Target(address.Addr())
			var p *control.Problem
			if err := c.mayBlock(target); target != address && errors.As(err, &p) {
				p.Hint = fmt.Sprintf("write %v for the address alone", address)
				return nil, p
			}
		}
		if r.Check {
			return nil, nil
		}
		return c.block(target, length, r.Reason, p.String())
	})
	if err == nil {
		done.Warnings = append(done.Warnings, refused...)
	}
	return done, err
}

// change runs f in the core and answers with what it changed.
func (d *Daemon) change(f func(*core) ([]detector.Change, error)) (control.Changed, error) {
	var changes []detector.Change
	var err error
	if !d.core.do(func(c *core) { c.expire(); changes, err = f(c) }) {
		return control.Changed{}, stopped
	}
	var warnings []string
	if err == nil && len(changes) > 0 {
		d.core.do(func(c *core) { warnings = c.doubts() })
	}
	return control.Changed{Changes: changes, Warnings: warnings}, err
}

func (c *core) block(target netip.Prefix, length time.Duration, reason, by string) ([]detector.Change, error) {
	if c.plan.config.DryRun {
		return nil, &control.Problem{Title: "dry run", Status: http.StatusConflict, Detail: "dry_run is on: nobody is blocked, by hand neither", Hint: "remove dry_run from " + c.plan.config.Path + " and reload"}
	}
	if err := c.mayBlock(target); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	var id [6]byte
	rand.Read(id[:])
	var there []detector.Block
	if c.ledger.Has(target) {
		there = c.ledger.Find(target)
	}
	change := c.ledger.Add(target, control.ByHand(there, target, "m"+hex.EncodeToString(id[:]), by, reason, now, now.Add(length)), now)
	c.settle([]detector.Change{change})
	return []detector.Change{change}, nil
}

// mayBlock refuses who is never blocked.
func (c *core) mayBlock(target netip.Prefix) error {
	if why := c.detector.NeverBlock(target); why != "" {
		return &control.Problem{Title: "never blocked", Status: http.StatusConflict, Detail: fmt.Sprintf("%s is never blocked: %s", control.TargetText(target), why),
			Hint: "regwarden allow list, ignoreip and trusted_proxies say who is protected"}
	}
	return nil
}

// Unblock lifts causes.
func (d *Daemon) Unblock(_ context.Context, r control.UnblockRequest, p control.Peer) (control.Changed, error) {
	if (r.Target == "") != r.All {
		return control.Changed{}, wrong("name a target or say all, not both", `send {"target": "203.0.113.7"} or {"all": true}`)
	}
	named, _, _ := control.ParseSubject(r.Target)
	var now []detector.Block
	changed, err := d.change(func(c *core) (changes []detector.Change, err error) {
		changes, err = c.unblock(r, p.String())
		if !r.All {
			now = c.ledger.Blocks()
		}
		return changes, err
	})
	changed.Lifted(named, now)
	return changed, err
}

func (c *core) unblock(r control.UnblockRequest, by string) ([]detector.Change, error) {
	blocks := c.ledger.Blocks()
	named, id, err := control.ParseSubject(r.Target)
	switch {
	case r.All:
	case err != nil:
		return nil, err
	case id == "":
		blocks = control.Meant(blocks, named, c.plan.config.Mask)
	}
	changes := []detector.Change{}
	for _, b := range blocks {
		changes = append(changes, c.ledger.Lift(b.Target, func(cause detector.Cause) bool {
			return (id == "" || cause.ID == id) && (r.Rule == "" || cause.Rule == r.Rule)
		}, by, r.Reason, time.Now().UTC())...)
	}
	if len(changes) == 0 && !r.All {
		if wider := control.OnlyWider(c.ledger.Blocks(), named, r.Rule); id == "" && wider != nil {
			return nil, wider
		}
	}
	for i := range changes { // whoever holds the socket has judged: what was on probation is trusted again
		if t := changes[i].Block.Target; c.ledger.Discharge(t) {
			changes[i].Probation = &detector.Probation{Target: t}
		}
	}
	c.forgive(changes)
	c.settle(changes)
	return changes, nil // none makes the socket say that it is not blocked
}

// forgive lets what the targets did before people lifted their blocks count no more.
func (c *core) forgive(changes []detector.Change) {
	for _, ch := range changes {
		at := ch.Time
		if newest := c.detector.Newest(); newest.After(at) { // the logs' clocks are ahead of this host's: all that was read is forgiven
			at = newest
		}
		c.detector.Forgive(ch.Block.Target, &ch.Cause, at)
	}
}

// AllowList tells whom people have put on the never-block list.
func (d *Daemon) AllowList(context.Context) ([]control.AllowEntry, error) {
	out := []control.AllowEntry{}
	ok := d.core.do(func(c *core) {
		for _, a := range c.allowed {
			if a.Until.IsZero() || time.Now().Before(a.Until) {
				out = append(out, control.AllowEntry{Target: a.Prefix.String(), Comment: a.Comment, By: a.By, Since: a.Since, Until: a.Until})
			}
		}
	})
	if !ok {
		return nil, stopped
	}
	return out, nil
}

// Allow puts a prefix on the never-block list and lifts the blocks in it.
func (d *Daemon) Allow(ctx context.Context, e control.AllowEntry, p control.Peer) (control.Changed, error) {
	target, err := control.ParseTarget(e.Target)
	if err != nil {
		return control.Changed{}, err
	}
	entry := store.AllowEntry{Prefix: target, Comment: e.Comment, By: p.String(), Since: time.Now().UTC()}
	if e.For != "" {
		length, err := strict.Duration(e.For)
		if err != nil || length <= 0 {
			return control.Changed{}, wrong(fmt.Sprintf("%q is no duration", e.For), strict.DurationHint)
		}
		entry.Until = entry.Since.Add(length)
	}
	return d.change(func(c *core) ([]detector.Change, error) {
		if err := c.store.AllowAdd(ctx, entry); err != nil {
			return nil, err
		}
		c.allowed = append(slices.DeleteFunc(c.allowed, func(a store.AllowEntry) bool { return a.Prefix == target }), entry)
		c.detector.SetRules(c.plan.set.Rules, c.options(c.plan))
		c.protect()
		return append([]detector.Change{}, c.spareAllowed()...), nil
	})
}

// Disallow takes a prefix off the never-block list.
func (d *Daemon) Disallow(ctx context.Context, name string, _ control.Peer) error {
	target, err := control.ParseTarget(name)
	if err != nil {
		return err
	}
	_, err = d.change(func(c *core) ([]detector.Change, error) {
		removed, err := c.store.AllowRemove(ctx, target)
		if err == nil && !removed {
			err = &control.Problem{Title: "not allowed", Status: http.StatusNotFound, Detail: target.String() + " is not on the list", Hint: "regwarden allow list shows it"}
		}
		if err == nil {
			c.allowed = slices.DeleteFunc(c.allowed, func(a store.AllowEntry) bool { return a.Prefix == target })
			c.detector.SetRules(c.plan.set.Rules, c.options(c.plan))
			c.protect()
		}
		return nil, err
	})
	return err
}

// Reload reads configuration and rules again. It is all or nothing: with one mistake, everything goes on as it was.
func (d *Daemon) Reload(_ context.Context, p control.Peer) (control.ReloadResult, error) {
	d.options.Reloading()
	defer d.options.Ready() // a reload that failed leaves the daemon as ready as it was
	result, err := d.reload()
	if err != nil {
		// systemd says only that its reload failed: the log is where the mistakes are, whoever asked.
		d.logger.Error("reload failed, the old configuration goes on running", "by", p.String(), "error", err.Error())
	} else {
		d.logger.Info("reloaded", "by", p.String(), "rules", result.Rules, "changed", result.Changed, "takes_a_restart", result.Restart)
	}
	return result, err
}

func (d *Daemon) reload() (control.ReloadResult, error) {
	if d.options.Load == nil {
		return control.ReloadResult{}, wrong("this daemon was started without a configuration file", "start it with run --config FILE")
	}
	next, err := d.options.Load()
	var p *plan
	if err == nil {
		p, err = reloadPlan(next, d.logger)
	}
	if err != nil {
		d.core.do(func(c *core) { c.reloadError = err.Error() })
		return control.ReloadResult{}, &control.Problem{Title: "the new configuration has mistakes", Status: http.StatusUnprocessableEntity,
			Detail: err.Error(), Hint: "the old configuration goes on running; regwarden check tells when all is right"}
	}
	var result control.ReloadResult
	if !d.core.do(func(c *core) {
		if result, err = c.adopt(p); err != nil {
			c.reloadError = err.Error()
		}
	}) {
		return result, stopped
	}
	if err != nil {
		return control.ReloadResult{}, &control.Problem{Title: "the new configuration's firewall does not work here", Status: http.StatusUnprocessableEntity,
			Detail: err.Error(), Hint: "the old configuration goes on running, with its blocks; regwarden check tells what this host lacks"}
	}
	if err := d.reloadPage(next); err != nil {
		return result, err
	}
	return result, nil
}

// ruleNames returns the rules by name.
func ruleNames(list []*detector.Rule) map[string]*detector.Rule {
	out := map[string]*detector.Rule{}
	for _, r := range list {
		out[r.Name] = r
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
