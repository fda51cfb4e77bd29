package detector

import (
	"encoding/binary"
	"math/bits"
)

// faresTable holds the fares of as many targets as its memory allows. A target can stand in either of two sets. It is put into the first if there is room, so that most are
// found at the first look. The table begins small and doubles when it is full; at its bound, whoever was seen least must go.
//
// It doubles in place, in memory that is eight times as large as it was when that was made: the kernel gives what is touched, and the collector, which counts all of it, is not told of a
// table of the bound's size from the start.
type faresTable struct {
	sets []set // as many as are in use; behind them is room, empty
	most int
	live int
}

// fareBytes is what a target takes.
const fareBytes = 32

func newFaresTable(bytes int) *faresTable {
	first, doubled := max(bytes/(len(set{})*fareBytes), 1), 1
	for first >= 2*firstSets {
		first, doubled = first/2, doubled*2
	}
	t := &faresTable{most: first * doubled}
	t.reserve(first)
	return t
}

// reserve makes room for so many sets, and more, and takes what there is along.
func (t *faresTable) reserve(sets int) {
	old := t.sets
	all := make([]set, min(8*sets, t.most))
	preferHugePages(all)
	copy(all, old)
	clear(old) // whoever has found something there must look again
	t.sets = all[:max(len(old), min(sets, t.most))]
}

// first and second are the two sets of a key. Keys are hashes already.
func (t *faresTable) first(key uint64) *set {
	i, _ := bits.Mul64(key, uint64(len(t.sets)))
	return &t.sets[i]
}

func (t *faresTable) second(key uint64) *set { return t.first(key * 0x9e3779b97f4a7c15) }

// find returns the key's fares; nil if there are none.
func (t *faresTable) find(key uint64) *fares {
	s := t.first(key)
	i := s.find(key)
	if i < 0 {
		s = t.second(key)
		if i = s.find(key); i < 0 {
			return nil
		}
	}
	return &s[i]
}

// insert returns new fares for a key that has none.
func (t *faresTable) insert(key uint64, gen uint32) *fares {
	r := t.place(key, gen)
	if r == nil {
		t.grow()
		return t.insert(key, gen)
	}
	if r.key == 0 {
		t.live++
	}
	*r = fares{key: key, agents: uint64(gen) << generationAt}
	return r
}

// place returns where a new key goes; nil if the table must grow first.
func (t *faresTable) place(key uint64, gen uint32) *fares {
	a, b := t.first(key), t.second(key)
	for _, s := range [...]*set{a, b} {
		if i := s.empty(); i >= 0 {
			return &s[i]
		}
	}
	var least *fares
	for _, s := range [...]*set{a, b} {
		for i := range s {
			r := &s[i]
			switch {
			case r.over(gen):
				return r
			case least == nil || r.total() < least.total() || r.total() == least.total() && int16(r.generation()-least.generation()) < 0:
				least = r
			}
		}
	}
	if r := t.makeRoom(a, b); r != nil {
		return r
	}
	if len(t.sets) < t.most {
		return nil
	}
	return least
}

// makeRoom moves one of the fares in two full sets to its other set, if that has room or can make some in the same way, and returns the place that it left, now empty. So a table
// at its bound evicts the first target when it is nine tenths full.
func (t *faresTable) makeRoom(a, b *set) *fares {
	for deeper := range 2 {
		for _, s := range [...]*set{a, b} {
			for i := range s {
				other := t.other(&s[i], s)
				to := other.empty()
				if to < 0 && deeper > 0 && other != a && other != b {
					to = t.leave(other, s)
				}
				if to >= 0 {
					other[to], s[i] = s[i], fares{}
					return &s[i]
				}
			}
		}
	}
	return nil
}

// leave moves one of a full set to its other set, unless that is the one that wants room, and returns the place that it left; -1 if no other set has room.
func (t *faresTable) leave(s, wants *set) int {
	for i := range s {
		if other := t.other(&s[i], s); other != wants {
			if to := other.empty(); to >= 0 {
				other[to], s[i] = s[i], fares{}
				return i
			}
		}
	}
	return -1
}

// other is the set where somebody could stand instead.
func (t *faresTable) other(r *fares, s *set) *set {
	if other := t.first(r.key); other != s {
		return other
	}
	return t.second(r.key)
}

// grow doubles the table. What stood in one set goes to the two that take its place, further on: so it is done from the end, and nothing is in the way.
func (t *faresTable) grow() {
	if 2*len(t.sets) > cap(t.sets) {
		t.reserve(len(t.sets))
	}
	old := t.sets
	t.sets = old[:2*len(old)]
	for i := len(old) - 1; i >= 0; i-- {
		from := old[i]
		low, high := &t.sets[2*i], &t.sets[2*i+1]
		*low, *high = set{}, set{}
		for _, r := range from {
			if r.key == 0 {
				continue
			}
			to := t.first(r.key)
			if to != low && to != high {
				to = t.second(r.key)
			}
			to[to.empty()] = r
		}
	}
}

// sweep forgets who is of no more use. It must be called before a generation's low part comes again.
func (t *faresTable) sweep(gen uint32) {
	for i := range t.sets {
		for j := range t.sets[i] {
			if r := &t.sets[i][j]; r.key != 0 && r.over(gen) {
				*r = fares{}
				t.live--
			}
		}
	}
}

// clear forgets everybody.
func (t *faresTable) clear() {
	clear(t.sets)
	t.live = 0
}

// bytes is what the table costs when it is full, bytesNow at this moment.
func (t *faresTable) bytes() int    { return t.most * len(set{}) * fareBytes }
func (t *faresTable) bytesNow() int { return len(t.sets) * len(set{}) * fareBytes }

// appendTo appends the fares that are of use, as their number and then each one's fields. Where there are too many of them, those that were seen once only are left out.
func (t *faresTable) appendTo(out []byte, gen uint32) []byte {
	at, n := len(out), uint32(0)
	out = binary.LittleEndian.AppendUint32(out, 0)
	for i := range t.sets {
		for j := range t.sets[i] {
			r := &t.sets[i][j]
			if r.key == 0 || r.over(gen) || r.total() < 2 && t.live > savedRecords {
				continue
			}
			out, n = r.appendTo(out), n+1
		}
	}
	binary.LittleEndian.PutUint32(out[at:], n)
	return out
}

// restore reads what appendTo wrote and returns what follows.
func (t *faresTable) restore(b []byte, gen uint32) ([]byte, error) {
	if len(b) < 4 {
		return nil, errState
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < n*fareBytes {
		return nil, errState
	}
	for ; n > 0; n-- {
		r := readFares(b)
		if b = b[fareBytes:]; r.key == 0 || t.find(r.key) != nil {
			return nil, errState
		}
		*t.insert(r.key, gen) = r
	}
	return b, nil
}
