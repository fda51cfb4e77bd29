package detector

import "math/bits"

// ways is how many records share a set: a key can stand in any of them, so a set overflows seldom and a look-up stays in few cache lines.
const ways = 8

// table is a set-associative store of fixed size without pointers, so that its memory is known, the garbage collector
// never walks it, and an attacker who sends new addresses for ever only evicts other once-seen addresses.
// A record is a key, a count that protects it from eviction, the time of its last use and stride words.
type table struct {
	stride int
	sets   uint64
	keys   []uint64 // 0 is empty
	counts []uint16 // hits so far, saturating: the fewer, the sooner it is evicted
	ends   []uint32 // when the record is of no more use
	lasts  []uint32 // its last use; times are milliseconds since the store's base
	words  []uint32

	live    int
	evicted uint64 // records that were still of use when they were evicted
}

// recordBytes is what a record of that stride costs.
func recordBytes(stride int) int { return 8 + 2 + 4 + 4 + 4*stride }

func newTable(stride, bytes int) *table {
	sets := max(bytes/(ways*recordBytes(stride)), 1)
	n := sets * ways
	return &table{stride: stride, sets: uint64(sets), keys: make([]uint64, n), counts: make([]uint16, n),
		ends: make([]uint32, n), lasts: make([]uint32, n), words: make([]uint32, n*stride)}
}

// first returns the first record of the set in which a key can stand.
func (t *table) first(key uint64) int {
	hi, _ := bits.Mul64(key, t.sets)
	return int(hi) * ways
}

// find returns the record of a key, or -1.
func (t *table) find(key uint64) int {
	first := t.first(key)
	for i := first; i < first+ways; i++ {
		if t.keys[i] == key {
			return i
		}
	}
	return -1
}

// insert gives a key an empty record, evicting one if it must: one that is of no more use, else the one
// with the fewest hits, and of those the one used longest ago.
func (t *table) insert(key uint64, now uint32) int {
	first := t.first(key)
	victim := first
	for i := first; i < first+ways; i++ {
		if t.keys[i] == 0 || t.ends[i] <= now {
			victim = i
			break
		}
		if t.counts[i] < t.counts[victim] || t.counts[i] == t.counts[victim] && t.lasts[i] < t.lasts[victim] {
			victim = i
		}
	}
	switch {
	case t.keys[victim] == 0:
		t.live++
	case t.ends[victim] > now:
		t.evicted++
	}
	t.keys[victim], t.counts[victim], t.ends[victim], t.lasts[victim] = key, 0, 0, now
	clear(t.record(victim))
	return victim
}

// record returns the words of record i.
func (t *table) record(i int) []uint32 { return t.words[i*t.stride : (i+1)*t.stride] }

// remove empties record i.
func (t *table) remove(i int) {
	if t.keys[i] != 0 {
		t.keys[i] = 0
		t.live--
	}
}

// bytes is what the table costs when it is full.
func (t *table) bytes() int { return len(t.keys) * recordBytes(t.stride) }
