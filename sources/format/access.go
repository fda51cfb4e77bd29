package format

import (
	"net/netip"
	"strings"
	"time"

	"regwarden/detector"
)

// access is an access log's line, in the order that nearly all of them have:
//
//	CLIENT - USER [TIME] "REQUEST" STATUS BYTES "REFERER" "AGENT" …
type access struct {
	client  netip.Addr
	time    time.Time
	user    string
	request string
	agent   string
	status  int
	bytes   int64
	// bare says that the line has an empty referer, "", and nothing behind the agent: distribution's own, or that of GitLab's nginx before 13.0.
	bare bool
	// tail is what stands after the agent, with the blank before it.
	tail string
}

// newAccess returns the reader's one access line: on the stack it would not stay there, since its fields are read through a function value.
func (r *Reader) newAccess(a access) *access {
	r.access = a
	return &r.access
}

// maxCandidates is how many places are tried as the line's time. Only a user name can hold a false one before the true one.
const maxCandidates = 8

// cutClient takes the first word off, which is the peer that the server saw: an address, a host name, "-" or "unix:".
func cutClient(line string) (client netip.Addr, rest string, ok bool) {
	i := strings.IndexByte(line, ' ')
	if i <= 0 || i > 255 {
		return netip.Addr{}, "", false
	}
	for j := 0; j < i; j++ {
		switch c := line[j]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == ':', c == '-', c == '_', c == '%', c == '[', c == ']':
		default:
			return netip.Addr{}, "", false
		}
	}
	return address(line[:i]), line[i+1:], true
}

// body reads what follows the client. The user is text of a stranger, unquoted, and may look like the rest of a line: the first time counts after
// which all the rest fits, as finish says who reads what stands behind the request.
func (a *access) body(s string, whole bool, finish func(a *access, rest string, whole bool) bool) bool {
	tries := 0
	for i := strings.IndexByte(s, '['); i >= 0 && tries < maxCandidates; i = next(s, i, "[") {
		at, rest, ok := timed(s[i+1:])
		if !ok {
			continue
		}
		tries++
		end := closingQuote(rest)
		if end < 0 || !strings.HasPrefix(rest[end+1:], " ") {
			continue
		}
		a.time, a.user, a.request = at, accessUser(s[:i]), rest[:end]
		if finish(a, rest[end+2:], whole) {
			return true
		}
	}
	return false
}

// timed reads `TIME] "` and returns what follows.
func timed(s string) (at time.Time, rest string, ok bool) {
	if at, ok = timeLocal(s); !ok {
		return time.Time{}, "", false
	}
	rest, ok = strings.CutPrefix(s[timeLocalLength:], `] "`)
	return at, rest, ok
}

// accessUser reads what stands between client and time: "- USER ", or "- [REAL_IP] - USER " in old ingress-nginx.
func accessUser(s string) string {
	s = strings.TrimSuffix(s, " ")
	s = strings.TrimPrefix(s, "- ")
	if strings.HasPrefix(s, "[") {
		if _, after, ok := strings.Cut(s, "] - "); ok {
			s = after
		}
	}
	if s == "-" {
		return ""
	}
	return s
}

// combined reads `STATUS BYTES "REFERER" "AGENT"` and whatever fields follow. A line that was cut may end anywhere after the status.
func combined(a *access, rest string, whole bool) bool {
	rest, ok := a.statusBytes(rest)
	if !ok {
		return false
	}
	a.agent, a.tail, a.bare = "", "", false
	if rest == "" {
		return true // the common log format
	}
	referer, rest, ok := quoted(rest)
	if ok {
		a.agent, rest, ok = quoted(rest)
	}
	if a.agent == "-" {
		a.agent = ""
	}
	if ok && isTail(rest) {
		a.tail, a.bare = rest, referer == "" && rest == ""
		return true
	}
	return !whole
}

