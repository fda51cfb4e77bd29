// Command bench measures the throughput of `regwarden replay` beside grep, wc and fail2ban on the same files, in the same run, interleaved, and writes
// bench/RESULTS.md. Figures are CPU time of the whole process (user and system), the least and the median of the rounds; GOMAXPROCS is 1.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// contender is one command that is measured.
type contender struct {
	name string
	args []string
	// lines is how many lines of the file it reads; what is slow reads the first part only.
	lines int
	file  string
	env   []string
	cpu   []time.Duration
	rss   int64 // KiB
	found int   // abusers; -1 where it looks for none
}

func main() {
	lines := flag.Int("lines", 1_000_000, "lines of each log")
	rounds := flag.Int("rounds", 5, "rounds")
	flag.Parse()
	if err := bench(*lines, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(lines, rounds int) error {
	data := filepath.Join("bench", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	nginx, rails := filepath.Join(data, fmt.Sprintf("nginx-%d.log", lines)), filepath.Join(data, fmt.Sprintf("production_json-%d.log", lines))
	if err := generate(nginx, lines, nginxLine); err != nil {
		return err
	}
	if err := generate(rails, lines, railsLine); err != nil {
		return err
	}
	part := filepath.Join(data, "nginx-part.log")
	const partLines = 20_000
	if err := head(nginx, part, partLines); err != nil {
		return err
	}
	all := []*contender{}
	for _, f := range []string{nginx, rails} {
		needle := `" 404 `
		if f == rails {
			needle = `"status":403`
		}
		all = append(all,
			&contender{name: "regwarden replay, shipped rules", args: []string{"./regwarden", "replay", "--json", f}, lines: lines, file: f, env: []string{"GOMAXPROCS=1"}},
			&contender{name: "grep -c -F", args: []string{"grep", "-c", "-F", needle, f}, lines: lines, file: f, found: -1},
			&contender{name: "wc -l", args: []string{"wc", "-l", f}, lines: lines, file: f, found: -1})
	}
	all = append(all, fail2ban(part, partLines)...)
	for r := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", r+1, rounds)
		for _, c := range all {
			if err := c.run(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return report(all, nginx, rails, rounds)
}

// fail2ban returns Debian's fail2ban-regex with one rule, where it is unpacked; it counts no windows, so it is the least that fail2ban does.
func fail2ban(file string, lines int) []*contender {
	root := filepath.Join("bench", "out", "fail2ban")
	program := filepath.Join(root, "usr", "bin", "fail2ban-regex")
	if _, err := os.Stat(program); err != nil {
		fmt.Fprintln(os.Stderr, "fail2ban is missing: bench/run unpacks Debian's package")
		return nil
	}
	rule := `^<HOST> -.*"(GET|HEAD) /v2/\S+/manifests/\S+ HTTP/1\.1" 404 `
	env := []string{"PYTHONPATH=" + filepath.Join(root, "usr", "lib", "python3", "dist-packages")}
	base := []string{"/usr/bin/python3", program, "-c", filepath.Join(root, "etc", "fail2ban")}
	return []*contender{
		{name: "fail2ban-regex, 1 rule, default dates", args: append(slices.Clone(base), file, rule), lines: lines, file: file, env: env, found: -1},
		{name: "fail2ban-regex, 1 rule, its date given", args: append(slices.Clone(base), "-d", `%d/%b/%Y:%H:%M:%S %z`, file, rule), lines: lines, file: file, env: env, found: -1},
	}
}

// run runs the command once and keeps what it cost.
func (c *contender) run() error {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	s := cmd.ProcessState
	c.cpu = append(c.cpu, s.UserTime()+s.SystemTime())
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		c.rss = max(c.rss, u.Maxrss)
	}
	if c.found >= 0 {
		c.found = blocked(&out)
	}
	return nil
}

// blocked counts the different targets that a replay blocks.
func blocked(out *bytes.Buffer) int {
	targets := map[string]bool{}
	for s := bufio.NewScanner(out); s.Scan(); {
		var d struct{ Verb, Target string }
		if json.Unmarshal(s.Bytes(), &d) == nil && d.Verb == "block" {
			targets[d.Target] = true
		}
	}
	return len(targets)
}

func head(from, to string, lines int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	var b bytes.Buffer
	s := bufio.NewScanner(in)
	for range lines {
		if !s.Scan() {
			break
		}
		b.Write(append(s.Bytes(), '\n'))
	}
	return os.WriteFile(to, b.Bytes(), 0o644)
}

func report(all []*contender, nginx, rails string, rounds int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Throughput\n\nWritten by `make bench` on %s, %s, %d CPUs (%s), Go %s; %d rounds, interleaved, GOMAXPROCS=1, page cache warm. CPU is user and system time of the whole process, scaled to a million lines.\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), cpuModel(), strings.TrimPrefix(runtime.Version(), "go"), rounds)
	for _, file := range []string{nginx, rails} {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		ours := pick(all, file)
		fmt.Fprintf(&b, "\n## %s, %d lines, %d MB, %d abusers among them\n\n| program | CPU s per million lines, least | median | lines a second and core | ÷ regwarden | peak memory MiB | abusers found |\n|---|---|---|---|---|---|---|\n",
			strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), ours.lines, info.Size()/1e6, abusers)
		for _, c := range all {
			if c.file != file && !(file == nginx && strings.Contains(c.file, "part")) {
				continue
			}
			least, median := c.perMillion()
			found := "–"
			if c.found >= 0 {
				found = fmt.Sprint(c.found)
			}
			first, _ := ours.perMillion()
			fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.0f | %.2f | %d | %s |\n", c.name, least, median, 1e6/least, least/first, c.rss>>10, found)
		}
	}
	fmt.Fprintf(&b, "\nfail2ban reads the first 20,000 lines only, start included, and counts nothing: it finds lines, not abusers.\n")
	os.Stdout.WriteString(b.String())
	return os.WriteFile(filepath.Join("bench", "RESULTS.md"), []byte(b.String()), 0o644)
}

func pick(all []*contender, file string) *contender {
	i := slices.IndexFunc(all, func(c *contender) bool { return c.file == file && c.found >= 0 })
	return all[i]
}

func (c *contender) perMillion() (least, median float64) {
	sorted := slices.Sorted(slices.Values(c.cpu))
	scale := 1e6 / float64(c.lines)
	return sorted[0].Seconds() * scale, sorted[len(sorted)/2].Seconds() * scale
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
