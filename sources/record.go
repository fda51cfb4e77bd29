package sources

import (
	"strconv"
	"time"

	"github.com/valyala/fastjson"
)

// recordReader turns journald's JSON records into syslog lines. It keeps its memory from one record to the next.
type recordReader struct {
	parser fastjson.Parser
	buf    []byte
}

// line returns the record as "<RFC 3339 time> host ident[pid]: message\n", nil when it has no message, and its cursor, empty when it is
// no record. The line is valid until the next call.
func (r *recordReader) line(record []byte) (line []byte, cursor string, cut int) {
	v, err := r.parser.ParseBytes(record)
	if err != nil {
		return nil, "", 0
	}
	cursor = string(v.GetStringBytes("__CURSOR"))
	message := v.Get("MESSAGE")
	if message == nil || message.Type() == fastjson.TypeNull || cursor == "" {
		return nil, cursor, 0
	}
	r.buf = header(r.buf[:0], v)
	from := len(r.buf)
	r.buf = appendField(r.buf, message)
	flatten(r.buf[from:])
	if len(r.buf) > MaxLine {
		r.buf, cut = r.buf[:MaxLine], 1
	}
	r.buf = append(r.buf, '\n')
	if cap(r.buf) > maxRecord/4 {
		defer func() { *r = recordReader{} }()
	}
	return r.buf, cursor, cut
}

// header appends what syslog puts before a message. What the sender can choose must not look like another header.
func header(buf []byte, v *fastjson.Value) []byte {
	us, _ := strconv.ParseInt(string(v.GetStringBytes("__REALTIME_TIMESTAMP")), 10, 64)
	buf = time.UnixMicro(us).UTC().AppendFormat(buf, "2006-01-02T15:04:05.000000Z07:00")
	buf = append(buf, ' ')
	buf = appendWord(buf, "-", v, "_HOSTNAME")
	buf = append(buf, ' ')
	buf = appendWord(buf, "-", v, "SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT")
	if pid := firstField(v, "_PID", "SYSLOG_PID"); len(pid) > 0 && digits(pid) {
		buf = append(append(append(buf, '['), pid...), ']')
	}
	return append(buf, ": "...)
}

func firstField(v *fastjson.Value, keys ...string) []byte {
	for _, key := range keys {
		if text := v.GetStringBytes(key); len(text) > 0 {
			return text
		}
	}
	return nil
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// appendWord appends the first of the fields that is there, without what would end a word of the header.
func appendWord(buf []byte, missing string, v *fastjson.Value, keys ...string) []byte {
	text := firstField(v, keys...)
	if len(text) == 0 {
		return append(buf, missing...)
	}
	for _, c := range text[:min(len(text), 255)] {
		if c <= ' ' || c == 0x7f || c == ':' || c == '[' || c == ']' {
			c = '_'
		}
		buf = append(buf, c)
	}
	return buf
}

// appendField appends a field's value: text, the bytes of what is no UTF-8, or the first value of a field that was sent several times.
func appendField(buf []byte, v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeString:
		return append(buf, v.GetStringBytes()...)
	case fastjson.TypeArray:
		for i, element := range v.GetArray() {
			if element.Type() != fastjson.TypeNumber {
				if i == 0 {
					return appendField(buf, element)
				}
				continue
			}
			buf = append(buf, byte(element.GetInt()))
		}
	}
	return buf
}

// flatten makes one line of a message.
func flatten(message []byte) {
	for i, c := range message {
		if c == '\n' || c == '\r' {
			message[i] = ' '
		}
	}
}
