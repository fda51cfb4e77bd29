package actions

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// wantedFlags make the table ours alone, and let it stay when we die.
const wantedFlags = nftables.TableFlagOwner | nftables.TableFlagPersist

// table describes our table, with the flags that it should have.
func (n *NFTables) table() *nftables.Table {
	t := &nftables.Table{Name: n.options.Table, Family: nftables.TableFamilyINet}
	if n.owned {
		t.Flags = wantedFlags
	}
	return t
}

// nftState is our table as the kernel has it, without the elements of its sets.
type nftState struct {
	generation uint32 // of the ruleset, before the look
	exists     bool
	flags      nftables.TableFlags
	chains     map[string]*nftables.Chain
	sets       map[string]*nftables.Set
	counters   map[string]expr.Counter
	unreadable error // something in it that the library does not know, and that we did not make
}

// open connects with the kernel and finds out what it can do.
func (n *NFTables) open() error {
	if n.conn == nil {
		options := []nftables.ConnOption{nftables.AsLasting()} // the table belongs to the connection
		if n.options.Namespace != 0 {
			options = append(options, nftables.WithNetNSFd(n.options.Namespace))
		}
		conn, err := nftables.New(options...)
		if err != nil {
			return n.explain("open netlink for", err)
		}
		n.conn = conn
	}
	if n.probed || n.options.Plain {
		return nil
	}
	return n.probe()
}

// probe tries whether a table can be owned and persistent, in a transaction that leaves nothing.
func (n *NFTables) probe() error {
	t := &nftables.Table{Name: n.options.Table + "-probe", Family: nftables.TableFamilyINet, Flags: wantedFlags}
	n.conn.CreateTable(t) // not one that is there: it would be deleted
	n.conn.DelTable(t)
	err := n.conn.Flush()
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return n.explain("try the kernel for", err)
	}
	n.probed, n.owned = true, err == nil
	return nil
}

// ready opens the connection and refuses a namespace in which blocks would stop nobody.
func (n *NFTables) ready() error {
	if err := n.open(); err != nil {
		return err
	}
	if n.connected {
		return nil
	}
	lonely, err := onlyLoopback(n.options.Namespace)
	if err != nil {
		return fmt.Errorf("action %s: list the network interfaces: %w", n.options.Name, err)
	}
	if lonely {
		return fmt.Errorf("action %s: %s", n.options.Name, lonelyProblem)
	}
	if err := n.take(); err != nil {
		return err
	}
	n.connected = true
	return nil
}

// look reads the table.
func (n *NFTables) look() (nftState, error) {
	s, err := n.read()
	if err != nil {
		return s, n.explain("look at", err)
	}
	return s, nil
}

func (n *NFTables) read() (nftState, error) {
	var s nftState
	gen, err := n.conn.GetGen()
	if err != nil {
		return s, err
	}
	s.generation = gen.ID
	t, err := n.conn.ListTableOfFamily(n.options.Table, nftables.TableFamilyINet)
	if errors.Is(err, unix.ENOENT) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := n.foreign(t); err != nil {
		return s, err
	}
	s.exists, s.flags, s.chains, s.sets = true, t.Flags, map[string]*nftables.Chain{}, map[string]*nftables.Set{}
	chains, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return s, err
	}
	for _, c := range chains {
		if c.Table.Name == t.Name {
			s.chains[c.Name] = c
		}
	}
	sets, err := n.conn.GetSets(t)
	if err = s.understood(err); err != nil {
		return s, err
	}
	for _, set := range sets {
		if !set.Anonymous {
			s.sets[set.Name] = set
		}
	}
	s.counters, err = n.totals()
	if err = s.understood(err); err != nil || s.regwardens() {
		return s, err
	}
	if gen, err = n.conn.GetGen(); err == nil {
		err = ErrForeign
		if gen.ID != s.generation { // parts of it may have gone while it was read
			err = unix.ERESTART
		}
	}
	return s, err
}

