package detector

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// Guards are the safety rules: when a rule says block, they say whom not.
type Guards struct {
	// Never are prefixes that are never blocked, besides those that are built in.
	Never []Never
	// BlockPrivate lets private ranges be blocked.
	BlockPrivate bool
	// Storm switches on the two guards against storms: the limit, and the one that sees an outage in how many clients fail at once.
	Storm bool
	// StormLimit targets blocked by one rule within StormWindow are a storm: something is wrong with the registry and not
	// with its clients. On a busy registry the limit is a tenth of the active targets, if that is more.
	StormLimit  int
	StormWindow time.Duration
	// ProxyShare of all requests from one target, with several user agents, is a proxy.
	ProxyShare float64
}

// DefaultGuards are the guards of a host that configures none.
var DefaultGuards = Guards{Storm: true, StormLimit: 30, StormWindow: 10 * time.Minute, ProxyShare: 0.5}

// The names of the guards, as decisions carry them.
const (
	GuardNever   = "never-block"
	GuardStorm   = "storm"
	GuardProxy   = "proxy"
	GuardCrowd   = "crowd"
	GuardScope   = "scope"
	guardMinimum = 200 // requests seen before a share of them says anything
	// proxyAgents different user agents behind one address are several clients: one host's tools are docker, git and a script or two.
	proxyAgents = 5
	// outageFrom suspects of one rule at once may be an outage.
	outageFrom = 5
	// outageThings different things that suspects run into are no single broken deployment.
	outageThings = 3
	// suspectFrom hits on one key make a target that mostly fails a suspect.
	suspectFrom = 3
)

// storm watches one rule for storms. An IPv6 network of one owner (/48) is one target here.
type storm struct {
	// Blocks are the would-be blocks of the window, oldest first.
	Blocks []stormBlock
	// Gen is the generation that Now is of; Was is the one before.
	Gen      uint32
	Now, Was troubled
	// Told is the latest generation in which an outage was seen and told.
	Told uint32
}

// troubled are the targets that run into a rule again and again while most of their requests fail.
type troubled struct {
	Suspects int
	// Fallen are those that were served before.
	Fallen int
	// Things is a bitmap of what they run into: several things, or all into one, such as a tag that was never pushed.
	Things uint64
}

type stormBlock struct {
	Time   int64 // unix milliseconds
	Target netip.Prefix
	ID     string
	Made   bool // a block was made of it, which a storm takes back
}

// stormBlocks is the most would-be blocks that are remembered for a rule.
const stormBlocks = 4096

// turn moves the storm's generation on.
func (s *storm) turn(gen uint32) {
	if gen == s.Gen {
		return
	}
	s.Was = troubled{}
	if gen == s.Gen+1 {
		s.Was = s.Now
	}
	s.Gen, s.Now = gen, troubled{}
}

// outage says whether the rule's service seems to be at fault and not those who run into the rule: hardly anybody is served by it any more.
func (s *storm) outage(t *tallies, of uint16) string {
	s.turn(t.generation)
	served, asked := t.health(of)
	for _, now := range [...]troubled{s.Now, s.Was} {
		if now.outage(served, asked) {
			return fmt.Sprintf("%d clients run into this rule at once and %d are still served: the registry seems to be at fault, not they", now.Suspects, served)
		}
	}
	return ""
}

// outage weighs those in trouble against those that are served and those that asked at all.
func (n troubled) outage(served, asked int) bool {
	several := bits.OnesCount64(n.Things) >= outageThings
	switch {
	case n.Suspects >= 2 && n.Fallen == n.Suspects && served == 0 && bits.OnesCount64(n.Things) > 1:
		return true // few clients, but all that there are, and all were served before
	case n.Suspects < outageFrom || 10*n.Suspects < asked:
		return false
	case several:
		return float64(n.Suspects) >= 0.8*float64(n.Suspects+served)
	}
	// The nodes of one broken deployment all want one thing: then it takes nearly everybody.
	return float64(n.Suspects) >= 0.95*float64(n.Suspects+served)
}

// suspect notes that a target runs into the rule, whether it was served before, and into what it runs.
func (s *storm) suspect(fallen bool, thing uint64) {
	s.Now.Suspects++
	if fallen {
		s.Now.Fallen++
	}
	s.Now.Things |= 1 << (thing % 64)
}

// note adds a would-be block and says whether there are too many of them in the window.
func (s *storm) note(g *Guards, t *tallies, b stormBlock) string {
	from := b.Time - g.StormWindow.Milliseconds()
	for len(s.Blocks) > 0 && (s.Blocks[0].Time < from || len(s.Blocks) >= stormBlocks) {
		s.Blocks = s.Blocks[1:]
	}
	if !slices.ContainsFunc(s.Blocks, func(o stormBlock) bool { return o.Target == b.Target }) {
		s.Blocks = append(s.Blocks, b)
	}
	limit := max(g.StormLimit, max(t.active, t.wasActive)/10)
	if len(s.Blocks) <= limit {
		return ""
	}
	networks := map[netip.Prefix]bool{}
	for _, o := range s.Blocks {
		networks[network(o.Target)] = true
	}
	if len(networks) <= limit {
		return ""
	}
	return fmt.Sprintf("this rule would block more than %d targets in %v (storm_limit): it stops until fewer run into it, and goes on counting", limit, g.StormWindow)
}

// network is what one owner of addresses usually has at least: an IPv6 /48; an IPv4 owner has single addresses.
func network(target netip.Prefix) netip.Prefix {
	if target.Addr().Is4() || target.Bits() < 48 {
		return target
	}
	p, _ := target.Addr().Prefix(48) // it is within the address's length
	return p
}

// proxy says whether the target looks like a proxy that everybody comes through.
func (g *Guards) proxy(t traffic) string {
	if t.seen < guardMinimum || t.share <= g.ProxyShare || t.agents < proxyAgents {
		return ""
	}
	return fmt.Sprintf("%.0f %% of all requests come from it, with %d or more different user agents: it looks like a proxy or a NAT (see trusted_proxies)", 100*t.share, t.agents)
}

// crowd says whether the target is many clients of whom most are well served.
func (r *Rule) crowd(t traffic) string {
	if t.ratio() < r.SuccessRatio {
		return ""
	}
	return fmt.Sprintf("%.0f %% of its requests succeed (success_ratio %.2g): a crowd behind one address, of which one client may be at fault", 100*t.ratio(), r.SuccessRatio)
}
