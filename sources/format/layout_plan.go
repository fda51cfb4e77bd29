package format

import (
	"bytes"
	"strings"
)

// plan is how nearly every record of a log goes: text that hardly ever changes, a value that does, text, a value, … A record that goes otherwise, or has an escape in a value
// that changes, is walked key by key.
type plan struct {
	steps []step
	// end is what follows the last value, and all of it if whole says so; otherwise the rest of the record is of no use.
	end   string
	whole bool
	// seen are the values that records have by this plan, and fixed those of them that stand in the texts.
	seen  need
	fixed []fixedValue
}

// step is text and the value that follows it. Where the value is always in quotes, the text ends with the first of them and the text after it begins with the second.
type step struct {
	text string
	kind kinds
	what glimpse // of the value
}

// fixedValue is a wanted value that hardly ever changes.
type fixedValue struct {
	what glimpse
	text string
}

// kinds is a set of kinds of values.
type kinds uint8

const (
	quotedKind kinds = 1 << iota
	bareKind
	nestedKind
)

func kindOf(value byte) kinds {
	switch value {
	case '"':
		return quotedKind
	case '[', '{':
		return nestedKind
	}
	return bareKind
}

// follow reads a record as planned. It says no where the record goes otherwise.
func (p *plan) follow(s string, m *marks, v *skimmed) bool {
	at := 1
	for i := range p.steps {
		step := &p.steps[i]
		if !strings.HasPrefix(s[at:], step.text) {
			return false
		}
		if at += len(step.text); at >= len(s) {
			return false
		}
		from := at
		if step.kind == quotedKind {
			if at = m.near(at); at < 0 {
				at = m.further(s, from)
			}
			if at >= len(s) || s[at] != '"' {
				return false
			}
			v.texts[step.what] = s[from:at]
			continue
		}
		switch kind := kindOf(s[at]); {
		case kind&step.kind == 0:
			return false
		case kind == quotedKind:
			if at = m.next(s, at+1); at >= len(s) || s[at] != '"' {
				return false
			}
			v.texts[step.what] = s[from+1 : at]
			at++
		case kind == nestedKind:
			if at = skipNested(s, m, at); at < 0 {
				return false
			}
		default:
			if at = bareEnd(s, at); at == from {
				return false
			}
			v.texts[step.what] = s[from:at]
		}
	}
	if !strings.HasPrefix(s[at:], p.end) || p.whole && len(s) != at+len(p.end) {
		return false
	}
	if v.seen = p.seen; v.by != p {
		v.by = p
		for _, f := range p.fixed {
			v.texts[f.what] = f.text
		}
	}
	return true
}

// usual is what was seen behind a key lately.
type usual struct {
	value vote // and the key after it
	next  vote // the key after it, whatever the value
	kinds kinds
}

// vote is what was seen most often lately: a text, and which key came then.
type vote struct {
	text  []byte // its memory is kept
	next  int
	votes int
}

// noKey is the key before the first and the one after the last. A key that is not remembered is taken for it, too: a plan with such a one is never followed.
const noKey = -1

// Every learnEvery lines a plan is made anew, from learnLines lines. What stands there less than eight times in nine loses its votes.
const (
	learnEvery = 1 << 16
	learnLines = 256
	lostVotes  = 8
	minVotes   = 32
	maxValue   = 128
)

func (v *vote) cast(text string, next int) {
	switch {
	case v.votes > 0 && next == v.next && text == string(v.text):
		v.votes++
	case v.votes > lostVotes:
		v.votes -= lostVotes
	case len(text) <= maxValue:
		*v = vote{append(v.text[:0], text...), next, 1}
	default:
		v.votes = 0
	}
}

func (v *vote) won() bool { return v.votes >= minVotes }

// turn begins and ends the lines from which the layout learns.
func (l *layout) turn(stop need) {
	switch l.lines++; l.lines {
	case 1:
		l.learning = true
	case learnLines:
		l.learning, l.plan = false, l.makePlan(stop)
	case learnEvery:
		l.forget()
	}
}

// forget begins anew, since keys have moved or values have changed.
func (l *layout) forget() {
	for i := range l.keys {
		u := &l.keys[i].usual
		u.value.votes, u.next.votes, u.kinds = 0, 0, 0
	}
	l.first.votes, l.plan = 0, nil
	l.lines, l.learning = 0, false
}

// observe notes the value of a key and which key comes next; without a value, which is the first.
func (l *layout) observe(key int, value string, next int) {
	switch {
	case value == "":
		l.first.cast("", next)
	case key != noKey:
		u := &l.keys[key].usual
		u.value.cast(value, next)
		u.next.cast("", next)
		u.kinds |= kindOf(value[0])
	}
}

// makePlan makes a plan of what was observed; nil where records differ too much.
func (l *layout) makePlan(stop need) *plan {
	p := &plan{}
	met := make([]bool, len(l.keys))
	text, next := "", &l.first // the text since the last value that changes, and the key that comes then
	for comma := ""; ; comma = "," {
		if !next.won() {
			return nil
		}
		if next.next == noKey {
			p.end, p.whole = text+"}", true
			return p
		}
		k := &l.keys[next.next]
		if met[next.next] || !p.mayTake(k) {
			return nil
		}
		met[next.next] = true
		text += comma + k.text
		wanted := k.what > unusual
		if wanted {
			p.seen |= 1 << k.what
		}
		done := stop != 0 && p.seen == stop
		// Where a plan ends with a bare value, nothing would tell where that ends: there it is one that changes.
		if value := &k.usual.value; value.won() && bytes.IndexByte(value.text, '\\') < 0 && !(done && k.usual.kinds != quotedKind) {
			if wanted {
				p.fixed = append(p.fixed, fixedValue{k.what, unquoted(string(value.text))})
			}
			text += string(value.text)
			if done {
				p.end = text
				return p
			}
			next = value
			continue
		}
		quote := ""
		if k.usual.kinds == quotedKind {
			quote = `"`
		}
		p.steps = append(p.steps, step{text + quote, k.usual.kinds, k.what})
		if done {
			return p
		}
		text, next = quote, &k.usual.next
	}
}

// mayTake says whether the plan can have the key, as walk would take it.
func (p *plan) mayTake(k *layoutKey) bool {
	switch {
	case k.what < unusual:
		return true
	case k.what == unusual, p.seen>>k.what&1 != 0 && k.what != gProofToo:
		return false
	}
	return k.usual.kinds == quotedKind || k.usual.kinds == bareKind && k.what.mayBeBare()
}

// unquoted is a value without its quotes.
func unquoted(value string) string {
	if value[0] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}
