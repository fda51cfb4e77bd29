package actions

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// probes is how many elements of a bucket are looked for: all of a small one. A flushed set never escapes, one element of many may.
const probes = 256

// soonEnded blocks are not looked for: they may end before the kernel answers.
const soonEnded = 5 * time.Second

// verify compares the table with what was written last. It returns what differs, or nothing.
func (n *NFTables) verify() (string, error) {
	s, err := n.read()
	n.generation = s.generation
	switch {
	case errors.Is(err, ErrOwned):
		return "the table belongs to another process", nil
	case errors.Is(err, ErrForeign):
		return "the table is somebody else's", nil
	case err != nil:
		return "", err
	case !s.exists:
		return "the table is gone", nil
	}
	if what := s.misfit(n); what != "" {
		return what, nil
	}
	if n.owned {
		if s.flags&nftables.TableFlagOwner == 0 {
			return "the table has lost its owner", nil
		}
		return "", nil // nobody else can have changed it
	}
	t := n.table()
	for _, chain := range n.mode.chains(t).all() {
		if s.chains[chain.Name] == nil {
			return "chain " + chain.Name + " is gone", nil
		}
		if what, err := n.verifyRules(t, chain); what != "" || err != nil {
			return what, err
		}
	}
	return n.verifyElements(t, s)
}

// verifyRules compares handles: whatever is written anew has another one.
func (n *NFTables) verifyRules(t *nftables.Table, chain *nftables.Chain) (string, error) {
	rules, err := n.conn.GetRules(t, chain)
	if err != nil {
		return "", err
	}
	var want, got []uint64
	for _, r := range n.rules {
		if r.Chain.Name == chain.Name {
			want = append(want, r.Handle)
		}
	}
	for _, r := range rules {
		got = append(got, r.Handle)
	}
	if !slices.Equal(want, got) {
		return "the rules of chain " + chain.Name + " are others", nil
	}
	return "", nil
}

func (n *NFTables) verifyElements(t *nftables.Table, s nftState) (string, error) {
	soon := n.options.Clock().Add(soonEnded)
	sample := make(map[nftBucket][]nftables.SetElement)
	for target, until := range n.held { // a map's order is a sample of its own
		if b := bucketOf(target); until.After(soon) && len(sample[b]) < probes {
			sample[b] = append(sample[b], nftables.SetElement{Key: target.Addr().AsSlice()})
		}
	}
	for _, b := range n.buckets {
		if s.sets[b.String()] == nil {
			return "set " + b.String() + " is gone", nil
		}
		if len(sample[b]) == 0 {
			continue
		}
		found, err := n.conn.FindSetElements(b.set(t, n.mode.counters), sample[b])
		if errors.Is(err, unix.ENOENT) || err == nil && len(found) != len(sample[b]) {
			return "elements of set " + b.String() + " are gone", nil
		}
		if err != nil {
			return "", err
		}
	}
	for _, v6 := range []bool{false, true} {
		set := neverSet(t, v6)
		if s.sets[set.Name] == nil {
			return "set " + set.Name + " is gone", nil
		}
		found, err := n.conn.GetSetElements(set)
		if err != nil {
			return "", err
		}
		if !sameIntervals(neverElements(n.never, v6), found) {
			return "the never-block set has changed", nil
		}
	}
	if what, err := n.verifyPorts(t, s); what != "" || err != nil {
		return what, err
	}
	return n.prove()
}

func (n *NFTables) verifyPorts(t *nftables.Table, s nftState) (string, error) {
	if len(n.mode.ports) == 0 {
		return "", nil
	}
	if s.sets["ports"] == nil {
		return "the set of ports is gone", nil
	}
	found, err := n.conn.GetSetElements(portSet(t))
	if err != nil {
		return "", err
	}
	if !sameIntervals(portElements(n.mode.ports), found) {
		return "the set of ports has changed", nil
	}
	return "", nil
}

// sameIntervals compares two lists of elements in any order. An end marker at address 0 says nothing.
func sameIntervals(a, b []nftables.SetElement) bool {
	normal := func(elements []nftables.SetElement) []string {
		var keys []string
		for _, e := range elements {
			if zero, _ := netip.AddrFromSlice(e.Key); e.IntervalEnd && zero.IsUnspecified() {
				continue
			}
			keys = append(keys, fmt.Sprintf("%x %v", e.Key, e.IntervalEnd))
		}
		slices.Sort(keys)
		return keys
	}
	return slices.Equal(normal(a), normal(b))
}
