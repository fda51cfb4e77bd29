package format

import (
	"strings"

	"regwarden/detector"
)

// Skim takes in at first sight what most lines of the busiest dialects say, without an event. It says Unparsed where anything is not as usual: then Read
// decides. Where it says Parsed or Noise, so would Read, and the same of everything that the glance holds; only a record that is broken, or says
// a thing again and otherwise, behind all that a glance needs is taken as it is till there. The glance's texts are valid until the next line.
//
// The line is the first one of data, up to its newline or the end of data: it returns where that is.
func (r *Reader) Skim(data []byte, g *detector.Glance) (end int, v Verdict) {
	end = r.marks.line(data)
	return end, r.skim(data[:end], g)
}

func (r *Reader) skim(line []byte, g *detector.Glance) Verdict {
	if len(line) < minSkim || len(line) >= maxSkim || line[len(line)-1] == '\r' {
		return Unparsed
	}
	s := view(line)
	r.dialect, r.depth = "", 0
	r.scratch.reset()
	verdict := Unparsed
	switch c := s[0]; {
	case c == '{':
		verdict = r.skimJSON(s, g)
	case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		verdict = parsedIf(r.skimAccess(s, g))
	}
	if verdict == Parsed && r.options.Kind != detector.KindUnknown {
		g.Kind = r.options.Kind
	}
	return verdict
}

func parsedIf(ok bool) Verdict {
	if ok {
		return Parsed
	}
	return Unparsed
}

// Shorter lines are nothing usual. Longer ones could have texts that must be cut (MaxText), and are rare.
const (
	minSkim = 60
	maxSkim = MaxText
)

// skimAccess is readNginx for a line without surprises.
func (r *Reader) skimAccess(s string, g *detector.Glance) bool {
	if r.fixed != nil && (!r.fixed.combined) {
		return false
	}
	end := skimClient(s, g)
	if end == 0 {
		return false
	}
	at := end + len(" - - [")
	if g.Anonymous = strings.HasPrefix(s[end:], " - - ["); !g.Anonymous {
		if at = skimUser(s, end); at == 0 {
			return false
		}
	}
	if len(s) < at+timeLocalLength+len(`] "GET `) || s[at+timeLocalLength:at+timeLocalLength+3] != `] "` || !r.skimTime(s[at:at+timeLocalLength], g) {
		return false
	}
	begin := at + timeLocalLength + len(`] "`)
	end, _ = r.marks.closing(s, begin)
	return end < len(s) && r.skimRequest(s[begin:end], g) && r.skimAnswer(s, end+1, g)
}

// skimUser returns where the time begins behind " - USER [", which stands at s[end:]; 0 where it is not so.
func skimUser(s string, end int) (at int) {
	if !strings.HasPrefix(s[end:], " - ") {
		return 0
	}
	user := end + len(" - ")
	i := strings.IndexByte(s[user:], '[')
	if i < 2 || s[user+i-1] != ' ' {
		return 0
	}
	return user + i + 1
}

// skimAnswer reads ` STATUS BYTES "REFERER" "AGENT" …`, which begins at a place in the line.
func (r *Reader) skimAnswer(s string, at int, g *detector.Glance) bool {
	if len(s) < at+8 || s[at] != ' ' || s[at+4] != ' ' {
		return false
	}
	if g.Status = digits(s, at+1, 3); g.Status < 0 {
		return false
	}
	size := at + 5
	at = digitsEnd(s, size)
	if at == size || at > size+18 {
		return false
	}
	unreferred := strings.HasPrefix(s[at:], ` "" "`)
	if unreferred {
		at += len(` ""`)
	} else if strings.HasPrefix(s[at:], ` "-" "`) {
		at += len(` "-"`)
	} else if at = r.skimQuoted(s, at); at < 0 {
		return false
	}
	end := r.skimQuoted(s, at)
	if end < 0 || unreferred && end == len(s) { // it may be a registry's own line
		return false
	}
	agent, tail := s[at+len(` "`):end-1], s[end:]
	if g.Agent = agent; agent == "-" {
		g.Agent = ""
	}
	r.dialect, g.Kind = "nginx", detector.KindAccess
	if r.fixed != nil {
		r.dialect = r.fixed.name
	}
	if tail == "" || tail == " -" {
		return true
	}
	if tail[0] != ' ' || strings.IndexByte(tail, '"') >= 0 && !isTail(tail) {
		return false
	}
	if r.fixed == nil && isIngress(tail) {
		r.dialect = "ingress-nginx"
	}
	return true
}

