package detector

// A record's first word says what the others are: its kind in the two highest bits, and two small numbers.
const (
	kindRing     = iota // [n, head] times: the last n hits
	kindWindows         // [streak, total] start, count, first: windows running
	kindDistinct        // [n, -] value, time, value, time, …: different values and when each was last seen
	kindPlain           // no times: attempts (which live by their end alone) and suspects
)

func header(kind, high, low uint32) uint32 { return kind<<30 | high<<15 | low }

func unpack(w uint32) (kind, high, low uint32) { return w >> 30, w >> 15 & 0x7fff, w & 0x7fff }

// moveTimes makes a record's times by less, when the store's time 0 is that much later.
func moveTimes(rec []uint32, by uint32) {
	kind, n, _ := unpack(rec[0])
	earlier := func(w *uint32) {
		if *w > by {
			*w -= by
		} else {
			*w = 1
		}
	}
	switch kind {
	case kindRing:
		for i := range n {
			earlier(&rec[1+i])
		}
	case kindWindows:
		earlier(&rec[1])
		earlier(&rec[3])
	case kindDistinct:
		n, _ := unpack2(rec[0])
		for i := range n {
			earlier(&rec[2+2*i])
		}
	}
}

func unpack2(w uint32) (n, rest uint32) { _, n, rest = unpack(w); return n, rest }

// count is where a key stands.
type count struct {
	n     int    // hits, or different values, or the hits of all windows running
	first uint32 // the first of them
	full  bool   // it is too many
}

// words is how large a record of the rule can get.
func (r *Rule) words() int {
	switch {
	case r.Windows > 1:
		return 4
	case r.Distinct != nil:
		return 2*r.MaxRetry + 1
	}
	return r.MaxRetry + 1
}

// add counts one hit of weight and says where its key stands now.
func (c *counts) add(r *Rule, h *Hit, now uint32) count {
	switch {
	case r.Windows > 1:
		return c.addWindow(r, h, now)
	case r.Distinct != nil:
		return c.addDistinct(r, h, now)
	}
	return c.addRing(r, h, now)
}

// addRing keeps the times of the last hits, up to MaxRetry: exactly MaxRetry hits within FindTime are too many.
func (c *counts) addRing(r *Rule, h *Hit, now uint32) count {
	find := uint32(r.FindTime.Milliseconds())
	at := c.at(h.key, r.words(), now)
	newest := max(at.use().last, now)
	for range min(h.Weight, r.MaxRetry) {
		rec := at.record()
		_, n, head := unpack(rec[0])
		room := uint32(min(r.MaxRetry, len(rec)-1))
		switch {
		case n == room && n < uint32(r.MaxRetry):
			rec[0] = header(kindRing, n, unroll(rec[1:1+n], head))
			at = c.grow(at, now)
			rec, head = at.record(), n
			room = uint32(min(r.MaxRetry, len(rec)-1))
		case n == room:
			head = ended(rec[1:1+n], head, newest, find)
		}
		rec[1+head] = now
		rec[0] = header(kindRing, min(n+1, room), (head+1)%room)
	}
	at.touch(now, now+find+1, h.Weight) // exactly find later it still counts
	rec := at.record()
	_, n, _ := unpack(rec[0])
	return liveTimes(rec[1:1+n], 1, at.use().last, find, r.MaxRetry)
}

// ended returns the place of a time that no longer counts, the first one from head on: where lines come late, the oldest time may not stand at head. If
// all count, it is head, and there are too many anyway.
func ended(ring []uint32, head, newest, find uint32) uint32 {
	for i := range uint32(len(ring)) {
		if at := (head + i) % uint32(len(ring)); ring[at]+find < newest {
			return at
		}
	}
	return head
}

// unroll turns a full ring so that its oldest time stands first, as a larger ring needs it; it returns the new head, 0.
func unroll(ring []uint32, head uint32) uint32 {
	reverse := func(s []uint32) {
		for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
			s[i], s[j] = s[j], s[i]
		}
	}
	reverse(ring[:head])
	reverse(ring[head:])
	reverse(ring)
	return 0
}

// liveTimes counts the times, each step words, that lie within find of the newest.
func liveTimes(times []uint32, step int, newest, find uint32, limit int) count {
	got := count{first: newest}
	for i := 0; i < len(times); i += step {
		if times[i]+find >= newest {
			got.n++
			got.first = min(got.first, times[i])
		}
	}
	got.full = got.n >= limit
	return got
}

// addDistinct keeps the different values and when each was last seen.
func (c *counts) addDistinct(r *Rule, h *Hit, now uint32) count {
	find := uint32(r.FindTime.Milliseconds())
	at := c.at(h.key, r.words(), now)
	rec := at.record()
	_, n, _ := unpack(rec[0])
	newest, seen := max(at.use().last, now), now
	place := n
	for i := range n {
		if rec[1+2*i] == h.distinct {
			place, seen = i, max(rec[2+2*i], now) // a late line does not make it older
			break
		}
		// Ended by the newest line and not by this one, which may be late: so there are never more values than count, and one.
		if rec[2+2*i]+find < newest && place == n {
			place = i // may be overwritten, unless the value stands further on
		}
	}
	if place == n && 2*int(n)+2 >= len(rec) {
		at = c.grow(at, now)
		rec = at.record()
	}
	rec[1+2*place], rec[2+2*place] = h.distinct, seen
	n = max(n, place+1)
	rec[0] = header(kindDistinct, n, 0)
	at.touch(now, now+find+1, 1)
	return liveTimes(rec[2:1+2*n], 2, at.use().last, find, r.MaxRetry)
}

// addWindow counts in windows of FindTime, one after the other from the first hit on, and wants MaxRetry in each of Windows of
// them running. A client that backs off leaves a window short and starts over.
func (c *counts) addWindow(r *Rule, h *Hit, now uint32) count {
	find := uint32(r.FindTime.Milliseconds())
	at := c.at(h.key, r.words(), now)
	rec := at.record()
	_, streak, total := unpack(rec[0])
	start, n, first := rec[1], rec[2], rec[3]
	passed := uint32(0)
	if start != 0 && now > start {
		passed = (now - start) / find
	}
	switch {
	case start == 0 || passed > 1 || passed == 1 && n < uint32(r.MaxRetry):
		if start == 0 || passed > 1 {
			start = now
		} else {
			start += find
		}
		streak, total, n, first = 0, 0, 0, now
	case passed == 1:
		streak, start, n = min(streak+1, MaxWindows), start+find, 0
	}
	n += uint32(h.Weight)
	total = min(total+uint32(h.Weight), 0x7fff)
	rec[0], rec[1], rec[2], rec[3] = header(kindWindows, streak, total), start, n, first
	at.touch(now, start+2*find, h.Weight)
	return count{n: int(total), first: first, full: n >= uint32(r.MaxRetry) && int(streak)+1 >= r.Windows}
}

// again says whether a hit belongs to an attempt that was counted already, and notes it if not. A late line may be of an earlier attempt.
func (c *counts) again(r *Rule, h *Hit, now uint32) bool {
	if h.attempt == 0 {
		return false
	}
	length := uint32(r.Attempt.Milliseconds())
	at := c.at(h.attempt, 0, now)
	if u := at.use(); u.count > 0 {
		return u.last < now+length
	}
	at.record()[0] = header(kindPlain, 0, 0)
	at.touch(now, now+length, 1)
	return false
}
