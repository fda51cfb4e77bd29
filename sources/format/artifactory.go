package format

import (
	"strings"

	"regwarden/detector"
)

// readArtifactory reads artifactory-request.log, of today and of version 6 and before:
//
//	2018-11-18T15:39:04.902Z|d5d75b3c41242768|203.0.113.7|anonymous|GET|api/v1/cert/root|200|0|6|0|agent
//	20200312164423|93|REQUEST|203.0.113.7|anonymous|GET|/webapp/|HTTP/1.1|200|0
func (r *Reader) readArtifactory(line string, e *detector.Event) Verdict {
	first, rest, ok := strings.Cut(line, "|")
	if !ok {
		return Unparsed
	}
	if t := timestamp(first); !t.IsZero() {
		e.Time = t
		_, rest, _ = strings.Cut(rest, "|") // the trace
		return r.artifactoryRequest(rest, e, false)
	}
	if _, number := decimal(first); !number || len(first) != len("20200312164423") {
		return Unparsed
	}
	c := civil{year: digits(first, 0, 4), month: digits(first, 4, 2), day: digits(first, 6, 2),
		hour: digits(first, 8, 2), minute: digits(first, 10, 2), second: digits(first, 12, 2)}
	e.Time = c.in(r.options.Location)
	_, rest, _ = strings.Cut(rest, "|") // the milliseconds
	kind, rest, ok := strings.Cut(rest, "|")
	if !ok {
		return Unparsed
	}
	if kind != "REQUEST" {
		return Noise
	}
	return r.artifactoryRequest(rest, e, true)
}

// artifactoryRequest reads what the two have in common: CLIENT|USER|METHOD|URL and then, in the old form after the
// protocol, the status. A user's name may hold the separator: the fields begin anew at the first method that fits.
func (r *Reader) artifactoryRequest(rest string, e *detector.Event, old bool) Verdict {
	client, rest, ok := strings.Cut(rest, "|")
	if !ok {
		return Unparsed
	}
	e.Client = address(client)
	for at := 0; ; {
		i := strings.IndexByte(rest[at:], '|')
		if i < 0 {
			return Unparsed
		}
		at += i
		user := rest[:at]
		at++
		if artifactoryFields(r, rest[at:], e, old) {
			if user != "anonymous" && user != "non_authenticated_user" && user != "-" {
				e.User = user
			}
			return Parsed
		}
	}
}

func artifactoryFields(r *Reader, s string, e *detector.Event, old bool) bool {
	method, s, _ := strings.Cut(s, "|")
	if !isMethod(method) {
		return false
	}
	url, s, _ := strings.Cut(s, "|")
	if old {
		_, s, _ = strings.Cut(s, "|") // the protocol
	}
	status, s, ok := strings.Cut(s, "|")
	if !ok || len(status) != 3 || digits(status, 0, 3) < 0 {
		return false
	}
	if !old {
		_, s, _ = strings.Cut(s, "|") // the request's length
	}
	size, s, _ := strings.Cut(s, "|")
	e.Method, e.Status = method, digits(status, 0, 3)
	e.Bytes, _ = decimal(size)
	if !old {
		_, e.UserAgent, _ = strings.Cut(s, "|") // after the milliseconds
	}
	if url != "" && url[0] != '/' && !strings.Contains(url, "://") {
		url = r.scratch.join("/", "", url)
	}
	classify(method, url, &r.scratch).set(e)
	return true
}
