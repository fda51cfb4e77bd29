package strict

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Why a text is no target, to be said after it: `"x" is neither …`.
var (
	ErrNoTarget = errors.New("neither an address nor a network")
	ErrZone     = errors.New("an address of one interface: a client is known without it")
)

// HostBitsError is an address with a network's length, such as 192.0.2.7/24: it may mean the one or the other, and who is blocked hangs on it.
type HostBitsError struct{ Prefix netip.Prefix }

func (e *HostBitsError) Error() string {
	return fmt.Sprintf("an address within a network: write %v for the address or %v for all of the network", e.Prefix.Addr(), e.Prefix.Masked())
}

// Target reads an address or a network, everywhere in the same way. An IPv4 address or network that is written as an IPv6 one (::ffff:192.0.2.7) is the
// IPv4 one; a network that holds more than those is neither. An address is a network of its own.
func Target(text string) (netip.Prefix, error) {
	host, length, isNetwork := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return netip.Prefix{}, ErrNoTarget
	case addr.Zone() != "":
		return netip.Prefix{}, ErrZone
	case !isNetwork:
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(addr.String() + "/" + length)
	if err != nil {
		return netip.Prefix{}, ErrNoTarget
	}
	if addr.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, ErrNoTarget
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, &HostBitsError{p}
	}
	return p, nil
}
