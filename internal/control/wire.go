// Package control is the unix socket on which people and programs ask a running daemon who is blocked and lift blocks: the wire types,
// once, the server and the client. It speaks HTTP and JSON under /v1, so that curl --unix-socket is enough to use it.
package control

import (
	"context"
	"net/netip"
	"time"

	"regwarden/detector"
)

// Status is GET /v1/status.
type Status struct {
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Config  string    `json:"config"`
	// DryRun says that every rule is a dry run.
	DryRun  bool           `json:"dry_run"`
	Rules   []RuleStatus   `json:"rules"`
	Sources []SourceStatus `json:"sources"`
	Actions []ActionStatus `json:"actions"`
	// Blocks is how many targets are blocked.
	Blocks int            `json:"blocks"`
	Counts detector.Stats `json:"counts"`
	// ReloadError is why the last reload changed nothing; empty when it worked.
	ReloadError string `json:"reload_error,omitempty"`
	// SetAside is where a damaged database was put at the start.
	SetAside string `json:"set_aside,omitempty"`
	// Warnings are faults that need a hand, one line each.
	Warnings []string `json:"warnings,omitempty"`
}

// RuleStatus is one rule in force.
type RuleStatus struct {
	Name   string `json:"name"`
	Origin string `json:"origin"`
	DryRun bool   `json:"dry_run"`
	Hits   uint64 `json:"hits"`
}

// SourceStatus is one followed file, journal or pipe.
type SourceStatus struct {
	Source   string `json:"source"`
	Path     string `json:"path"`
	Dialect  string `json:"dialect,omitempty"` // of the last line
	Lines    uint64 `json:"lines"`
	Events   uint64 `json:"events"`
	Unparsed uint64 `json:"unparsed"`
	Cut      uint64 `json:"cut"` // lines that were too long
	Bytes    uint64 `json:"bytes"`
	// LastLine is the wall-clock time of the last line read; absent where none came since the daemon's start.
	LastLine time.Time `json:"last_line,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// ActionStatus is one configured action.
type ActionStatus struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Healthy bool   `json:"healthy"`
	Pending int    `json:"pending"`
	Applied uint64 `json:"applied"`
	Failed  uint64 `json:"failed"`
	Dropped uint64 `json:"dropped"`
	// Healed is how often it was made right again after somebody else had changed it outside; 0 for actions that cannot see that.
	Healed      uint64    `json:"healed"`
	LastError   string    `json:"last_error,omitempty"`
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// BlockFilter selects blocks and history: GET /v1/blocks?client=&repository=&project=&rule=.
type BlockFilter struct {
	// Client is an address or prefix; blocks that cover it or lie in it are meant.
	Client     netip.Prefix
	Repository string
	Project    string
	Rule       string
}

// HistoryFilter selects history: GET /v1/history?…&since=&until=&limit=&before_id=.
type HistoryFilter struct {
	BlockFilter
	Since, Until time.Time
	// Limit is at most 1000; 0 means 100. BeforeID asks for the page after the one that ended with that id.
	Limit    int
	BeforeID int64
}

// HistoryEntry is one change that happened; GET /v1/history answers with the newest first.
type HistoryEntry struct {
	ID     int64          `json:"id"`
	Time   time.Time      `json:"time"`
	Verb   string         `json:"verb"`
	Target netip.Prefix   `json:"target"`
	Cause  detector.Cause `json:"cause"`
	By     string         `json:"by"`
	Note   string         `json:"note,omitempty"`
}

// BlockRequest is POST /v1/blocks.
type BlockRequest struct {
	// Target is a network, or an address, which stands for its client as everywhere: the /64 of an IPv6 address. Written with its length it is meant alone.
	Target string `json:"target"`
	// For is a duration such as "1h" or "7d".
	For    string `json:"for"`
	Reason string `json:"reason"`
	// Check only asks whether the target could be blocked: nothing changes, and who is never blocked is refused as ever, in a dry run too.
	Check bool `json:"check,omitempty"`
}

// UnblockRequest is POST /v1/unblock: exactly one of Target (address, prefix or cause ID) and All. Rule narrows it to causes of one rule.
// Whose blocks a target means is Meant's to say.
type UnblockRequest struct {
	Target string `json:"target,omitempty"`
	All    bool   `json:"all,omitempty"`
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Changed answers block, unblock and allow: what changed, in order.
type Changed struct {
	Changes []detector.Change `json:"changes"`
	// Warnings say what keeps the change from taking effect or from lasting: a database that is full, an action that fails.
	Warnings []string `json:"warnings,omitempty"`
	// StillBlocked are the wider blocks that go on covering what was unblocked.
	StillBlocked []detector.Block `json:"still_blocked,omitempty"`
	// StillWithin is how many narrower blocks lie in a network that was unblocked.
	StillWithin int `json:"still_within,omitempty"`
}

// AllowEntry is one prefix that is never blocked, put there by hand: GET, POST and DELETE /v1/allow.
type AllowEntry struct {
	Target  string    `json:"target"`
	Comment string    `json:"comment,omitempty"`
	By      string    `json:"by,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// For is a duration in a request; Until the end in an answer. Neither means for ever.
	For   string    `json:"for,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// ReloadResult is POST /v1/reload's answer.
type ReloadResult struct {
	Rules   int      `json:"rules"`
	Changed []string `json:"changed"` // what is different now, one line each
	// Restart lists keys whose change takes a restart.
	Restart []string `json:"restart,omitempty"`
}

// Peer is who is at the other end of the socket, as the kernel says (SO_PEERCRED).
type Peer struct {
	UID, GID uint32
	PID      int32
	// Name is the user's name, or "" where the system knows none.
	Name string
	// MayChange says that the peer is root, the daemon's own user or a member of the control group.
	MayChange bool
}

// Backend is the daemon as the socket sees it. Errors that are *Problem are answered as they are, others as 500.
type Backend interface {
	Status(ctx context.Context) (Status, error)
	Blocks(ctx context.Context, f BlockFilter) ([]detector.Block, error)
	History(ctx context.Context, f HistoryFilter) ([]HistoryEntry, error)
	Block(ctx context.Context, r BlockRequest, by Peer) (Changed, error)
	Unblock(ctx context.Context, r UnblockRequest, by Peer) (Changed, error)
	AllowList(ctx context.Context) ([]AllowEntry, error)
	Allow(ctx context.Context, e AllowEntry, by Peer) (Changed, error)
	Disallow(ctx context.Context, target string, by Peer) error
	Reload(ctx context.Context, by Peer) (ReloadResult, error)
}

// Problem is an error as RFC 9457 has it (application/problem+json).
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Hint says what to do about it.
	Hint string `json:"hint,omitempty"`
	// StillBlocked are, where an unblock found no block of its target, the wider blocks that cover it.
	StillBlocked []detector.Block `json:"still_blocked,omitempty"`
}

// Error is the detail, or else the title.
func (p *Problem) Error() string {
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}
