// Package metrics tells Prometheus how the daemon fares. It counts nothing itself: whoever owns the counts gives it a snapshot when it is asked, so that nothing
// is done for a line but what is done anyway. Labels are names out of the configuration, never an address, a project or anything else that a client chooses.
package metrics

import "time"

// Snapshot is how everything stands at one moment. Counts are since the daemon began: those that outlive a restart would go back a little after a crash, which
// Prometheus would take for a restart from zero and count all of them again.
type Snapshot struct {
	Version, Revision string
	DryRun            bool
	// ReloadFailed says that the last reload changed nothing; Warnings is how many faults need a hand.
	ReloadFailed bool
	Warnings     int

	Sources []Source
	Rules   []Rule
	Blocks  []Blocks
	Actions []Action

	// BlockedTargets is how many targets are blocked.
	BlockedTargets int
	// Lifted are the causes that went, by what took them away.
	Lifted map[string]uint64
	// HumanTests and Logins are the project page's; nil where there is none.
	HumanTests map[HumanTest]uint64
	Logins     map[string]uint64
	// Late is how many blocks would have ended before they began.
	Late uint64

	Checkpoints, Saves Saving
	// CheckpointBytes is the size of the last one; UnsavedChanges wait for the database.
	CheckpointBytes, UnsavedChanges int

	// TrackedKeys are counts that are kept, ActiveTargets the clients of the last minutes.
	TrackedKeys, ActiveTargets int
	Evicted                    uint64
	// TableBytes is what the tables take now, TableLimit the most that they may.
	TableBytes, TableLimit int
}

// HumanTest is what a provider of human tests said: passed, failed or away.
type HumanTest struct{ Provider, Result string }

// Source is one configured source; all its files together.
type Source struct {
	Name                               string
	Lines, Events, Unparsed, Cut, Read uint64 // Read is in bytes
	Files                              int
	// Behind is how many bytes are written and not read yet.
	Behind int64
	// Lag is how old the last line was when it was counted.
	Lag time.Duration
	// LastLine is when that was; zero before the first.
	LastLine time.Time
	Readable bool
}

// Rule is one rule in force.
type Rule struct {
	Name    string
	Matches uint64
	// Decisions are by verb, Spared by the guard that held.
	Decisions, Spared map[string]uint64
}

// Blocks are those of one rule, of hands ("manual") or of rules that are no longer in force ("other").
type Blocks struct {
	Rule   string
	Made   uint64
	Active int
}

// Action is one configured action.
type Action struct {
	Name                             string
	Healthy                          bool
	Pending                          int
	Applied, Failed, Dropped, Healed uint64
	LastError, LastSuccess           time.Time
	Delay                            Timing // from a change to its being carried out
}

// Saving is how writing to the database fares.
type Saving struct {
	Took     Timing
	Failures uint64
	Last     time.Time // that went well
}

// The verbs of Snapshot.Rules, its guards and what lifts a block: each has its series from the start, so that its first count is seen as one.
var (
	Verbs  = []string{"block", "would-block", "spared", "unblock"}
	Guards = []string{"never-block", "proxy", "crowd", "storm", "scope"}
	Vias   = []string{"expiry", "socket", "web", "storm-guard", "never-block"}
)
