package portal

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"regwarden/detector"
)

// Backend is the daemon as the pages see it: what is so, and the few things that they may have it do. Projects are paths of which somebody else has found out
// that they are projects.
type Backend interface {
	// Blocks are those with a cause of which the project has a share, with all their causes.
	Blocks(ctx context.Context, project string) ([]detector.Block, error)
	// Count is of how many blocks each of the projects has a share.
	Count(ctx context.Context, projects []string) (map[string]int, error)
	// BlocksOf are those that hold the address.
	BlocksOf(ctx context.Context, address netip.Addr) ([]detector.Block, error)
	// ByID is the block with the cause of that ID: ErrNotBlocked if there is none.
	ByID(ctx context.Context, id string) (detector.Block, error)
	// Search are the blocks of what lies at or below a path, a repository's or a project's.
	Search(ctx context.Context, path string) ([]detector.Block, error)
	// Paths are what may be the projects of blocks: of those in force, and of the latest of all that there were.
	Paths(ctx context.Context) (active, past []string, err error)
	// History are entries, the newest first.
	History(ctx context.Context, q HistoryQuery) ([]Entry, error)
	// Lift lifts a project's causes.
	Lift(ctx context.Context, l Lift) (Lifted, error)
	// Room looks whether each quota has room for one more use: nil, or a *Full. Use takes it, of all of them or of none.
	Room(ctx context.Context, now time.Time, quotas ...Quota) error
	Use(ctx context.Context, now time.Time, quotas ...Quota) error
	// Overview is what the admin page shows, of the blocks since then in spans of that length.
	Overview(ctx context.Context, since time.Time, span time.Duration) (Overview, error)
}

// HistoryQuery says which entries are wanted: of what lies at or below a path, or of an address, or both.
type HistoryQuery struct {
	Within   string
	Address  netip.Addr
	BeforeID int64 // only older ones
	Limit    int
}

// Entry is a change that was made, or that a dry run would have made.
type Entry struct {
	ID     int64
	Time   time.Time
	Verb   string
	Target netip.Prefix
	Cause  detector.Cause
	By     string
	Note   string
}

// Lift asks to lift all causes of a block that are wholly a project's.
type Lift struct {
	Project string
	// ID is that of one of them.
	ID string
	// By and Reason are for the history.
	By, Reason string
	// Reblocks is up to which block in probation this person may lift.
	Reblocks  int
	Probation time.Duration
}

// Lifted is what became of it.
type Lifted struct {
	Target netip.Prefix
	Causes []detector.Cause
	// Remains says that the target is blocked for other reasons still.
	Remains bool
	// Doubts are why it may not take effect.
	Doubts []string
}

// What Lift may say.
var (
	ErrNotBlocked = errors.New("there is no such block any more")
	ErrNotYours   = errors.New("this block is not the project's to lift")
)

// ErrReblocked says that a block in probation takes somebody of a higher role.
type ErrReblocked struct{ Reblock int }

func (e *ErrReblocked) Error() string { return "the address was blocked again in probation" }

// Quota is how often something may be done in a window of time.
type Quota struct {
	What   string
	Max    int
	Window time.Duration
}

// Full says that a quota has no room.
type Full struct {
	Quota Quota
	Again time.Time // when there is room again
}

func (f *Full) Error() string { return "too often: " + f.Quota.What }

// Overview is how everything stands.
type Overview struct {
	Targets int
	ByRule  map[string]int // causes in force
	DryRun  bool
	Storms  []Storm
	Made    []Made // by rule and span
	Most    []Made // the repositories with the most blocks since then
	// Warnings are faults that need a hand.
	Warnings []string
	Version  string
	Since    time.Time
}

// Storm is a rule that the storm guard holds, or held within the last hour.
type Storm struct {
	Rule, Why string
	At        time.Time
}

// Made is how many blocks a rule or a repository had in a span of time.
type Made struct {
	From time.Time
	Name string
	N    int
}
