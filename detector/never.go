package detector

import (
	"fmt"
	"net/netip"
	"slices"
)

// Never is a prefix that must not be blocked, and why.
type Never struct {
	Prefix netip.Prefix `json:"prefix"`
	Why    string       `json:"why"`
}

// always are the prefixes that nobody's configuration can give free.
var always = slices.Concat(
	neverList("loopback", "127.0.0.0/8", "::1/128"),
	neverList("link-local", "169.254.0.0/16", "fe80::/10"),
	neverList("the unspecified address", "0.0.0.0/8", "::/128"),
	neverList("a translator (NAT64) that many IPv4 clients may come through", "64:ff9b::/96", "64:ff9b:1::/48"),
	neverList("multicast or broadcast", "224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
)

// private are the ranges of RFC 1918, RFC 6598 and RFC 4193: behind such an address stands a proxy or a colleague more often than an attacker.
var private = neverList("a private range; set block_private = true if the registry's clients have private addresses",
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

func neverList(why string, prefixes ...string) []Never {
	var out []Never
	for _, p := range prefixes {
		out = append(out, Never{netip.MustParsePrefix(p), why})
	}
	return out
}

// NeverBlock returns the reason why a target must not be blocked, or "". A target is refused if it overlaps a protected prefix at
// all: a /24 around the gateway is no better than the gateway.
func (g *Guards) NeverBlock(target netip.Prefix) string {
	if !target.IsValid() {
		return "not an address"
	}
	if wide := map[bool]int{true: 8, false: 16}[target.Addr().Is4()]; target.Bits() < wide {
		return fmt.Sprintf("%v is wider than /%d", target, wide)
	}
	lists := [][]Never{always, g.Never}
	if !g.BlockPrivate {
		lists = append(lists, private)
	}
	for _, list := range lists {
		for _, n := range list {
			if n.Prefix.Overlaps(target) {
				return fmt.Sprintf("%v is %s", n.Prefix, n.Why)
			}
		}
	}
	return ""
}
