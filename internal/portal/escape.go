package portal

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// escaped is a page with what cannot be seen written as Go escapes, as the verbs write it: what an attacker has put into a log line shall not turn its text
// round, nor hide in it. All of a page is looked at, so that no place is forgotten; of what the templates themselves say, only the ends of lines are no signs.
func escaped(page []byte) []byte {
	if !bytes.ContainsFunc(page, unseen) {
		return page
	}
	out := make([]byte, 0, len(page)+256)
	for rest := page; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1: // a byte that is no UTF-8
			out = fmt.Appendf(out, `\x%02x`, rest[0])
		case unseen(r) && r != utf8.RuneError:
			out = append(out, strings.Trim(strconv.QuoteRune(r), "'")...)
		default:
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
	return out
}

// unseen is also true of U+FFFD, which stands for a byte that is no UTF-8 where runes are looked at; escaped tells them apart.
func unseen(r rune) bool { return r != '\n' && (!strconv.IsPrint(r) || r == utf8.RuneError) }
