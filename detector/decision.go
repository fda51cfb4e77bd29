package detector

import (
	"net/netip"
	"time"
)

// Scope says how much of the registry a block closes.
type Scope uint8

// The scopes.
const (
	// ScopeHost closes everything to the target.
	ScopeHost Scope = iota
	// ScopeRepository closes only the repositories that caused the block.
	ScopeRepository
)

var scopeNames = [...]string{"host", "repository"}

// String returns the name that rules and JSON use.
func (s Scope) String() string { return nameOf(scopeNames[:], int(s)) }

// ParseScope returns the scope of that name.
func ParseScope(name string) (Scope, bool) {
	i, ok := indexOf(scopeNames[:], name)
	return Scope(i), ok
}

// MarshalText writes the scope's name.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the scope's name; an unknown one is the widest.
func (s *Scope) UnmarshalText(text []byte) error {
	*s, _ = ParseScope(string(text))
	return nil
}

// The verbs of a Decision.
const (
	VerbBlock      = "block"
	VerbWouldBlock = "would-block" // a dry run
	VerbSpared     = "spared"      // a guard held
	VerbUnblock    = "unblock"     // the storm guard takes back what it let through
)

// Decision is what the detector makes of hits that were too many.
type Decision struct {
	// ID is the same for the same lines, rules and target: a decision that is made again after a crash, from lines
	// that are read again, is recognised by it.
	ID     string       `json:"id"`
	Time   time.Time    `json:"time"`
	Verb   string       `json:"verb"`
	Target netip.Prefix `json:"target"`
	Rule   string       `json:"rule"`
	Scope  Scope        `json:"scope"`
	// Widened says that the rule wanted a repository block and no configured action can hold one.
	Widened bool `json:"widened,omitempty"`
	// Guard names the safety rule that held, for VerbSpared and VerbUnblock.
	Guard string `json:"guard,omitempty"`
	// Count is the number of requests that counted, in Window, from First to Last.
	Count  int           `json:"count"`
	Window time.Duration `json:"-"`
	First  time.Time     `json:"first"`
	Last   time.Time     `json:"last"`
	// Until is when the block ends; zero for spared.
	Until time.Time `json:"until,omitzero"`
	// Strike is how often this rule has blocked this target before it was forgotten, this time included.
	Strike int `json:"strike,omitempty"`
	// Reblock is the how manieth block of a probation it is; 0 outside of one.
	Reblock int `json:"reblock,omitempty"`
	// About is the one repository for which all requests were that counted; "" where the rule counts over all of them.
	About        string   `json:"-"`
	Repositories []string `json:"repositories,omitempty"`
	// Projects are the GitLab projects that the repositories may belong to, every candidate where that is ambiguous.
	Projects []string `json:"projects,omitempty"`
	// References are the tags and digests that were asked for.
	References []string `json:"references,omitempty"`
	// Samples are up to five of the lines that counted, cut to SampleLength bytes.
	Samples []string `json:"samples,omitempty"`
	// Reason says all of it in one sentence.
	Reason string `json:"reason"`
	// Actions are the names of the actions that carry it out; empty means all.
	Actions []string `json:"actions,omitempty"`
}

// SampleLength is the most bytes of a log line that a block keeps as evidence.
const SampleLength = 512

// Cause is one reason why a target is blocked. A target stays blocked while it has a cause.
type Cause struct {
	// ID is the decision's, or one made for a block by hand.
	ID      string `json:"id"`
	Rule    string `json:"rule"`   // the rule's name, or "manual"
	By      string `json:"by"`     // "rule", or who asked for it: "uid 0 (root)"
	Reason  string `json:"reason"` // one sentence for people
	Scope   Scope  `json:"scope"`
	Widened bool   `json:"widened,omitempty"`
	Strike  int    `json:"strike,omitempty"`
	// Reblock is the how manieth block of a probation it is; 0 outside of one.
	Reblock int `json:"reblock,omitempty"`
	Count   int `json:"count,omitempty"`
	// Window is the rule's findtime in seconds.
	Window int       `json:"findtime,omitempty"`
	First  time.Time `json:"first,omitzero"`
	Last   time.Time `json:"last,omitzero"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	// About is the one repository for which all requests were that counted; "" where the rule counts over all of them.
	About        string   `json:"about,omitempty"`
	Repositories []string `json:"repositories,omitempty"`
	Projects     []string `json:"projects,omitempty"`
	References   []string `json:"references,omitempty"`
	Samples      []string `json:"samples,omitempty"`
	Actions      []string `json:"actions,omitempty"`
}

// Closes is the scope that the cause really closes: a widened repository block closes the host.
func (c *Cause) Closes() Scope {
	if c.Widened {
		return ScopeHost
	}
	return c.Scope
}

// Block is a target that is blocked, and why.
type Block struct {
	Target netip.Prefix `json:"target"`
	// Until is the latest end of its causes.
	Until  time.Time `json:"until"`
	Causes []Cause   `json:"causes"`
}

// The verbs of a Change.
const (
	ChangeBlock   = "block"   // the target was not blocked before
	ChangeExtend  = "extend"  // another cause or a later end
	ChangeShorten = "shorten" // a cause went, others remain
	ChangeUnblock = "unblock" // somebody lifted the last cause
	ChangeExpire  = "expire"  // the last cause ended by itself
	ChangeDryRun  = "would-block"
	ChangeSpared  = "spared"
)

// Change is what happened to one target: what actions are told.
type Change struct {
	Time time.Time `json:"time"`
	Verb string    `json:"verb"`
	// Block is the target as it is after the change; without causes when it is free.
	Block Block `json:"block"`
	// Cause is the cause that came, went or was spared.
	Cause Cause `json:"cause"`
	// By says who: "rule", "expiry", "storm guard", or the person's uid.
	By string `json:"by"`
	// Forgiven says that the block should not have been: Cause.Strike is what is left of the strikes without it.
	Forgiven bool `json:"forgiven,omitempty"`
	// Probation is the target's after the change, where the change began, moved or ended one: an ended one has no Until.
	Probation *Probation `json:"probation,omitempty"`
	// Note is what the person who lifted it said, or why a guard held.
	Note string `json:"note,omitempty"`
}
