package takeover

import (
	"net/netip"
	"strconv"
	"strings"
)

// notTarget is why most lines are refused.
const notTarget = "neither an address nor a network"

// mostParts is how many networks a range may fall into. A range of IPv4 falls into at most 62.
const mostParts = 64

// targets returns the networks that a text names, masked and IPv4 as such, or why it names none: an address, a network, or a range, which is split into
// exactly the networks that it consists of.
func targets(text string) (found []netip.Prefix, why string) {
	if len(text) > 2*64 { // no address is as long
		return nil, notTarget
	}
	if first, last, ok := strings.Cut(text, "-"); ok {
		return addressRange(first, last)
	}
	host, length, ok := strings.Cut(text, "/")
	addr, why := address(host)
	if why != "" {
		return nil, why
	}
	if !ok {
		return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}, ""
	}
	p, err := netip.ParsePrefix(host + "/" + length)
	if mask, isMask := maskLength(length); err != nil && isMask && addr.Is4() {
		p, err = addr.Prefix(mask)
		p = netip.PrefixFrom(addr, p.Bits())
	}
	if err != nil || p.Addr().Is4In6() && p.Bits() < 96 {
		return nil, notTarget
	}
	if p.Addr().Is4In6() {
		p = netip.PrefixFrom(addr, p.Bits()-96)
	}
	if p != p.Masked() {
		return nil, "an address within a network: write " + addr.String() + " for the address or " + p.Masked().String() + " for all of the network"
	}
	return []netip.Prefix{p}, ""
}

func address(text string) (netip.Addr, string) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, notTarget
	}
	if addr.Zone() != "" {
		return addr, "an address of one interface: a client is known without it"
	}
	return addr.Unmap(), ""
}

// maskLength reads a netmask such as 255.255.255.0, which iptables and hosts.deny take.
func maskLength(text string) (int, bool) {
	mask, err := netip.ParseAddr(text)
	if err != nil || !mask.Is4() {
		return 0, false
	}
	b := mask.As4()
	bits := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	for length := range 33 {
		if bits == ^uint32(0)<<(32-length) {
			return length, true
		}
	}
	return 0, false
}

func addressRange(from, to string) ([]netip.Prefix, string) {
	first, why := address(strings.TrimSpace(from))
	if why != "" {
		return nil, why
	}
	last, why := address(strings.TrimSpace(to))
	if why != "" {
		return nil, why
	}
	if first.BitLen() != last.BitLen() || last.Less(first) {
		return nil, "a range that ends before it begins"
	}
	var parts []netip.Prefix
	for at := first; ; {
		if len(parts) == mostParts {
			return nil, "a range of more than " + strconv.Itoa(mostParts) + " networks: write them one a line"
		}
		p := widest(at, last)
		parts = append(parts, p)
		end := lastOf(p)
		if end == last {
			return parts, ""
		}
		at = end.Next()
	}
}

// widest is the largest network that begins with an address and does not go beyond another.
func widest(at, last netip.Addr) netip.Prefix {
	p := netip.PrefixFrom(at, at.BitLen())
	for bits := at.BitLen() - 1; bits >= 0; bits-- {
		wider, _ := at.Prefix(bits)
		if wider.Addr() != at || last.Less(lastOf(wider)) {
			break
		}
		p = wider
	}
	return p
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
