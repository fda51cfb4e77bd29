package takeover

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"regwarden/internal/strict"
)

// setWords begin what `ipset save` prints beside its add lines, and setHeads what `ipset list` prints above the members.
var (
	setWords = []string{"create", "flush", "swap", "destroy", "rename", "COMMIT"}
	setHeads = regexp.MustCompile(`^(Name|Type|Revision|Header|Size in memory|References|Number of entries|Members):( |$)`)
)

func isIPSet(text string) bool {
	word, _, _ := strings.Cut(text, " ")
	return word == "add" || slices.Contains(setWords, word) || setHeads.MatchString(text)
}

// readIPSet reads a line of `ipset save`: add NAME TARGET timeout N packets N bytes N comment "…". `ipset list` prints the members alone, up to
// an empty line.
func (r *reader) readIPSet(text string) {
	r.members = text == "Members:"
	if w := words(text); w[0] == "add" && len(w) >= 3 {
		r.takeMember(text, w[2:])
	} else if w[0] == "add" {
		r.refuse(r.line, text, "names no member of the set")
	}
}

func (r *reader) takeMember(text string, w []string) {
	var left time.Duration
	reason := ""
	for i := 1; i < len(w); i++ {
		switch w[i] {
		case "nomatch":
			r.refuse(r.line, text, "is an exception of its set; if its network is taken, regwarden allow add keeps it free")
			return
		case "timeout", "comment", "packets", "bytes", "skbmark", "skbprio", "skbqueue":
			if i+1 == len(w) {
				r.refuse(r.line, text, "is cut off")
				return
			}
			if w[i] == "comment" {
				reason = w[i+1]
			} else if d, err := strict.Duration(w[i+1]); w[i] == "timeout" && err == nil {
				left = d // 0 is for ever
			} else if w[i] == "timeout" {
				r.refuse(r.line, text, "has no timeout that can be read")
				return
			}
			i++
		}
	}
	if strings.Contains(w[0], ",") {
		r.refuse(r.line, w[0], "is blocked in part only: a port, an interface or another end belongs to it")
		return
	}
	r.take(w[0], max(left, 0), reason)
}