// skimQuoted returns where a blank and a quoted text end that begin at a place in the line, -1 if there is none.
func (r *Reader) skimQuoted(s string, at int) int {
	if !strings.HasPrefix(s[at:], ` "`) {
		return -1
	}
	end, _ := r.marks.closing(s, at+len(` "`))
	if end >= len(s) {
		return -1
	}
	return end + 1
}

// skimClient reads the address at the start of s and returns where it ends; 0 when there is none. s is no shorter than minSkim.
func skimClient(s string, g *detector.Glance) (end int) {
	if a, end := quad(s, 0); end > 0 && s[end] == ' ' && a != 0 {
		g.Client = fromQuad(a)
		return end
	}
	end = strings.IndexByte(s[:min(len(s), maxAddress)], ' ')
	if end <= 0 || !numeric(s[:end]) {
		return 0
	}
	if g.Client = address(s[:end]); !g.Client.IsValid() {
		return 0
	}
	return end
}

// maxAddress is longer than any address.
const maxAddress = 48

// skimTime reads nginx's $time_local. Most lines have the same second as the one before.
func (r *Reader) skimTime(s string, g *detector.Glance) bool {
	if s == r.second {
		g.Time = r.secondIs
		return true
	}
	t, ok := timeLocal(s)
	if !ok || t.IsZero() {
		return false
	}
	r.secondIs = t.UnixMilli()
	r.secondText = append(r.secondText[:0], s...)
	r.second, g.Time = view(r.secondText), r.secondIs
	return true
}

// skimRequest is request for what is well-formed.
func (r *Reader) skimRequest(s string, g *detector.Glance) bool {
	i := skimMethod(s)
	end := len(s) - len(" HTTP/1.1")
	if i == 0 || end <= i+1 || s[end:end+len(" HTTP/")] != " HTTP/" {
		return false
	}
	if v := s[end+len(" HTTP/"):]; v != "1.1" && v != "2.0" && v != "1.0" {
		return false
	}
	g.Head = s[:i] == "HEAD"
	uri := s[i+1 : end]
	if g.Operation = skimObject(uri); g.Operation == detector.OpOther {
		r.skimPath(s[:i], uri, g)
		return true
	}
	g.Path = uri
	return true
}

// skimMethod returns where the method at the start of s ends; 0 when there is none.
func skimMethod(s string) int {
	switch {
	case strings.HasPrefix(s, "GET "):
		return len("GET")
	case strings.HasPrefix(s, "HEAD "):
		return len("HEAD")
	}
	i := strings.IndexByte(s[:min(len(s), maxMethod+1)], ' ')
	if i < 0 || !isMethod(s[:i]) {
		return 0
	}
	return i
}

// maxMethod is the longest method of HTTP and WebDAV that is usual.
const maxMethod = len("PROPPATCH")

// skimObject knows what nearly all pulls ask for, /v2/NAME/blobs/DIGEST and /v2/NAME/manifests/REFERENCE. It says OpOther of what is to be looked at closer.
func skimObject(uri string) detector.Operation {
	const root, hex, digest = len("/v2/"), 64, len("sha256:") + 64
	if !strings.HasPrefix(uri, "/v2/") || len(uri) > maxReference || strings.IndexByte(uri, '%') >= 0 || strings.IndexByte(uri, '?') >= 0 {
		return detector.OpOther
	}
	last := len(uri) - digest // where the last segment begins
	if last <= root || uri[len(uri)-hex-1] != ':' || uri[last-1] != '/' || strings.IndexByte(uri[last:], '/') >= 0 {
		last = strings.LastIndexByte(uri, '/') + 1
	}
	switch {
	case last == len(uri):
	case last > root+len("x/blobs/") && uri[last-len("/blobs/"):last] == "/blobs/" && uri[last:] != "uploads":
		return detector.OpBlob
	case last > root+len("x/manifests/") && uri[last-len("/manifests/"):last] == "/manifests/":
		return detector.OpManifest
	}
	return detector.OpOther
}

// skimPath reads what the request wants.
func (r *Reader) skimPath(method, uri string, g *detector.Glance) {
	route := classify(method, uri, &r.scratch)
	g.Head, g.Operation, g.Path = method == "HEAD", route.operation, route.path
}
