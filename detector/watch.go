package detector

import (
	"encoding/binary"
	"sync/atomic"
)

// Watch says of which targets anything is counted: only for those is it worth knowing which successes clear a count. It may say yes of a target that is not
// counted, and never says no of one that is. Matchers and their detector share it.
type Watch struct {
	// now has the targets since the last turn, was those of the turn before. A turn is longer than anything is counted.
	now, was atomic.Pointer[bitmap]
	set      atomic.Int64 // about how many bits of now are set
	turned   int64        // when the last turn was, unix milliseconds; the detector's
}

// watchBits is the size of a bitmap: with a hundred thousand targets, one of ten is there by chance.
const watchBits = 1 << 20

type bitmap [watchBits / 64]atomic.Uint64

func newWatch() *Watch {
	w := &Watch{}
	w.now.Store(&bitmap{})
	return w
}

func (b *bitmap) has(key uint64) bool {
	return b[key>>7%(watchBits/64)].Load()>>(key>>1&63)&1 != 0
}

func (w *Watch) has(key uint64) bool {
	if w.now.Load().has(key) {
		return true
	}
	was := w.was.Load() // nil before the first turn
	return was != nil && was.has(key)
}

func (w *Watch) add(key uint64) {
	if b := w.now.Load(); !b.has(key) {
		b[key>>7%(watchBits/64)].Or(1 << (key >> 1 & 63))
		w.set.Add(1)
	}
}

// turn forgets who was not added for a whole turn, if the bitmap fills up. longest is longer than anything is counted, in milliseconds.
func (w *Watch) turn(newest, longest int64) {
	if w.set.Load() < watchBits/8 || newest-w.turned < longest {
		return
	}
	w.turned = newest
	w.set.Store(0)
	w.was.Store(w.now.Load())
	w.now.Store(&bitmap{})
}

// appendTo appends the bits that are set, as their number and then each one.
func (w *Watch) appendTo(out []byte) []byte {
	at := len(out)
	out = binary.LittleEndian.AppendUint32(out, 0)
	n := uint32(0)
	now, was := w.now.Load(), w.was.Load()
	for i := range now {
		set := now[i].Load()
		if was != nil {
			set |= was[i].Load()
		}
		for bits, bit := set, 0; bits != 0; bits, bit = bits>>1, bit+1 {
			if bits&1 != 0 {
				out = binary.LittleEndian.AppendUint32(out, uint32(i*64+bit))
				n++
			}
		}
	}
	binary.LittleEndian.PutUint32(out[at:], n)
	return out
}

// restore reads what appendTo wrote and returns what follows.
func (w *Watch) restore(b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errState
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if b = b[4:]; uint64(len(b)) < 4*n {
		return nil, errState
	}
	now := w.now.Load()
	for ; n > 0; n-- {
		bit := binary.LittleEndian.Uint32(b)
		now[bit/64%(watchBits/64)].Or(1 << (bit % 64))
		w.set.Add(1)
		b = b[4:]
	}
	return b, nil
}
