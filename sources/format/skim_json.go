package format

import (
	"net/netip"
	"strings"
	"unsafe"

	"regwarden/detector"
)

// glimpse is one of the values that skimming wants of a record.
type glimpse uint8

const (
	ignored glimpse = iota // nobody reads the key
	unusual                // a key by which Read may decide otherwise
	gMethod
	gPath
	gController
	gAction
	gStatus
	gTime
	gClient
	gAgent
	gMessage
	gSystem
	gProof    // a key that only this dialect has
	gProofToo // another, which may stand twice
	glimpses
)

// need is a set of glimpses.
type need uint32

func needs(list ...glimpse) (n need) {
	for _, g := range list {
		n |= 1 << g
	}
	return n
}

// skimmed is what was seen of a record; a text counts only if it was seen.
type skimmed struct {
	texts [glimpses]string
	seen  need
	by    *plan // by which the record was read, and that has put its fixed values into texts
}

func (r *Reader) skimJSON(s string, g *detector.Glance) Verdict {
	switch {
	case s[len(s)-1] != '}' || strings.HasPrefix(s, `{"log":`):
	case strings.HasPrefix(s, `{"method":"`):
		return parsedIf((r.fixed == nil || r.fixed.name == "gitlab-rails") && r.skimRails(s, g))
	case r.fixed == nil || r.fixed.name == "gitlab-registry":
		return r.skimRegistry(s, g)
	}
	return Unparsed
}

// railsGlimpse and railsWants: nothing that is wanted comes after the user agent in production_json.log, and most of the row does.
func railsGlimpse(k key) glimpse {
	switch k {
	case keyMethod:
		return gMethod
	case keyPath:
		return gPath
	case keyController:
		return gController
	case keyAction:
		return gAction
	case keyStatus:
		return gStatus
	case keyTime:
		return gTime
	case keyRemoteIP:
		return gClient
	case keyUA:
		return gAgent
	case keyClientIP, keyMessage:
		return unusual
	}
	return ignored
}

var railsWants = needs(gMethod, gPath, gController, gAction, gStatus, gTime, gClient, gAgent)

// skimRails is readRails. The row has a user or not: that is not looked for.
func (r *Reader) skimRails(s string, g *detector.Glance) bool {
	v := &r.skimmed
	if !r.railsLayouts.find(s).walk(s, &r.marks, railsGlimpse, railsWants, v, &r.scratch) || v.seen != railsWants {
		return false
	}
	path, controller := v.texts[gPath], v.texts[gController]
	if controller == "" || !r.skimValues(v, g) {
		return false
	}
	if strings.IndexByte(path, '%') >= 0 || strings.IndexByte(path, '?') >= 0 || !strings.HasPrefix(path, "/") {
		return false
	}
	g.Client = skimAddress(s, v.texts[gClient])
	g.Head, g.Path = v.texts[gMethod] == "HEAD", path
	operation, known := controllerOperation(controller, v.texts[gAction])
	switch {
	case known:
		g.Operation = operation
	case strings.HasPrefix(path, "/v2/"):
		r.skimPath(v.texts[gMethod], path, g)
	default:
		g.Operation = detector.OpWeb
		if v.texts[gMethod] == "POST" && isLogin(path) {
			return false
		}
	}
	r.dialect, g.Kind, g.Anonymous = "gitlab-rails", detector.KindRails, false
	return true
}

// registryGlimpse and registryWants: all keys of the registry's access line are looked at, for a route or a backend would make it Workhorse's.
func registryGlimpse(k key) glimpse {
	switch k {
	case keyMethod:
		return gMethod
	case keyURI:
		return gPath
	case keyStatus:
		return gStatus
	case keyTime:
		return gTime
	case keyRemoteAddr:
		return gClient
	case keyUserAgent:
		return gAgent
	case keyMsg:
		return gMessage
	case keySystem:
		return gSystem
	case keyCorrelationID:
		return gProof
	case keyGoVersion, keyRootRepo:
		return gProofToo
	case keyNone, keyLevel, keyWrittenBytes, keyRemoteIP, keyPath:
		return ignored
	}
	return unusual
}

var registryWants = needs(gMethod, gPath, gStatus, gTime, gClient, gAgent, gMessage, gSystem, gProof)

// skimRegistry is readRegistry for an access line with a client that nobody could choose, and for the registry's remarks, of which a request leaves several.
func (r *Reader) skimRegistry(s string, g *detector.Glance) Verdict {
	v := &r.skimmed
	if r.options.TrustForwarded || !r.registryLayouts.find(s).walk(s, &r.marks, registryGlimpse, 0, v, &r.scratch) || v.seen&needs(gMessage) == 0 || v.seen&needs(gProof, gProofToo) == 0 {
		return Unparsed
	}
	r.dialect = "gitlab-registry"
	r.ownStream = r.ownStream || r.fixed == nil
	if v.texts[gMessage] != "access" || v.seen&needs(gSystem) == 0 || v.texts[gSystem] != "http" {
		return Noise
	}
	if v.seen&^needs(gProofToo) != registryWants || !r.skimValues(v, g) {
		return Unparsed
	}
	g.Client = skimAddress(s, v.texts[gClient])
	if o := skimObject(v.texts[gPath]); o != detector.OpOther {
		g.Head, g.Operation, g.Path = v.texts[gMethod] == "HEAD", o, v.texts[gPath]
	} else {
		r.skimPath(v.texts[gMethod], v.texts[gPath], g)
	}
	g.Kind, g.Anonymous = detector.KindRegistry, true
	return Parsed
}

// skimAddress is address for what it nearly always is: an IPv4 address, perhaps with a port. text stands in s, the line, unless it was built or hardly ever changes.
func skimAddress(s, text string) netip.Addr {
	at := uintptr(unsafe.Pointer(unsafe.StringData(text))) - uintptr(unsafe.Pointer(unsafe.StringData(s)))
	if at >= uintptr(len(s)) || int(at)+max(len(text), quadRoom) > len(s) {
		return address(text)
	}
	if a, end := quad(s, int(at)); end > 0 && a != 0 {
		if end -= int(at); end == len(text) {
			return fromQuad(a)
		}
		if port := len(text) - end - len(":"); port > 0 && port <= len("65535") && text[end] == ':' && digitsEnd(text, end+1) == len(text) {
			return fromQuad(a)
		}
	}
	return address(text)
}

// skimValues reads status, time and user agent.
func (r *Reader) skimValues(v *skimmed, g *detector.Glance) bool {
	status := v.texts[gStatus]
	if len(status) != 3 {
		return false
	}
	if g.Status = digits(status, 0, 3); g.Status < 100 {
		return false
	}
	g.Agent = v.texts[gAgent]
	return r.skimStamp(v.texts[gTime], g)
}

// skimStamp reads "2026-10-05T08:00:01.892Z". Most lines have the same second as the one before.
func (r *Reader) skimStamp(s string, g *detector.Glance) bool {
	const seconds, whole = len("2026-10-05T08:00:01"), len("2026-10-05T08:00:01.892Z")
	if len(s) != whole || s[seconds] != '.' || s[whole-1] != 'Z' {
		return false
	}
	ms := digits(s, seconds+1, 3)
	if ms < 0 {
		return false
	}
	if s[:seconds] != r.second {
		t := timestamp(s)
		if t.IsZero() {
			return false
		}
		r.secondIs = t.UnixMilli() - int64(ms)
		r.secondText = append(r.secondText[:0], s[:seconds]...)
		r.second = view(r.secondText)
	}
	g.Time = r.secondIs + int64(ms)
	return true
}
