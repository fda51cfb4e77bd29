package format

import (
	"strings"
	"unicode/utf8"
)

// isLogfmt knows logrus' text: `time="2026-11-21T18:09:50.379Z" level=error msg="manifest unknown" …`.
func isLogfmt(line string) bool {
	return strings.HasPrefix(line, "time=") || strings.HasPrefix(line, "level=") || strings.HasPrefix(line, "ts=")
}

// parseLogfmt reads a line into the record. A last value that was cut off counts as far as it goes.
func (r *Reader) parseLogfmt(line string) bool {
	rec := &r.record
	rec.reset()
	for line != "" {
		name, rest, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.IndexByte(name, ' ') >= 0 || strings.IndexByte(name, '"') >= 0 {
			return rec.has(keyLevel) || rec.has(keyMsg)
		}
		k := keyOf(name)
		if strings.HasPrefix(rest, `"`) {
			end := closingQuote(rest[1:])
			value := rest[1:]
			if end >= 0 {
				value, rest = value[:end], value[end+1:]
			} else {
				rest = ""
			}
			if k != keyNone {
				rec.setText(k, r.scratch.unquote(value))
			}
		} else {
			var value string
			value, rest, _ = strings.Cut(rest, " ")
			if k != keyNone {
				rec.setText(k, value)
			}
			line = rest
			continue
		}
		if rest != "" && rest[0] != ' ' {
			return false
		}
		line = strings.TrimPrefix(rest, " ")
	}
	return rec.has(keyLevel) || rec.has(keyMsg)
}

// closingQuote returns where the first quote is that no backslash escapes, -1 when there is none.
func closingQuote(s string) int {
	i := strings.IndexByte(s, '"')
	if i <= 0 || s[i-1] != '\\' {
		return i
	}
	return closingQuoteEscaped(s)
}

// closingQuoteEscaped is closingQuote for text that has escapes.
func closingQuoteEscaped(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '"')
		if i < 0 {
			return -1
		}
		i += from
		backslashes := 0
		for j := i - 1; j >= from && s[j] == '\\'; j-- {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i
		}
		from = i + 1
	}
}

// unquote undoes the escapes of Go's %q. An escape that is none is left alone.
func (s *scratch) unquote(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	mark := len(s.buf)
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			s.buf = append(s.buf, text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case '"', '\\', '\'':
			s.buf = append(s.buf, c)
		case 'n':
			s.buf = append(s.buf, '\n')
		case 't':
			s.buf = append(s.buf, '\t')
		case 'r':
			s.buf = append(s.buf, '\r')
		case 'x':
			i += s.escape(text, i, 2)
		case 'u':
			i += s.escape(text, i, 4)
		case 'U':
			i += s.escape(text, i, 8)
		default:
			s.buf = append(s.buf, '\\', c)
		}
	}
	return s.since(mark)
}

// escape reads the n hexadecimal digits after i and returns how many it has read.
func (s *scratch) escape(text string, i, n int) int {
	var v rune
	for j := 1; j <= n; j++ {
		if i+j >= len(text) || unhex(text[i+j]) > 15 {
			s.buf = append(s.buf, '\\', text[i])
			return 0
		}
		v = v<<4 | rune(unhex(text[i+j]))
	}
	if n == 2 {
		s.buf = append(s.buf, byte(v))
	} else {
		s.buf = utf8.AppendRune(s.buf, v)
	}
	return n
}
