package format

import (
	"slices"
	"strings"
)

// layout remembers in which order a log's records have their keys, for nearly every line has the same, and which values hardly ever change.
type layout struct {
	keys  []layoutKey
	first vote // the first key
	plan  *plan
	// lines is how many were walked since the keys were last learned; learning says that a plan is being made.
	lines    int
	learning bool
}

type layoutKey struct {
	text  string // with its quotes and the colon
	what  glimpse
	usual usual
}

// maxLayout is how many keys a layout holds; further ones are looked up every time.
const maxLayout = 128

// layouts are those of one log's records by how these begin, since a log has several sorts of records: a registry writes several for each request.
type layouts struct {
	begins [8]uint64
	of     [8]layout
	used   int
}

// find returns the layout of a record. Where there are too many sorts, the last one is of all that are not known.
func (l *layouts) find(s string) *layout {
	begins := eight(s, 1)
	for i := range l.used {
		if l.begins[i] == begins {
			return &l.of[i]
		}
	}
	if l.used < len(l.of) {
		l.begins[l.used] = begins
		l.used++
	}
	return &l.of[l.used-1]
}

// walk goes over the record's own keys until it has seen all that stop wants, or to the end where stop is 0. It says no to what is unusual. m are the marks of s. Texts with
// escapes are built in scratch.
func (l *layout) walk(s string, m *marks, what func(key) glimpse, stop need, v *skimmed, scratch *scratch) bool {
	l.turn(stop)
	if l.plan != nil && l.plan.follow(s, m, v) {
		return true
	}
	v.seen, v.by = 0, nil
	at, expected := 1, 0
	before, value := noKey, "" // the key before and its value
	for at < len(s) {
		k, g, from, ok := l.find(s, at, expected, what)
		if !ok {
			return false
		}
		if l.learning {
			l.observe(before, value, k)
		}
		if k != noKey {
			expected = k + 1
		}
		if g == unusual || from >= len(s) {
			return false
		}
		kind, text, plain := kindOf(s[from]), "", true
		switch kind {
		case quotedKind:
			var to int
			if to, plain = m.closing(s, from+1); to >= len(s) {
				return false
			}
			text, at = s[from+1:to], to+1
		case nestedKind:
			if at = skipNested(s, m, from); at < 0 {
				return false
			}
		default:
			if at = bareEnd(s, from); at == from {
				return false
			}
			text = s[from:at]
		}
		if g > unusual {
			if kind != quotedKind && (kind != bareKind || !g.mayBeBare()) || v.seen>>g&1 != 0 && g != gProofToo {
				return false
			}
			if !plain {
				if text = scratch.unescapeJSON(text); text == "" {
					return false
				}
			}
			v.texts[g] = text
			v.seen |= 1 << g
		}
		before, value = k, s[from:at]
		if at >= len(s) {
			return false
		}
		done := g > unusual && v.seen == stop
		if ends := s[at] == '}'; ends || done {
			if l.learning {
				l.observe(before, value, noKey)
			}
			return done || at == len(s)-1
		}
		if s[at] != ',' {
			return false
		}
		at++
	}
	return false
}

// mayBeBare says that a number will do where a text is wanted.
func (g glimpse) mayBeBare() bool { return g == gStatus || g == gProofToo }

// bareEnd is where a number, true, false or null ends that begins there; at itself when there is none.
func bareEnd(s string, at int) int {
	to := digitsEnd(s, at)
	if to < len(s) && (s[to] == ',' || s[to] == '}') && to > at {
		return to
	}
	for to < len(s) && ('0' <= s[to] && s[to] <= '9' || s[to] == '.' || s[to] == '-') {
		to++
	}
	if to == at {
		for _, word := range [...]string{"null", "true", "false"} {
			if strings.HasPrefix(s[at:], word) {
				return at + len(word)
			}
		}
	}
	return to
}

// find looks for the key at s[at:] in the layout, from where it is expected on, and learns it if it is not there. It returns its place in the layout, noKey if it is not
// remembered, what it is and where its value begins.
func (l *layout) find(s string, at, expected int, what func(key) glimpse) (k int, g glimpse, value int, ok bool) {
	for i := range l.keys {
		if i += expected; i >= len(l.keys) {
			i -= len(l.keys)
		}
		if k := &l.keys[i]; strings.HasPrefix(s[at:], k.text) {
			return i, k.what, at + len(k.text), true
		}
	}
	if s[at] != '"' {
		return 0, 0, 0, false
	}
	end := strings.IndexByte(s[at+1:], '"')
	if end <= 0 || at+end+2 >= len(s) || s[at+end+2] != ':' || strings.IndexByte(s[at+1:at+1+end], '\\') >= 0 {
		return 0, 0, 0, false
	}
	g, value = what(keyOf(s[at+1:at+1+end])), at+end+3
	if len(l.keys) >= maxLayout || end > maxKey {
		return noKey, g, value, true
	}
	k = min(expected, len(l.keys))
	l.keys = slices.Insert(l.keys, k, layoutKey{text: strings.Clone(s[at:value]), what: g})
	l.forget()
	return k, g, value, true
}

// maxKey is the longest key that is remembered.
const maxKey = 64

// skipNested returns where the list or object at s[at:] ends, -1 if it does not.
func skipNested(s string, m *marks, at int) int {
	for depth := 0; ; at++ {
		quote := m.near(at)
		if quote < 0 {
			quote = m.further(s, at)
		}
		for quote = min(quote, len(s)); at < quote; at++ {
			if depth += int(nesting[s[at]]); depth == 0 && nesting[s[at]] < 0 {
				return at + 1
			}
		}
		if at >= len(s) || s[at] != '"' {
			return -1
		}
		at++
		end := m.near(at)
		if end < 0 {
			end = m.further(s, at)
		}
		if end < len(s) && s[end] != '"' {
			end, _ = m.closing(s, at)
		}
		if at = end; at >= len(s) {
			return -1
		}
	}
}

// nesting is by how much a byte outside of texts takes further in.
var nesting = [256]int8{'[': 1, '{': 1, ']': -1, '}': -1}
