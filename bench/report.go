package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// write prints the report, writes it and the README's table if files says so, and tells at the end what was found wrong.
func (r *results) write(files bool) error {
	text := r.report()
	os.Stdout.WriteString(text)
	if files {
		if err := os.WriteFile(filepath.Join("bench", "RESULTS.md"), []byte(text), 0o644); err != nil {
			return err
		}
		if err := between("README.md", "<!-- bench: written by make bench -->\n", "<!-- /bench -->\n", r.short()); err != nil {
			return err
		}
	}
	if faults := r.faults(); len(faults) > 0 {
		return errors.New("the decisions are not as they have to be:\n" + strings.Join(faults, "\n"))
	}
	return nil
}

func (r *results) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Throughput\n\nWritten by `make bench` on %s; %d rounds, interleaved, page cache warm, one core (GOMAXPROCS=1 for programs in Go). CPU is user and system time of the whole process, "+
		"for a million lines, the least and the median of the rounds; ratios are of the least. The host's load average was %s at the end: beyond 1, others used the processors, too, and all CPU times are longer.\n",
		machine(r.begun), r.rounds, loadAverage())
	b.WriteString("\n## Targets\n\n| what | target | measured | reached |\n|---|---|---|---|\n")
	for _, t := range targets {
		b.WriteString(t.row(r))
	}
	for _, l := range logs {
		b.WriteString(r.table(l))
	}
	b.WriteString(r.scaling())
	b.WriteString(r.cores())
	b.WriteString(r.largeLog())
	b.WriteString(r.notes())
	return b.String()
}

// loadAverage is how busy the host was, over 1, 5 and 15 minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 3 {
		return "not known"
	}
	return strings.Join(fields[:3], ", ")
}

// machine says when and on what.
func machine(at time.Time) string {
	return fmt.Sprintf("%s, %s/%s, %d CPUs (%s), Go %s", at.UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), cpuModel(), strings.TrimPrefix(runtime.Version(), "go"))
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t:\n")
		}
	}
	return "unknown"
}

// table is all programs on one log.
func (r *results) table(l *corpus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s: %d lines of %.0f bytes, %d abusers\n\n| program | CPU s for a million lines, least | median | lines/s a core | MB/s | peak memory MiB | ÷ regwarden | abusers found | lines read |\n|---|---|---|---|---|---|---|---|---|\n",
		l.name, l.lines, l.perLine(), len(l.truth(l.lines).must))
	own := r.get(l.name, oursName)
	for _, c := range r.of(l.name) {
		if c.name == oursTwoName || len(c.runs) == 0 {
			continue
		}
		least, median := c.perLine()
		over, verdict := "–", c.verdict
		if own != nil {
			first, _ := own.perLine()
			over = figure(least / first)
		}
		if verdict == "" {
			verdict = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %s | %s | %s | %s | %d |\n", c.name, figure(least/1e3), figure(median/1e3), 1e9/least, figure(l.perLine()/least*1e3), r.peak(c.rss()), over, verdict, c.lines)
	}
	for _, c := range r.absent {
		if c.log == l {
			fmt.Fprintf(&b, "| %s | missing: %s | | | | | | | |\n", c.name, c.missing)
		}
	}
	return b.String()
}

// peak is a process' peak memory in MiB. What is not above that of the program which starts it cannot be told from it.
func (r *results) peak(kib int64) string {
	if kib <= r.floor+r.floor/10 {
		return fmt.Sprintf("< %d", (r.floor+r.floor/10)>>10+1)
	}
	return fmt.Sprint(kib >> 10)
}

// scaling is what more rules cost.
func (r *results) scaling() string {
	var b strings.Builder
	b.WriteString("\n## More rules, nginx\n\n| rules | 1: CPU s for a million lines | 10 | 50 | 50 ÷ 10 | lines read |\n|---|---|---|---|---|---|\n")
	for _, sort := range []string{"field", "raw"} {
		var cpu [3]float64
		lines := 0
		for i, n := range []int{1, 10, 50} {
			c := r.get("nginx", rulesName(sort, n))
			if c == nil {
				return ""
			}
			cpu[i], _ = c.perLine()
			lines = c.lines
		}
		name := map[string]string{"field": "field rules (status and path)", "raw": "failregex rules (the raw line)"}[sort]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d |\n", name, figure(cpu[0]/1e3), figure(cpu[1]/1e3), figure(cpu[2]/1e3), figure(cpu[2]/cpu[1]), lines)
	}
	return b.String()
}

