package takeover

import (
	"net/netip"
	"strconv"
	"strings"

	"regwarden/internal/strict"
)

// notTarget is why most lines are refused.
var notTarget = strict.ErrNoTarget.Error()

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
	if host, mask, ok := strings.Cut(text, "/"); ok {
		if length, ok := maskLength(mask); ok && strings.Contains(host, ".") && !strings.Contains(host, ":") {
			text = host + "/" + strconv.Itoa(length)
		}
	}
	p, err := strict.Target(text)
	if err != nil {
		return nil, err.Error()
	}
	return []netip.Prefix{p}, ""
}

// address reads one end of a range.
func address(text string) (netip.Addr, string) {
	p, err := strict.Target(text)
	switch {
	case err != nil:
		return netip.Addr{}, err.Error()
	case strings.Contains(text, "/"):
		return netip.Addr{}, notTarget
	}
	return p.Addr(), ""
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
