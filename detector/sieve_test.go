package detector_test

import (
	"regexp"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/rules"
)

// TestCostsNamesRulesThatCostEveryLine: a rule that says too little of what it wants is named with the reason, and no shipped one is.
func TestCostsNamesRulesThatCostEveryLine(t *testing.T) {
	shipped, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if got := detector.Costs(shipped.Rules); len(got) > 0 {
		t.Errorf("shipped rules cost every line: %v", got)
	}
	condition := func(f detector.Field, expr string) detector.Conditions {
		return detector.Conditions{{Field: f, Regexps: []*regexp.Regexp{regexp.MustCompile(expr)}}}
	}
	for name, c := range map[string]struct {
		change func(*detector.Rule)
		why    string
	}{
		"a path and no status":      {func(r *detector.Rule) { r.Match = condition(detector.FieldPath, `\.php$`) }, "searches the path"},
		"a failregex and no status": {func(r *detector.Rule) { r.Match, r.FailRegex = nil, []*regexp.Regexp{regexp.MustCompile(`x`)} }, "searches every line"},
		"only a user agent":         {func(r *detector.Rule) { r.Match = condition(detector.FieldUserAgent, `bot`) }, "reads every line whole"},
		"a status":                  {nil, ""},
		"a path and a status":       {func(r *detector.Rule) { r.Match = append(r.Match, condition(detector.FieldPath, `\.php$`)...) }, ""},
	} {
		got := detector.Costs([]*detector.Rule{rule(c.change)})
		if c.why == "" && len(got) > 0 || c.why != "" && (len(got) != 1 || !strings.Contains(got[0].Why, c.why)) {
			t.Errorf("%s: %v, want %q", name, got, c.why)
		}
	}
}
