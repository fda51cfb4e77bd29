// Package actions is where decisions go: the blocklist file, the log, a command, a webhook.
//
// An action is told of changes, and some can also be made equal to the whole ledger in one go (Syncer): that one operation serves for the
// start, for healing and for doubt. Each runs behind a Runner, in one goroutine, which retries with back-off and
// never holds the detector up.
package actions

import (
	"context"

	"regwarden/detector"
)

// Action carries changes out. Applying the same change twice must be harmless; an empty list is free.
type Action interface {
	// Name is the configured name, by which rules and status speak of it.
	Name() string
	// Holds says whether the action itself stops a client for a block of this scope. The log holds nothing.
	Holds(scope detector.Scope) bool
	// Apply carries the changes out, in order. After an error the caller retries with the same changes, or, for a Syncer, with Sync.
	Apply(ctx context.Context, changes []detector.Change) error
}

// Syncer is an Action that keeps state outside and can make it equal to the ledger.
type Syncer interface {
	Action
	// Sync makes the outside hold exactly these blocks and nothing else of ours.
	Sync(ctx context.Context, blocks []detector.Block) error
}
