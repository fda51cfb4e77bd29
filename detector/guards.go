package detector

import (
	"fmt"
	"net/netip"
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
	// outageFrom suspects of one rule at once, if they are half of all active targets, are an outage.
	outageFrom = 5
	// suspectFrom hits on one key make a target that mostly fails a suspect.
	suspectFrom = 3
)

// storm watches one rule for storms.
type storm struct {
	// Blocks are the latest would-be blocks, oldest first, at most one more than the limit.
	Blocks []stormBlock
	// Gen is the generation that Suspects are of; Was are those of the one before.
	Gen      uint32
	Suspects int
	Was      int
	// Told is the latest generation in which an outage was seen and told.
	Told uint32
}

type stormBlock struct {
	Time   int64 // unix milliseconds
	Target netip.Prefix
	ID     string
	Made   bool // a block was made of it, which a storm takes back
}

// turn moves the storm's generation on.
func (s *storm) turn(gen uint32) {
	if gen == s.Gen {
		return
	}
	s.Was = 0
	if gen == s.Gen+1 {
		s.Was = s.Suspects
	}
	s.Gen, s.Suspects = gen, 0
}

// outage says whether so many targets run into the rule at once that the registry must be to blame.
func (s *storm) outage(t *tallies) string {
	s.turn(t.generation)
	// A generation that has just begun has seen few clients yet; half of those before are taken as there.
	now := max(t.active, t.wasActive/2)
	for _, gen := range [...]struct{ suspects, active int }{{s.Suspects, now}, {s.Was, t.wasActive}} {
		if gen.suspects >= outageFrom && 2*gen.suspects >= gen.active {
			return fmt.Sprintf("%d of %d active clients run into this rule at once: the registry seems to be at fault, not they", gen.suspects, max(gen.active, gen.suspects))
		}
	}
	return ""
}

// note adds a would-be block and says whether there are too many of them in the window.
func (s *storm) note(g *Guards, t *tallies, b stormBlock) string {
	limit := max(g.StormLimit, max(t.active, t.wasActive)/10)
	from := b.Time - g.StormWindow.Milliseconds()
	for len(s.Blocks) > 0 && (s.Blocks[0].Time < from || len(s.Blocks) > limit) {
		s.Blocks = s.Blocks[1:]
	}
	s.Blocks = append(s.Blocks, b)
	if len(s.Blocks) <= limit {
		return ""
	}
	return fmt.Sprintf("this rule would block more than %d targets in %v (storm_limit): it stops until fewer run into it, and goes on counting", limit, g.StormWindow)
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
