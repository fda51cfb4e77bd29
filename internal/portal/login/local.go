package login

import (
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxLocal = 1024 // bytes of a path that somebody goes back to

// LocalPath is a text if it is the path of a page here, else "/". It never leads to another host, whatever a browser makes of it: browsers drop
// tabs and line ends from addresses and read \ as /.
func LocalPath(to string) string {
	if len(to) > maxLocal || !strings.HasPrefix(to, "/") || !utf8.ValidString(to) || strings.ContainsFunc(to, odd) {
		return "/"
	}
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	if clean := path.Clean(u.Path); clean != u.Path && (clean == "/" || clean+"/" != u.Path) || clean == "/login" || clean == "/logout" || strings.HasPrefix(clean, "/login/") {
		return "/"
	}
	return to
}

// odd is what no page of ours has in its address.
func odd(r rune) bool { return r == '\\' || r == '#' || r == ' ' || !unicode.IsPrint(r) }

const maxName = 200 // bytes of a name

// tidy is a text of a provider as one line that can be shown and logged: what cannot be seen is dropped, what is long is cut.
func tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) { // also what turns the writing's direction
			return -1
		}
		return r
	}, text)
	for len(text) > maxName {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return strings.TrimSpace(text)
}
