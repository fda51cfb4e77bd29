package detector

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Rule says what abuse is and how much of it is too much. The rules package makes it from a TOML file; nothing changes it after.
type Rule struct {
	Name    string
	Summary string
	// Origin is the file that it came from, for errors and explain.
	Origin string

	// Sources are the kinds of log that it counts from; none means every kind.
	Sources []Kind
	// Match must hold for an event to count. A rule with FailRegex needs no Match.
	Match Conditions
	// Unless are alternatives of which none may hold.
	Unless []Conditions
	// Reset are alternatives; an event that meets one clears the count of its key. They are not bound to Sources.
	Reset []Conditions
	// FailRegex are matched on the raw line; the group named "client" is the address.
	FailRegex   []*regexp.Regexp
	IgnoreRegex []*regexp.Regexp

	// MaxRetry hits within FindTime are too many.
	MaxRetry int
	FindTime time.Duration
	// Windows is in how many FindTimes running MaxRetry must be reached; 1 is a sliding window.
	Windows int
	// Key is what is counted besides the client, which is always in it.
	Key []Field
	// Distinct, when Counted, counts the different values of a field instead of hits.
	Distinct *Field
	// Attempt is the time within which hits on the same thing are one attempt; 0 counts each.
	Attempt time.Duration
	// Weight is how many hits one hit counts for; 1 but for rules of several weights.
	Weight int
	// SuccessRatio spares a target from a host block when at least that share of its requests succeeds.
	SuccessRatio float64

	// Steps are the answers to the first, second, … block of a target; the last one stays.
	Steps []Step
	// Forget is how long after the end of a block one step is forgotten.
	Forget time.Duration
	// Widen lets a repository block become a host block where no action can hold the narrow one.
	Widen   bool
	DryRun  bool
	Actions []string
	// Answer says to the blocked client what it did, as "asked {count} times for {what}"; empty makes it of the summary.
	Answer string
	// Storm lets the storm guards hold the rule back. Off for what no registry's fault can bring about, such as ssh logins.
	Storm bool

	Tests []RuleTest
}

// Step is one answer: how long, and how much is closed.
type Step struct {
	Time  time.Duration
	Scope Scope
	// Firewall lets the block into the firewall where the rule's other steps are answered to the client.
	Firewall bool
}

// RuleTest is a sample line with its verdict: the client that must be hit, or "" for nobody.
type RuleTest struct {
	Line   string
	Client string
	// Position is where the test stands, "file:line".
	Position string
}

// Limits of a rule, so that its tables stay small.
const (
	MaxMaxRetry = 10000
	MaxFindTime = 7 * 24 * time.Hour
	MaxWindows  = 100
)

// Validate says what is wrong with the rule, by the key that is wrong.
func (r *Rule) Validate() error {
	switch {
	case r.MaxRetry < 1 || r.MaxRetry > MaxMaxRetry:
		return fmt.Errorf("maxretry: must be 1 to %d", MaxMaxRetry)
	case r.FindTime < time.Millisecond || r.FindTime > MaxFindTime: // counts know milliseconds
		return fmt.Errorf("findtime: must be 1ms to %v", MaxFindTime)
	case r.Windows < 1 || r.Windows > MaxWindows:
		return fmt.Errorf("windows: must be 1 to %d", MaxWindows)
	case r.Windows > 1 && r.Distinct != nil:
		return fmt.Errorf("windows: cannot be combined with distinct")
	case r.Attempt < 0 || r.Attempt > r.FindTime:
		return fmt.Errorf("attempt: must be between 0 and findtime")
	case r.SuccessRatio <= 0 || r.SuccessRatio > 1:
		return fmt.Errorf("success_ratio: must be more than 0 and at most 1")
	case len(r.Steps) == 0:
		return fmt.Errorf("bantime: is missing")
	case len(r.Match) == 0 && len(r.FailRegex) == 0:
		return fmt.Errorf("match: a rule needs [match] or failregex, or it would count every request")
	}
	for _, s := range r.Steps {
		if s.Time <= 0 {
			return fmt.Errorf("bantime: must be more than 0")
		}
	}
	return nil
}

// step returns the answer to the n-th block, counted from 1.
func (r *Rule) step(n int) Step { return r.Steps[min(n, len(r.Steps))-1] }

// carriers are the actions that carry a step out: those of the rule, without the ones that would hide the answer from the client as long as the
// rule keeps the firewall for a later step. None means all.
func (r *Rule) carriers(s Step, answering []string) []string {
	later := slices.ContainsFunc(r.Steps, func(o Step) bool { return o.Firewall })
	if !later || s.Firewall || len(answering) == 0 {
		return r.Actions
	}
	if len(r.Actions) == 0 {
		return answering
	}
	var both []string
	for _, a := range r.Actions {
		if slices.Contains(answering, a) {
			both = append(both, a)
		}
	}
	if both == nil {
		return r.Actions // it names none that answers
	}
	return both
}
