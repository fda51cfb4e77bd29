package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// readGitea reads Gitea's and Forgejo's access.log, which has the shape of nginx's but escapes nothing, and the refused
// logins of gitea.log:
//
//	2025/04/29 12:33:54 ...ers/web/auth/auth.go:217:SignInPost() [W] Failed authentication attempt for NAME from 192.0.2.1:48560: REASON
func (r *Reader) readGitea(line string, e *detector.Event) Verdict {
	if verdict := r.readGiteaLog(line, e); verdict != Unparsed {
		return verdict
	}
	client, rest, ok := cutClient(line)
	if !ok {
		return Unparsed
	}
	a := r.newAccess(access{client: client})
	if !a.body(rest, !r.cut, combined) && !a.loose(rest) {
		return Unparsed
	}
	a.event(e, &r.scratch)
	return Parsed
}

func (r *Reader) readGiteaLog(line string, e *detector.Event) Verdict {
	var c civil
	if !c.date(line, '/') || len(line) < 20 || line[10] != ' ' || !c.hms(line, 11) || line[19] != ' ' {
		return Unparsed
	}
	where, message, ok := strings.Cut(line[20:], "] ")
	if !ok || !isGiteaPlace(where) {
		return Unparsed
	}
	name, ok := strings.CutPrefix(message, "Failed authentication attempt for ")
	if !ok {
		return Noise
	}
	e.Time = c.in(r.options.Location)
	e.Kind, e.Operation, e.Status = detector.KindAuth, detector.OpLogin, 401
	e.Message, e.Error = "Failed authentication attempt", loginFailed
	e.User, e.Client = giteaClient(name)
	return Parsed
}

// isGiteaPlace knows "...ers/web/auth/auth.go:217:SignInPost() [W", without its last bracket.
func isGiteaPlace(s string) bool {
	i := strings.LastIndexByte(s, '[')
	if level := s[i+1:]; i < 2 || level == "" || len(level) > len("TRACE") {
		return false
	}
	return strings.Contains(s[:i], "() ") || strings.Contains(s[:i], ".go:")
}

// maxAddressPort is longer than any address with a zone and a port, and what follows it.
const maxAddressPort = 128

// giteaClient reads "NAME from ADDRESS:PORT: REASON". The name is the client's to choose, and Gitea repeats it in the
// reason: where more than one address could be meant, none is.
func giteaClient(s string) (name string, client netip.Addr) {
	name = s
	for i := strings.Index(s, " from "); i >= 0; i = next(s, i, " from ") {
		rest := s[i+len(" from "):]
		word, _, ok := strings.Cut(rest[:min(len(rest), maxAddressPort)], ": ")
		a, port := addressPort(word)
		if !ok || !port || !a.IsValid() {
			continue
		}
		if client.IsValid() && client != a {
			return name, netip.Addr{}
		}
		if !client.IsValid() {
			name, client = s[:i], a
		}
	}
	return name, client
}
