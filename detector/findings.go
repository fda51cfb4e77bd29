package detector

import (
	"strings"
)

// sighting is one event that had a client. hits of the hits that follow in Findings belong to it.
type sighting struct {
	time    int64 // unix milliseconds
	target  targetKey
	agent   uint8 // the user agent's place in a bitmap of 32
	outcome Outcome
	service service
	fate    Outcome // how the service treated it; for tokens and logins too, which have no outcome
	hits    uint16
}

// Hit is an event that one rule took.
type Hit struct {
	Rule *Rule
	// Reset says that it clears the count instead of adding to it.
	Reset  bool
	Weight int

	salt     uint64
	time     int64
	target   targetKey
	key      uint64
	distinct uint32
	attempt  uint64

	repository, project, reference, user, line string
}

// Findings are what a matcher found in a block of lines, in order; the detector counts them.
type Findings struct {
	sightings []sighting
	hits      []Hit
	// Events is how many events were matched, and Hits how many of them counted for some rule.
	Events, Hits int
}

// Reset empties the findings and keeps their memory.
func (f *Findings) Reset() {
	clear(f.hits)
	f.sightings, f.hits, f.Events, f.Hits = f.sightings[:0], f.hits[:0], 0, 0
}

// OwnFrom copies every text that is still a view into a line, of the hits from number n on, so that the findings may leave the goroutine that read it; it
// returns how many hits there are now.
func (f *Findings) OwnFrom(n int) int {
	for i := range f.hits[n:] {
		h := &f.hits[n+i]
		h.repository, h.project = strings.Clone(h.repository), strings.Clone(h.project)
		h.reference, h.user, h.line = strings.Clone(h.reference), strings.Clone(h.user), strings.Clone(h.line)
	}
	return len(f.hits)
}
