package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// authorizing is how distribution begins the message of a request that it answers with 401. Such a request gets no "response completed".
const authorizing = "error authorizing context: "

// isDistribution knows the application log of distribution 2 and 3, with any of its formatters.
func isDistribution(rec *record) bool {
	return rec.has(keyMsg) && rec.has(keyLevel) || rec.has(keyMessage) && rec.has(keyTimestamp)
}

// readDistribution reads a line of the application log. The access line of the same request is of another kind.
func (r *Reader) readDistribution(e *detector.Event) Verdict {
	rec := &r.record
	if e.Message = rec.either(keyMsg, keyMessage); e.Message == "" {
		return Unparsed
	}
	e.Status = rec.status(keyHTTPStatus)
	switch {
	case e.Message == "response completed", e.Message == "response completed with error":
		e.Error = rec.text(keyErrCode)
	case strings.HasPrefix(e.Message, authorizing):
		e.Error = e.Message[len(authorizing):]
		e.Status = orStatus(e.Status, 401)
	default:
		return Noise
	}
	e.Time = timestamp(rec.either(keyTime, keyTimestamp))
	e.Client = r.distributionClient()
	e.Method = rec.text(keyHTTPMethod)
	e.Bytes = rec.number(keyHTTPWritten)
	e.User = rec.text(keyAuthUserName)
	e.UserAgent = rec.text(keyHTTPUserAgent)
	classify(e.Method, rec.text(keyHTTPURI), &r.scratch).set(e)
	return Parsed
}

// distributionClient returns the peer, which distribution writes with its port. An address without one was taken
// from X-Forwarded-For or X-Real-IP, where distribution accepts no port.
func (r *Reader) distributionClient() netip.Addr {
	rec := &r.record
	if rec.clashes[keyHTTPRemoteAddr] {
		return netip.Addr{}
	}
	client, peer := addressPort(rec.text(keyHTTPRemoteAddr))
	if !peer && !r.options.TrustForwarded {
		return netip.Addr{}
	}
	return client
}

// readOwnAccess reads the access line that distribution, and GitLab's registry before 2.11, writes to its standard output: see own.go.
func (r *Reader) readOwnAccess(line string, e *detector.Event) Verdict {
	e.Kind = detector.KindAccess
	return r.readNginx(line, e)
}
