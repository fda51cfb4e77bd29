package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"regwarden/internal/metrics"
)

// full is a snapshot in which everything has happened, so that every metric is told.
func full(context.Context) (metrics.Snapshot, error) {
	now := time.Unix(1_790_000_000, 0)
	var took metrics.Timing
	took.Observe(2 * time.Millisecond)
	took.Observe(10 * time.Millisecond)
	took.Observe(time.Hour)
	took.Observe(-time.Second) // a clock that was set back
	return metrics.Snapshot{Version: "v1", Revision: "abc",
		HumanTests:  map[metrics.HumanTest]uint64{{Provider: "image", Result: "passed"}: 4},
		Logins:      map[string]uint64{"ok": 5},
		Sources:     []metrics.Source{{Name: "registry", Lines: 7, LastLine: now, Lag: 1500 * time.Millisecond, Readable: true}},
		Rules:       []metrics.Rule{{Name: "tag-scan", Matches: 3, Decisions: map[string]uint64{"block": 2}, Spared: map[string]uint64{"crowd": 1}}},
		Blocks:      []metrics.Blocks{{Rule: "tag-scan", Made: 2, Active: 1}},
		Actions:     []metrics.Action{{Name: "nftables", Healthy: true, LastError: now, LastSuccess: now, Delay: took}},
		Checkpoints: metrics.Saving{Took: took, Last: now}, Saves: metrics.Saving{Took: took, Last: now}}, nil
}

func get(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func pages(take metrics.Take) metrics.Pages {
	return metrics.NewPages(metrics.NewRegistry(take), func(context.Context) error { return nil }, func(context.Context) metrics.Health { return metrics.Health{Ready: true} })
}

func TestASnapshotIsToldAsItIs(t *testing.T) {
	status, body := get(t, pages(full).Metrics)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, want := range []string{
		`regwarden_build_info{goversion="go`,
		`regwarden_lines_read_total{source="registry"} 7`,
		`regwarden_human_test_total{provider="image",result="passed"} 4`,
		`regwarden_portal_logins_total{result="ok"} 5`,
		`regwarden_unblocks_total{via="web"} 0`,
		`regwarden_log_lag_seconds{source="registry"} 1.5`,
		`regwarden_last_line_timestamp_seconds{source="registry"} 1.79e+09`,
		`regwarden_decisions_total{rule="tag-scan",verb="block"} 2`,
		`regwarden_decisions_total{rule="tag-scan",verb="would-block"} 0`, // there from the start: increase() needs a zero before the one
		`regwarden_spared_total{guard="crowd",rule="tag-scan"} 1`,
		`regwarden_unblocks_total{via="expiry"} 0`,
		`regwarden_block_apply_seconds_bucket{action="nftables",le="0.001"} 1`,
		`regwarden_block_apply_seconds_bucket{action="nftables",le="0.003"} 2`,
		`regwarden_block_apply_seconds_bucket{action="nftables",le="0.01"} 3`,
		`regwarden_block_apply_seconds_bucket{action="nftables",le="60"} 3`,
		`regwarden_block_apply_seconds_bucket{action="nftables",le="+Inf"} 4`,
		`regwarden_block_apply_seconds_sum{action="nftables"} 3600.012`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("%s is not in\n%s", want, body)
		}
	}
}

// TestWhatIsNotKnownIsNotTold: a time of 1970 would look like an age of decades.
func TestWhatIsNotKnownIsNotTold(t *testing.T) {
	_, body := get(t, pages(func(context.Context) (metrics.Snapshot, error) {
		return metrics.Snapshot{Sources: []metrics.Source{{Name: "s"}}, Actions: []metrics.Action{{Name: "a"}}}, nil
	}).Metrics)
	if !strings.Contains(body, `regwarden_source_up{source="s"} 0`) || regexp.MustCompile(`(?m)^regwarden\w*timestamp`).MatchString(body) {
		t.Errorf("got %s", body)
	}
}

