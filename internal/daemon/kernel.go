package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/store"
)

// firewallPlace is where the configured firewall action keeps its blocks; false if none is configured. The variant of iptables is not part of
// it: what one variant has there is removed when the other is used, and by a flush.
func firewallPlace(c *config.Config) (store.FirewallPlace, bool) {
	switch a := c.Actions; {
	case a.NFTables != nil:
		return store.FirewallPlace{Kind: "nftables", Name: a.NFTables.Table}, true
	case a.IPTables != nil:
		return store.FirewallPlace{Kind: "iptables", Name: a.IPTables.Chain, Set: a.IPTables.Set}, true
	}
	return store.FirewallPlace{}, false
}

// placeName names a place as the kernel's own tools do.
func placeName(p store.FirewallPlace) string {
	if p.Kind == "nftables" {
		return "table inet " + p.Name
	}
	return fmt.Sprintf("chain %s in the raw table, sets %s4 and %s6", p.Name, p.Set, p.Set)
}

// emptyPlace removes all that is ours from a place in the kernel, and says whether there was anything. What is part of the place beside it stays.
func emptyPlace(ctx context.Context, p, beside store.FirewallPlace) (removed bool, err error) {
	var fw actions.Firewall
	switch p.Kind {
	case "nftables":
		fw, err = firewall(actions.NewNFTables(actions.NFTablesOptions{Table: p.Name}))
	case "iptables":
		fw, err = firewall(actions.NewIPTables(actions.IPTablesOptions{Chain: p.Name, SetName: p.Set}))
	default:
		err = fmt.Errorf("a newer regwarden made it: %q is not known here", p.Kind)
	}
	if err != nil {
		return false, err
	}
	defer closeAction(fw)
	if t, ok := fw.(*actions.IPTables); ok && beside.Kind == p.Kind {
		return t.FlushBeside(ctx, beside.Name, beside.Set)
	}
	return fw.Flush(ctx)
}

// recallPlaces reads where earlier configurations had blocks in the kernel, and notes where this one is about to write: what could not be noted could not be
// found again, and so is told. The earlier ones are left when the firewall of this one stands, so that nobody slips through between them.
func (c *core) recallPlaces() {
	places, err := c.store.FirewallPlaces(context.Background())
	if err != nil {
		c.logger.Warn("it cannot be read where an earlier configuration had blocks in the kernel; they end by themselves", "error", err)
		c.placesUnknown = true
	}
	c.leftBehind, c.moving = places, true
	c.savePlaces(c.plan.config)
	if _, configured := firewallPlace(c.plan.config); !configured {
		c.leaveOld()
	}
}

// savePlaces notes the place of a configuration, beside those that are still to be left.
func (c *core) savePlaces(config *config.Config) {
	now, configured := firewallPlace(config)
	var kept []store.FirewallPlace
	if configured {
		c.leftBehind = slices.DeleteFunc(c.leftBehind, func(p store.FirewallPlace) bool { return p == now })
		kept = append(kept, now)
	}
	kept = append(kept, c.leftBehind...)
	if c.placesUnknown {
		return
	}
	if err := c.store.SaveFirewallPlaces(context.Background(), kept); err != nil {
		c.logger.Warn("it cannot be saved where the blocks are in the kernel: when the configuration changes that, they stay until they end", "error", err)
	}
}

// leaveOld empties the places that are no longer configured. What cannot be emptied stays noted.
func (c *core) leaveOld() {
	c.moving = false
	if len(c.leftBehind) == 0 {
		return
	}
	now, _ := firewallPlace(c.plan.config)
	var errs map[store.FirewallPlace]error
	for before := -1; before != len(c.leftBehind); { // one may have to go before another: a chain, and the sets that it asks
		before, errs = len(c.leftBehind), map[store.FirewallPlace]error{}
		c.leftBehind = slices.DeleteFunc(c.leftBehind, func(p store.FirewallPlace) bool {
			errs[p] = c.leave(p, now)
			return errs[p] == nil
		})
	}
	for _, p := range c.leftBehind {
		c.logger.Warn("what an earlier configuration has in the kernel could not be removed and goes on blocking; that is tried again at the next start",
			"place", placeName(p), "error", errs[p], "remove_it_with", c.flushCommand())
	}
	c.savePlaces(c.plan.config)
}

