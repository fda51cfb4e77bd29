package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/store"
	"regwarden/sources"
)

// TestAMillionAddressesMakeNoNewSeries: a million networks, each asking for something of its own, one in a thousand of which is blocked, while somebody scrapes.
func TestAMillionAddressesMakeNoNewSeries(t *testing.T) {
	const flood, batch = floodSize, 1000
	d, emit := flooded(t)
	pages := d.pages()
	scrape := func() string {
		w := httptest.NewRecorder()
		pages.Metrics.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			t.Errorf("scrape: %d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	emit(floodLines(0, 1))
	counted(d)
	before := scrape()
	for !strings.Contains(before, "regwarden_action_last_success_timestamp_seconds{") { // the action's own goroutine tells it
		before = scrape()
	}
	due, scrapes := make(chan bool, 1), make(chan int)
	go func() {
		n := 0
		for range due {
			scrape()
			n++
		}
		scrapes <- n
	}()
	for at := 1; at <= flood; at += batch {
		if at/batch%10 == 0 {
			due <- true
		}
		emit(floodLines(at, batch))
	}
	close(due)
	counted(d)
	n := <-scrapes
	after := scrape()
	if was, is := series(before), series(after); was != is {
		t.Errorf("%d series before, %d after", strings.Count(was, "\n"), strings.Count(is, "\n"))
	}
	t.Logf("%d scrapes meanwhile, %d series, %d bytes", n, strings.Count(series(after), "\n"), len(after))
	const blocked = 1 + flood/1000
	for name, count := range map[string]float64{`regwarden_active_blocks{rule="count"}`: blocked, "regwarden_blocked_targets": blocked,
		`regwarden_lines_read_total{source="access"}`: flood + 1 + 4*blocked} {
		want := strconv.FormatFloat(count, 'g', -1, 64)
		if !strings.Contains(after, "\n"+name+" "+want+"\n") {
			t.Errorf("%s is not %s in\n%s", name, want, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+`.*$`).FindString(after))
		}
	}
	if strings.Contains(after, "2001:db8") || strings.Contains(after, "project") {
		t.Error("a client or its project is in the metrics")
	}
}

// counted waits until the core has counted all that was emitted.
func counted(d *Daemon) {
	for left := true; left; {
		d.core.do(func(c *core) { left = len(c.in) > 0 })
	}
}

// series are the names and labels, without the values and without what the Go runtime tells when it first knows it.
func series(text string) string {
	text = regexp.MustCompile(`(?m)^(#.*|go_.*)\n`).ReplaceAllString(text, "")
	return regexp.MustCompile(`(?m) \S+$`).ReplaceAllString(text, "")
}

// floodLines are requests of n networks from the first on; ten of ten thousand ask five times, which is too often.
func floodLines(first, n int) []byte {
	var b bytes.Buffer
	at := time.Now().Format("02/Jan/2006:15:04:05 -0700")
	for i := first; i < first+n; i++ {
		times := 1
		if i%10_000 < 10 {
			times = 5
		}
		for range times {
			fmt.Fprintf(&b, "2001:db8:%x:%x::1 - - [%s] \"GET /v2/project%d/image/manifests/v%d HTTP/1.1\" 404 93 \"\" \"docker/%d\" -\n", i>>16, i&0xffff, at, i, i, i)
		}
	}
	return b.Bytes()
}

// flooded is a running core, and what gives it lines of the source "access" as a follower would.
func flooded(t *testing.T) (*Daemon, func([]byte)) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"access.log": "",
		"rules.d/count.toml": "summary = \"test\"\nsource = \"access\"\nmaxretry = 5\nfindtime = \"1d\"\nbantime = \"1h\"\nsuccess_ratio = 1.0\n[match]\nstatus = 404\n",
		"regwarden.toml": `rules = "rules.d"
[guards]
storm = false
[[source]]
name = "access"
path = "access.log"
[[actions.blocklist]]
path = "blocklist.txt"
[actions]
log = false
[state]
path = "state.db"
`} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	cfg, err := config.Load(filepath.Join(dir, "regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := makePlan(cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(cfg.StateFile, logger)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCore(t.Context(), p, st, logger)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.run() }()
	c.do(func(c *core) { c.start() })
	t.Cleanup(func() {
		c.stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		st.Close()
	})
	in := &intake{logger: logger, matcher: &c.matcher, out: c.in, free: make(chan *detector.Findings, 32)}
	l := &listener{intake: in, ctx: context.Background(), config: cfg.Sources[0], pending: map[place][]byte{}, readers: map[string]*pathReader{}, logger: logger}
	return &Daemon{core: c, logger: logger, options: Options{Config: cfg, Version: "test"}}, func(lines []byte) {
		if err := l.emit(sources.Batch{Source: "access", Path: filepath.Join(dir, "access.log"), Data: lines}); err != nil {
			t.Fatal(err)
		}
	}
}
