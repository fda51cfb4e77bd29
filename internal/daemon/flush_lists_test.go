package daemon_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// TestEmptyListsLeavesNobodyDenied when the daemon goes for good, tells the readers, and makes nothing that was not there.
func TestEmptyListsLeavesNobodyDenied(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple+"format = \"nginx-deny\"\nafter = [\"/bin/touch\", \"AFTER\"]\n[actions.answer-files]\npath = \"answers\"\n", nil)
	h.write("regwarden.toml", strings.ReplaceAll(h.read("regwarden.toml"), "AFTER", h.path("after")))
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("it is denied", func() bool {
		_, err := os.Stat(h.path("answers/203.0.113.9"))
		return err == nil && strings.Contains(h.read("blocklist.txt"), "deny 203.0.113.9;")
	})
	h.kill(syscall.SIGTERM)
	if err := os.Remove(h.path("after")); err != nil {
		t.Fatal(err)
	}
	h.write("regwarden.toml", strings.Replace(h.read("regwarden.toml"), "[state]", "[[actions.blocklist]]\npath = \"never-made.txt\"\n[state]", 1))
	c, err := config.Load(h.path("regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	emptied, err := daemon.EmptyLists(t.Context(), c)
	if err != nil || strings.Join(emptied, " ") != h.path("blocklist.txt")+" "+h.path("answers") {
		t.Errorf("emptied %q, %v", emptied, err)
	}
	if text := h.read("blocklist.txt"); strings.Contains(text, "203.0.113.9") {
		t.Errorf("somebody stays denied: %s", text)
	}
	if _, err := os.Stat(h.path("answers/203.0.113.9")); err == nil {
		t.Error("somebody is still answered that he is blocked")
	}
	if _, err := os.Stat(h.path("after")); err != nil {
		t.Errorf("its reader was not told: %v", err)
	}
	if _, err := os.Stat(h.path("never-made.txt")); err == nil {
		t.Error("a list was made that was not there")
	}
}

// read is the text of a file; "" while it is not there.
func (h *host) read(name string) string {
	text, _ := os.ReadFile(h.path(name))
	return string(text)
}
