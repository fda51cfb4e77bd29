package takeover

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// nftChain is a chain of nftables with its rules, as far as they say who is blocked.
type nftChain struct {
	base  bool // packets come to it by themselves
	rules []nftRule
}

// nftRule is one rule.
type nftRule struct {
	line    int
	text    string
	set     string   // whose elements it is about, or
	from    []string // addresses; neither if it asks for no source
	mask    int      // the length of the network that is looked up; 0 is none
	limit   limit    // what else it asks for
	verdict string   // drop, reject, accept, return, jump, goto; "" for anything else
	to      string   // the chain of a jump or goto
}

// rule reads a rule of a chain, or what makes it a base chain.
func (t *ruleset) rule(chain string, line int, s []string) {
	c := t.chains[chain]
	if c == nil {
		return
	}
	if s[0] == "type" && slices.Contains(s, "hook") {
		c.base = true
		return
	}
	x := nftRule{line: line}
	for i := 0; i < len(s) && x.verdict == ""; {
		switch ports := portCondition(s[i:]); {
		case ports > 0:
			x.limit, i = max(x.limit, somePorts), i+ports
		case said(s[i:]) > 0:
			i += said(s[i:])
		case i+2 < len(s) && (s[i] == "ip" || s[i] == "ip6") && s[i+1] == "saddr" && x.set == "" && x.from == nil:
			i += 2 + x.source(s[i+2:])
		case slices.Contains([]string{"drop", "reject", "accept", "return"}, s[i]):
			x.verdict = s[i]
		case (s[i] == "jump" || s[i] == "goto") && i+1 < len(s):
			x.verdict, x.to = s[i], s[i+1]
		default:
			x.limit = inPart
			i++
		}
	}
	if x.verdict != "" {
		x.text = cut(strings.Join(s, " "), mostText)
		c.rules = append(c.rules, x)
	}
}

// source reads what stands behind saddr, and returns of how many tokens it is.
func (x *nftRule) source(s []string) int {
	n := 0
	if len(s) > 3 && s[0] == "&" {
		x.mask = networkLength(s[1])
		if x.mask == 0 {
			x.limit = inPart
		}
		n = 2
	}
	if s[n] == "==" && n+1 < len(s) {
		n++
	}
	if s[n] == "!=" || s[n] == "." || s[n] == "vmap" {
		x.limit = inPart
		return n + 1
	}
	if name, ok := strings.CutPrefix(s[n], "@"); ok {
		x.set = name
		return n + 1
	}
	value := valueTokens(s[n:])
	x.from = slices.DeleteFunc(slices.Clone(s[n:n+value]), func(w string) bool { return w == "{" || w == "}" || w == "," })
	if x.mask != 0 {
		x.limit = inPart // nobody writes a network so
	}
	return n + value
}

// networkLength is the length that a netmask of either family stands for; 0 for what is none.
func networkLength(mask string) int {
	addr, err := netip.ParseAddr(mask)
	if err != nil {
		return 0
	}
	length, ended := 0, false
	for _, b := range addr.AsSlice() {
		for bit := 7; bit >= 0; bit-- {
			switch one := b>>bit&1 == 1; {
			case one && ended:
				return 0
			case one:
				length++
			default:
				ended = true
			}
		}
	}
	return length
}

// portCondition is how many tokens a condition has that asks for ports or protocols; 0 if it is none.
func portCondition(s []string) int {
	if len(s) < 3 {
		return 0
	}
	switch s[0] + " " + s[1] {
	case "tcp dport", "udp dport", "sctp dport", "dccp dport", "th dport", "meta l4proto", "ip protocol", "ip6 nexthdr":
	default:
		return 0
	}
	n := 2
	if s[n] == "==" {
		n++
	}
	if n == len(s) || s[n] == "!=" || s[n] == "." || s[n] == "vmap" || s[n] == "map" {
		return 0
	}
	return n + valueTokens(s[n:])
}