// cores is one core beside two.
func (r *results) cores() string {
	var b strings.Builder
	b.WriteString("\n## One core and two\n\n| log | wall s, GOMAXPROCS=1 | GOMAXPROCS=2 | two ÷ one | decisions |\n|---|---|---|---|---|\n")
	for _, l := range logs {
		one, two := r.get(l.name, oursName), r.get(l.name, oursTwoName)
		if one == nil || two == nil {
			return ""
		}
		same := "the same bytes"
		if string(one.decisions) != string(two.decisions) {
			same = "**different**"
		}
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %s | %s |\n", l.name, one.wall().Seconds(), two.wall().Seconds(), figure(float64(two.wall())/float64(one.wall())), same)
	}
	return b.String()
}

// largeLog is the run on a log of gigabytes.
func (r *results) largeLog() string {
	m := r.memory
	if m == nil {
		return ""
	}
	text := fmt.Sprintf("\n## Memory\n\n`replay` of %d MB of the nginx log (%d lines, again and again with moving time): peak %d MiB, of which %d are the tables; %.1f s of CPU, %.0f MB/s.",
		m.bytes/1e6, m.summary.Lines, m.cost.RSS>>10, m.summary.Tables>>20, m.cost.CPU.Seconds(), float64(m.bytes)/1e6/m.cost.CPU.Seconds())
	if m.summary.PerTarget > 0 {
		text += fmt.Sprintf(" A count takes %.0f bytes on average of the shipped rules; with maxretry 5 it is at most 60, which a test of the detector holds.", m.summary.PerTarget)
	}
	return text + "\n"
}

func (r *results) notes() string {
	var b strings.Builder
	b.WriteString(`
## How

- The logs are generated from a seed: 200,000 honest addresses by Zipf(1.1), 2 % of the lines of abusers, 40 lines in a minute each. In the access logs these try well-known doors and missing
  tags by turns; in production_json.log they guess passwords at /jwt/auth. regwarden's shipped rules find them as they are (the registry's JSON with --kind access).
- Every program that decides was checked: it finds all abusers and nobody else. Who is too slow for the whole log reads its first lines, less what a run on an
  empty file takes, and is checked on a short log with all abusers' lines and every fiftieth of the others.
- The rule for fail2ban, CrowdSec and awk is the first of regwarden's 1, 10 and 50: more than four 404 of manifests in ten minutes. fail2ban's ten are the same ten.
- fail2ban is Debian's package, its own filter and failure manager driven by bench/peers/feed_fail2ban.py, without tailing, bans and database.
- CrowdSec is Debian's package in one-shot mode, one scenario, its own API on loopback, a parser for nginx that is written for speed (its hub's own takes some
  ten times as long).
- rg maps the file, and what it has mapped counts as its memory.
- grep, rg, wc and cat decide nothing: they are what it costs to read a log, and to look for one string in it. awk counts without times.
`)
	for _, l := range logs {
		fmt.Fprintf(&b, "- %s: %d bytes, sha256 %s\n", l.name, l.bytes, l.sha256)
	}
	if faults := r.faults(); len(faults) > 0 {
		fmt.Fprintf(&b, "\n**Wrong in this run:**\n\n- %s\n", strings.Join(faults, "\n- "))
	}
	return b.String()
}

// short is the README's table.
func (r *results) short() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| nginx log, one core | lines/s | CPU ÷ regwarden | peak memory MiB |\n|---|---|---|---|\n")
	own := r.get("nginx", oursName)
	for _, name := range []string{oursName, grepName, rgName, fail2banName(1, datePatterns[0].name), fail2banName(10, datePatterns[2].name), crowdsecName} {
		if c := r.get("nginx", name); c != nil && own != nil {
			least, _ := c.perLine()
			first, _ := own.perLine()
			fmt.Fprintf(&b, "| %s | %.0f | %s | %s |\n", name, 1e9/least, figure(least/first), r.peak(c.rss()))
		}
	}
	for _, l := range logs[1:] {
		if c := r.get(l.name, oursName); c != nil {
			least, _ := c.perLine()
			fmt.Fprintf(&b, "| regwarden on %s (%.0f bytes a line) | %.0f | | %s |\n", l.name, l.perLine(), 1e9/least, r.peak(c.rss()))
		}
	}
	fmt.Fprintf(&b, "\nMeasured on %s.\n", machine(r.begun))
	return b.String()
}

// between replaces what stands between two marks in a file.
func between(path, from, to, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), from)
	_, after, closed := strings.Cut(rest, to)
	if !ok || !closed {
		return fmt.Errorf("%s: the marks %q and %q are missing", path, strings.TrimSpace(from), strings.TrimSpace(to))
	}
	return os.WriteFile(path, []byte(before+from+text+to+after), 0o644)
}
