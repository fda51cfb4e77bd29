package detector

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// candidates are the projects that the repositories may belong to, at most evidenceValues.
func candidates(repositories []string) []string {
	var out []string
	for _, r := range repositories {
		for _, p := range ProjectCandidates(r) {
			if len(out) < evidenceValues && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// reason says in one sentence what the target did.
func reason(r *Rule, dec *Decision, e *evidence) string {
	var b strings.Builder
	what := "times"
	if r.Distinct != nil {
		what = "different values of " + r.Distinct.String()
	}
	fmt.Fprintf(&b, "%s: %d %s in %v", r.Summary, dec.Count, what, dec.Last.Sub(dec.First).Round(time.Second))
	for _, part := range []struct {
		name   string
		values []string
	}{{"repository", e.repositories}, {"reference", e.references}, {"user", e.users}} {
		if len(part.values) > 0 {
			fmt.Fprintf(&b, ", %s %s", part.name, quoteSome(part.values))
		}
	}
	return b.String()
}

// quoteSome quotes up to three values, which are an attacker's text.
func quoteSome(values []string) string {
	var out []string
	for _, v := range values[:min(3, len(values))] {
		out = append(out, fmt.Sprintf("%q", cut(v, 80)))
	}
	if n := len(values) - 3; n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, ", ")
}
