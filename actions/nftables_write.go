package actions

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
)

// elementChunk is how many elements are handed to the library at once: a chunk is a small part of a transaction, and bounds its memory.
const elementChunk = 1000

// longestElement is what an element gets at most; the kernel counts in milliseconds and takes far more.
const longestElement = 100 * 365 * 24 * time.Hour

// rewrite makes the table right and fills it with these blocks, or, to keep, leaves the elements as they are. Another program may
// change the table between the look at it and the transaction, so it is tried again then.
func (n *NFTables) rewrite(ends map[netip.Prefix]time.Time, keep bool) error {
	if err := n.ready(); err != nil {
		return err
	}
	const attempts = 3
	for attempt := 1; ; attempt++ {
		before, err := n.look()
		if err != nil {
			return err
		}
		// A table that resists is made anew: an older kernel may not take all that this one does.
		anew := before.exists && (attempt > 1 || !before.fits(n))
		n.generation = before.generation
		if err = n.transact(before, ends, keep && !anew, anew); err == nil {
			break
		}
		if attempt == attempts || !errors.Is(err, errChanged) && (anew || !before.exists) {
			return err
		}
	}
	if n.damaged {
		n.healed.Add(1)
	}
	n.synced, n.doubted, n.damaged, n.unproven, n.broken = true, false, false, false, ""
	n.written = n.moment()
	return nil
}

// transact is the one transaction of a rewrite. Either all of it comes to be or nothing, and packets see the old or the new table.
func (n *NFTables) transact(before nftState, ends map[netip.Prefix]time.Time, keep, anew bool) error {
	t, c := n.table(), n.conn
	if anew {
		c.DelTable(t)
	}
	if anew || !before.exists {
		c.CreateTable(t) // not one that somebody has made since the look
	} else {
		c.AddTable(t)
	}
	for _, name := range []string{counterBlocked4, counterBlocked6, counterResets} {
		total := before.counters[name] // a counter that is there keeps its own
		c.AddObj(&nftables.NamedObj{Table: t, Name: name, Type: nftables.ObjTypeCounter, Obj: &total})
	}
	if anew {
		before.sets = nil
	}
	for _, chain := range n.mode.chains(t).all() {
		c.AddChain(chain)
		c.FlushChain(chain)
	}
	elements, held := n.fill(ends, n.options.Clock())
	buckets := before.buckets()
	if !keep {
		buckets = slices.SortedFunc(maps.Keys(elements), nftBucket.order)
	}
	err := n.writeSettings(before)
	for _, b := range before.buckets() {
		if !slices.Contains(buckets, b) {
			c.DelSet(b.set(t, n.mode.counters))
		}
	}
	for _, b := range buckets {
		if !keep {
			err = errors.Join(err, n.writeSet(before, b.set(t, n.mode.counters), elements[b]))
		}
	}
	rules := n.addRules(buckets)
	if err := n.commit("write", err); err != nil {
		return err
	}
	n.buckets, n.rules, n.held = buckets, rules, held
	return nil
}

// writeSettings fills the sets that come from the configuration.
func (n *NFTables) writeSettings(before nftState) error {
	t := n.table()
	err := errors.Join(
		n.writeSet(before, neverSet(t, false), neverElements(n.never, false)),
		n.writeSet(before, neverSet(t, true), neverElements(n.never, true)))
	if len(n.mode.ports) > 0 {
		err = errors.Join(err, n.writeSet(before, portSet(t), portElements(n.mode.ports)))
	}
	return err
}

// writeSet makes a set, instead of the one that is there, and fills it. To flush that one would cost the kernel a message an element, hundreds
// of megabytes for a moment, as soon as any program on the machine listens to nf_tables events.
func (n *NFTables) writeSet(before nftState, set *nftables.Set, elements []nftables.SetElement) error {
	if before.sets[set.Name] != nil {
		n.conn.DelSet(set)
	}
	return errors.Join(n.conn.AddSet(set, nil), n.addElements(set, elements))
}

func (n *NFTables) addElements(set *nftables.Set, elements []nftables.SetElement) error {
	for chunk := range slices.Chunk(elements, elementChunk) {
		if err := n.conn.SetAddElements(set, chunk); err != nil {
			return err
		}
	}
	return nil
}

