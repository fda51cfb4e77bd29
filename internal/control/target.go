package control

import (
	"fmt"
	"net/netip"
	"strings"
)

// targetHint says how a target is written.
const targetHint = "write it like 192.0.2.7, 198.51.100.0/24, 2001:db8::7 or 2001:db8:0:1::/64"

// maxID is the longest ID of a cause, in bytes, that the socket looks for.
const maxID = 128

// ParseTarget reads an address or a prefix. The host bits of a prefix are dropped, and an IPv4 address that is written as an IPv6 one is
// taken as what it is. Its error is a *Problem.
func ParseTarget(text string) (netip.Prefix, error) {
	wrong := bad(targetHint, "%q is neither an address nor a prefix", cut(text))
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong
	}
	if addr := p.Addr(); addr.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, wrong
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// ParseSubject reads what a block is asked for by: an address, a prefix, or the ID of a cause, which it returns as id. Its error is
// a *Problem.
func ParseSubject(text string) (target netip.Prefix, id string, err error) {
	if isID(text) {
		return netip.Prefix{}, text, nil
	}
	target, err = ParseTarget(text)
	if err != nil {
		return target, "", bad(targetHint+", or give an ID that `regwarden blocks show` tells",
			"%q is neither an address, a prefix nor the ID of a block", cut(text))
	}
	return target, "", nil
}

// isID says whether the text can be an ID: letters, digits, '-' and '_'. No address and no prefix can.
func isID(text string) bool {
	if text == "" || len(text) > maxID {
		return false
	}
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

// TargetText is a target as people write it: a single address without its length.
func TargetText(p netip.Prefix) string {
	if p.IsValid() && p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// cut shortens what a client sent before it is repeated to it.
func cut(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s…", strings.ToValidUTF8(text[:most], ""))
}
