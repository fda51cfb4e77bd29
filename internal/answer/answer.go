package answer

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/sources/format"
)

// Request is what is known of a request when it is decided on.
type Request struct {
	Method     string
	Operation  detector.Operation
	Repository string
	// Registry says that the path is the registry's, so that JSON is what its client reads.
	Registry          bool
	Accept, UserAgent string
}

// ReadRequest takes a request's line apart. The path is decoded and then cleaned as web servers do it, so that /v2/acme/%2e/web is acme/web here and there.
func ReadRequest(method, uri string) Request {
	p, query, _ := strings.Cut(uri, "?")
	p = cleanPath(p)
	r := Request{Method: strings.ToUpper(method)}
	operation, _, repository, _ := format.Classify(r.Method, p+"?"+query)
	r.Operation, r.Repository = operation, cleanName(repository)
	r.Registry = strings.HasPrefix(p, "/v2/") || p == "/v2" || operation == detector.OpToken || repository != ""
	return r
}

// escaped is what a decoded path must have escaped to be decoded again as it is.
var escaped = strings.NewReplacer("%", "%25", "?", "%3F")

func cleanPath(p string) string {
	if _, rest, absolute := strings.Cut(p, "://"); absolute && !strings.HasPrefix(p, "/") {
		_, p, _ = strings.Cut(rest, "/")
		p = "/" + p
	}
	decoded, err := url.PathUnescape(p)
	if err != nil {
		decoded = p
	}
	if !strings.Contains(decoded, "//") && !strings.Contains(decoded, "/.") {
		return p
	}
	clean := path.Clean(decoded)
	if strings.HasSuffix(decoded, "/") && clean != "/" {
		clean += "/"
	}
	if err != nil {
		return clean
	}
	return escaped.Replace(clean)
}

// cleanName is the name as a server understands it that decodes a path before it cleans it.
func cleanName(name string) string {
	if strings.Contains(name, "//") || strings.Contains(name, "./") {
		return strings.TrimPrefix(path.Clean("/"+name), "/")
	}
	return name
}

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	// Body is what follows the headers; for HEAD it is what GET would get, and is not sent.
	Body []byte
}

// throttle is how long a block is at most that is no block but a throttle: a client that waits is welcome then. For anything longer 429 is wrong: some
// clients would wait for it in silence, and others would ask five times more often.
const throttle = 30 * time.Second

// Answer makes the answer to a request that is refused. A client whose host is blocked gets the registry's ping, which is where clients look whether
// this is a registry at all, and "no such blob" to its question before an upload: so each goes on to a request whose answer it prints.
func (t *Text) Answer(n Notice, r Request, now time.Time) Answer {
	head := http.Header{}
	head.Set("Cache-Control", "no-store")
	if r.Registry {
		head.Set("Docker-Distribution-Api-Version", "registry/2.0")
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case r.Operation == detector.OpPing && read && n.Host():
		head.Set("Content-Type", "application/json")
		return Answer{http.StatusOK, head, []byte("{}")}
	case n.Cause.Until.Sub(n.Cause.Since) <= throttle:
		return t.throttled(n, r, now, head)
	case r.Operation == detector.OpBlob && r.Method == http.MethodHead:
		return Answer{http.StatusNotFound, head, nil}
	}
	left(head, n, now)
	head.Set("X-Block-Id", tidy(n.Cause.ID, roomID))
	return Answer{http.StatusForbidden, head, t.body(n, r, "DENIED", head)}
}

// left says how many seconds the block lasts.
func left(head http.Header, n Notice, now time.Time) {
	head.Set("Retry-After", strconv.FormatInt(max(1, int64((n.Cause.Until.Sub(now)+time.Second-1)/time.Second)), 10))
}

