package format

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestMarksAreTheSameEachWay: with the widest vectors, with half of them and without, a line's end and marks are where a look at each byte finds them.
func TestMarksAreTheSameEachWay(t *testing.T) {
	had, hadWide := vectors, wide
	defer func() { vectors, wide = had, hadWide }()
	if !had || !hadWide {
		t.Logf("not all was run: AVX2 %v, AVX-512 %v; a server processor of 2021 or later runs it", had, hadWide)
	}
	rnd := rand.New(rand.NewPCG(7, 9))
	alphabet := []byte("abcdefgh\"\\{},: \x00\xff\xa2\xdc\x8a")
	for range 20_000 {
		data := make([]byte, rnd.IntN(400))
		if rnd.IntN(20) == 0 {
			data = make([]byte, maxSkim-100+rnd.IntN(200))
		}
		for i := range data {
			if data[i] = alphabet[rnd.IntN(len(alphabet))]; rnd.IntN(300) == 0 {
				data[i] = '\n'
			}
		}
		want := lineEnd(data)
		s := view(data[:want])
		for _, way := range []struct{ vectors, wide bool }{{false, false}, {had, false}, {had, hadWide}} {
			vectors, wide = way.vectors, way.wide
			var m marks
			if end := m.line(data); end != want {
				t.Fatalf("%+v: %q ends at %d, want %d", way, data, end, want)
			}
			for at := 0; want < maxSkim && at <= want; at++ {
				next := want
				if i := bytes.IndexAny(data[at:want], "\"\\"); i >= 0 {
					next = at + i
				}
				if got := min(m.next(s, at), want); got != next {
					t.Fatalf("%+v: %q: the mark at or behind %d is at %d, want %d", way, data, at, got, next)
				}
			}
		}
	}
}

// TestSkimWithoutVectors: what is skimmed is the same where the processor has no vectors.
func TestSkimWithoutVectors(t *testing.T) {
	had, hadWide := vectors, wide
	defer func() { vectors, wide = had, hadWide }()
	vectors, wide = false, false
	t.Run("plans", TestRecordsAreReadAsPlanned)
	t.Run("addresses", TestEightAtATime)
}
