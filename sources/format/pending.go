package format

import (
	"encoding/binary"
	"time"
)

// A container's standard output and standard error are interleaved in one file, so each has its own record that goes on.
const (
	stdout = iota
	stderr
	streams
)

func streamOf(name string) int {
	if name == "stderr" {
		return stderr
	}
	return stdout
}

// part is the beginning of a line whose end is in a later record.
type part struct {
	buf []byte
	// open says that the line goes on.
	open bool
	// doubtful says that the last record may have been the end of a stream rather than a part.
	doubtful bool
	// cut says that there was no room for all of it.
	cut bool
}

// The flags of a part in the remembered state.
const (
	flagOpen = 1 << iota
	flagDoubtful
	flagCut
)

// pendingHeader is a byte that names the version, then for each stream its flags and the length of what follows.
const (
	pendingVersion = 1
	streamHeader   = 1 + 4
	pendingHeader  = 1 + streams*streamHeader
	// MaxPending is the most bytes that Pending returns.
	MaxPending = 64 << 10
	maxParts   = MaxPending - pendingHeader
)

// join adds a piece to its stream's line. What is too long is dropped: the line is then cut, as an over-long line of any other log is.
func (r *Reader) join(stream int, piece string, ended, doubtful bool) layer {
	p := &r.parts[stream]
	if !p.open {
		if ended {
			return layer{rest: piece, ok: true}
		}
		p.buf, p.cut = p.buf[:0], false
	}
	room := maxParts - len(p.buf)
	if other := &r.parts[1-stream]; other.open {
		room -= len(other.buf)
	}
	kept := piece
	if len(kept) > room {
		kept = kept[:max(room, 0)]
		p.cut = true
	}
	p.buf = append(p.buf, kept...)
	l := layer{rest: view(p.buf), partial: !ended, ok: true}
	if ended && p.doubtful {
		l.alone = piece
	}
	p.open, p.doubtful = !ended, !ended && doubtful
	r.cut = p.cut
	return l
}

// State is all that a reader remembers from one line to the next. Readers in the same state read the same lines the same way.
type State struct {
	// Pending is what Pending returns.
	Pending   string
	OwnStream bool
	Reference time.Time
}

// State returns the reader's.
func (r *Reader) State() State {
	return State{Pending: string(r.Pending()), OwnStream: r.ownStream, Reference: r.reference}
}

// SetState gives back what State returned.
func (r *Reader) SetState(s State) {
	r.SetPending([]byte(s.Pending))
	r.ownStream, r.reference = s.OwnStream, s.Reference
}

// Pending returns what the reader remembers of records that go on in a later line, nil when there are none. It is at most MaxPending
// bytes, opaque, and belongs to the position after the last line read: remember both together.
func (r *Reader) Pending() []byte {
	if !r.parts[stdout].open && !r.parts[stderr].open {
		return nil
	}
	state := make([]byte, 1, pendingHeader+len(r.parts[stdout].buf)+len(r.parts[stderr].buf))
	state[0] = pendingVersion
	for i := range r.parts {
		p := &r.parts[i]
		var flags byte
		size := 0
		if p.open {
			flags, size = flagOpen, len(p.buf)
			if p.doubtful {
				flags |= flagDoubtful
			}
			if p.cut {
				flags |= flagCut
			}
		}
		state = append(state, flags)
		state = binary.BigEndian.AppendUint32(state, uint32(size))
	}
	for i := range r.parts {
		if r.parts[i].open {
			state = append(state, r.parts[i].buf...)
		}
	}
	return state
}

// SetPending gives back what Pending returned, before the next Read. What it does not understand, and nil, are an empty state.
func (r *Reader) SetPending(state []byte) {
	r.parts = [streams]part{}
	if len(state) < pendingHeader || len(state) > MaxPending || state[0] != pendingVersion {
		return
	}
	rest := state[pendingHeader:]
	var parts [streams]part
	for i := range parts {
		header := state[1+i*streamHeader:]
		size := int(binary.BigEndian.Uint32(header[1:]))
		if size > len(rest) {
			return
		}
		parts[i] = part{
			buf:      append([]byte(nil), rest[:size]...),
			open:     header[0]&flagOpen != 0,
			doubtful: header[0]&flagDoubtful != 0,
			cut:      header[0]&flagCut != 0,
		}
		rest = rest[size:]
	}
	if len(rest) == 0 {
		r.parts = parts
	}
}
