package detector

import (
	"math/rand/v2"
	"testing"
)

// TestTheTableOfFaresHoldsWhatItHasRoomFor while it doubles: nobody goes below 17 twentieths of its bound, hardly anybody below 18; and what was found before is looked for again after
// it has moved.
func TestTheTableOfFaresHoldsWhatItHasRoomFor(t *testing.T) {
	const bytes = 4 << 20
	table := newFaresTable(bytes)
	rnd := rand.New(rand.NewPCG(7, 8))
	var keys []uint64
	moved := 0
	for len(keys) < bytes/fareBytes*17/20 {
		key := rnd.Uint64() | 1
		before := table.find(key)
		if len(keys) > 0 {
			before = table.find(keys[0])
		}
		table.insert(key, 1).requests[Success] = uint32(key >> 1)
		keys = append(keys, key)
		if before != nil && before != table.find(keys[0]) {
			if moved++; before.key == keys[0] {
				t.Fatal("a place that was left still has the key")
			}
		}
	}
	for _, key := range keys {
		if r := table.find(key); r == nil || r.requests[Success] != uint32(key>>1) {
			t.Fatalf("of %d targets, %x has %+v", len(keys), key, r)
		}
	}
	if table.live != len(keys) || moved < 8 || table.bytes() > bytes {
		t.Errorf("%d live of %d, moved %d times, %d bytes at most", table.live, len(keys), moved, table.bytes())
	}
	inserted := len(keys)
	for ; inserted < bytes/fareBytes*18/20; inserted++ {
		table.insert(rnd.Uint64()|1, 1)
	}
	if lost := inserted - table.live; lost > inserted/1000 {
		t.Errorf("%d of %d were evicted at nine tenths", lost, inserted)
	}
	for range inserted { // far beyond the bound
		table.insert(rnd.Uint64()|1, 1)
	}
	if table.live > bytes/fareBytes || table.bytesNow() > bytes {
		t.Errorf("%d live in %d bytes", table.live, table.bytesNow())
	}
}

// TestFaresAge: counts, services and agents go with the generations, also where the low part of their number begins anew.
func TestFaresAge(t *testing.T) {
	const at = 1<<16 - 1 // divided by agentsFor it is the last but three of an hour
	r := fares{key: 1, requests: [3]uint32{Neutral: 1, Success: 100, Failure: 9}, services: 1<<serviceBlobs | 1<<serviceBlobs<<seenShift | busy}
	r.agents = at << generationAt
	for n := uint16(1); n <= 4; n++ {
		r.noteAgent(n)
		r.noteAgent(n)
	}
	if n := r.userAgents(); n != 4 {
		t.Errorf("%d user agents, want 4", n)
	}
	if r.noteAgent(5); r.userAgents() != 5 {
		t.Errorf("%d user agents, want 5", r.userAgents())
	}
	r.age(at + 1)
	if want := [3]uint32{Neutral: 0, Success: 75, Failure: 6}; r.requests != want || r.services != 1<<serviceBlobs<<wasShift|many || r.generation() != 0 {
		t.Errorf("after one generation: %+v", r)
	}
	r.age(at + 1 + agentsFor)
	if r.services != 0 || r.userAgents() != 0 || r.over(at+1+agentsFor+faresFor-1) || !r.over(at+1+agentsFor+faresFor) {
		t.Errorf("after an hour: %+v", r)
	}
}
