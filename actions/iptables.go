package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"regwarden/detector"
)

// IPTablesOptions say how an IPTables blocks.
type IPTablesOptions struct {
	Name string
	// Chain is the name of our own chain in the raw table, "REGWARDEN" if empty.
	Chain string
	// SetName is the base name of the ipset sets, "regwarden" if empty: it becomes regwarden4 and regwarden6.
	SetName string
	// Ports are those that a blocked client cannot reach, by tcp and udp; none means all. They are judged before any translation, so that a
	// published port is meant as the client sees it.
	Ports []uint16
	// Mode is ModeDrop, also if empty. There is no ModeReject: see NewIPTables.
	Mode string
	// Never are the networks that no block concerns, whatever the set holds. Loopback is always one.
	Never []netip.Prefix
	// Variant is "nft" or "legacy", or "auto" (also if empty): the one that the host's other rules use.
	Variant string
	// Timeout is how many seconds one command waits for the xtables lock, 5 if zero.
	Timeout int
	// PreferIPSet is "auto" (also if empty): sets where they work, else one rule a block; "require": sets or an error; "never": rules.
	PreferIPSet string
	// RuleCap is how many blocks of each family may stand as rules where there are no sets, 500 if zero: each makes every packet dearer.
	RuleCap int
	Logger  *slog.Logger // none if nil
	// Namespace is the descriptor of the network namespace to work in; zero means the daemon's own.
	Namespace int
	// WatchEvery is the time between two looks of Watch, 1 s if zero.
	WatchEvery time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// IPTables blocks in the kernel by iptables: one chain of ours, first in raw PREROUTING, which is before connection tracking and before any
// translation, so that open connections and containers behind published ports are covered. The blocks are elements of two ipset sets, which
// end by themselves; without sets each block is a rule, which ends only while the daemon runs.
//
// Blocks stay when the daemon stops; Flush removes them. All methods may be called from any goroutine; the work is done by one at a time.
type IPTables struct {
	place   place // this chain, which one daemon has; used by the worker's jobs only
	options IPTablesOptions
	worker  xtWorker
	log     *slog.Logger
	healed  atomic.Uint64
	reason  atomic.Pointer[string] // from a look to Watch: why a Sync is wanted

	// What follows belongs to the job that the worker runs.
	families  []*xtFamily // v4 and v6, as far as the host has them; nil before the first job
	installed bool        // the kernel has been made right once
	sets      bool        // blocks are elements of sets
	fallback  string      // why they are not, as it was said
	doubted   bool        // a Sync is to come: Watch asked for it, or an attempt failed
	damaged   bool        // something of ours was found missing; the next rewrite that succeeds heals it
	refresh   time.Time   // when a block that is longer than a set can hold wants to be entered again
	watch     xtWatch
	proofs    budget
}

// The ways to prefer sets.
const (
	ipsetAuto    = "auto"
	ipsetRequire = "require"
	ipsetNever   = "never"
)

// The variants of iptables: one writes to nf_tables, the other to the older x_tables.
const (
	variantAuto   = "auto"
	variantNFT    = "nft"
	variantLegacy = "legacy"
)

// NewIPTables returns the action, or an error if the options cannot work. It touches nothing before the first Apply or Sync.
//
// ModeReject is refused: iptables can reject only in its filter table, which other programs flush as a matter of course and which sees a
// published port only after its translation. The nftables action can reject.
func NewIPTables(options IPTablesOptions) (*IPTables, error) {
	o := options
	o.Name = named(o.Name, "iptables")
	o.Chain = named(o.Chain, "REGWARDEN")
	o.SetName = named(o.SetName, "regwarden")
	o.Mode = named(o.Mode, ModeDrop)
	o.Variant = named(o.Variant, variantAuto)
	o.PreferIPSet = named(o.PreferIPSet, ipsetAuto)
	o.WatchEvery = positive(o.WatchEvery, time.Second)
	if o.Timeout == 0 {
		o.Timeout = 5
	}
	if o.RuleCap == 0 {
		o.RuleCap = 500
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	never, err := xtNever(o.Never)
	if err == nil {
		err = o.wrong()
	}
	if err != nil {
		return nil, fmt.Errorf("action %s: %w", o.Name, err)
	}
	o.Never = never
	return &IPTables{options: o, worker: newXTWorker(o.Namespace), log: o.Logger.With("action", o.Name)}, nil
}

func named(name, standard string) string {
	if name == "" {
		return standard
	}
	return name
}

var (
	// A chain's name has at most 28 characters, and a second chain is called name-new for a moment; it must not look like an option.
	chainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,23}$`)
	// A set's name has at most 31 characters, and a second set is called name4-tmp for a moment.
	ipsetName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,25}$`)
	// builtin names are chains or targets already.
	builtin = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "ACCEPT", "DROP", "RETURN", "QUEUE", "REJECT", "LOG"}
)

