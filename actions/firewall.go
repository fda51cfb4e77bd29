package actions

import (
	"context"
	"net/netip"
)

// Watcher is a Syncer that notices when somebody else changes what it has made outside, and when the clock jumps. Watch calls doubt with the reason
// and goes on; it ends with its context.
type Watcher interface {
	Syncer
	Watch(ctx context.Context, doubt func(reason string)) error
}

// Firewall is an action in the kernel.
type Firewall interface {
	Watcher
	// Check says what keeps it from working on this host and what to do about it, and what else is worth knowing. It changes nothing.
	Check() (problems, notes []string)
	// Flush removes all that is ours from the kernel and nothing else, or, with an error, nothing. It says whether there was anything.
	Flush(ctx context.Context) (removed bool, err error)
	// SetNever replaces the prefixes that pass whatever is blocked.
	SetNever(ctx context.Context, never []netip.Prefix) error
	// Healed is how often it was made right again after somebody else had changed it.
	Healed() uint64
}

// Both firewalls are.
var (
	_ Firewall = (*NFTables)(nil)
	_ Firewall = (*IPTables)(nil)
)
