package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal"
	"regwarden/internal/store"
)

// portalBackend is the daemon as the project page sees it.
type portalBackend struct{ *Daemon }

var _ portal.Backend = portalBackend{}

// where asks the core for the blocks with a cause that is wanted.
func (d portalBackend) where(ctx context.Context, wanted func(*detector.Cause) bool) ([]detector.Block, error) {
	return ask(ctx, d.core, func(c *core) []detector.Block { c.expire(); return c.ledger.Where(wanted) })
}

// Blocks are those of which the project has a share.
func (d portalBackend) Blocks(ctx context.Context, project string) ([]detector.Block, error) {
	return d.where(ctx, func(c *detector.Cause) bool { return c.Share(project) > detector.ShareNone })
}

// BlocksOf are those that hold the address.
func (d portalBackend) BlocksOf(ctx context.Context, address netip.Addr) ([]detector.Block, error) {
	if !address.IsValid() {
		return nil, nil
	}
	return ask(ctx, d.core, func(c *core) []detector.Block {
		c.expire()
		return c.ledger.Holding(address)
	})
}

// Count is how many targets are blocked of which each of the projects has a share.
func (d portalBackend) Count(ctx context.Context, projects []string) (map[string]int, error) {
	return ask(ctx, d.core, func(c *core) map[string]int {
		c.expire()
		out, seen := map[string]int{}, map[string]netip.Prefix{}
		for _, p := range projects {
			out[p] = 0
		}
		c.ledger.Each(func(target netip.Prefix, cause *detector.Cause) { // all causes of a target follow each other
			cause.Above(func(path string) {
				if _, wanted := out[path]; wanted && seen[path] != target {
					out[path]++
					seen[path] = target
				}
			})
		})
		return out
	})
}

// ByID is the block with the cause of that ID.
func (d portalBackend) ByID(ctx context.Context, id string) (detector.Block, error) {
	found, err := d.where(ctx, func(c *detector.Cause) bool { return c.ID == id })
	if err == nil && len(found) == 0 {
		err = portal.ErrNotBlocked
	}
	if err != nil {
		return detector.Block{}, err
	}
	return found[0], nil
}

// Search are the blocks of what lies at or below a path.
func (d portalBackend) Search(ctx context.Context, path string) ([]detector.Block, error) {
	return d.where(ctx, func(c *detector.Cause) bool { return c.Share(path) > detector.ShareNone })
}

// How many names of possible projects the page may ask for.
const (
	maxPaths  = 500
	pastNewer = 2000 // rows of the history
)

// Paths are what may be the projects of blocks.
func (d portalBackend) Paths(ctx context.Context) (active, past []string, err error) {
	active, err = ask(ctx, d.core, func(c *core) []string {
		c.expire()
		latest := map[string]time.Time{}
		c.ledger.Each(func(_ netip.Prefix, cause *detector.Cause) {
			for _, p := range cause.MayConcern() {
				if cause.Since.After(latest[p]) {
					latest[p] = cause.Since
				}
			}
		})
		out := sortedKeys(latest)
		slices.SortStableFunc(out, func(a, b string) int { return latest[b].Compare(latest[a]) })
		return out[:min(len(out), maxPaths)]
	})
	if err != nil {
		return nil, nil, err
	}
	past, err = d.core.store.RecentPaths(ctx, pastNewer, maxPaths)
	return active, past, err
}

// History tells what happened. It asks the database without troubling the core.
func (d portalBackend) History(ctx context.Context, q portal.HistoryQuery) ([]portal.Entry, error) {
	entries, err := d.core.store.History(ctx, store.HistoryFilter{Within: q.Within, Holds: q.Address, BeforeID: q.BeforeID, Limit: q.Limit})
	out := make([]portal.Entry, 0, len(entries))
	for _, e := range entries {
		out = append(out, portal.Entry(e))
	}
	return out, err
}