// firewallStands says whether the firewall has been made right since it was started; also if none is configured.
func (c *core) firewallStands() bool {
	return !slices.ContainsFunc(c.runners, func(r *actions.Runner) bool {
		s := r.Status()
		return (s.Kind == "nftables" || s.Kind == "iptables") && s.LastSuccess.IsZero()
	})
}

func (c *core) firewallHealthy() bool {
	return !slices.ContainsFunc(c.runners, func(r *actions.Runner) bool {
		s := r.Status()
		return (s.Kind == "nftables" || s.Kind == "iptables") && !s.Healthy
	})
}

// leave empties a place that is no longer configured; without an error nothing of ours is there now.
func (c *core) leave(p, now store.FirewallPlace) error {
	ctx, cancel := context.WithTimeout(context.Background(), runnersStop)
	defer cancel()
	removed, err := emptyPlace(ctx, p, now)
	switch {
	case errors.Is(err, actions.ErrOwned):
		c.logger.Info("an earlier configuration's place in the kernel belongs to another regwarden now, which keeps its own blocks there", "place", placeName(p))
	case errors.Is(err, actions.ErrForeign):
		c.logger.Info("an earlier configuration's place in the kernel is somebody else's now, and left alone", "place", placeName(p))
	case err != nil:
		return err
	case removed:
		c.logger.Info("what an earlier configuration had in the kernel is removed", "place", placeName(p))
	}
	return nil
}

// firewallTime is how long the firewall of a new configuration may take to be made.
const firewallTime = 30 * time.Second

// bringFirewall makes the firewall of a new plan and puts all blocks into it, while the old one stands. An error leaves the old one as it was.
func (c *core) bringFirewall(p *plan) error {
	old, next := firewallOf(c.plan), firewallOf(p)
	if next == nil {
		return nil
	}
	was, had := firewallPlace(c.plan.config)
	now, _ := firewallPlace(p.config)
	// Where both write the same chain, table or sets, only one may have it at a time; what is there stays meanwhile, and is changed in one go.
	shared := had && was.Kind == now.Kind && (was.Name == now.Name || was.Kind == "iptables" && was.Set == now.Set)
	c.savePlaces(c.plan.config)
	if now != was {
		c.leftBehind = append(c.leftBehind, now) // noted before it is written
		c.savePlaces(c.plan.config)
	}
	if shared {
		c.stopRunners(false)
		closeAction(old)
	}
	err := c.fillFirewall(next, p)
	if err == nil {
		if had && was != now {
			c.leftBehind = append(c.leftBehind, was)
		}
		c.savePlaces(p.config)
		return nil
	}
	closeAction(next)
	if errors.Is(err, actions.ErrOwned) || errors.Is(err, actions.ErrForeign) {
		c.leftBehind = slices.DeleteFunc(c.leftBehind, func(p store.FirewallPlace) bool { return p == now })
		c.savePlaces(c.plan.config)
	} else if now != was {
		c.moving = true // what it may have left is removed as soon as the old one is known to stand
	}
	if shared {
		c.startRunners(c.plan.actions)
	}
	return err
}

// fillFirewall makes a firewall equal to the ledger, as its runner will.
func (c *core) fillFirewall(fw actions.Firewall, p *plan) error {
	ctx, cancel := context.WithTimeout(context.Background(), firewallTime)
	defer cancel()
	if err := fw.SetNever(ctx, neverPrefixes(c.options(p).Guards.Never)); err != nil {
		return err
	}
	var blocks []detector.Block
	if !p.config.DryRun {
		blocks = actions.Concerned(fw, c.ledger.Blocks())
	}
	err := fw.Sync(ctx, blocks)
	if errors.As(err, new(*actions.Unfit)) {
		return nil // it works, and status tells what finds no room
	}
	return err
}