// throttled answers a block of seconds, with the headers that GitLab has for it.
func (t *Text) throttled(n Notice, r Request, now time.Time, head http.Header) Answer {
	left(head, n, now)
	rule, _ := t.rule(n.Cause.Rule)
	for name, value := range map[string]string{
		"RateLimit-Limit": strconv.Itoa(rule.Limit), "RateLimit-Name": tidy(n.Cause.Rule, roomRule), "RateLimit-Observed": strconv.Itoa(n.Cause.Count), "RateLimit-Remaining": "0",
		"RateLimit-Reset": strconv.FormatInt(n.Cause.Until.Unix(), 10), "RateLimit-ResetTime": n.Cause.Until.UTC().Format(http.TimeFormat),
	} {
		head[name] = []string{value} // spelled as GitLab spells them
	}
	return Answer{http.StatusTooManyRequests, head, t.body(n, r, "TOOMANYREQUESTS", head)}
}

// body is the message as the client reads it.
func (t *Text) body(n Notice, r Request, code string, head http.Header) []byte {
	switch accept := strings.ToLower(r.Accept); {
	case strings.Contains(accept, "text/html"):
		head.Set("Content-Type", "text/html; charset=utf-8")
		return t.page(n)
	case strings.Contains(accept, "json"):
	case !r.Registry, textual(r.UserAgent):
		head.Set("Content-Type", "text/plain; charset=utf-8")
		return []byte(t.Message(n) + "\n")
	}
	head.Set("Content-Type", "application/json; charset=utf-8")
	return t.json(n, code, t.Message(n))
}

// textual knows the programs that show a body to people as it is. git shows one that is text/plain.
func textual(agent string) bool {
	for _, name := range []string{"curl/", "git/", "Wget/"} {
		if strings.HasPrefix(agent, name) {
			return true
		}
	}
	return false
}

// ociErrors is the form that the distribution specification wants.
type ociErrors struct {
	Errors [1]ociError `json:"errors"`
}

type ociError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

type ociDetail struct {
	BlockID   string    `json:"block_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// json is made 100,000 times at a start, and a message needs no quoting.
func (t *Text) json(n Notice, code, message string) []byte {
	id, end := tidy(n.Cause.ID, roomID), n.Cause.Until.UTC().Truncate(time.Second)
	if year := end.Year(); plain(message) && plain(id) && 0 <= year && year <= 9999 {
		out := make([]byte, 0, len(message)+len(id)+128)
		out = append(append(append(out, `{"errors":[{"code":"`...), code...), `","message":"`...)
		out = append(append(append(out, message...), `","detail":{"block_id":"`...), id...)
		out = end.AppendFormat(append(out, `","expires_at":"`...), time.RFC3339)
		return append(out, "\"}}]}\n"...)
	}
	return encode(ociError{Code: code, Message: message, Detail: ociDetail{id, end}})
}

// plain says whether a text is the same in JSON.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func encode(e ociError) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the address may have an & that people copy
	_ = enc.Encode(ociErrors{[1]ociError{e}})
	return b.Bytes()
}

// JSON is the message, and with it the body for a registry's client: what a file has that a web server hands out.
func (t *Text) JSON(n Notice) (message string, body []byte) {
	message = t.Message(n)
	return message, t.json(n, "DENIED", message)
}

// page is for a browser: the same, and a link.
func (t *Text) page(n Notice) []byte {
	message := html.EscapeString(t.Message(n))
	if u := html.EscapeString(t.URL(n.Cause.ID)); u != "" {
		message = strings.Replace(message, u, `<a href="`+u+`">`+u+`</a>`, 1)
	}
	return []byte("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Blocked</title></head>\n<body><h1>Blocked</h1>\n<p>" + message + "</p>\n</body></html>\n")
}

// Unavailable is the answer where nobody can be let in because it is not known who is blocked (fail_closed).
func Unavailable() Answer {
	h := http.Header{}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("Retry-After", "5")
	return Answer{http.StatusServiceUnavailable, h, encode(ociError{Code: "UNAVAILABLE",
		Message: "UNAVAILABLE: regwarden cannot tell who is blocked, and is set to let nobody in then (fail_closed). Try again soon, or tell the operator"})}
}
