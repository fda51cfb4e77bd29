package detector

import (
	"math/bits"
	"unsafe"
)

// ways is how many records share a set. A key can stand in either of two sets, the emptier one when it comes, so that sets
// overflow only when the table is nearly full, and a look-up stays in few cache lines.
const ways = 8

// table is a set-associative store of fixed size without pointers, so that its memory is known, the garbage collector
// never walks it, and an attacker who sends new addresses for ever only evicts other once-seen addresses.
// A record is a key, and beside each other, since memory is what counting costs, its end, its last use, its count and stride words.
type table struct {
	stride  int
	sets    uint64
	keys    []uint64 // 0 is empty
	records []uint32

	live    int
	evicted uint64 // records that were still of use when they were evicted
}

// use is what every record begins with.
type use struct {
	end   uint32 // when the record is of no more use
	last  uint32 // its last use; times are milliseconds since the store's base
	count uint32 // hits so far, at most maxCount: the fewer, the sooner it is evicted
}

const (
	useWords = 3
	maxCount = 1<<16 - 1
)

// recordBytes is what a record of that stride costs.
func recordBytes(stride int) int { return 8 + 4*(useWords+stride) }

func newTable(stride, bytes int) *table {
	sets := max(bytes/(ways*recordBytes(stride)), 1)
	n := sets * ways
	return &table{stride: stride, sets: uint64(sets), keys: make([]uint64, n), records: make([]uint32, n*(useWords+stride))}
}

// homes returns the first record of each of the two sets in which a key can stand. Keys are hashes already.
func (t *table) homes(key uint64) [2]int {
	a, _ := bits.Mul64(key, t.sets)
	b, _ := bits.Mul64(key*0x9e3779b97f4a7c15, t.sets)
	return [2]int{int(a) * ways, int(b) * ways}
}

// find returns the record of a key, or -1.
func (t *table) find(key uint64) int {
	for _, home := range t.homes(key) {
		for i, k := range t.keys[home : home+ways] {
			if k == key {
				return home + i
			}
		}
	}
	return -1
}

// insert gives a key that has none an empty record, evicting one if it must: the one with the fewest hits, and of those the one used longest ago.
func (t *table) insert(key uint64, now uint32) int {
	place := t.place(t.homes(key), now)
	switch {
	case t.keys[place] == 0:
		t.live++
	case t.use(place).end > now:
		t.evicted++
	}
	t.keys[place] = key
	*t.use(place) = use{last: now}
	clear(t.record(place))
	return place
}

// place chooses where a new record goes: into the set with more empty places, which takes no look at the records, or with more that have ended, or else over
// the record that is needed least.
func (t *table) place(homes [2]int, now uint32) int {
	empty, most := -1, 0
	for _, home := range homes {
		n, at := 0, -1
		for i, k := range t.keys[home : home+ways] {
			if k == 0 {
				n, at = n+1, home+i
			}
		}
		if n > most {
			empty, most = at, n
		}
	}
	if empty >= 0 {
		return empty
	}
	return t.victim(homes, now)
}

// victim chooses among places that are all taken.
func (t *table) victim(homes [2]int, now uint32) int {
	victim, room, most := homes[0], -1, 0
	for _, home := range homes {
		free, at := 0, -1
		for i := home; i < home+ways; i++ {
			u, v := t.use(i), t.use(victim)
			switch {
			case u.end <= now:
				free, at = free+1, i
			case u.count < v.count || u.count == v.count && u.last < v.last:
				victim = i
			}
		}
		if free > most {
			most, room = free, at
		}
	}
	if room >= 0 {
		return room
	}
	return victim
}

// record returns the words of record i.
func (t *table) record(i int) []uint32 {
	at := i * (useWords + t.stride)
	return t.records[at+useWords : at+useWords+t.stride]
}

// use returns what record i begins with.
func (t *table) use(i int) *use {
	return (*use)(unsafe.Pointer(unsafe.SliceData(t.records[i*(useWords+t.stride):][:useWords])))
}

// remove empties record i.
func (t *table) remove(i int) {
	if t.keys[i] != 0 {
		t.keys[i] = 0
		t.live--
	}
}

// bytes is what the table costs when it is full.
func (t *table) bytes() int { return len(t.keys) * recordBytes(t.stride) }