// firewallOf is the action of a plan that blocks in the kernel; nil if it has none.
func firewallOf(p *plan) actions.Firewall {
	for _, a := range p.actions {
		if fw, ok := a.(actions.Firewall); ok {
			return fw
		}
	}
	return nil
}

// keepFirewall lets the new plan go on with the firewall that runs, where both configure the same.
func keepFirewall(old, p *plan) bool {
	a, b := old.config.Actions, p.config.Actions
	fw := firewallOf(old)
	if fw == nil || !reflect.DeepEqual(a.NFTables, b.NFTables) || !reflect.DeepEqual(a.IPTables, b.IPTables) {
		return false
	}
	for i, action := range p.actions {
		if _, ok := action.(actions.Firewall); ok {
			p.actions[i] = fw
		}
	}
	return true
}

// flushCommand is what removes all of ours from the kernel by hand.
func (c *core) flushCommand() string {
	return "regwarden flush --config " + c.plan.config.Path + " (as root, while the daemon is stopped)"
}

// Flushed is what FlushFirewall did.
type Flushed struct {
	// Action is the configured firewall action; "" if there is none.
	Action string `json:"action"`
	// Removed are the places in the kernel that are removed, one line each.
	Removed []string `json:"removed"`
	// Absent are those where nothing of ours was.
	Absent []string `json:"absent,omitempty"`
	// Emptied are the files and directories of front ends that were emptied, if that was asked for, too.
	Emptied []string `json:"emptied,omitempty"`
	// Unknown says why the places of earlier configurations are not known; "" if they are.
	Unknown string `json:"unknown,omitempty"`
}

// ErrForeign says that something in the kernel has a configured name and is not ours.
var ErrForeign = actions.ErrForeign

// ErrRuns says that a daemon has the database, and so would make everything again.
var ErrRuns = errors.New("a daemon runs with this database and would make everything again")

// FlushFirewall removes from the kernel what the configured firewall action has made there, and what those of earlier configurations have left, as
// the database tells. An error names what stays.
func FlushFirewall(ctx context.Context, c *config.Config) (Flushed, error) {
	out := Flushed{Removed: []string{}}
	var places []store.FirewallPlace
	var errs []error
	st, err := store.OpenExisting(c.StateFile)
	if err == nil {
		defer st.Close()
		places, err = st.FirewallPlaces(ctx)
	}
	switch {
	case errors.Is(err, store.ErrLocked):
		return out, fmt.Errorf("%w: %w", ErrRuns, err)
	case errors.Is(err, fs.ErrNotExist):
		out.Unknown = "there is no database " + c.StateFile
	case err != nil:
		out.Unknown = err.Error()
		errs = append(errs, fmt.Errorf("what earlier configurations left is not known: %w", err))
	}
	if now, configured := firewallPlace(c); configured {
		out.Action = now.Kind
		places = append(slices.DeleteFunc(places, func(p store.FirewallPlace) bool { return p == now }), now)
	}
	var stay []store.FirewallPlace
	for _, p := range places {
		removed, err := emptyPlace(ctx, p, store.FirewallPlace{})
		switch {
		case err != nil:
			stay = append(stay, p)
			errs = append(errs, fmt.Errorf("%s stays: %w", placeName(p), err))
		case removed:
			out.Removed = append(out.Removed, placeName(p))
		default:
			out.Absent = append(out.Absent, placeName(p))
		}
	}
	if st != nil && err == nil && len(places) > 0 {
		if err := st.SaveFirewallPlaces(ctx, stay); err != nil {
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// leftNames are the places that could not be emptied, for status.
func (c *core) leftNames() string {
	var names []string
	if c.moving && c.firewallHealthy() {
		return "" // they are about to be left
	}
	for _, p := range c.leftBehind {
		names = append(names, placeName(p))
	}
	return strings.Join(names, "; ")
}