func TestAScrapeWithoutASnapshotFails(t *testing.T) {
	status, body := get(t, pages(func(context.Context) (metrics.Snapshot, error) {
		return metrics.Snapshot{}, errors.New("the core does not answer")
	}).Metrics)
	if status != http.StatusInternalServerError || !strings.Contains(body, "the core does not answer") {
		t.Errorf("%d %s", status, body)
	}
}

func TestProbes(t *testing.T) {
	dead := errors.New("the core does not answer")
	for _, c := range []struct {
		alive  error
		ready  metrics.Health
		status [2]int
		text   [2]string
	}{
		{nil, metrics.Health{Ready: true}, [2]int{200, 200}, [2]string{"alive\n", "ready\n"}},
		{nil, metrics.Health{Ready: true, Faults: []string{"source a cannot be read"}}, [2]int{200, 200}, [2]string{"alive\n", "ready\nsource a cannot be read\n"}},
		{dead, metrics.Health{Faults: []string{dead.Error()}}, [2]int{503, 503}, [2]string{"not alive: the core does not answer\n", "not ready\nthe core does not answer\n"}},
	} {
		p := metrics.NewPages(prometheus.NewRegistry(), func(context.Context) error { return c.alive }, func(context.Context) metrics.Health { return c.ready })
		for i, h := range []http.Handler{p.Alive, p.Ready} {
			if status, text := get(t, h); status != c.status[i] || text != c.text[i] {
				t.Errorf("got %d %q, want %d %q", status, text, c.status[i], c.text[i])
			}
		}
	}
}

// TestLabelsAreNamesOfTheConfiguration: never an address, a project or what else a client chooses.
func TestLabelsAreNamesOfTheConfiguration(t *testing.T) {
	allowed := []string{"source", "rule", "verb", "guard", "via", "provider", "result", "action", "version", "revision", "goversion"}
	for name, m := range told(t) {
		for _, label := range m.labels {
			if strings.HasPrefix(name, "regwarden_") && !slices.Contains(allowed, label) {
				t.Errorf("%s has the label %s", name, label)
			}
		}
	}
}

type metric struct {
	kind   string
	labels []string
}

// told are all metrics of the registry.
func told(t *testing.T) map[string]metric {
	t.Helper()
	list, err := metrics.NewRegistry(full).Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]metric{}
	for _, f := range list {
		m := metric{kind: strings.ToLower(f.GetType().String())}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		slices.Sort(m.labels)
		out[f.GetName()] = m
	}
	return out
}

// TestTheManualNamesEveryMetricAndNoOther holds docs/metrics.md against the registry: name, kind and labels.
func TestTheManualNamesEveryMetricAndNoOther(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]metric{}
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:regwarden|go|process)_\\w+)` \\| (\\w+) \\|([^|]*)\\|([^|]*)\\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		m := metric{kind: row[2], labels: regexp.MustCompile(`\w+`).FindAllString(row[3], -1)}
		slices.Sort(m.labels)
		if _, twice := documented[row[1]]; twice {
			t.Errorf("%s is documented twice", row[1])
		}
		documented[row[1]] = m
	}
	exist := told(t)
	if len(exist) < 50 {
		t.Fatalf("only %d metrics", len(exist))
	}
	for name, m := range exist {
		d, ok := documented[name]
		switch {
		case !ok:
			t.Errorf("docs/metrics.md does not name %s (%s %v)", name, m.kind, m.labels)
		case d.kind != m.kind || !slices.Equal(d.labels, m.labels):
			t.Errorf("docs/metrics.md says that %s is a %s by %v; it is a %s by %v", name, d.kind, d.labels, m.kind, m.labels)
		}
	}
	for name := range documented {
		if _, ok := exist[name]; !ok {
			t.Errorf("docs/metrics.md names %s, which there is not", name)
		}
	}
}
