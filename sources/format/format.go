// Package format reads log lines: one file a dialect, each turning a line into the detector's normalised event.
//
// Wrappers are peeled first (svlogd's prefix, docker's json-file records, CRI's P and F lines, a syslog header), then the dialect
// is recognised from the line itself, so one file may mix several, as GitLab's registry log does.
// Lines are written by attackers: no field is taken from text that a client can shape when the log has a better one.
package format

import (
	"time"

	"regwarden/detector"
)

// Options says how to read one log.
type Options struct {
	// Name is a dialect of Names, or "auto" (also when empty): recognised line by line.
	Name string
	// Reference is a time near the log's newest line: it gives the year to syslog lines that have none, so that no line is
	// more than a day after it. Zero means that such lines get no time.
	Reference time.Time
	// Location is the zone of times that name none; nil means UTC.
	Location *time.Location
	// TrustForwarded takes the client from fields that the registry made from X-Forwarded-For, although any client
	// can write that header. Off, such a line has no client.
	TrustForwarded bool
	// TrustOwnAccess takes the client from a registry's own access lines, into which any client that reaches it directly can write lines.
	TrustOwnAccess bool
	// Kind, when not zero, replaces the dialect's own kind of source.
	Kind detector.Kind
}

// Verdict is what became of a line.
type Verdict uint8

// The verdicts.
const (
	// Unparsed: no dialect knows the line.
	Unparsed Verdict = iota
	// Parsed: the event is filled in.
	Parsed
	// Noise: the line is known and says nothing that a rule could want, or is a part of a record that goes on.
	Noise
	// Foreign: a program's line behind a syslog header that no dialect knows. Only a rule with a failregex can want it.
	Foreign
)

var verdictNames = [...]string{"unparsed", "parsed", "noise", "foreign"}

// String returns the name that explain prints.
func (v Verdict) String() string {
	if int(v) >= len(verdictNames) {
		return "invalid"
	}
	return verdictNames[v]
}

// The limits that hold whatever a line says.
const (
	// MaxLine is the most bytes of a line that are looked at; it is what the sources cut lines to.
	MaxLine = 64 << 10
	// MaxText is the most bytes of a text field; a longer one is cut.
	MaxText = 4 << 10
	// MaxWeight is the most requests that one line can stand for.
	MaxWeight = 10000
)
