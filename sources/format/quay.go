package format

import (
	"strings"

	"regwarden/detector"
)

// readQuay reads the access log of Quay's nginx:
//
//	192.0.2.1 (203.0.113.7) - - [03/Jun/2025:10:00:00 +0000] "GET /v2/ HTTP/1.1" 401 4 "-" "docker/27.5.1" (0.010 200 0.009)
//
// Its nginx believes a header of anybody who sends one (set_real_ip_from 0.0.0.0/0), so the first address is a forwarded one. The one in parentheses
// is what the load balancer said with the PROXY protocol.
func (r *Reader) readQuay(line string, e *detector.Event) Verdict {
	forwarded, rest, ok := cutClient(line)
	if !ok {
		return Unparsed
	}
	rest, ok = strings.CutPrefix(rest, "(")
	if !ok {
		return Unparsed
	}
	proxied, rest, ok := strings.Cut(rest, ") - ")
	if !ok {
		return Unparsed
	}
	a := r.newAccess(access{client: address(proxied)})
	if !a.client.IsValid() && r.options.TrustForwarded {
		a.client = forwarded
	}
	if !a.body(rest, !r.cut, combined) {
		return Unparsed
	}
	a.event(e, &r.scratch)
	return Parsed
}