// Lift lifts a project's causes, by the same path as a lift on the socket.
func (d portalBackend) Lift(_ context.Context, l portal.Lift) (portal.Lifted, error) {
	var out portal.Lifted
	changed, err := d.change(func(c *core) ([]detector.Change, error) {
		changes, remains, err := c.liftFor(l, time.Now().UTC().Truncate(time.Millisecond)) // as the database keeps it
		out.Remains = remains
		return changes, err
	})
	if err != nil {
		return out, err
	}
	for _, ch := range changed.Changes {
		out.Target, out.Causes = ch.Block.Target, append(out.Causes, ch.Cause)
	}
	out.Doubts = changed.Warnings
	return out, nil
}

// liftFor lifts all causes that are wholly the project's from the target that has the one of the ID.
func (c *core) liftFor(l portal.Lift, now time.Time) (changes []detector.Change, remains bool, err error) {
	found := c.ledger.Where(func(cause *detector.Cause) bool { return cause.ID == l.ID })
	if len(found) == 0 {
		return nil, false, portal.ErrNotBlocked
	}
	target, most := found[0].Target, 0
	for _, cause := range found[0].Causes {
		whole := cause.Share(l.Project) == detector.ShareWhole
		if cause.ID == l.ID && !whole {
			return nil, false, portal.ErrNotYours
		}
		if whole {
			most = max(most, cause.Reblock)
		}
	}
	if most > l.Reblocks {
		return nil, false, &portal.ErrReblocked{Reblock: most}
	}
	changes = c.ledger.LiftOnProbation(target, l.Project, l.By, l.Reason, now, l.Probation)
	c.forgive(changes)
	c.settle(changes)
	return changes, c.stillBlocked(target), nil
}

// stillBlocked says whether anything holds the target, a wider block too.
func (c *core) stillBlocked(target netip.Prefix) (still bool) {
	c.ledger.Each(func(other netip.Prefix, _ *detector.Cause) { still = still || other.Overlaps(target) })
	return still
}

// Room looks whether each quota has room.
func (d portalBackend) Room(ctx context.Context, now time.Time, quotas ...portal.Quota) error {
	return d.quota(ctx, now, quotas, d.core.store.Spent)
}

// Use takes it.
func (d portalBackend) Use(ctx context.Context, now time.Time, quotas ...portal.Quota) error {
	return d.quota(ctx, now, quotas, d.core.store.Use)
}

func (d portalBackend) quota(ctx context.Context, now time.Time, quotas []portal.Quota,
	do func(context.Context, time.Time, ...store.Quota) (*store.Quota, time.Time, error)) error {
	list := make([]store.Quota, len(quotas))
	for i, q := range quotas {
		list[i] = store.Quota(q)
	}
	over, again, err := do(ctx, now, list...)
	if err == nil && over != nil {
		err = &portal.Full{Quota: portal.Quota(*over), Again: again}
	}
	return err
}

// mostShown is how many repositories the admin page names.
const mostShown = 10

// stormLately is how long a storm is told after its last decision.
const stormLately = time.Hour

// Overview is what the admin page shows.
func (d portalBackend) Overview(ctx context.Context, since time.Time, span time.Duration) (portal.Overview, error) {
	o, err := ask(ctx, d.core, func(c *core) portal.Overview {
		c.expire()
		o := portal.Overview{Targets: c.ledger.Len(), ByRule: c.ledger.ByRule(), DryRun: c.plan.config.DryRun, Warnings: c.warnings()}
		for rule, s := range c.storms {
			if time.Since(s.At) < stormLately {
				o.Storms = append(o.Storms, s)
			} else {
				delete(c.storms, rule)
			}
		}
		slices.SortFunc(o.Storms, func(a, b portal.Storm) int { return cmp.Compare(a.Rule, b.Rule) })
		return o
	})
	if err != nil {
		return o, err
	}
	o.Version, o.Since = d.options.Version, d.since
	made, err := d.core.store.MadeByRule(ctx, since, span)
	if err != nil {
		return o, err
	}
	most, err := d.core.store.MadeByRepository(ctx, since, mostShown)
	for _, m := range made {
		o.Made = append(o.Made, portal.Made(m))
	}
	for _, m := range most {
		o.Most = append(o.Most, portal.Made(m))
	}
	return o, err
}

// byWeb begins the names of those who lifted something on the project page.
const byWeb = "web:"

func fromWeb(by string) bool { return strings.HasPrefix(by, byWeb) }
