package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/nftables"

	"regwarden/detector"
)

// The modes of a firewall action.
const (
	ModeDrop   = "drop"   // the blocked client hears nothing
	ModeReject = "reject" // it is told: a TCP reset, or an ICMP error for all else
)

// NFTablesOptions say how an NFTables blocks.
type NFTablesOptions struct {
	Name string
	// Table is the name of the inet table, "regwarden" if empty. All in it is ours.
	Table string
	// Ports are the TCP and UDP ports that a blocked client cannot reach, as the client sees them: the published ones. Empty means all.
	Ports []uint16
	// Mode is ModeDrop if empty.
	Mode string
	// ElementCounters counts packets for each block too: some 100 bytes of kernel memory a block.
	ElementCounters bool
	// Never are prefixes that pass whatever is blocked.
	Never []netip.Prefix
	// Plain makes a table that other programs may change, and which is healed when they do. Without it the table belongs to this process
	// where the kernel can do that (6.9 and later): it is left alone by others, and it stays when the process dies.
	Plain bool
	// Namespace is a descriptor of the network namespace to work in, for tests; 0 means the process's own.
	Namespace int
	Logger    *slog.Logger // none if nil
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// NFTables keeps blocks in a table of its own of the kernel's nf_tables, over netlink, without the nft program.
//
// The ledger is the truth and the kernel a cache of it: the start, healing and doubt all are one Sync, which is one transaction, so that
// no packet slips through. Every element carries the time that it has left, so blocks end by themselves also when nobody runs. Nothing is
// taken away at the end of the process; Flush does that. Its methods may be called by several goroutines.
type NFTables struct {
	place   place // this table, which one daemon has
	options NFTablesOptions
	log     *slog.Logger
	mode    nftMode

	mu         sync.Mutex // guards the connection and all below; a Sync of 100,000 blocks holds it for less than a second
	conn       *nftables.Conn
	probed     bool
	owned      bool // the table has the flags owner and persist
	connected  bool // the namespace has an interface besides lo
	never      []netip.Prefix
	synced     bool   // the kernel has what is described below
	written    moment // the time of the last Sync
	buckets    []nftBucket
	rules      []*nftables.Rule // as they stand in the kernel, with their handles
	held       map[netip.Prefix]time.Time
	generation uint32 // of the whole ruleset, after our own last change
	proofs     budget
	unproven   bool   // others changed the ruleset since every element was looked at
	doubted    bool   // Watch asked for a Sync
	damaged    bool   // what Watch or Apply found missing; the next Sync heals it
	broken     string // why Watch shall ask for a Sync: a failed SetNever has no caller that would
	healed     atomic.Uint64
}

var tableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{0,63}$`)

// NewNFTables returns the action. It does not talk to the kernel before the first Apply, Sync or Check.
func NewNFTables(options NFTablesOptions) (*NFTables, error) {
	if options.Name == "" {
		options.Name = "nftables"
	}
	if options.Table == "" {
		options.Table = "regwarden"
	}
	if !tableName.MatchString(options.Table) {
		return nil, fmt.Errorf("action %s: table: %q is no table name: a letter, then up to 63 letters, digits, '_', '.' or '-'", options.Name, options.Table)
	}
	if options.Mode == "" {
		options.Mode = ModeDrop
	}
	if options.Mode != ModeDrop && options.Mode != ModeReject {
		return nil, fmt.Errorf("action %s: mode: %q is neither %q nor %q", options.Name, options.Mode, ModeDrop, ModeReject)
	}
	if slices.Contains(options.Ports, 0) {
		return nil, fmt.Errorf("action %s: ports: 0 is no port", options.Name)
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	options.Ports = slices.Compact(slices.Sorted(slices.Values(options.Ports)))
	return &NFTables{
		options: options, log: options.Logger, never: slices.Clone(options.Never),
		mode: nftMode{reject: options.Mode == ModeReject, ports: options.Ports, counters: options.ElementCounters},
	}, nil
}

// Name is the configured name.
func (n *NFTables) Name() string { return n.options.Name }

// Kind is "nftables".
func (n *NFTables) Kind() string { return "nftables" }

// Holds is true for the host only: a packet does not say which repository.
func (n *NFTables) Holds(scope detector.Scope) bool { return scope == detector.ScopeHost }

// Sync makes the table right and puts exactly these blocks into it, in one transaction. Blocks that have ended are left out.
func (n *NFTables) Sync(ctx context.Context, blocks []detector.Block) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	ends := make(map[netip.Prefix]time.Time, len(blocks))
	for _, b := range blocks {
		n.end(ends, b)
	}
	return n.rewrite(ends, false)
}

// Apply brings the elements of the changed targets up to date, in one transaction.
func (n *NFTables) Apply(ctx context.Context, changes []detector.Change) error {
	ends := make(map[netip.Prefix]time.Time, len(changes))
	for _, c := range changes {
		if c.Verb != detector.ChangeDryRun && c.Verb != detector.ChangeSpared {
			n.end(ends, c.Block) // the last one of a target counts
		}
	}
	if len(ends) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !n.synced {
		if err := n.rewrite(nil, true); err != nil {
			return err
		}
	}
	return n.update(ends)
}

// end notes when a block ends in the kernel: the zero time if it holds nothing there.
func (n *NFTables) end(ends map[netip.Prefix]time.Time, b detector.Block) {
	target, ok := canonical(b.Target)
	if !ok {
		n.log.Warn("target cannot be blocked in the kernel", "action", n.options.Name, "target", b.Target)
		return
	}
	var until time.Time
	for _, c := range b.Causes {
		if n.Holds(c.Closes()) {
			until = later(until, c.Until)
		}
	}
	ends[target] = until
}

// canonical is the prefix as a set's key has it: masked, and IPv4 as IPv4. A prefix of length 0 is everybody and no target.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	addr, bits := p.Addr(), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	q, err := addr.WithZone("").Prefix(bits)
	return q, err == nil && bits > 0
}

// SetNever changes the prefixes that pass whatever is blocked. The kernel hears of it at once if it holds blocks already.
func (n *NFTables) SetNever(ctx context.Context, never []netip.Prefix) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if slices.Equal(n.never, never) {
		return nil
	}
	n.never = slices.Clone(never)
	if !n.synced {
		return nil
	}
	var err error
	for _, v6 := range []bool{false, true} {
		set := neverSet(n.table(), v6)
		n.conn.FlushSet(set)
		err = errors.Join(err, n.conn.SetAddElements(set, neverElements(n.never, v6)))
	}
	if err := n.commit("change the never-block set of", err); err != nil {
		n.broken = "the never-block set could not be changed"
		return err
	}
	return nil
}

// Flush removes the table with all blocks, and nothing else. It says whether there was one.
func (n *NFTables) Flush(ctx context.Context) (removed bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := n.open(); err != nil {
		return false, err
	}
	if err := n.take(); err != nil {
		return false, err
	}
	n.synced, n.doubted, n.damaged = false, false, false
	before, err := n.look()
	if err != nil || !before.exists {
		return false, err
	}
	n.conn.DelTable(n.table())
	if err := n.commit("remove", nil); err != nil && !errors.Is(err, errChanged) {
		return false, err
	}
	return true, nil
}

// take holds the table against other daemons.
func (n *NFTables) take() error {
	if err := n.place.take(n.options.Namespace, "nftables/"+n.options.Table); err != nil {
		return fmt.Errorf("action %s: table inet %s: %w", n.options.Name, n.options.Table, n.cause(err))
	}
	return nil
}

// Close lets go of the table, which stays with its blocks. The action is of no more use then.
func (n *NFTables) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.place.leave()
	if n.conn == nil {
		return nil
	}
	conn := n.conn
	n.conn, n.synced, n.connected = nil, false, false
	return conn.CloseLasting()
}

// Healed is how often the table was found damaged and was made whole again.
func (n *NFTables) Healed() uint64 { return n.healed.Load() }

// Owned says whether the table belongs to this process, so that no other program can change it. It is known after the first Sync or Check.
func (n *NFTables) Owned() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.owned
}