// regwardens says whether the table is one that a regwarden made, of whatever version and options, and whatever others have done to it since: it has the
// counters, or the never-block sets, that each of them makes. Somebody else's table of the same name must not be taken, for all in it would be lost.
func (s *nftState) regwardens() bool {
	counters := 0
	for _, name := range []string{counterBlocked4, counterBlocked6, counterResets} {
		if _, there := s.counters[name]; there {
			counters++
		}
	}
	return counters == 3 || s.sets["never4"] != nil && s.sets["never6"] != nil && s.chains["blocked4"] != nil && s.chains["blocked6"] != nil
}

// understood returns an error of the kernel, and keeps one of the library for misfit.
func (s *nftState) understood(err error) error {
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) {
		return err
	}
	s.unreadable = err
	return nil
}

// foreign is an error if the table belongs to somebody else who is alive.
func (n *NFTables) foreign(t *nftables.Table) error {
	if t.Flags&nftables.TableFlagOwner == 0 {
		return nil
	}
	own, err := n.conn.GetPortID()
	if err == nil && t.Owner != own {
		return ErrOwned
	}
	return err
}

// misfit says what of the table differs from how this process makes it, apart from rules and elements; empty if nothing does. A table
// that persists without an owner is one that was left to us.
func (s nftState) misfit(n *NFTables) string {
	if flags := n.table().Flags; s.flags != flags && (!n.owned || s.flags != nftables.TableFlagPersist) {
		return fmt.Sprintf("the table's flags are %#x, not %#x", s.flags, flags)
	}
	if s.unreadable != nil {
		return fmt.Sprintf("the table holds what is not ours: %v", s.unreadable)
	}
	wanted := n.mode.chains(n.table()).all()
	for _, w := range wanted {
		if c := s.chains[w.Name]; c != nil && !sameChain(c, w) {
			return "chain " + w.Name + " is another"
		}
	}
	for name := range s.chains {
		if !slices.ContainsFunc(wanted, func(w *nftables.Chain) bool { return w.Name == name }) {
			return "chain " + name + " is not ours"
		}
	}
	for name, set := range s.sets {
		if !n.ours(set) {
			return "set " + name + " is not ours"
		}
	}
	return ""
}

func (s nftState) fits(n *NFTables) bool { return s.misfit(n) == "" }

func sameChain(a, b *nftables.Chain) bool {
	return a.Type == b.Type && same(a.Hooknum, b.Hooknum) && same(a.Priority, b.Priority) && same(a.Policy, b.Policy)
}

func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// ours says whether a set is one that this process could have made. Whether its elements have counters is not to be seen.
func (n *NFTables) ours(set *nftables.Set) bool {
	var wanted *nftables.Set
	t := n.table()
	switch b, ok := parseBucket(set.Name); {
	case ok:
		wanted = b.set(t, false)
	case set.Name == "never4" || set.Name == "never6":
		wanted = neverSet(t, set.Name == "never6")
	case set.Name == "ports":
		wanted = portSet(t)
	default:
		return false
	}
	return set.KeyType.Name == wanted.KeyType.Name && set.HasTimeout == wanted.HasTimeout && set.Interval == wanted.Interval &&
		!set.IsMap && !set.Constant && set.Size == 0 && set.Timeout == 0
}

func parseBucket(name string) (nftBucket, bool) {
	family, length, ok := strings.Cut(name, "_")
	bits, err := strconv.Atoi(length)
	b := nftBucket{v6: family == "v6", bits: bits}
	ok = ok && err == nil && (family == "v4" || family == "v6") && bits > 0 && bits <= width(b.v6)
	return b, ok && b.String() == name
}

// buckets returns the hash sets of the table, in order.
func (s nftState) buckets() []nftBucket {
	var all []nftBucket
	for name := range s.sets {
		if b, ok := parseBucket(name); ok {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, nftBucket.order)
	return all
}
