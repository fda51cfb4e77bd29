package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// The statuses that sshd's messages are given, after what HTTP would say.
const (
	sshAccepted = 200
	sshJunk     = 400 // no SSH, or none that could be agreed on
	sshRefused  = 401
	sshNoUser   = 404
	sshGone     = 499 // the client went, or was sent, before it was in
)

// readSSH reads a message of sshd. A user name may hold anything, also what looks like the rest of a message, so the
// address is read where no name can be: from the end, or right after the words that begin the message.
func (r *Reader) readSSH(line string, e *detector.Event) Verdict {
	if r.syslog && !isSSHProgram(r.program) {
		if r.fixed != nil {
			return Noise
		}
		return Unparsed
	}
	if !r.syslog && r.fixed == nil {
		return Unparsed // a message without its header is believed only where the log is known to be sshd's
	}
	m := unrepeat(line, e)
	m = strings.TrimSuffix(m, " [preauth]")
	m = strings.TrimPrefix(m, "error: ")
	m = strings.TrimPrefix(m, "fatal: ")
	e.Operation = detector.OpLogin
	for i := range sshMessages {
		if rest, ok := strings.CutPrefix(m, sshMessages[i].begin); ok {
			s := &sshMessages[i]
			e.Status, e.Message = s.status, s.message
			if s.read(m, rest, e) {
				return Parsed
			}
			return Noise
		}
	}
	return Noise
}

func isSSHProgram(name string) bool {
	return name == "sshd" || name == "sshd-session" || name == "sshd-auth"
}

// unrepeat reads "message repeated N times: [ … ]", which stands for N more of the same.
func unrepeat(line string, e *detector.Event) string {
	rest, ok := strings.CutPrefix(line, "message repeated ")
	if !ok {
		return line
	}
	count, rest, ok := strings.Cut(rest, " times: [ ")
	n, number := decimal(count)
	if !ok || !number || !strings.HasSuffix(rest, "]") {
		return line
	}
	e.Weight = int(min(n, MaxWeight))
	return strings.TrimSuffix(rest, "]")
}

// sshMessages are the messages that are events, by how they begin. All else is noise: what repeats one of these in other
// words, what names no address, and what is no failure.
var sshMessages = [...]struct {
	begin   string
	message string
	status  int
	read    func(message, rest string, e *detector.Event) bool
}{
	{"Failed ", "", sshRefused, sshAttempt},
	{"Accepted ", "", sshAccepted, sshAttempt},
	{"Invalid user ", "Invalid user", sshNoUser, sshInvalidUser},
	{"Connection closed by authenticating user ", "Connection closed", sshGone, sshLeft},
	{"Connection closed by invalid user ", "Connection closed", sshGone, sshLeft},
	{"Connection reset by authenticating user ", "Connection reset", sshGone, sshLeft},
	{"Connection reset by invalid user ", "Connection reset", sshGone, sshLeft},
	{"Disconnected from authenticating user ", "Disconnected", sshGone, sshLeft},
	{"Disconnected from invalid user ", "Disconnected", sshGone, sshLeft},
	{"Disconnecting authenticating user ", "Disconnecting", sshGone, sshSent},
	{"Disconnecting invalid user ", "Disconnecting", sshGone, sshSent},
	{"banner exchange: Connection from ", "banner exchange", sshJunk, sshPeer},
	{"Unable to negotiate with ", "Unable to negotiate", sshJunk, sshPeer},
	{"ssh_dispatch_run_fatal: Connection from ", "ssh_dispatch_run_fatal", sshJunk, sshPeer},
	{"Protocol major versions differ for ", "Protocol major versions differ", sshJunk, sshPeer},
	{"Did not receive identification string from ", "Did not receive identification string", sshJunk, sshPeer},
	{"Bad protocol version identification ", "Bad protocol version identification", sshJunk, sshBadVersion},
}

// sshAttempt reads "Failed password for invalid user NAME from ADDRESS port N ssh2" and "Accepted …". The message class
// is its first two words: a refused key is no refused password.
func sshAttempt(message, rest string, e *detector.Event) bool {
	method, rest, ok := strings.Cut(rest, " for ")
	if !ok || strings.IndexByte(method, ' ') >= 0 {
		return false
	}
	e.Message = message[:len(message)-len(rest)-len(" for ")]
	rest = strings.TrimPrefix(rest, "invalid user ")
	user, client, ok := sshFromEnd(rest)
	if !ok {
		return false
	}
	e.User, e.Client = user, client
	return true
}

