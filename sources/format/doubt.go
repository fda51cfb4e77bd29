package format

import (
	"strings"

	"regwarden/detector"
)

// The distribution's own access log (gorilla/handlers) writes the user of the URL as the client sent it, decoded: a request for
// http://x%0A…@registry/v2/ puts a newline and whole lines of the client's choice into the log, which name whom he likes.
//
// What he cannot avoid is the beginning of his own line, "ADDRESS - x", which breaks off before its time. After such a line everything is
// doubted, and not read, that one request can have brought: Go's servers take a mebibyte of header.
const doubtFor = 1 << 20

// isBrokenHead knows the beginning of an access line that breaks off in its user.
func isBrokenHead(line string) bool {
	_, rest, ok := cutClient(line)
	return ok && strings.HasPrefix(rest, "- ") && !strings.ContainsAny(rest, "[\"")
}

// doubted makes noise of a line that may be forged.
func (r *Reader) doubted(size int, verdict Verdict, e *detector.Event) Verdict {
	if r.brokenHead {
		r.doubt = doubtFor
		return verdict
	}
	if r.doubt <= 0 {
		return verdict
	}
	r.doubt -= size + 1
	e.Reset()
	e.Weight = 1
	return Noise
}