// portsAtMost is how many ports one multiport rule takes.
const portsAtMost = 15

func (o *IPTablesOptions) wrong() error {
	switch {
	case !chainName.MatchString(o.Chain):
		return fmt.Errorf("chain %q: want 1 to 24 letters, digits, dots, dashes or underscores", o.Chain)
	case slices.Contains(builtin, o.Chain):
		return fmt.Errorf("chain %q: the name is taken by iptables itself", o.Chain)
	case !ipsetName.MatchString(o.SetName):
		return fmt.Errorf("set name %q: want 1 to 26 letters, digits, dots, dashes or underscores", o.SetName)
	case o.Mode == ModeReject:
		return errors.New(`mode "reject": iptables can reject only in its filter table, which other programs flush and which sees published ports too late: want "drop", or the nftables action`)
	case o.Mode != ModeDrop:
		return fmt.Errorf("mode %q: want %q", o.Mode, ModeDrop)
	case !slices.Contains([]string{variantAuto, variantNFT, variantLegacy}, o.Variant):
		return fmt.Errorf("variant %q: want auto, nft or legacy", o.Variant)
	case !slices.Contains([]string{ipsetAuto, ipsetRequire, ipsetNever}, o.PreferIPSet):
		return fmt.Errorf("prefer ipset %q: want auto, require or never", o.PreferIPSet)
	case len(o.Ports) > portsAtMost:
		return fmt.Errorf("%d ports: iptables takes at most %d, or none for all", len(o.Ports), portsAtMost)
	case slices.Contains(o.Ports, 0):
		return errors.New("port 0: want 1 to 65535")
	case o.Timeout < 0:
		return fmt.Errorf("lock timeout %d s: want at least 1, for without one iptables waits for ever", o.Timeout)
	case o.RuleCap < 0:
		return fmt.Errorf("rule cap %d: want at least 1", o.RuleCap)
	}
	return nil
}

// xtNever returns the networks in canonical form, each once.
func xtNever(networks []netip.Prefix) ([]netip.Prefix, error) {
	var never []netip.Prefix
	for _, n := range networks {
		p, err := xtPrefix(n)
		if err != nil {
			return nil, fmt.Errorf("never-block network %v: %w", n, err)
		}
		never = append(never, p)
	}
	slices.SortFunc(never, netip.Prefix.Compare)
	return slices.Compact(never), nil
}

// closeWait is how long Close waits for a command that hangs.
const closeWait = 3 * time.Second

// Close lets another daemon have the chain, which stays with its blocks. It does not wait for a command that hangs: the chain is let go when that ends.
func (t *IPTables) Close() error {
	done := make(chan error, 1)
	go func() {
		done <- t.worker.do(context.Background(), "let go of the chain", func(context.Context) error {
			t.place.leave()
			t.families, t.installed = nil, false // who uses it again begins anew
			return nil
		})
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(closeWait):
		return fmt.Errorf("action %s: let go of the chain: an earlier command still runs", t.options.Name)
	}
}

// Name is the configured name.
func (t *IPTables) Name() string { return t.options.Name }

// Kind is "iptables".
func (t *IPTables) Kind() string { return "iptables" }

// Holds is true for the host only: the kernel cannot say which repository.
func (t *IPTables) Holds(scope detector.Scope) bool { return scope == detector.ScopeHost }

// Healed is how often something of ours had been removed from the kernel by others and was put back.
func (t *IPTables) Healed() uint64 { return t.healed.Load() }

// Apply brings the kernel up to date with the changes. Before the first Sync it makes everything.
func (t *IPTables) Apply(ctx context.Context, changes []detector.Change) error {
	if len(changes) == 0 {
		return nil
	}
	return t.worker.do(ctx, "change blocks with iptables", func(ctx context.Context) error {
		if err := t.prepare(ctx); err != nil {
			return err
		}
		err := t.apply(ctx, t.enter(changes))
		t.doubted = t.doubted || err != nil && unfit(err) == 0
		return err
	})
}

