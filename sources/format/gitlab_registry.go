package format

import (
	"regwarden/detector"
)

// isRegistry knows the log of GitLab's container registry, whose keys are in snake case.
func isRegistry(rec *record) bool {
	return rec.has(keyMsg) && (rec.has(keyCorrelationID) || rec.has(keyGoVersion) || rec.has(keyRootRepo))
}

// readRegistry reads a line of GitLab's container registry, JSON or logfmt. The access lines are the events.
//
// The application's own lines are noise: an error such as MANIFEST_UNKNOWN has an access line beside it, HEAD requests have no
// error line at all, and their remote_addr is, unlike that of the access line, made from X-Forwarded-For. GitLab's Workhorse writes access
// lines of the same shape for requests that Rails logs, too; they have a route or a backend.
func (r *Reader) readRegistry(e *detector.Event) Verdict {
	rec := &r.record
	if !rec.has(keyMsg) {
		return Unparsed
	}
	e.Message = rec.text(keyMsg)
	if e.Message != "access" || rec.text(keySystem) != "http" || rec.has(keyRoute) || rec.has(keyBackendID) {
		return Noise
	}
	e.Time = timestamp(rec.text(keyTime))
	e.Method = rec.text(keyMethod)
	e.Status = rec.status(keyStatus)
	e.Bytes = rec.number(keyWrittenBytes)
	e.UserAgent = rec.text(keyUserAgent)
	if r.options.TrustForwarded {
		e.Client = rec.client(keyRemoteIP)
	} else {
		e.Client = rec.client(keyRemoteAddr)
	}
	classify(e.Method, rec.text(keyURI), &r.scratch).set(e)
	return Parsed
}
