package daemon_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/control"
)

// fetch gets a page from the control socket, or from an address.
func (h *host) fetch(address, page string) (int, string) {
	h.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if address == "" {
		address = "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.path("s"))
		}
	}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://"+address+page, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	got, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return got.StatusCode, string(body)
}

// value is one series of the control socket's metrics; -1 if it is not there.
func (h *host) value(series string) float64 {
	h.t.Helper()
	status, body := h.fetch("", "/v1/metrics")
	if status != http.StatusOK {
		h.t.Fatalf("metrics: %d %s", status, body)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return -1
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *host) values(want map[string]float64) {
	h.t.Helper()
	for series, n := range want {
		if got := h.value(series); got != n {
			h.t.Errorf("%s is %v, want %v", series, got, n)
		}
	}
}

// freeAddress is one on loopback on which nobody listens at this moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestMetricsTellWhatTheDaemonDid, and begin at zero after a crash though the counts of status go on: counters that go back by a few lines would look to
// Prometheus like a restart from zero with all lines counted again.
func TestMetricsTellWhatTheDaemonDid(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	h := newHost(t, simple+fmt.Sprintf("[metrics]\nlisten = %q\n", address), map[string]string{"count": countRule(5)})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.8"), 7)+line("203.0.113.7")+"nonsense\n")
	h.until("the client is blocked", func() bool { return h.listed("203.0.113.8") })
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.values(map[string]float64{
		`regwarden_lines_read_total{source="access"}`:                  9,
		`regwarden_events_total{source="access"}`:                      8,
		`regwarden_lines_unparsed_total{source="access"}`:              1,
		`regwarden_source_up{source="access"}`:                         1,
		`regwarden_source_files{source="access"}`:                      1,
		`regwarden_source_behind_bytes{source="access"}`:               0,
		`regwarden_rule_matches_total{rule="count"}`:                   8,
		`regwarden_decisions_total{rule="count",verb="block"}`:         1,
		`regwarden_blocks_total{rule="count"}`:                         1,
		`regwarden_blocks_total{rule="manual"}`:                        1,
		`regwarden_active_blocks{rule="manual"}`:                       1,
		`regwarden_blocked_targets`:                                    2,
		`regwarden_action_up{action="blocklist"}`:                      1,
		`regwarden_save_seconds_count`:                                 2,
		`regwarden_unblocks_total{via="socket"}`:                       0,
		`regwarden_block_apply_seconds_bucket{action="log",le="+Inf"}`: 2,
	})
	if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.8"}); err != nil {
		t.Fatal(err)
	}
	h.values(map[string]float64{`regwarden_unblocks_total{via="socket"}`: 1, `regwarden_active_blocks{rule="count"}`: 0, `regwarden_blocked_targets`: 1})
	for page, want := range map[string]string{"/healthz": "alive\n", "/readyz": "ready\n", "/metrics": "regwarden_build_info{"} {
		if status, body := h.fetch(address, page); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", page, status, body)
		}
	}
	_, body := h.fetch(address, "/metrics")
	if found := regexp.MustCompile(`203\.0\.113\.\d+|a/b`).FindString(body); found != "" {
		t.Errorf("metrics name %s", found)
	}
	if _, index := h.fetch("", "/v1"); !strings.Contains(index, "/v1/metrics") {
		t.Errorf("GET /v1 does not list the metrics: %s", index)
	}
	h.kill(syscall.SIGKILL)
	h.run()
	if h.lines() == 0 {
		t.Error("status has forgotten the lines")
	}
	h.append("access.log", line("203.0.113.7"))
	h.until("the line is counted", func() bool { return h.value(`regwarden_lines_read_total{source="access"}`) > 0 })
	if n := h.value(`regwarden_rule_matches_total{rule="count"}`); n > 9 {
		t.Errorf("%v matches are told after a restart", n)
	}
	h.values(map[string]float64{`regwarden_active_blocks{rule="manual"}`: 1, `regwarden_blocks_total{rule="manual"}`: 0})
}

// TestReadinessAndFaultsAreTold: one source of two and one action of two may fail.
func TestReadinessAndFaultsAreTold(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple+"[[source]]\nname = \"other\"\npath = \"missing/b.log\"\n[[actions.exec]]\nname = \"bad\"\ncommand = [\"/bin/false\"]\n", nil)
	h.append("access.log", "")
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("the command has failed", func() bool { return h.value(`regwarden_action_failures_total{action="bad"}`) > 0 })
	h.until("the list is written", func() bool { return h.listed("203.0.113.9") })
	status, body := h.fetch("", "/readyz")
	if status != 200 || body != "ready\nsource other cannot be read\naction bad fails\n" {
		t.Errorf("%d %s", status, body)
	}
	h.values(map[string]float64{`regwarden_action_up{action="bad"}`: 0, `regwarden_source_up{source="other"}`: 0, `regwarden_source_up{source="access"}`: 1})
	if h.value(`regwarden_action_last_error_timestamp_seconds{action="bad"}`) < 1e9 || h.value(`regwarden_action_last_error_timestamp_seconds{action="blocklist"}`) != -1 {
		t.Error("the time of the last error is wrong")
	}
	if err := os.Remove(h.path("access.log")); err != nil {
		t.Fatal(err)
	}
	h.until("nothing can be read", func() bool { status, body = h.fetch("", "/readyz"); return status == 503 })
	if !strings.HasPrefix(body, "not ready\nsource access cannot be read\n") {
		t.Errorf("%s", body)
	}
	if status, _ := h.fetch("", "/healthz"); status != 200 {
		t.Errorf("a daemon that is not ready is not alive: %d", status)
	}
}

// TestATakenPortKeepsNobodyFromBeingBlocked: protection matters more than its metrics.
func TestATakenPortKeepsNobodyFromBeingBlocked(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newHost(t, simple+fmt.Sprintf("[metrics]\nlisten = %q\n", l.Addr()), map[string]string{"count": countRule(5)})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.8"), 7))
	h.until("the client is blocked", func() bool { return h.listed("203.0.113.8") })
	h.until("status says what is wrong", func() bool {
		s, err := h.client.Status(t.Context())
		return err == nil && len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], "address already in use; choose another address in [metrics] listen")
	})
	h.values(map[string]float64{`regwarden_warnings`: 1})
}
