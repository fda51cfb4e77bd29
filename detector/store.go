package detector

// The records of counts come in classes by size: a key starts in the smallest and moves up when its record is full. So a flood
// of keys that are seen once or twice can only evict its like, and a client that was seen more often stands where the flood does not reach.
var classWords = [...]int{4, 7, 16, 64, 256, 1024, 2*MaxMaxRetry + 1}

// classShares is how the memory for counts is divided, in percent; the smallest records get most, since most keys are seen once.
var classShares = [...]int{30, 15, 15, 15, 12, 8, 5}

// counts keeps the records of all rules.
type counts struct {
	base    int64 // unix milliseconds of time 0
	classes []*table
}

// rebaseAfter is when times are counted from a later base: far before 32 bits of milliseconds (49.7 days) run out.
const rebaseAfter = 1 << 31

// lateness is by how much a line may be late and still find what was noted before it, in milliseconds.
const lateness = 60_000

// reach adds the classes that records of up to the given number of words need, within bytes. Classes that are there stay.
func (c *counts) reach(words, bytes int) {
	for i, w := range classWords {
		if i >= len(c.classes) {
			t := newTable(w, bytes/100*classShares[i])
			t.grace = lateness
			c.classes = append(c.classes, t)
		}
		if w >= words {
			break
		}
	}
}

// clock turns unix milliseconds into the store's time; it is never 0 and rebases the store when it must. It says no to a time before the base: that is too
// late to count, and all such times would look like one moment.
func (c *counts) clock(ms int64) (now uint32, ok bool) {
	if c.base == 0 {
		c.base = ms - MaxFindTime.Milliseconds()
	}
	d := ms - c.base
	if d >= rebaseAfter {
		c.rebase(ms - MaxFindTime.Milliseconds())
		d = ms - c.base
	}
	return uint32(max(d, 1)), d >= 0
}

func (c *counts) unix(t uint32) int64 { return c.base + int64(t) }

// rebase moves time 0 to base and forgets what ended before.
func (c *counts) rebase(base int64) {
	by := base - c.base
	c.base = base
	for _, t := range c.classes {
		for i, tag := range t.tags {
			if tag == 0 {
				continue
			}
			u := t.use(i)
			if int64(u.end) <= by {
				t.remove(i)
				continue
			}
			u.end -= uint32(by)
			u.last = uint32(max(int64(u.last)-by, 1))
			moveTimes(t.record(i), uint32(by))
		}
	}
}

// ref is a record's place.
type ref struct {
	table *table
	class int
	i     int
}

func (r ref) record() []uint32 { return r.table.record(r.i) }
func (r ref) use() *use        { return r.table.use(r.i) }

// find returns the record of a key, looked for up to the class that its rule can need.
func (c *counts) find(key uint64, words int) (ref, bool) {
	for class, t := range c.classes {
		if i := t.find(key); i >= 0 {
			return ref{t, class, i}, true
		}
		if t.stride >= words {
			break
		}
	}
	return ref{}, false
}

// at returns the record of a key, a new one if there is none or the one there has ended.
func (c *counts) at(key uint64, words int, now uint32) ref {
	r, ok := c.find(key, words)
	if ok && r.use().end > now {
		return r
	}
	if ok {
		r.table.remove(r.i)
	}
	t := c.classes[0]
	return ref{t, 0, t.insert(key, now)}
}

// grow moves a record to the next class and returns its new place.
func (c *counts) grow(r ref, now uint32) ref {
	t := c.classes[r.class+1]
	n := ref{t, r.class + 1, t.insert(r.table.key(r.i), now)}
	copy(n.record(), r.record())
	*n.use() = *r.use()
	r.table.remove(r.i)
	return n
}

// touch notes a use of the record.
func (r ref) touch(now, end uint32, weight int) {
	u := r.use()
	u.count = min(u.count+uint32(weight), maxCount)
	// A late line does not make what came before it young again.
	u.last, u.end = max(u.last, now), max(u.end, end)
}

// drop forgets a key.
func (c *counts) drop(key uint64, words int) {
	if r, ok := c.find(key, words); ok {
		r.table.remove(r.i)
	}
}

// dropOlder forgets a key that was not counted since then, and says whether it did.
func (c *counts) dropOlder(key uint64, words int, then uint32) bool {
	r, ok := c.find(key, words)
	if ok = ok && r.use().last <= then; ok {
		r.table.remove(r.i)
	}
	return ok
}

// evicted is how many records had to go while they were still of use.
func (c *counts) evicted() (n uint64) {
	for _, t := range c.classes {
		n += t.evicted
	}
	return n
}

func (c *counts) live() (n int) {
	for _, t := range c.classes {
		n += t.live
	}
	return n
}

func (c *counts) bytes() (n int) {
	for _, t := range c.classes {
		n += t.bytes()
	}
	return n
}

// bytesEach is what a record takes on average.
func (c *counts) bytesEach() float64 {
	bytes, n := 0, 0
	for _, t := range c.classes {
		bytes, n = bytes+t.live*recordBytes(t.stride), n+t.live
	}
	if n == 0 {
		return 0
	}
	return float64(bytes) / float64(n)
}