// valueTokens is how many tokens a value has: one, or all in braces.
func valueTokens(s []string) int {
	if end := slices.Index(s, "}"); s[0] == "{" && end > 0 {
		return end + 1
	}
	return 1
}

// use is how a rule blocks the elements of a set; the limit is nothing where it only lets them in.
type use struct {
	limit limit
	mask  int
}

// judge takes the addresses that rules block, and returns the sets that they do.
func (t *ruleset) judge(r *reader) map[string]use {
	ways := map[string][]way{}
	whole := false // that there is a chain to which packets come, so that the others can be told
	for name, c := range t.chains {
		whole = whole || c.base
		for _, x := range c.rules {
			w := way{name, x.limit}
			if x.set != "" || x.from != nil {
				w.limit = inPart
			}
			if x.to != "" && !slices.Contains(ways[x.to], w) {
				ways[x.to] = append(ways[x.to], w)
			}
		}
	}
	begins := func(c string) bool { return t.chains[c] != nil && t.chains[c].base }
	sets, ends := map[string]use{}, map[string]limit{}
	for _, name := range slices.Sorted(maps.Keys(t.chains)) {
		c := t.chains[name]
		at := reached(name, begins, func(c string) []way { return ways[c] })
		lone := at == nothing && !whole
		if lone {
			at = everything
		}
		for _, x := range c.rules {
			if x.set == "" && x.from == nil {
				continue
			}
			stop := t.stops(x, ends)
			if _, known := sets[x.set]; !known && x.set != "" && (x.verdict == "accept" || x.verdict == "return") {
				sets[x.set] = use{limit: nothing}
			}
			if stop == nothing {
				continue
			}
			l := max(at, x.limit, stop)
			if x.set == "" {
				r.takeRule(x, l)
			} else if known, ok := sets[x.set]; l != nothing && (!ok || l < known.limit) {
				sets[x.set] = use{l, x.mask}
			}
			if lone {
				r.note("chain %s: the rules that lead there are not in the list, so it may block some ports only; its blocks are taken as blocks of everything", cut(name, mostText))
			}
		}
	}
	return sets
}

// takeRule takes the addresses of a rule, of which so much is blocked.
func (r *reader) takeRule(x nftRule, l limit) {
	switch {
	case l == nothing:
		r.refuse(x.line, x.text, "blocks nobody: no rule leads to its chain")
	case l == inPart:
		r.refuse(x.line, x.text, "has more conditions than where a packet comes from, so that it blocks this in part only")
	case l == somePorts && !r.anyPort:
		r.refuse(x.line, x.text, "blocks this on some ports or protocols only"+anyPortHint)
	default:
		for _, address := range x.from {
			r.takeAt(x.line, address, 0, "")
		}
	}
}

// stops says how much of what a rule takes is dropped or rejected by its verdict, or in the chain that it leads to. ends remembers chains.
func (t *ruleset) stops(x nftRule, ends map[string]limit) limit {
	if x.verdict == "drop" || x.verdict == "reject" {
		return everything
	}
	c := t.chains[x.to]
	if x.to == "" || c == nil {
		return nothing
	}
	if known, ok := ends[x.to]; ok {
		return known
	}
	ends[x.to] = nothing // what leads back here drops nothing
	best, passed := nothing, everything
	for _, y := range c.rules {
		open := y.set == "" && y.from == nil
		switch {
		case !open:
			// Exceptions for some sources, such as those that are never blocked: they are the list's, not the element's.
		case y.verdict == "accept" || y.verdict == "return":
			if y.limit == everything {
				ends[x.to] = best
				return best
			}
			passed = max(passed, y.limit)
		default:
			best = min(best, max(y.limit, passed, t.stops(y, ends)))
		}
	}
	ends[x.to] = best
	return best
}

// said is how many tokens of a rule's end only count and log, before what becomes of the packet.
func said(s []string) int {
	n := 0
	for n < len(s) {
		switch s[n] {
		case "counter", "log":
			n++
		case "packets", "bytes", "name", "prefix", "level", "group":
			n += 2
		default:
			return n
		}
	}
	return len(s)
}
