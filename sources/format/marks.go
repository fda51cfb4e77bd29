package format

import (
	"bytes"
	"math/bits"
	"strings"
)

// marks are where a line has quotes and backslashes, which are found together with the line's end, many bytes at a time. Where the processor cannot do that, each is searched for
// when it is asked for.
type marks struct {
	// words have a bit for each byte of the line; the word behind those has all bits, so that there is a mark at or behind the line's end. Without vectors all are 0.
	words [128]uint64
}

// wordBytes is how many bytes a word tells of.
const wordBytes = 64

// Lines of less than maxSkim bytes have their words and the one behind them; any seven bits are the number of a word.
var _ = [1]struct{}{}[maxSkim/wordBytes+2-66]

// line returns where the first line of data ends: at its newline, or at the end of data.
func (m *marks) line(data []byte) (end int) {
	if !vectors {
		return lineEnd(data)
	}
	whole := min(len(data), maxSkim) / wordBytes
	end = whole * wordBytes
	if whole > 0 {
		end = markLine(&data[0], whole, &m.words[0])
	}
	if end == whole*wordBytes {
		if end == maxSkim {
			return end + lineEnd(data[end:]) // nobody skims it
		}
		var last [wordBytes]byte
		n := copy(last[:], data[end:])
		end += min(markLine(&last[0], 1, &m.words[whole]), n)
	}
	m.words[end/wordBytes+1] = ^uint64(0)
	return end
}

func lineEnd(data []byte) int {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i
	}
	return len(data)
}

// next returns where the first quote or backslash is in s, the line, at or behind a place in it; len(s) or more if there is none.
func (m *marks) next(s string, at int) int {
	if to := m.near(at); to >= 0 {
		return to
	}
	return m.further(s, at)
}

// near is next for what is near, and costs no call: it returns -1 where further must look.
func (m *marks) near(at int) int {
	word := m.words[at>>6&127] >> (uint(at) & 63)
	if word == 0 {
		return -1
	}
	return at + bits.TrailingZeros64(word)
}

// further is next for a place that has no mark in its word; without vectors, that is any.
func (m *marks) further(s string, at int) int {
	if !vectors {
		return nextMark(s, at)
	}
	for i := at/wordBytes + 1; ; i++ {
		if word := m.words[i&127]; word != 0 {
			return i*wordBytes + bits.TrailingZeros64(word)
		}
	}
}

func nextMark(s string, at int) int {
	end := len(s)
	if i := strings.IndexByte(s[at:], '"'); i >= 0 {
		end = at + i
	}
	if i := strings.IndexByte(s[at:end], '\\'); i >= 0 {
		return at + i
	}
	return end
}

// closing returns where the text ends that begins at a place in s, the line: at the first quote that no backslash escapes; len(s) or more if there is none. plain says that it has no escapes.
func (m *marks) closing(s string, at int) (end int, plain bool) {
	end = m.next(s, at)
	if end >= len(s) || s[end] == '"' {
		return end, true
	}
	for end < len(s) && s[end] == '\\' {
		end = m.next(s, min(end+2, len(s)))
	}
	return end, false
}
