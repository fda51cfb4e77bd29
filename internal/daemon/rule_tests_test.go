package daemon_test

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// failingRule is a rule whose own test line must hit and does not: it stands on line 10.
func failingRule() string {
	return countRule(3) + "[[test]]\nline = '" + strings.TrimSpace(strings.Replace(line("192.0.2.1"), " 404 ", " 200 ", 1)) + "'\nclient = \"192.0.2.1\"\n"
}

// TestAReloadRefusesARuleWhoseOwnTestFails as check does: the old rules stay, and what is wrong is told with file, line, and what was expected.
func TestAReloadRefusesARuleWhoseOwnTestFails(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.run()
	h.write("rules.d/wrong.toml", failingRule())
	_, err := h.client.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), h.path("rules.d/wrong.toml")+":10: test: must hit 192.0.2.1 but hits nobody") {
		t.Fatalf("reload with a rule whose test fails: %v", err)
	}
	s, err := h.client.Status(t.Context())
	if err != nil || !strings.Contains(s.ReloadError, "wrong.toml:10") {
		t.Errorf("the status does not tell: %q, %v", s.ReloadError, err)
	}
	if got := h.inForce(); got["wrong"] || !got["count"] {
		t.Errorf("the old rules are not in force: %v", got)
	}
	h.kill(syscall.SIGTERM)
	if log := h.log.String(); !strings.Contains(log, "reload failed, the old configuration goes on running") || !strings.Contains(log, "wrong.toml:10: test:") {
		t.Errorf("the log does not tell what is wrong: %s", log)
	}
}

// TestAStartLeavesARuleOutWhoseOwnTestFails, says so, and runs all else; a reload takes the corrected rule in.
func TestAStartLeavesARuleOutWhoseOwnTestFails(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5), "wrong": failingRule()})
	h.run()
	if got := h.inForce(); got["wrong"] || !got["count"] || !got["tag-scan"] {
		t.Errorf("want all rules but the one whose test fails, got %v", got)
	}
	if s, _ := h.client.Status(t.Context()); !strings.Contains(strings.Join(s.Warnings, "\n"), "rule wrong is left out, since its own test fails: "+h.path("rules.d/wrong.toml")+":10: test: must hit") {
		t.Errorf("the status does not tell: %q", s.Warnings)
	}
	h.write("rules.d/wrong.toml", countRule(100))
	r, err := h.client.Reload(t.Context())
	if err != nil || !strings.Contains(strings.Join(r.Changed, "\n"), "rule wrong is new") {
		t.Errorf("the corrected rule: %v, %v", r.Changed, err)
	}
	if s, _ := h.client.Status(t.Context()); len(s.Warnings) != 0 {
		t.Errorf("warnings stay: %q", s.Warnings)
	}
}

// inForce are the names of the rules in force.
func (h *host) inForce() map[string]bool {
	h.t.Helper()
	s, err := h.client.Status(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, r := range s.Rules {
		out[r.Name] = true
	}
	return out
}

// TestAReloadRefusesWhatCanNeverWork and the old configuration goes on; a start goes on without it, and the status says so.
func TestAReloadRefusesWhatCanNeverWork(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	good, err := os.ReadFile(h.path("regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("regwarden.toml", string(good)+"[[actions.exec]]\ncommand = [\"/nonexist/x\"]\n")
	if _, err := h.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "actions.exec.command: /nonexist/x is not there") {
		t.Fatalf("reload with a command that is not there: %v", err)
	}
	if s, _ := h.client.Status(t.Context()); len(s.Actions) != 2 {
		t.Errorf("the old actions do not go on: %v", s.Actions)
	}
	h.kill(syscall.SIGTERM)
	h.run()
	if s, _ := h.client.Status(t.Context()); !strings.Contains(strings.Join(s.Warnings, "\n"), "actions.exec.command: /nonexist/x is not there") {
		t.Errorf("the status does not tell: %q", s.Warnings)
	}
}
