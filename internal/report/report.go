// Package report makes of a day's decisions what an operator reads before he lets regwarden block: who would have been blocked, by which rule,
// with which lines, whom the guards spared and why, and what to change. It reads nothing itself: decisions are given to it in any order.
package report

import (
	"net/netip"
	"time"
)

// Origins of a report.
const (
	FromHistory = "history" // a daemon's
	FromLogs    = "logs"    // a replay's: nobody was blocked, whatever the decisions say
)

// Entry is one decision or change.
type Entry struct {
	Time         time.Time
	Verb         string // as in a history
	ID           string // of the cause
	Target       netip.Prefix
	Rule         string
	Guard        string
	By           string // "rule", or who did it
	Reason       string
	Note         string // what somebody said who lifted it
	Count        int
	Until        time.Time // the end of the block
	Since        time.Time // its beginning
	Repositories []string
	Samples      []string
}

// Options say what a report is made of, and about whose configuration it speaks.
type Options struct {
	Origin string
	// Where is the database, the socket or the logs, in words.
	Where string
	// From and To are the span that was asked about; a zero one is that of the entries.
	From, To time.Time
	// DryRun says that the configuration blocks nobody.
	DryRun bool
	// Config is the configuration's path; "" if none is known.
	Config string
	// Summaries say what each rule sees.
	Summaries map[string]string
	// Sources is what was read, where that is known.
	Sources []Source
	// Notes say what else there is to know of what was read, such as a file that was left out; one sentence each, without a full stop.
	Notes []string
	// Location is the zone in which times are written; nil is UTC.
	Location *time.Location
	// Printable makes text of a log harmless; everything that comes from a log line goes through it once.
	Printable func(string) string
}

// Source is one log that was read.
type Source struct {
	Path     string `json:"path"`
	Lines    uint64 `json:"lines"`
	Unparsed uint64 `json:"unparsed"`
	Error    string `json:"error,omitempty"`
}

// Report is the whole of it. Lists are sorted, the most important first.
type Report struct {
	Origin string    `json:"origin"`
	Where  string    `json:"where"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	DryRun bool      `json:"dry_run"`
	Config string    `json:"config,omitempty"`

	// Would and Blocked are decisions that would have blocked somebody, and that did.
	Would   int `json:"would_block"`
	Blocked int `json:"blocked"`
	Spared  int `json:"spared"`
	// Clients are targets that would be or were blocked, SparedClients those that were spared; one may be both.
	Clients        int `json:"clients"`
	WouldClients   int `json:"would_clients"`
	BlockedClients int `json:"blocked_clients"`
	SparedClients  int `json:"spared_clients"`
	// TakenBack are blocks that the storm guard took back; they are not counted above.
	TakenBack int `json:"taken_back"`
	// LeftOut are entries beyond what a report holds.
	LeftOut int `json:"left_out,omitempty"`

	Rules        []Rule       `json:"rules"`
	Targets      []Target     `json:"targets"`
	Repositories []Repository `json:"repositories"`
	Guards       []Guard      `json:"guards"`
	Lifted       []Lifted     `json:"lifted"`
	Sources      []Source     `json:"sources,omitempty"`
	// Notes are what to know of what was read before the rest is believed.
	Notes []string `json:"notes,omitempty"`
	// Buckets are equal spans of time, oldest first.
	Buckets []Bucket      `json:"buckets"`
	Step    time.Duration `json:"-"`
	// ToDo is what to change, one sentence or two each.
	ToDo []string `json:"to_do"`

	location *time.Location
}

// Rule is what one rule decided.
type Rule struct {
	Name    string `json:"name"`
	Summary string `json:"summary,omitempty"`
	Clients int    `json:"clients"`
	Would   int    `json:"would_block"`
	Blocked int    `json:"blocked"`
	Spared  int    `json:"spared"`
	// Longest is the longest block in seconds.
	Longest int `json:"longest"`
}

// Target is one client, with the evidence of its latest decision.
type Target struct {
	Target  string    `json:"target"`
	Rules   []string  `json:"rules"`
	Would   int       `json:"would_block"`
	Blocked int       `json:"blocked"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Longest is the longest block in seconds.
	Longest int      `json:"longest"`
	Reason  string   `json:"reason"`
	Samples []string `json:"samples,omitempty"`
}

// Repository is what clients were after when they would be or were blocked.
type Repository struct {
	Name    string   `json:"name"`
	Clients int      `json:"clients"`
	Times   int      `json:"times"`
	Rules   []string `json:"rules"`
}

// Guard is what one safety rule spared.
type Guard struct {
	Name    string `json:"name"`
	Clients int    `json:"clients"`
	Times   int    `json:"times"`
	// Spared are the clients, the most often spared first.
	Spared []Spared `json:"spared"`
}

// Spared is one client that a guard spared, and why the last time.
type Spared struct {
	Target string    `json:"target"`
	Rules  []string  `json:"rules"`
	Times  int       `json:"times"`
	Last   time.Time `json:"last"`
	Reason string    `json:"reason"`
}

// Lifted is a block that a person lifted: perhaps it should not have been.
type Lifted struct {
	Time   time.Time `json:"time"`
	Target string    `json:"target"`
	Rule   string    `json:"rule"`
	By     string    `json:"by"`
	Note   string    `json:"note,omitempty"`
}

// Bucket is one span of time.
type Bucket struct {
	Start   time.Time `json:"start"`
	Would   int       `json:"would_block"`
	Blocked int       `json:"blocked"`
	Spared  int       `json:"spared"`
}

// The bounds of a report, whatever is in the history.
const (
	mostEntries      = 100_000
	mostTargets      = 500 // that are shown, likewise repositories and clients of a guard
	mostNames        = 8   // rules of a client, repositories of an entry
	mostSamples      = 3
	mostSampleLength = 300 // characters
)
