package explain

import (
	"strconv"
	"time"

	"regwarden/detector"
)

// fields lists what an event says, in the order of the path; fields that are empty are left out.
func fields(e *detector.Event) []Pair {
	out := []Pair{}
	add := func(name, value string) {
		if value != "" {
			out = append(out, Pair{name, value})
		}
	}
	if !e.Time.IsZero() {
		add("time", e.Time.UTC().Format(time.RFC3339Nano))
	}
	if e.Client.IsValid() {
		add("client", e.Client.String())
	}
	add("source", e.Kind.String())
	add("operation", e.Operation.String())
	add("method", e.Method)
	add("path", e.Path)
	add("status", strconv.Itoa(e.Status))
	if e.Bytes > 0 {
		add("bytes", strconv.FormatInt(e.Bytes, 10))
	}
	if e.Weight > 1 {
		add("weight", strconv.Itoa(e.Weight))
	}
	for _, f := range []detector.Field{detector.FieldRepository, detector.FieldReference, detector.FieldUser, detector.FieldUserAgent,
		detector.FieldProject, detector.FieldThrottle, detector.FieldThrottleEnv, detector.FieldSafelist, detector.FieldError, detector.FieldMessage} {
		add(f.String(), e.Text(f))
	}
	return out
}