// addRules adds all rules to empty chains. After the commit they have their handles.
func (n *NFTables) addRules(buckets []nftBucket) []*nftables.Rule {
	rules := n.mode.ruleset(n.table(), buckets)
	for _, r := range rules {
		n.conn.AddRule(r)
	}
	return rules
}

// fill sorts blocks that have not ended into buckets, with the time that they have left.
func (n *NFTables) fill(ends map[netip.Prefix]time.Time, now time.Time) (map[nftBucket][]nftables.SetElement, map[netip.Prefix]time.Time) {
	elements := make(map[nftBucket][]nftables.SetElement)
	held := make(map[netip.Prefix]time.Time)
	for target, until := range ends {
		left, ok := timeLeft(until, now)
		if !ok {
			continue
		}
		b := bucketOf(target)
		elements[b] = append(elements[b], nftables.SetElement{Key: target.Addr().AsSlice(), Timeout: left})
		n.hold(held, target, until)
	}
	return elements, held
}

// timeLeft is an element's timeout; false if there is none. A timeout of 0 would mean for ever to the kernel.
func timeLeft(until, now time.Time) (time.Duration, bool) {
	left := until.Round(0).Sub(now.Round(0)) // by the wall clock
	return min(left, longestElement), left >= time.Millisecond
}

// hold remembers a block to look for later. A table that nobody else can change need not be looked at.
func (n *NFTables) hold(held map[netip.Prefix]time.Time, target netip.Prefix, until time.Time) {
	if !n.owned {
		held[target] = until
	}
}

// update writes the changed targets into a table that stands.
//
// An element that is there is deleted and added in the same transaction, since kernels before 6.12 ignore the new timeout of one that is
// added again; and it is added first, since deleting one that is not there, or has just expired, would fail the whole transaction.
func (n *NFTables) update(ends map[netip.Prefix]time.Time) error {
	t, c, now := n.table(), n.conn, n.options.Clock()
	wanted, held := n.fill(ends, now)
	buckets, rules := slices.Clone(n.buckets), n.rules
	var err error
	for b := range wanted {
		if !slices.Contains(buckets, b) {
			buckets = append(buckets, b)
			err = errors.Join(err, c.AddSet(b.set(t, n.mode.counters), nil))
		}
	}
	if len(buckets) > len(n.buckets) {
		slices.SortFunc(buckets, nftBucket.order)
		for _, chain := range n.mode.chains(t).all() {
			c.FlushChain(chain)
		}
		rules = n.addRules(buckets)
	}
	for b, elements := range n.touched(ends) {
		set := b.set(t, n.mode.counters)
		for chunk := range slices.Chunk(elements, elementChunk) {
			err = errors.Join(err, c.SetAddElements(set, chunk), c.SetDeleteElements(set, chunk))
		}
	}
	for b, elements := range wanted {
		err = errors.Join(err, n.addElements(b.set(t, n.mode.counters), elements))
	}
	if err := n.commit("change", err); err != nil {
		return err
	}
	for target := range ends {
		delete(n.held, target)
	}
	maps.Copy(n.held, held)
	n.buckets, n.rules = buckets, rules
	return nil
}

// touched sorts targets into the buckets that stand already; a new one has nothing to delete.
func (n *NFTables) touched(ends map[netip.Prefix]time.Time) map[nftBucket][]nftables.SetElement {
	touched := make(map[nftBucket][]nftables.SetElement)
	for target := range ends {
		if b := bucketOf(target); slices.Contains(n.buckets, b) {
			touched[b] = append(touched[b], nftables.SetElement{Key: target.Addr().AsSlice()})
		}
	}
	return touched
}

// commit sends what is buffered as one transaction. It keeps track of the ruleset's generation: one step is our own, and when others
// took some too, Watch will see that the generation is not the one that is known, and look. After an error in what was buffered the library
// sends nothing and forgets it all.
func (n *NFTables) commit(attempt string, buffered error) error {
	if err := cmp.Or(n.conn.Flush(), buffered); err != nil {
		err = n.explain(attempt, err)
		if n.synced && errors.Is(err, errChanged) {
			n.damaged = true
		}
		n.synced = false
		return err
	}
	gen, err := n.conn.GetGen()
	if err == nil && gen.ID == n.generation+1 {
		n.generation = gen.ID
	}
	return nil
}
