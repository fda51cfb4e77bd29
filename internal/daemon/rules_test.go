package daemon_test

import (
	"testing"

	"regwarden/internal/daemon"
	"regwarden/rules"
)

// TestEveryTestLineOfEveryShippedRule reads the lines as a source would.
func TestEveryTestLineOfEveryShippedRule(t *testing.T) {
	set, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	failed, n := daemon.CheckRules(set)
	for _, f := range failed {
		t.Error(f)
	}
	if n < 2*len(set.Rules) {
		t.Errorf("%d test lines for %d rules", n, len(set.Rules))
	}
}
