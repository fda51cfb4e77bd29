package actions

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text that a client may have shaped fit to be shown: control characters and broken UTF-8 become
// escapes, and what is longer than limit bytes is cut.
func clean(text string, limit int) string {
	var b strings.Builder
	for i, r := range text {
		size := utf8.RuneLen(r)
		if b.Len()+max(size, 1) > limit {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			b.WriteString(`\x` + strconv.FormatUint(uint64(text[i]), 16))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// oneLine joins errors so that they stay one line.
func oneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}
