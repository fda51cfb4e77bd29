package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Check tries whether this host can do the blocking, and leaves nothing behind. Problems keep it from working; notes say what is weaker
// than it could be. Each says what to do.
func (n *NFTables) Check() (problems, notes []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lonely, err := onlyLoopback(n.options.Namespace)
	switch {
	case err != nil:
		problems = append(problems, fmt.Sprintf("list the network interfaces: %v", err))
	case lonely:
		problems = append(problems, lonelyProblem)
	}
	kernel := kernelRelease()
	if !capable(unix.CAP_NET_ADMIN) {
		return append(problems, n.explain("use", errCapability).Error()), []string{kernel, unseenWithoutAdmin}
	}
	err = n.open()
	if err == nil {
		_, err = n.look()
	}
	if err == nil {
		err = n.rehearse()
	}
	if err != nil {
		return append(problems, err.Error()), []string{kernel}
	}
	switch {
	case n.owned:
		notes = append(notes, kernel+" has all that is needed, and keeps other programs off the table")
	case n.options.Plain:
		notes = append(notes, kernel+" has all that is needed; with owner = false other programs may change the table, and it is made right within two seconds")
	default:
		notes = append(notes, kernel+" cannot keep other programs off the table (Linux 6.9 and later can): "+
			"\"nft flush ruleset\" removes the blocks until they are written again, within two seconds")
	}
	return problems, append(notes, n.dockerNotes()...)
}

// dockerNotes are about a container engine on this host. The programs that list its rules want to run in the namespace.
func (n *NFTables) dockerNotes() (notes []string) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	worker := newXTWorker(n.options.Namespace)
	err := worker.do(ctx, "look for Docker", func(ctx context.Context) error {
		d := lookForDocker(ctx, n.options.Namespace)
		notes = d.notes(n.options.Ports)
		return nil
	})
	if err != nil {
		return []string{err.Error()}
	}
	return notes
}

// rehearse builds a table with all that ours may need and removes it in the same transaction, so that it never takes effect.
func (n *NFTables) rehearse() error {
	t := n.table()
	t.Name += "-check"
	c := n.conn
	c.CreateTable(t) // not one that is there: it would be deleted
	for _, name := range []string{counterBlocked4, counterBlocked6, counterResets} {
		c.AddObj(&nftables.NamedObj{Table: t, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
	for _, chain := range n.mode.chains(t).all() {
		c.AddChain(chain)
	}
	buckets := []nftBucket{{false, 32}, {false, 24}, {true, 128}, {true, 64}}
	sets := []*nftables.Set{neverSet(t, false), neverSet(t, true), portSet(t)}
	for _, b := range buckets {
		sets = append(sets, b.set(t, n.mode.counters))
	}
	var err error
	for _, s := range sets {
		err = errors.Join(err, c.AddSet(s, nil))
	}
	for _, r := range n.mode.ruleset(t, buckets) {
		c.AddRule(r)
	}
	c.DelTable(t)
	if err = errors.Join(err, c.Flush()); err != nil {
		return n.explain("rehearse", err)
	}
	return nil
}

// onlyLoopback says whether a namespace has no interface besides lo; 0 is the process's own.
func onlyLoopback(namespace int) (bool, error) {
	if namespace == 0 {
		namespace = int(netns.None())
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(namespace), unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(links, func(l netlink.Link) bool {
		a := l.Attrs()
		return a.RawFlags&unix.IFF_LOOPBACK == 0 && (a.RawFlags&unix.IFF_UP != 0 || !slices.Contains(fallbackTunnels, a.Name))
	}), nil
}

// fallbackTunnels are interfaces that a new namespace has by itself where the kernel has their modules.
var fallbackTunnels = []string{"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"}
