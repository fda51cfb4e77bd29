package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"regwarden/actions"
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

// emptyPlace removes all that is ours from a place in the kernel, whatever is configured now.
func emptyPlace(ctx context.Context, p store.FirewallPlace) (err error) {
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
		return err
	}
	defer closeAction(fw)
	_, err = fw.Flush(ctx)
	return err
}

// moveFirewall removes what earlier configurations have left in the kernel, and notes where this one is about to write. It runs before the actions
// do, with those of an earlier plan let go: what could not be noted could not be found again, and so is told.
func (c *core) moveFirewall() {
	places, err := c.store.FirewallPlaces(context.Background())
	if err != nil {
		c.logger.Warn("it cannot be read where an earlier configuration had blocks in the kernel; they end by themselves", "error", err)
	}
	now, configured := firewallPlace(c.plan.config)
	c.leftBehind = nil
	for _, p := range places {
		if configured && p == now || c.leave(p) {
			continue
		}
		c.leftBehind = append(c.leftBehind, p)
	}
	kept := slices.Clone(c.leftBehind)
	if configured {
		kept = append(kept, now)
	}
	if err != nil || slices.Equal(kept, places) {
		return
	}
	if err := c.store.SaveFirewallPlaces(context.Background(), kept); err != nil {
		c.logger.Warn("it cannot be saved where the blocks are in the kernel: when the configuration changes that, they stay until they end", "error", err)
	}
}

// leave empties a place that is no longer configured; it says whether nothing of ours is there now.
func (c *core) leave(p store.FirewallPlace) bool {
	ctx, cancel := context.WithTimeout(context.Background(), runnersStop)
	defer cancel()
	err := emptyPlace(ctx, p)
	switch {
	case errors.Is(err, actions.ErrOwned):
		c.logger.Info("an earlier configuration's place in the kernel belongs to another regwarden now, which keeps its own blocks there", "place", placeName(p))
	case err != nil:
		c.logger.Warn("what an earlier configuration has in the kernel could not be removed and goes on blocking; that is tried again at the next start",
			"place", placeName(p), "error", err, "remove_it_with", c.flushCommand())
		return false
	default:
		c.logger.Info("what an earlier configuration had in the kernel is removed", "place", placeName(p))
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
	// Removed are the places in the kernel where nothing of ours is any more, one line each.
	Removed []string `json:"removed"`
	// Unknown says why the places of earlier configurations are not known; "" if they are.
	Unknown string `json:"unknown,omitempty"`
}

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
		if err := emptyPlace(ctx, p); err != nil {
			stay = append(stay, p)
			errs = append(errs, fmt.Errorf("%s stays: %w", placeName(p), err))
			continue
		}
		out.Removed = append(out.Removed, placeName(p))
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
	for _, p := range c.leftBehind {
		names = append(names, placeName(p))
	}
	return strings.Join(names, "; ")
}
