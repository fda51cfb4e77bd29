package rules_test

import (
	"testing"

	"regwarden/rules"
)

func TestShippedRulesLoad(t *testing.T) {
	set, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rules) < 11 {
		t.Fatalf("want at least 11 shipped rules, got %d", len(set.Rules))
	}
	for _, r := range set.Rules {
		positive, negative := false, false
		for _, c := range r.Tests {
			positive, negative = positive || c.Client != "", negative || c.Client == ""
		}
		if !positive || !negative {
			t.Errorf("%s: a shipped rule has test lines that hit and lines that must not", r.Name)
		}
	}
}
