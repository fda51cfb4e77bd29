package rules

import (
	"fmt"

	"regwarden/detector"
)

// Read turns a sample line into an event; false means that no dialect knows it. The caller brings it, since rules know no dialects.
type Read func(line []byte) (*detector.Event, bool)

// Test runs the rule's [[test]] lines and returns what failed, one line each.
func Test(r *detector.Rule, read Read) []string {
	var failed []string
	for _, t := range r.Tests {
		e, known := read([]byte(t.Line))
		got, why := "", ""
		switch {
		case !known && len(r.FailRegex) == 0:
			why = "no dialect knows the line"
		case detector.Exempt(e) != "":
			why = detector.Exempt(e)
		default:
			addr, refusal := r.Explain([]byte(t.Line), e)
			if refusal == nil {
				got = addr.String()
			} else {
				why = refusal.Part + ": " + refusal.Condition
			}
		}
		if got == t.Client {
			continue
		}
		if got == "" {
			failed = append(failed, fmt.Sprintf("%s: test: must hit %s but hits nobody; %s", t.Position, t.Client, why))
		} else {
			failed = append(failed, fmt.Sprintf("%s: test: must hit %q but hits %s", t.Position, t.Client, got))
		}
	}
	return failed
}
