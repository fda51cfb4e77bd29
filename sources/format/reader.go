package format

import (
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/valyala/fastjson"

	"regwarden/detector"
	"regwarden/internal/strict"
)

// parserKeep is the longest JSON line after which a parser is used again: it holds on to 17 to 47 times the worst line it
// has seen.
const parserKeep = 16 << 10

// Reader reads the lines of one file, in order. It is not for concurrent use.
type Reader struct {
	options   Options
	reference time.Time
	fixed     *dialect // nil when every line is recognised by itself

	dialect string
	layers  [maxLayers]string
	depth   int

	wrapped   time.Time // the innermost wrapper's time
	syslog    bool      // a syslog header was peeled
	program   string    // the program that the syslog header names
	cut       bool      // the line is longer than a line may be
	bulky     bool      // a parser has seen a line longer than parserKeep
	ownStream bool      // the file has a registry's own log in it: see own.go

	inner, outer fastjson.Parser
	record       record
	access       access
	scratch      scratch
	parts        [streams]part

	marks marks // of the line that is skimmed
	// What Skim remembers of the last line.
	second     string // its time
	secondText []byte // where second stands
	secondIs   int64  // the same in unix milliseconds
	skimmed    skimmed
	// The orders of keys in both sorts of records.
	railsLayouts, registryLayouts layouts
}

// New returns a reader for one file.
func New(options Options) (*Reader, error) {
	r := &Reader{options: options, reference: options.Reference}
	if r.options.Location == nil {
		r.options.Location = time.UTC
	}
	if options.Name == "" || options.Name == auto {
		return r, nil
	}
	for i := range dialects {
		if dialects[i].name == options.Name {
			r.fixed = &dialects[i]
			return r, nil
		}
	}
	near := ""
	if n := strict.Nearest(options.Name, Names()); n != "" {
		near = fmt.Sprintf("; did you mean %q?", n)
	}
	return nil, fmt.Errorf("unknown format %q%s; known are %s", options.Name, near, strings.Join(Names(), ", "))
}

// Read reads one line, given without its newline, into e. It resets e first, and sets Weight and Kind for every verdict.
//
// The event's text fields are views into line or into memory of the reader: they are valid until the next Read.
func (r *Reader) Read(line []byte, e *detector.Event) Verdict {
	e.Reset()
	e.Weight = 1
	r.start()
	if r.cut = len(line) >= MaxLine; len(line) > MaxLine {
		line = line[:MaxLine]
	}
	verdict := r.read(trimLine(view(line)), e)
	if e.Time.IsZero() {
		e.Time = r.wrapped
	}
	if r.options.Kind != detector.KindUnknown {
		e.Kind = r.options.Kind
	}
	limit(e)
	r.finish()
	return verdict
}

// Dialect returns the name of the dialect of the last line; empty when no dialect knew it.
func (r *Reader) Dialect() string { return r.dialect }

// Wrapper returns what was peeled off the last line, outermost first and joined by "+", such as "cri" or
// "docker+svlogd"; empty when there was nothing.
func (r *Reader) Wrapper() string { return strings.Join(r.layers[:r.depth], "+") }

// SetReference moves Options.Reference. Who follows a log that grows calls it now and then with the time of day, or syslog
// lines without a year that come after more than a day of silence are taken for last year's.
func (r *Reader) SetReference(t time.Time) {
	if !r.reference.IsZero() {
		r.reference = t
	}
}

func (r *Reader) start() {
	r.dialect, r.program = "", ""
	r.depth, r.syslog, r.bulky = 0, false, false
	r.wrapped = time.Time{}
	r.scratch.reset()
}

// finish lets go of parsers that have grown; the event's views keep what they need of them alive.
func (r *Reader) finish() {
	r.record.release()
	if r.bulky {
		r.inner, r.outer = fastjson.Parser{}, fastjson.Parser{}
	}
}

// read peels the wrappers and reads what is inside.
func (r *Reader) read(line string, e *detector.Event) Verdict {
	inner, whole := r.peel(line)
	if !whole {
		return Noise
	}
	verdict := r.readEither(inner, e)
	if verdict == Unparsed && r.syslog {
		return Foreign
	}
	return verdict
}

// readEither reads the line that was joined, or its last part where what was remembered was no beginning but the end of a stream: then the last
// part is a line of its own, with a client of its own.
func (r *Reader) readEither(inner peeled, e *detector.Event) Verdict {
	if inner.last == "" {
		return r.readPeeled(inner.line, e)
	}
	for _, line := range [...]string{inner.last, inner.line} {
		if r.readPeeled(line, e) == Parsed && e.Client.IsValid() {
			return Parsed
		}
		e.Reset()
		e.Weight = 1
	}
	if verdict := r.readPeeled(inner.line, e); verdict != Unparsed {
		return verdict
	}
	return r.readPeeled(inner.last, e)
}

func (r *Reader) readPeeled(line string, e *detector.Event) Verdict {
	if isNoise(line) {
		return Noise
	}
	read := r.readAuto
	if r.fixed != nil {
		read = r.readFixed
	}
	return read(line, e)
}

// isNoise knows the lines that stand between a log's lines: blank ones, the first line that Ruby's logger writes, and the file names
// that `tail -F` (and so the stdout of GitLab's docker image) writes.
func isNoise(line string) bool {
	return line == "" || strings.HasPrefix(line, "# Logfile created on ") ||
		strings.HasPrefix(line, "==> ") && strings.HasSuffix(line, " <==")
}

// trimLine strips what is no part of the text: a byte order mark, blanks before it and the carriage return after it.
func trimLine(s string) string {
	s = strings.TrimPrefix(s, "\ufeff")
	s = strings.TrimSuffix(s, "\r")
	if s != "" && s[0] <= ' ' {
		s = strings.TrimLeft(s, " \t")
	}
	return s
}

func limit(e *detector.Event) {
	e.Weight = min(max(e.Weight, 1), MaxWeight)
	for _, s := range [...]*string{&e.Method, &e.Path, &e.Repository, &e.Reference, &e.User, &e.UserAgent,
		&e.Project, &e.Throttle, &e.ThrottleEnv, &e.Safelist, &e.Error, &e.Message} {
		if len(*s) > MaxText {
			*s = (*s)[:MaxText]
		}
	}
}

// view returns the bytes as text without copying them.
func view(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

// bytesOf is the memory of s, to be read only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
