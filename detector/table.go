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
//
// It begins small and doubles when it is full, up to its bound: a table that is no larger than its use is one that the core's caches and page tables can hold.
//
// A record is in one piece, since what a count costs is the wait for memory: its head, and stride words. The tags, two bytes of each record's key, are
// few enough to stay near the core.
type table struct {
	stride  int
	sets    uint64
	most    uint64   // sets that its bytes allow
	tags    []uint16 // 0 is empty
	records []uint32

	// grace is for how long after its end a record is kept while the table may still grow: a late line may ask for it.
	grace uint32

	live    int
	evicted uint64 // records that were still of use when they were evicted
}

// head is what every record begins with.
type head struct {
	keyLow, keyHigh uint32
	use
}

// use says how much a record is needed.
type use struct {
	end   uint32 // when the record is of no more use
	last  uint32 // its last use; times are milliseconds since the store's base
	count uint32 // hits so far, at most maxCount: the fewer, the sooner it is evicted
}

const (
	headWords = 5
	maxCount  = 1<<16 - 1
)

// recordBytes is what a record of that stride costs.
func recordBytes(stride int) int { return 2 + 4*(headWords+stride) }

// firstSets is how many sets a table begins with.
const firstSets = 64

func newTable(stride, bytes int) *table {
	most := uint64(max(bytes/(ways*recordBytes(stride)), 1))
	t := &table{stride: stride, most: most}
	t.make(min(most, firstSets))
	return t
}

// make gives the table so many sets, all empty.
func (t *table) make(sets uint64) {
	n := int(sets) * ways
	t.sets, t.tags, t.records = sets, make([]uint16, n), make([]uint32, n*(headWords+t.stride))
	preferHugePages(t.records)
}

// grow doubles the table. What has ended long enough ago is left behind.
func (t *table) grow(now uint32) {
	old := *t
	t.make(min(2*t.sets, t.most))
	t.live = 0
	for i, tag := range old.tags {
		if tag == 0 || t.over(old.head(i).end, now) {
			continue
		}
		key := old.key(i)
		at := t.insert(key, now)
		*t.use(at) = *old.use(i)
		copy(t.record(at), old.record(i))
	}
}

// homes returns the first record of each of the two sets in which a key can stand. Keys are hashes already.
func (t *table) homes(key uint64) (a, b int) {
	hi, _ := bits.Mul64(key, t.sets)
	hj, _ := bits.Mul64(key*0x9e3779b97f4a7c15, t.sets)
	return int(hi) * ways, int(hj) * ways
}

// tagOf is a part of the key that does not choose its sets; never 0.
func tagOf(key uint64) uint16 { return uint16(key) | 1 }

// find returns the record of a key, or -1.
func (t *table) find(key uint64) int {
	a, b := t.homes(key)
	tag := tagOf(key)
	if i := t.findIn(a, tag, key); i >= 0 {
		return i
	}
	return t.findIn(b, tag, key)
}

// findIn looks through a set, four tags at a time: a word of tags that are each xored with the wanted one has a zero where they are equal.
// The lowest tag is the first one, as on all little-endian machines.
func (t *table) findIn(home int, tag uint16, key uint64) int {
	const ones, tops = 0x0001000100010001, 0x8000800080008000
	words := (*[ways / 4]uint64)(unsafe.Pointer(unsafe.SliceData(t.tags[home : home+ways])))
	for w, tags := range words {
		x := tags ^ uint64(tag)*ones
		for equal := (x - ones) &^ x & tops; equal != 0; equal &= equal - 1 {
			// A tag above an equal one may seem equal too: the key decides.
			if i := home + 4*w + bits.TrailingZeros64(equal)/16; t.tags[i] == tag && t.key(i) == key {
				return i
			}
		}
	}
	return -1
}

// insert gives a key that has none an empty record, evicting one if it must: the one with the fewest hits, and of those the one used longest ago.
func (t *table) insert(key uint64, now uint32) int {
	a, b := t.homes(key)
	place := t.place(a, b, now)
	if t.tags[place] != 0 && !t.over(t.use(place).end, now) {
		if made := t.makeRoom(a, b); made >= 0 {
			place = made
		} else if t.sets < t.most {
			t.grow(now)
			return t.insert(key, now)
		}
	}
	h := t.head(place)
	switch {
	case t.tags[place] == 0:
		t.live++
	case h.end > now:
		t.evicted++
	}
	t.tags[place] = tagOf(key)
	*h = head{keyLow: uint32(key), keyHigh: uint32(key >> 32), use: use{last: now}}
	clear(t.record(place))
	return place
}

// over says whether a record that ends then is of no more use now, not for late lines either; a table that cannot grow any more spares nothing for these.
func (t *table) over(end, now uint32) bool {
	if t.sets < t.most {
		end += t.grace
	}
	return end <= now
}

// place chooses where a new record goes: into the set with more empty places, which takes no look at the records, or with more that have ended, or else over
// the record that is needed least.
func (t *table) place(a, b int, now uint32) int {
	empty, most := -1, 0
	for _, home := range [...]int{a, b} {
		n, at := 0, -1
		for i, tag := range t.tags[home : home+ways] {
			if tag == 0 {
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
	return t.victim(a, b, now)
}

// makeRoom moves one of the records of two full sets to its other set, if one has an empty place there, and returns the place that it left; or -1. So a table fills to
// more than nine tenths before anything is evicted.
func (t *table) makeRoom(a, b int) int {
	for _, home := range [...]int{a, b} {
		for i := home; i < home+ways; i++ {
			key := t.key(i)
			other, second := t.homes(key)
			if other == home {
				other = second
			}
			for to, tag := range t.tags[other : other+ways] {
				if tag == 0 {
					to += other
					t.tags[to] = t.tags[i]
					*t.head(to) = *t.head(i)
					copy(t.record(to), t.record(i))
					t.remove(i)
					t.live++ // it is still there
					return i
				}
			}
		}
	}
	return -1
}

// victim chooses among places that are all taken.
func (t *table) victim(a, b int, now uint32) int {
	victim, room, most := a, -1, 0
	for _, home := range [...]int{a, b} {
		free, at := 0, -1
		for i := home; i < home+ways; i++ {
			u, v := t.head(i), t.head(victim)
			switch {
			case t.over(u.end, now):
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
	at := i * (headWords + t.stride)
	return t.records[at+headWords : at+headWords+t.stride]
}

// head returns what record i begins with.
func (t *table) head(i int) *head {
	return (*head)(unsafe.Pointer(unsafe.SliceData(t.records[i*(headWords+t.stride):][:headWords])))
}

// use returns how much record i is needed.
func (t *table) use(i int) *use { return &t.head(i).use }

// key returns the key of record i, which was put there once.
func (t *table) key(i int) uint64 {
	h := t.head(i)
	return uint64(h.keyHigh)<<32 | uint64(h.keyLow)
}

// remove empties record i.
func (t *table) remove(i int) {
	if t.tags[i] != 0 {
		t.tags[i] = 0
		t.live--
	}
}

// bytes is what the table costs when it is full.
func (t *table) bytes() int { return int(t.most) * ways * recordBytes(t.stride) }

// bytesNow is what it costs at this moment.
func (t *table) bytesNow() int { return len(t.tags) * recordBytes(t.stride) }