// statusBytes reads "404 93", or "404 -".
func (a *access) statusBytes(s string) (rest string, ok bool) {
	if len(s) < 5 || s[3] != ' ' {
		return "", false
	}
	if a.status = digits(s, 0, 3); a.status < 0 {
		return "", false
	}
	size, rest, found := strings.Cut(s[4:], " ")
	if found {
		rest = s[4+len(size):] // with its blank
	}
	a.bytes, ok = decimal(size)
	return rest, ok || size == "-"
}

// quoted reads a blank and a quoted text.
func quoted(s string) (inside, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, ` "`)
	if !ok {
		return "", "", false
	}
	end := closingQuote(s)
	if end < 0 {
		return s, "", false
	}
	return s[:end], s[end+1:], true
}

// isTail says whether the rest is fields that are each either quoted or have no quote in them.
func isTail(s string) bool {
	for s != "" {
		if strings.HasPrefix(s, ` "`) {
			var ok bool
			if _, s, ok = quoted(s); !ok {
				return false
			}
			continue
		}
		if s[0] != ' ' {
			return false
		}
		end := strings.IndexByte(s[1:], ' ') + 1
		if end == 0 {
			end = len(s)
		}
		if strings.IndexByte(s[:end], '"') >= 0 {
			return false
		}
		s = s[end:]
	}
	return true
}

// loose reads a line whose writer escapes nothing: the request ends where a quote, a status and a blank follow, and the agent is the last
// of what is quoted. Such a client can disguise its own request, but not itself.
func (a *access) loose(s string) bool {
	for i := strings.IndexByte(s, '['); i >= 0; i = next(s, i, "[") {
		if at, rest, ok := timed(s[i+1:]); ok {
			a.time, a.user = at, accessUser(s[:i])
			return a.looseRequest(rest)
		}
	}
	return false
}

func (a *access) looseRequest(s string) bool {
	for i := strings.Index(s, `" `); i >= 0; i = next(s, i, `" `) {
		rest := s[i+2:]
		if len(rest) >= 4 && rest[3] == ' ' && digits(rest, 0, 3) >= 0 {
			a.request, a.status = s[:i], digits(rest, 0, 3)
			size, _, _ := strings.Cut(rest[4:], " ")
			a.bytes, _ = decimal(size)
			a.agent = looseAgent(rest)
			return true
		}
	}
	return false
}

// next returns where the text comes again after i, -1 when it does not.
func next(s string, i int, text string) int {
	j := strings.Index(s[i+1:], text)
	if j < 0 {
		return -1
	}
	return i + 1 + j
}

// looseAgent reads `STATUS BYTES "REFERER" "AGENT"`: the agent is what stands after the first quote, blank, quote.
func looseAgent(s string) string {
	begin := strings.Index(s, `" "`)
	end := strings.LastIndexByte(s, '"')
	if begin < 0 || end < begin+3 {
		return ""
	}
	if inside := s[begin+3 : end]; inside != "-" {
		return inside
	}
	return ""
}

// event puts what was read into the event.
func (a *access) event(e *detector.Event, s *scratch) {
	e.Time, e.Client, e.User = a.time, a.client, a.user
	e.Status, e.Bytes, e.UserAgent = a.status, a.bytes, a.agent
	request(a.request, e, s)
}

// request reads "GET /v2/ HTTP/1.1". Anything else, such as "-  -" or the bytes of a TLS handshake, is a request for nothing.
func request(line string, e *detector.Event, s *scratch) {
	method, rest, ok := strings.Cut(line, " ")
	i := strings.LastIndexByte(rest, ' ')
	if !ok || i <= 0 || !strings.HasPrefix(rest[i+1:], "HTTP/") || !isMethod(method) {
		return
	}
	e.Method = method
	classify(method, rest[:i], s).set(e)
}

func isMethod(text string) bool {
	if text == "" || len(text) > 32 {
		return false
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return text != "-"
}
