package format

import (
	"slices"
	"strings"
)

// layout remembers in which order a log's records have their keys, for nearly every line has the same, and which values hardly ever change.
type layout struct {
	keys []layoutKey
	// lines is how many were walked since the keys were last learned; learning says that usual values are being looked for.
	lines    int
	learning bool
}

type layoutKey struct {
	text  string // with its quotes and the colon
	what  glimpse
	run   *run // nil where the value changes
	usual usual
}

// maxLayout is how many keys a layout holds; further ones are looked up every time.
const maxLayout = 128

// walk goes over the record's own keys until it has seen all that stop wants, or to the end where stop is 0. It says no to what is unusual. Texts with escapes
// are built in scratch.
func (l *layout) walk(s string, what func(key) glimpse, stop need, v *skimmed, scratch *scratch) bool {
	v.seen = 0
	l.turn()
	at, n := 1, 0
	before, value := -1, 0 // the key before and where its value began, while learning
	for at < len(s) {
		var g glimpse
		if n >= len(l.keys) {
			var ok bool
			if g, at, n, ok = l.find(s, at, n, what); !ok {
				return false
			}
		} else if k := &l.keys[n]; k.run != nil && strings.HasPrefix(s[at:], k.run.text) {
			r := k.run
			for _, f := range r.fixed {
				if v.seen>>f.what&1 != 0 && f.what != gProofToo {
					return false
				}
				v.texts[f.what] = s[at+f.from : at+f.to]
				if v.seen |= 1 << f.what; v.seen == stop {
					return true
				}
			}
			g, n = r.what, r.next
			at += len(r.text)
		} else if strings.HasPrefix(s[at:], k.text) {
			g = k.what
			at += len(k.text)
			n++
		} else {
			var ok bool
			if g, at, n, ok = l.find(s, at, n, what); !ok {
				return false
			}
		}
		if l.learning {
			l.observe(before, s[value:at], n-1)
			before, value = n-1, at
		}
		if g == unusual || at >= len(s) {
			return false
		}
		from, to := at, 0
		switch s[at] {
		case '"':
			from++
			if to = closingQuote(s[from:]); to < 0 {
				return false
			}
			to += from
			at = to + 1
		case '[', '{':
			if g > unusual {
				return false
			}
			if at = skipNested(s, at); at < 0 {
				return false
			}
		default:
			to = at + bareEnd(s[at:])
			if g > unusual && g != gStatus && g != gProofToo || to == at {
				return false
			}
			at = to
		}
		if g > unusual {
			if v.seen>>g&1 != 0 && g != gProofToo {
				return false
			}
			if v.texts[g] = s[from:to]; strings.IndexByte(v.texts[g], '\\') >= 0 {
				if v.texts[g] = scratch.unescapeJSON(v.texts[g]); v.texts[g] == "" {
					return false
				}
			}
			if v.seen |= 1 << g; v.seen == stop {
				return true
			}
		}
		if at >= len(s) {
			return false
		}
		if s[at] == '}' {
			return at == len(s)-1
		}
		if s[at] != ',' {
			return false
		}
		at++
	}
	return false
}

// bareEnd is where a number, true, false or null ends; 0 when there is none.
func bareEnd(s string) int {
	i := 0
	for i < len(s) && ('0' <= s[i] && s[i] <= '9' || s[i] == '.' || s[i] == '-') {
		i++
	}
	if i == 0 {
		for _, word := range [...]string{"null", "true", "false"} {
			if strings.HasPrefix(s, word) {
				return len(word)
			}
		}
	}
	return i
}

// find looks for the key at s[at:] elsewhere in the layout, from where it was expected on, and learns it if it is not there. It returns what the key is, where
// its value begins and which key is expected after it.
func (l *layout) find(s string, at, n int, what func(key) glimpse) (g glimpse, value, next int, ok bool) {
	for i := range l.keys {
		if i += n; i >= len(l.keys) {
			i -= len(l.keys)
		}
		if k := &l.keys[i]; strings.HasPrefix(s[at:], k.text) {
			return k.what, at + len(k.text), i + 1, true
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
	if len(l.keys) < maxLayout && end <= maxKey {
		n = min(n, len(l.keys))
		l.keys = slices.Insert(l.keys, n, layoutKey{text: strings.Clone(s[at:value]), what: g})
		l.forget()
		n++
	}
	return g, value, n, true
}

// maxKey is the longest key that is remembered.
const maxKey = 64

// skipNested returns where the list or object at s[at:] ends, -1 if it does not.
func skipNested(s string, at int) int {
	depth := 0
	for at < len(s) {
		switch s[at] {
		case '"':
			end := closingQuote(s[at+1:])
			if end < 0 {
				return -1
			}
			at += end + 1
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return at + 1
			}
		}
		at++
	}
	return -1
}
