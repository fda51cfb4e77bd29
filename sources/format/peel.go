package format

import (
	"strings"
	"time"
)

// maxLayers is how many wrappers a line may have: docker around svlogd's output that syslog sent is three.
const maxLayers = 4

// peeled is what a line has inside.
type peeled struct {
	line string
	// last is the last part alone, where line was joined from parts of which the first may be another line's.
	last string
}

// layer is what one wrapper made of a line.
type layer struct {
	rest string
	time time.Time // zero where the wrapper has none
	// joined and alone are set by the wrappers that split long lines.
	partial bool
	alone   string
	ok      bool
}

// wrappers are tried in this order on what the one before left, until none fits.
var wrappers = [...]struct {
	name string
	peel func(*Reader, string) layer
}{
	{"svlogd", (*Reader).peelSvlogd},
	{"docker", (*Reader).peelDocker},
	{"cri", (*Reader).peelCRI},
	{"syslog", (*Reader).peelSyslog},
}

// peel strips the wrappers. The line is not whole while a record goes on in a later line.
func (r *Reader) peel(line string) (p peeled, whole bool) {
	p.line = line
	for r.depth < maxLayers {
		l, name := r.peelOne(p.line)
		if !l.ok {
			break
		}
		r.layers[r.depth] = name
		r.depth++
		if !l.time.IsZero() {
			r.wrapped = l.time
		}
		if l.partial {
			return p, false
		}
		p.line = trimLine(l.rest)
		if l.alone != "" {
			p.last = trimLine(l.alone)
		}
	}
	return p, true
}

func (r *Reader) peelOne(line string) (l layer, name string) {
	if !mayBeWrapped(line) {
		return layer{}, ""
	}
	for i := range wrappers {
		if l := wrappers[i].peel(r, line); l.ok {
			return l, wrappers[i].name
		}
	}
	return layer{}, ""
}

// mayBeWrapped looks at the first bytes, so that most lines without a wrapper cost next to nothing.
func mayBeWrapped(line string) bool {
	if len(line) < len("@400000006b01e16a") {
		return false
	}
	switch c := line[0]; c {
	case '{':
		return strings.HasPrefix(line, `{"log":`)
	case '@', '<':
		return true
	case '1':
		if strings.HasPrefix(line, "1 ") {
			return true // RFC 5424 without its priority
		}
		fallthrough
	default:
		if c >= '0' && c <= '9' {
			return line[4] == '-' && line[7] == '-'
		}
		return c >= 'A' && c <= 'S' && line[3] == ' ' && line[6] == ' '
	}
}
