package format

import "strings"

// scratch is where text is built that does not stand in the line as such, such as a decoded path. It is used again for every line;
// when it grows, what was handed out before keeps the old memory.
type scratch struct{ buf []byte }

func (s *scratch) reset() {
	if cap(s.buf) > MaxLine {
		s.buf = nil
	}
	s.buf = s.buf[:0]
}

// since returns the text that was appended after the mark.
func (s *scratch) since(mark int) string { return view(s.buf[mark:]) }

// join returns a + sep + b.
func (s *scratch) join(a, sep, b string) string {
	mark := len(s.buf)
	s.buf = append(s.buf, a...)
	s.buf = append(s.buf, sep...)
	s.buf = append(s.buf, b...)
	return s.since(mark)
}

// unescape percent-decodes once. An escape that is none is left alone, and plus is a blank only where the text is from a query.
func (s *scratch) unescape(text string, query bool) string {
	if !escaped(text, query) {
		return text
	}
	mark := len(s.buf)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) {
			if hi, lo := unhex(text[i+1]), unhex(text[i+2]); hi < 16 && lo < 16 {
				c = hi<<4 | lo
				i += 2
			}
		} else if c == '+' && query {
			c = ' '
		}
		s.buf = append(s.buf, c)
	}
	return s.since(mark)
}

func escaped(text string, query bool) bool {
	return strings.IndexByte(text, '%') >= 0 || query && strings.IndexByte(text, '+') >= 0
}

// unhex returns the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// decimal reads text that is all digits and not longer than 18.
func decimal(text string) (int64, bool) {
	if text == "" || len(text) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(text); i++ {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(text[i]-'0')
	}
	return n, true
}

// unescapeJSON undoes the escapes of a JSON text that Go's and Ruby's encoders write for ASCII: \\ \" \/ \n \t \r and \u00XX. It returns "" for any other.
func (s *scratch) unescapeJSON(text string) string {
	mark := len(s.buf)
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 {
			s.buf = append(s.buf, text...)
			return s.since(mark)
		}
		s.buf = append(s.buf, text[:i]...)
		if i+1 == len(text) {
			return ""
		}
		c, width := text[i+1], 2
		switch c {
		case '\\', '"', '/':
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'u':
			if width = 6; i+width > len(text) || text[i+2:i+4] != "00" {
				return ""
			}
			hi, lo := unhex(text[i+4]), unhex(text[i+5])
			if hi > 7 || lo > 15 {
				return ""
			}
			c = hi<<4 | lo
		default:
			return ""
		}
		s.buf = append(s.buf, c)
		text = text[i+width:]
	}
}
