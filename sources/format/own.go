package format

// The distribution's own access log (gorilla/handlers) proves nothing about who sent a request. It writes the user of the URL as the client sent it,
// decoded: a request for http://x%0A…@registry/v2/ ends its own line where it likes and puts whole lines of the client's choice
// behind it, which name whom he wants. Nothing in the log tells them from others.
//
// So such a line has no client unless the operator vouches for it (TrustOwnAccess), because a proxy stands in front that passes on nothing but
// paths; the registry's JSON or logfmt log escapes everything and has the peer's address, too. nginx escapes the user in its own log.

// own says whether an access line is, or may be, a registry's own: as a configured dialect says, or, recognised by itself, a
// line of that shape in a stream that a registry writes to. The shape alone is also that of GitLab's nginx before 13.0.
func (r *Reader) own(a *access) bool {
	if r.fixed != nil {
		return r.fixed.ownAccess
	}
	return a.bare && (r.ownStream || r.depth > 0)
}