// sshFromEnd reads "NAME from ADDRESS port N ssh2", with or without ": KEY" after it.
func sshFromEnd(s string) (user string, client netip.Addr, ok bool) {
	if i := strings.LastIndex(s, " ssh2: "); i >= 0 {
		switch key := s[i+len(" ssh2: "):]; {
		case isSSHKey(key):
			s = s[:i+len(" ssh2")]
		case strings.Contains(key, " CA "):
			return sshCertificate(s)
		}
	}
	head, client, ok := hostAtEnd(strings.TrimSuffix(s, " ssh2"))
	if !ok {
		return "", netip.Addr{}, false
	}
	user, ok = strings.CutSuffix(head, " from")
	return user, client, ok
}

// isSSHKey knows "ED25519 SHA256:…", which has no room for other text.
func isSSHKey(s string) bool {
	kind, print, ok := strings.Cut(s, " ")
	return ok && kind != "" && len(kind) <= 32 && len(print) <= 128 && strings.IndexByte(print, ' ') < 0 &&
		strings.IndexByte(print, ':') > 0
}

// sshCertificate reads a line that ends in a certificate. Its ID is the client's to choose, as the name is, so an address
// counts only when it is the only one that could be meant.
func sshCertificate(s string) (user string, client netip.Addr, ok bool) {
	for at := strings.Index(s, portWord); at >= 0; at = next(s, at, portWord) {
		head, a, found := hostBefore(s, at, " ssh2: ")
		if !found {
			continue
		}
		name, found := strings.CutSuffix(head, " from")
		if !found {
			continue
		}
		if ok {
			return user, netip.Addr{}, true
		}
		user, client, ok = name, a, true
	}
	return user, client, ok
}

// portWord stands between address and port.
const portWord = " port "

// hostBefore takes "HEAD ADDRESS port N" apart where portWord is at i and after follows the number.
func hostBefore(s string, i int, after string) (head string, client netip.Addr, ok bool) {
	end := i + len(portWord)
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if !strings.HasPrefix(s[end:], after) {
		return "", netip.Addr{}, false
	}
	return hostAtEnd(s[:end])
}

// hostAtEnd takes "HEAD ADDRESS port N" apart.
func hostAtEnd(s string) (head string, client netip.Addr, ok bool) {
	i := strings.LastIndex(s, portWord)
	if i < 0 {
		return "", netip.Addr{}, false
	}
	if _, number := decimal(s[i+len(portWord):]); !number {
		return "", netip.Addr{}, false
	}
	j := strings.LastIndexByte(s[:i], ' ')
	if j < 0 {
		return "", netip.Addr{}, false
	}
	return s[:j], address(s[j+1 : i]), true
}

// sshInvalidUser reads "NAME from ADDRESS port N", or without the port as OpenSSH did before 7.3.
func sshInvalidUser(_, rest string, e *detector.Event) bool {
	if user, client, ok := sshFromEnd(rest); ok {
		e.User, e.Client = user, client
		return true
	}
	i := strings.LastIndex(rest, " from ")
	if i < 0 {
		return false
	}
	e.User = rest[:i]
	e.Client = address(rest[i+len(" from "):])
	return e.Client.IsValid()
}

// sshLeft reads "NAME ADDRESS port N".
func sshLeft(_, rest string, e *detector.Event) bool {
	head, client, ok := hostAtEnd(rest)
	e.User, e.Client = head, client
	return ok
}

// sshSent reads "NAME ADDRESS port N: REASON". One reason is known to hold no name; in any other, an address counts only
// when it is the only one.
func sshSent(_, rest string, e *detector.Event) bool {
	if known, ok := strings.CutSuffix(rest, ": Too many authentication failures"); ok {
		return sshLeft("", known, e)
	}
	found := false
	for at := strings.Index(rest, portWord); at >= 0; at = next(rest, at, portWord) {
		head, client, ok := hostBefore(rest, at, ":")
		if !ok {
			continue
		}
		if found {
			e.Client = netip.Addr{}
			return true
		}
		e.User, e.Client, found = head, client, true
	}
	return found
}

// sshPeer reads "ADDRESS port N…" at the beginning, where no name is before it.
func sshPeer(_, rest string, e *detector.Event) bool {
	word, _, _ := strings.Cut(rest, " ")
	e.Client = address(strings.TrimSuffix(word, ":"))
	return e.Client.IsValid()
}

// sshBadVersion reads "'JUNK' from ADDRESS port N", before 7.4 without the port.
func sshBadVersion(_, rest string, e *detector.Event) bool {
	if _, client, ok := sshFromEnd(rest); ok {
		e.Client = client
		return client.IsValid()
	}
	i := strings.LastIndex(rest, "' from ")
	if i < 0 {
		return false
	}
	e.Client = address(rest[i+len("' from "):])
	return e.Client.IsValid()
}
