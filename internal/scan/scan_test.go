package scan_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/scan"
	"regwarden/rules"
	"regwarden/sources/format"
)

// path is all that a line goes through, as in the daemon.
type path struct {
	block    scan.Block
	detector *detector.Detector
	findings detector.Findings
}

func newPath(t testing.TB) *path {
	set, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	reader, err := format.New(format.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seed := detector.Seed{1, 2}
	o := detector.Options{Guards: detector.DefaultGuards, Mask: detector.DefaultMask, Memory: 8 << 20}
	p := &path{detector: detector.New(set.Rules, o, seed, detector.NewLedger(nil, nil))}
	m := detector.NewMatcher(set.Rules, o.Mask, seed, p.detector.Watch())
	p.block = scan.Block{Reader: reader, Scan: m.NewScan(), Now: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	return p
}

func (p *path) read(data []byte) scan.Counts {
	p.findings.Reset()
	n := p.block.Read(data, &p.findings)
	p.detector.Count(&p.findings, func(detector.Decision) {})
	return n
}

func log(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../sources/format/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data[:bytes.LastIndexByte(data, '\n')+1]
}

// TestALineCostsHardlyAnAllocation: at most one for a hundred lines and one for each that a rule counts, once the reader knows how its records go.
func TestALineCostsHardlyAnAllocation(t *testing.T) {
	for _, name := range []string{"real/nginx_gitlab_registry_access.log", "real/gitlab-registry-json.log", "incident/production_json.log"} {
		p, data := newPath(t), log(t, name)
		lines := 0
		for range 80 {
			lines = p.read(data).Lines
		}
		got := testing.AllocsPerRun(10, func() { p.read(data) })
		if limit := float64(lines)/100 + float64(p.findings.Hits); got > limit {
			t.Errorf("%s: %.0f allocations for %d lines and %d hits", name, got, lines, p.findings.Hits)
		}
	}
}

// TestWhoIsWatched: a success clears a count whenever there is one, in the same block as the failures or later, and of an unwatched client nothing but traffic is noted.
func TestWhoIsWatched(t *testing.T) {
	line := func(client string, second, status int) string {
		return fmt.Sprintf("%s - - [21/Nov/2026:17:%02d:%02d +0000] \"GET /v2/a/b/manifests/v9 HTTP/1.1\" %d 93 \"\" \"docker/27.5.1\" -\n", client, second/60, second%60, status)
	}
	// 15 failures in each of three windows of three minutes would block; a success in the last one clears them.
	var failing, cleared, later bytes.Buffer
	for s := 0; s < 540; s += 8 {
		failing.WriteString(line("203.0.113.7", s, 404))
		cleared.WriteString(line("203.0.113.8", s, 404))
		later.WriteString(line("203.0.113.9", s, 404))
		if s == 400 {
			cleared.WriteString(line("203.0.113.8", s, 200))
			later.WriteString(line("203.0.113.9", s, 200))
		}
	}
	blocked := func(blocks ...[]byte) (n int) {
		p := newPath(t)
		for _, b := range blocks {
			p.findings.Reset()
			p.block.Read(b, &p.findings)
			p.detector.Count(&p.findings, func(d detector.Decision) {
				if d.Rule == "missing-manifest" {
					n++
				}
			})
		}
		return n
	}
	if n := blocked(failing.Bytes()); n != 1 {
		t.Errorf("who only fails: %d decisions, want 1", n)
	}
	if n := blocked(cleared.Bytes()); n != 0 {
		t.Errorf("who succeeded in between, in one block: %d decisions, want none", n)
	}
	lines := bytes.SplitAfter(later.Bytes(), []byte{'\n'})
	if n := blocked(lines[:len(lines)-1]...); n != 0 {
		t.Errorf("who succeeded in between, line by line: %d decisions, want none", n)
	}
}
