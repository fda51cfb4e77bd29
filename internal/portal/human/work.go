package human

import (
	"crypto/sha256"
	_ "embed" // the browser's half
	"fmt"
	"math/bits"
	"net/url"
	"strconv"
	"time"
)

// FieldWorkID and FieldWork are the fields of a form with a puzzle.
const (
	FieldWorkID = "work-id"
	FieldWork   = "work"
)

// WorkScript is the browser's half, a file of its own that the page takes in with <script src=... defer>. It looks for
// <form data-work-seed=Seed data-work-bits=Bits> with the hidden fields, and holds back the submit button until the work is done.
//
//go:embed work.js
var WorkScript []byte

// maxBits is 16 million tries: more than a phone does while somebody waits.
const maxBits = 24

// Puzzle is work for a browser: any decimal number whose SHA-256 after Seed (as text, no separator) begins with Bits zero bits.
type Puzzle struct {
	ID, Seed string
	Bits     int
}

// Work makes each attempt cost computing time. It is no human test: robots do it as well. It needs JavaScript, so it is off unless configured.
type Work struct {
	bits   int
	ledger *ledger[struct{}]
}

// NewWork returns puzzles of so many bits, each of which doubles the cost: 16 is about a second in a browser. expires 0 is 5 minutes.
func NewWork(bits int, expires time.Duration) (*Work, error) {
	if bits < 1 || bits > maxBits {
		return nil, fmt.Errorf("work of %d bits: write 1 to %d; 16 is about a second", bits, maxBits)
	}
	return &Work{bits, newLedger[struct{}](expires, 0, 0)}, nil
}

// Puzzle makes one. Its seed is its ID: that nobody can know before, and is not given out twice.
func (w *Work) Puzzle(b Binding) (Puzzle, error) {
	id, err := w.ledger.issue(b, struct{}{})
	return Puzzle{ID: id, Seed: id, Bits: w.bits}, err
}

// Verify says whether the form has the work done; errors as Provider.Verify.
func (w *Work) Verify(b Binding, form url.Values) error {
	id := form.Get(FieldWorkID)
	if _, err := w.ledger.take(b, id); err != nil {
		return err
	}
	n := form.Get(FieldWork)
	if _, err := strconv.ParseUint(n, 10, 53); err != nil { // what a browser counts exactly
		return ErrWrong
	}
	if zeroBits(sha256.Sum256([]byte(id+n))) < w.bits {
		return ErrWrong
	}
	return nil
}

// zeroBits is how many bits are zero before the first that is not.
func zeroBits(sum [sha256.Size]byte) (n int) {
	for _, b := range sum {
		n += bits.LeadingZeros8(b)
		if b != 0 {
			break
		}
	}
	return n
}
