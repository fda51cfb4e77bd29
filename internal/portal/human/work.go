package human

import (
	"net/url"
	"time"
)

// FieldWorkID and FieldWork are the fields of a form with a puzzle.
const (
	FieldWorkID = "work-id"
	FieldWork   = "work"
)

// Puzzle is work for a browser: the smallest decimal number whose SHA-256 after Seed (as text, no separator) begins with Bits zero bits.
type Puzzle struct {
	ID, Seed string
	Bits     int
}

// Work makes each attempt cost computing time. It is no human test: robots do it as well. It needs JavaScript, so it is off unless configured.
type Work struct{ bits int }

// NewWork returns puzzles of so many bits, each of which doubles the cost: 16 is about a second in a browser.
func NewWork(bits int, expires time.Duration) (*Work, error) { return &Work{bits}, nil }

// Puzzle makes one.
func (w *Work) Puzzle(b Binding) (Puzzle, error) { panic("not yet") }

// Verify says whether the form has the work done; errors as Provider.Verify.
func (w *Work) Verify(b Binding, form url.Values) error { panic("not yet") }
