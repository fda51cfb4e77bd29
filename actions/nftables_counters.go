package actions

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// NFTablesCounters are the totals of what the kernel did since the table was made, over all rewrites and restarts.
type NFTablesCounters struct {
	BlockedV4 PacketCount `json:"blocked_v4"`
	BlockedV6 PacketCount `json:"blocked_v6"`
	// Resets are replies to blocked clients, whose senders were told to give up.
	Resets PacketCount `json:"resets"`
}

// PacketCount counts packets.
type PacketCount struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Counters reads the totals from the kernel.
func (n *NFTables) Counters() (NFTablesCounters, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.open(); err != nil {
		return NFTablesCounters{}, err
	}
	totals, err := n.totals()
	if err != nil {
		return NFTablesCounters{}, n.explain("read the counters of", err)
	}
	count := func(name string) PacketCount { return PacketCount{totals[name].Packets, totals[name].Bytes} }
	return NFTablesCounters{count(counterBlocked4), count(counterBlocked6), count(counterResets)}, nil
}

func (n *NFTables) totals() (map[string]expr.Counter, error) {
	objects, err := n.conn.GetNamedObjects(n.table())
	if err != nil {
		return nil, err
	}
	totals := make(map[string]expr.Counter)
	for _, o := range objects {
		if named, ok := o.(*nftables.NamedObj); ok {
			if c, ok := named.Obj.(*expr.Counter); ok {
				totals[named.Name] = *c
			}
		}
	}
	return totals, nil
}