func (t *IPTables) apply(ctx context.Context, touched map[*xtFamily]map[netip.Prefix]bool) error {
	switch {
	case !t.installed:
		return t.rewrite(ctx)
	case !t.sets:
		return t.rewriteRules(ctx)
	}
	err := t.applyToSets(ctx, touched)
	if !errors.Is(err, errNotThere) {
		return err
	}
	t.damaged = true
	if err := t.rewrite(ctx); err != nil {
		return err
	}
	t.log.Warn("somebody had removed a set and it is made again", "healed", t.Healed())
	return nil
}

// Sync makes chain, jump and sets right, whatever state they are in, and the blocks exactly these. No packet of a client that is blocked
// before and after gets through meanwhile.
func (t *IPTables) Sync(ctx context.Context, blocks []detector.Block) error {
	return t.worker.do(ctx, "write blocks with iptables", func(ctx context.Context) error {
		if err := t.prepare(ctx); err != nil {
			return err
		}
		for _, f := range t.families {
			clear(f.held)
		}
		for i := range blocks {
			t.hold(&blocks[i])
		}
		return t.rewrite(ctx)
	})
}

// SetNever changes the networks that no block concerns. The kernel hears of it at once if it holds blocks already.
func (t *IPTables) SetNever(ctx context.Context, networks []netip.Prefix) error {
	never, err := xtNever(networks)
	if err != nil {
		return fmt.Errorf("action %s: %w", t.options.Name, err)
	}
	return t.worker.do(ctx, "change the never-block networks in iptables", func(ctx context.Context) error {
		if slices.Equal(never, t.options.Never) {
			return nil
		}
		t.options.Never = never
		for _, f := range t.families {
			f.sealed = nil
		}
		if !t.installed {
			return nil
		}
		err := t.rewrite(ctx)
		if unfit(err) > 0 {
			return nil // Apply and Sync tell of it
		}
		if err != nil { // the next Sync makes everything, and Watch asks for one
			t.installed = false
			reason := "the never-block networks could not be changed"
			t.reason.Store(&reason)
		}
		return err
	})
}

// enter brings what is held up to date and returns the targets of the changes by family.
func (t *IPTables) enter(changes []detector.Change) map[*xtFamily]map[netip.Prefix]bool {
	touched := make(map[*xtFamily]map[netip.Prefix]bool)
	for i := range changes {
		c := &changes[i]
		if c.Verb == detector.ChangeDryRun || c.Verb == detector.ChangeSpared {
			continue
		}
		f, target := t.hold(&c.Block)
		if f == nil {
			continue
		}
		if touched[f] == nil {
			touched[f] = make(map[netip.Prefix]bool)
		}
		touched[f][target] = true
	}
	return touched
}

// hold notes when a block ends. It returns no family for a target that this host cannot block or need not, for nobody can come by it.
func (t *IPTables) hold(b *detector.Block) (*xtFamily, netip.Prefix) {
	target, err := xtPrefix(b.Target)
	if err != nil {
		t.log.Warn("target cannot be blocked in the kernel", "target", b.Target, "error", err)
		return nil, target
	}
	f := t.family(target)
	if f == nil {
		return nil, target
	}
	if until, blocked := t.until(b); blocked {
		f.held[target] = until
	} else {
		delete(f.held, target)
	}
	return f, target
}

// until is the latest end of the causes that close the host.
func (t *IPTables) until(b *detector.Block) (end time.Time, blocked bool) {
	for i := range b.Causes {
		if c := &b.Causes[i]; t.Holds(c.Closes()) {
			end, blocked = later(end, c.Until), true
		}
	}
	return end, blocked
}

func (t *IPTables) family(target netip.Prefix) *xtFamily {
	for _, f := range t.families {
		if f.v6 == target.Addr().Is6() {
			return f
		}
	}
	return nil
}

// xtPrefix returns the target in the one form that goes to the kernel and to commands: masked, and IPv4 as such.
func xtPrefix(p netip.Prefix) (netip.Prefix, error) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case !p.IsValid() || p.Addr().Zone() != "":
		return netip.Prefix{}, errors.New("not an address or network")
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("IPv4 addresses in IPv6 form together with others")
	case p.Bits() == 0:
		return netip.Prefix{}, errors.New("it would mean everybody")
	}
	return p.Masked(), nil
}
