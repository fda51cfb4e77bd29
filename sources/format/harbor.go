package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// readHarbor reads the lines of Harbor's proxy and core, which come through syslog:
//
//	203.0.113.7 - "GET /v2/lib/x/manifests/latest HTTP/1.1" 404 155 "-" "docker/23.0.6" 0.012 0.012 .
//	2023-05-16T12:11:39Z [ERROR] [/server/middleware/security/basic_auth.go:72][client IP="…" requestID="…" user agent="…"]: failed …
func (r *Reader) readHarbor(line string, e *detector.Event) Verdict {
	if at, end := rfc3339(line); end > 0 && strings.HasPrefix(line[end:], " [") {
		e.Time = at
		return r.readHarborCore(line[end+1:], e)
	}
	client, rest, ok := cutClient(line)
	if !ok {
		return Unparsed
	}
	rest, ok = strings.CutPrefix(rest, `- "`)
	if !ok {
		return Unparsed
	}
	end := closingQuote(rest)
	if end < 0 || !strings.HasPrefix(rest[end+1:], " ") {
		return Unparsed
	}
	a := r.newAccess(access{client: client, request: rest[:end]})
	if !combined(a, rest[end+2:], !r.cut) {
		return Unparsed
	}
	a.event(e, &r.scratch)
	return Parsed
}

// readHarborCore reads a refused login. The rest of the log is noise.
func (r *Reader) readHarborCore(line string, e *detector.Event) Verdict {
	level, rest, ok := strings.Cut(line, "] ")
	if !ok || !strings.HasPrefix(rest, "[") || strings.ContainsAny(level[1:], " /[") {
		return Unparsed
	}
	const failed = "]: failed to authenticate user:"
	i := strings.LastIndex(rest, failed)
	if i < 0 {
		return Noise
	}
	name := rest[i+len(failed):]
	if j := strings.LastIndex(name, ", error:"); j >= 0 {
		name = name[:j]
	}
	e.Kind, e.Operation, e.Status = detector.KindAuth, detector.OpLogin, 401
	e.User, e.Error, e.Message = name, loginFailed, "failed to authenticate user"
	if r.options.TrustForwarded {
		e.Client = forwardedClient(rest[:i])
	}
	return Parsed
}

// forwardedClient reads `client IP="1.1.1.1, 192.168.32.1"`, the raw X-Forwarded-For: the right-most address that is no private one, for Harbor's
// own proxies are private. A header that tries to look like more than a list is nobody's.
func forwardedClient(text string) netip.Addr {
	const begin, end = `[client IP="`, `" requestID="`
	if strings.Count(text, begin) != 1 || strings.Count(text, "requestID=") != 1 {
		return netip.Addr{}
	}
	_, list, _ := strings.Cut(text, begin)
	list, _, ok := strings.Cut(list, end)
	if !ok {
		return netip.Addr{}
	}
	var client netip.Addr
	for list != "" {
		var last string
		if i := strings.LastIndexByte(list, ','); i >= 0 {
			list, last = list[:i], list[i+1:]
		} else {
			list, last = "", list
		}
		a := address(strings.TrimSpace(last))
		if !a.IsValid() {
			return client
		}
		client = a
		if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
			return client
		}
	}
	return client
}
