package actions

import (
	"context"
	"net/netip"
	"time"

	"regwarden/detector"
)

// Answerer is an action whose blocked clients read why they are refused. An action that holds blocks and is none keeps them from that, so a rule may
// leave it out until its last step.
type Answerer interface {
	Action
	Answers() bool
}

// Speller is an action that may hold a repository block only where the name is one by the distribution specification.
type Speller interface {
	Action
	SpelledOnly() bool
}

// Refuser is an action that cannot hold every target; Refuses says why it does not hold this one, or "".
type Refuser interface {
	Action
	Refuses(target netip.Prefix) string
}

// Server is an action that others ask: Serve answers them until ctx ends.
type Server interface {
	Action
	Serve(ctx context.Context) error
}

// Placed is a Syncer that keeps what it writes at a place of its own, which is emptied when the action goes.
type Placed interface {
	Syncer
	Place() string
}

// Answer is what a client reads of a block: the body for a registry's client, the same as a line without anything that needs quoting, and the end.
type Answer struct {
	Body    []byte
	Message string
	Until   time.Time
}

// Answers makes the answer to requests for a repository, or with "" to those that may be told of none; false if the block does not concern them. The
// answer room's Text does it.
type Answers func(b detector.Block, repository string, now time.Time) (Answer, bool)
