package format

import (
	"bytes"
	"strings"
)

// run is a key whose value hardly ever changes, and what follows it, up to the next value that does: all of it is compared at once.
type run struct {
	text string
	// what is the last key, whose value comes next, and next the place of the key that is expected then.
	what  glimpse
	next  int
	fixed []fixedValue
}

// fixedValue is a wanted value inside a run.
type fixedValue struct {
	what     glimpse
	from, to int // in the run's text
}

// usual is what was seen behind a key again and again: its value and the next key with its colon.
type usual struct {
	tail  []byte // its memory is kept
	next  int
	votes int
}

// Every learnEvery lines the usual values are looked for again, in learnLines lines. What stands there less than eight times in nine loses its votes.
const (
	learnEvery = 1 << 16
	learnLines = 256
	lostVotes  = 8
	minVotes   = 32
	maxTail    = 128
	maxRun     = 1 << 10
)

// turn begins and ends the lines from which the layout learns.
func (l *layout) turn() {
	switch l.lines++; l.lines {
	case 1:
		l.learning = true
	case learnLines:
		l.settle()
	case learnEvery:
		l.forget()
	}
}

// forget begins anew, since keys have moved or values have changed.
func (l *layout) forget() {
	for i := range l.keys {
		l.keys[i].run, l.keys[i].usual.votes = nil, 0
	}
	l.lines, l.learning = 0, false
}

// observe notes what stands behind a key, -1 for none: tail, and in it the key next.
func (l *layout) observe(key int, tail string, next int) {
	if key < 0 || key >= len(l.keys) || next >= len(l.keys) {
		return // a key that is not remembered
	}
	u := &l.keys[key].usual
	switch {
	case u.votes > 0 && next == u.next && tail == string(u.tail):
		u.votes++
	case u.votes > lostVotes:
		u.votes -= lostVotes
	case len(tail) <= maxTail && strings.HasSuffix(tail, l.keys[next].text):
		*u = usual{append(u.tail[:0], tail...), next, 1}
	default:
		u.votes = 0
	}
}

// settle makes runs of what was observed.
func (l *layout) settle() {
	l.learning = false
	for i := range l.keys {
		l.keys[i].run = l.runFrom(i)
	}
}

// runFrom is the run that begins with key i; nil where its value is not usual.
func (l *layout) runFrom(i int) *run {
	r := run{text: l.keys[i].text}
	at := i
	for len(r.text) < maxRun {
		k := &l.keys[at]
		if k.usual.votes < minVotes {
			break
		}
		if k.what > unusual {
			from, to := len(r.text), len(r.text)+len(k.usual.tail)-len(l.keys[k.usual.next].text)-1 // and the comma
			if value := k.usual.tail[:to-from]; bytes.IndexByte(value, '\\') >= 0 {
				break // it is to be unescaped
			} else if value[0] == '"' {
				from, to = from+1, to-1
			}
			r.fixed = append(r.fixed, fixedValue{k.what, from, to})
		}
		r.text += string(k.usual.tail)
		at = k.usual.next
	}
	if at == i {
		return nil
	}
	r.what, r.next = l.keys[at].what, at+1
	return &r
}
