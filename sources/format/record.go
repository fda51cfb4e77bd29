package format

import (
	"math"
	"net/netip"
	"strings"

	"github.com/valyala/fastjson"
)

// shape is what kind of value a key has.
type shape uint8

const (
	absent shape = iota
	null
	text
	number
	other // an object, a list, true or false
)

// record is the known keys of one JSON or logfmt line.
//
// Where a name stands twice with different values, the first counts, and an address does not count at all: some writer let a
// client choose one of them.
type record struct {
	shapes   [keys]shape
	clashes  [keys]bool
	texts    [keys]string
	numbers  [keys]int64
	params   *fastjson.Value
	counted  *fastjson.Value
	headers  *fastjson.Value
	throttle *fastjson.Value // rate_limit_state
}

func (r *record) reset() {
	r.shapes = [keys]shape{}
	r.clashes = [keys]bool{}
	r.release()
}

// release drops what belongs to the parser.
func (r *record) release() {
	r.params, r.counted, r.headers, r.throttle = nil, nil, nil, nil
}

func (r *record) setText(k key, s string) {
	if r.shapes[k] != absent {
		r.clashes[k] = r.clashes[k] || r.shapes[k] != text || r.texts[k] != s
		return
	}
	r.shapes[k], r.texts[k] = text, s
}

func (r *record) setNumber(k key, n int64) {
	if r.shapes[k] != absent {
		r.clashes[k] = r.clashes[k] || r.shapes[k] != number || r.numbers[k] != n
		return
	}
	r.shapes[k], r.numbers[k] = number, n
}

func (r *record) setValue(k key, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeString:
		r.setText(k, view(v.GetStringBytes()))
		return
	case fastjson.TypeNumber:
		r.setNumber(k, whole(v))
		return
	}
	if r.shapes[k] != absent {
		r.clashes[k] = true
		return
	}
	if v.Type() == fastjson.TypeNull {
		r.shapes[k] = null
		return
	}
	r.shapes[k] = other
	switch k {
	case keyParams:
		r.params = v
	case keyCountedBy:
		r.counted = v
	case keyHeaders:
		r.headers = v
	case keyRateLimitState:
		r.throttle = v
	}
}

// whole returns a number without its fraction.
func whole(v *fastjson.Value) int64 {
	if n := v.GetInt64(); n != 0 {
		return n
	}
	if f := v.GetFloat64(); math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return 0
}

// has says whether the key stands in the line, be it with null.
func (r *record) has(k key) bool { return r.shapes[k] != absent }

// filled says whether the key has a value.
func (r *record) filled(k key) bool { return r.shapes[k] > null }

// text returns a text, empty when there is none.
func (r *record) text(k key) string {
	if r.shapes[k] != text {
		return ""
	}
	return r.texts[k]
}

// either returns the first of the keys that has text.
func (r *record) either(names ...key) string {
	for _, k := range names {
		if s := r.text(k); s != "" {
			return s
		}
	}
	return ""
}

// number returns a number, also one in quotes; 0 when there is none.
func (r *record) number(k key) int64 {
	switch r.shapes[k] {
	case number:
		return r.numbers[k]
	case text:
		n, _ := decimal(r.texts[k])
		return n
	}
	return 0
}

// status returns an HTTP status, 0 for what is none.
func (r *record) status(k key) int {
	if n := r.number(k); n > 0 && n < 1000 {
		return int(n)
	}
	return 0
}

// client returns the address that the keys name, which are names of one thing. Two that disagree name nobody.
func (r *record) client(names ...key) netip.Addr {
	var found netip.Addr
	first := true
	for _, k := range names {
		if !r.filled(k) {
			continue
		}
		a := address(r.text(k))
		if r.clashes[k] || !first && a != found {
			return netip.Addr{}
		}
		found, first = a, false
	}
	return found
}

// parseJSON reads a line into the record.
func (r *Reader) parseJSON(line string) bool {
	if !strings.HasSuffix(line, "}") {
		return false // cut: do not let the parser build a long error value
	}
	r.bulky = r.bulky || len(line) > parserKeep
	v, err := r.inner.Parse(line)
	if err != nil || v.Type() != fastjson.TypeObject {
		return false
	}
	rec := &r.record
	rec.reset()
	v.GetObject().Visit(func(name []byte, v *fastjson.Value) {
		if k := keyOf(string(name)); k != keyNone {
			rec.setValue(k, v)
		}
	})
	return true
}
