package actions

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
)

func portElements(ports []uint16) []nftables.SetElement {
	var elements []nftables.SetElement
	for _, p := range ports {
		elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	return elements
}

// neverElements returns the prefixes of one family as intervals that do not touch each other, which is how the kernel wants them.
func neverElements(prefixes []netip.Prefix, v6 bool) []nftables.SetElement {
	type span struct{ first, last netip.Addr }
	var spans []span
	for _, p := range prefixes {
		if p, ok := canonical(p); ok && p.Addr().Is6() == v6 {
			spans = append(spans, span{p.Addr(), lastOf(p)})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	var merged []span
	for _, s := range spans {
		if i := len(merged) - 1; i >= 0 && (s.first.Compare(merged[i].last) <= 0 || merged[i].last.Next() == s.first) {
			if merged[i].last.Less(s.last) {
				merged[i].last = s.last
			}
			continue
		}
		merged = append(merged, s)
	}
	var elements []nftables.SetElement
	for _, s := range merged {
		after := s.last.Next() // invalid at the end of the address space, where the interval stays open
		elements = append(elements, nftables.SetElement{Key: s.first.AsSlice(), IntervalOpen: !after.IsValid()})
		if after.IsValid() {
			elements = append(elements, nftables.SetElement{Key: after.AsSlice(), IntervalEnd: true})
		}
	}
	return elements
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
