package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// readNginx reads an access line: nginx's combined and GitLab's variants of it, distribution's own, ingress-nginx, Apache.
//
// nginx escapes quotes and backslashes as \xHH and Go's servers quote as Go does, so a quote always ends a field. Where that is switched off
// (log_format escape=none) a configured dialect still reads the line, loosely.
func (r *Reader) readNginx(line string, e *detector.Event) Verdict {
	client, rest, ok := cutClient(line)
	if !ok || strings.HasPrefix(rest, "(") { // Quay's, whose first address is not the peer's
		return Unparsed
	}
	a := r.newAccess(access{client: client})
	if !a.body(rest, !r.cut, combined) && (r.fixed == nil || !a.loose(rest)) {
		return Unparsed
	}
	if r.own(a) && !r.options.TrustOwnAccess {
		a.client = netip.Addr{}
	}
	a.event(e, &r.scratch)
	if r.fixed == nil && isIngress(a.tail) {
		r.dialect = "ingress-nginx"
	}
	return Parsed
}

// isIngress knows the tail of ingress-nginx: REQUEST_LENGTH REQUEST_TIME [UPSTREAM] [ALTERNATIVE] ….
func isIngress(tail string) bool {
	i := strings.Index(tail, " [")
	return i > 0 && strings.Contains(tail[i:], "] [")
}
