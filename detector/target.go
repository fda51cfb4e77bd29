package detector

import (
	"encoding/binary"
	"net/netip"
)

// Mask says how wide a target is: what is counted is what is blocked.
type Mask struct {
	// V4 and V6 are prefix lengths: 32 and 64 unless configured. V6 is at most 64, since one customer has at least a /64.
	V4, V6 int
}

// DefaultMask counts and blocks one IPv4 address and one IPv6 /64.
var DefaultMask = Mask{V4: 32, V6: 64}

// Target is the prefix that an address is counted and blocked as.
func (m Mask) Target(addr netip.Addr) netip.Prefix {
	bits := m.V6
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		bits = m.V4
	}
	p, err := addr.Prefix(bits)
	if err != nil { // an invalid address or a mask that no config check let through
		return netip.Prefix{}
	}
	return p
}

// targetKey is a target in 8 bytes without a pointer: the upper half of an IPv6 address, or an IPv4 address under a tag that
// stands in ::/8, where no client can be. Zero is no target.
type targetKey uint64

const v4Tag = 0x0000_ffff << 32

func (m Mask) key(addr netip.Addr) targetKey {
	if !addr.IsValid() {
		return 0
	}
	addr = addr.Unmap()
	if addr.Is4() {
		a := addr.As4()
		v := uint64(binary.BigEndian.Uint32(a[:])) &^ (1<<(32-m.V4) - 1)
		return targetKey(v4Tag | v)
	}
	a := addr.As16()
	return targetKey(binary.BigEndian.Uint64(a[:8]) &^ (1<<(64-m.V6) - 1))
}

// prefix turns the key back into the target.
func (m Mask) prefix(k targetKey) netip.Prefix {
	if uint64(k)>>32 == v4Tag>>32 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(k))
		return netip.PrefixFrom(netip.AddrFrom4(a), m.V4)
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], uint64(k))
	return netip.PrefixFrom(netip.AddrFrom16(a), m.V6)
}
