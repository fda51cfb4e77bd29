package format

import (
	"strings"

	"regwarden/detector"
)

// readNexus reads Nexus' request.log:
//
//	203.0.113.7 - - [03/Jun/2025:10:00:00 +0000] "GET /v2/a/b/manifests/x HTTP/1.1" 404 - 92 5 "docker/27.5.1" [qtp123-456]
func (r *Reader) readNexus(line string, e *detector.Event) Verdict {
	client, rest, ok := cutClient(line)
	if !ok {
		return Unparsed
	}
	a := r.newAccess(access{client: client})
	if !a.body(rest, !r.cut, nexusFields) {
		return Unparsed
	}
	a.event(e, &r.scratch)
	return Parsed
}

// nexusFields reads `STATUS REQUEST_BYTES BYTES MILLISECONDS "AGENT" [THREAD]`. Nothing in the agent is escaped, so it ends at the last quote.
func nexusFields(a *access, rest string, whole bool) bool {
	rest, ok := a.statusBytes(rest)
	if !ok {
		return false
	}
	var fields [2]string
	for i := range fields {
		rest = strings.TrimPrefix(rest, " ")
		fields[i], rest, ok = strings.Cut(rest, " ")
		if _, number := decimal(fields[i]); !ok || !number && fields[i] != "-" {
			return false
		}
	}
	a.bytes, _ = decimal(fields[0])
	agent, ok := strings.CutPrefix(rest, `"`)
	if !ok {
		return false
	}
	end := strings.LastIndex(agent, `" [`)
	if end < 0 {
		a.agent = ""
		return !whole
	}
	if a.agent = agent[:end]; a.agent == "-" {
		a.agent = ""
	}
	return true
}
