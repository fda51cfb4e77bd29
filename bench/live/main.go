// Command live measures what it costs to follow a log that is written to all the time, and how long it takes from a written line to its decision: the
// daemon with its shipped rules beside a program that only reads the log with nxadm/tail, and beside fail2ban with one rule. A process of its own
// writes nginx lines, each in a write of its own. The followers take turns on the same lines. It writes bench/LIVE.md.
//
//	go run ./bench/live
//
// Latency is from just before the write of an abuser's last needed line until the follower's own line about it has arrived here, so it holds
// the database's commit too. It is taken under load, and then from idle: a lone line after more than a second of silence.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// options is what the command line says.
type options struct {
	rate    int
	seconds int
	abusers int // a second
	idle    int
	rounds  int
	binary  string
	only    string
	out     string
}

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "write":
			end("live write", write(os.Args[2:]))
			return
		case "tail":
			end("live tail", tailFile(os.Args[2]))
			return
		}
	}
	var o options
	flag.IntVar(&o.rate, "rate", 20_000, "lines a second")
	flag.IntVar(&o.seconds, "seconds", 20, "how long each follower is under load")
	flag.IntVar(&o.abusers, "abusers", 5, "decisions a second under load")
	flag.IntVar(&o.idle, "idle", 20, "decisions from idle")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the followers take turns")
	flag.StringVar(&o.binary, "binary", "", "the regwarden to measure; built when empty")
	flag.StringVar(&o.only, "only", "", "measure only the followers whose name has this in it")
	flag.StringVar(&o.out, "o", filepath.Join("bench", "LIVE.md"), "where the report goes")
	flag.Parse()
	end("bench/live", bench(o))
}

func end(who string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", who, err)
		os.Exit(1)
	}
}

func bench(o options) error {
	if n := o.seconds*o.abusers + o.idle + 1; n > mostAbusers {
		return fmt.Errorf("%d abusers are more than the %d addresses that there are: choose fewer seconds, abusers or idle", n, mostAbusers)
	}
	if o.binary == "" {
		o.binary = filepath.Join("bench", "out", "regwarden")
		build := exec.Command("go", "build", "-trimpath", "-o", o.binary, "./cmd/regwarden")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, text)
		}
	}
	all := slices.DeleteFunc(followers(o.binary), func(f *follower) bool { return !strings.Contains(f.name, o.only) })
	for round := range o.rounds {
		for _, f := range all {
			r, err := measure(f, o)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			f.results = append(f.results, r)
			fmt.Fprintf(os.Stderr, "round %d: %s\n", round+1, r.line(f.name))
		}
	}
	return report(all, o)
}

// result is one follower's round.
type result struct {
	cpu     time.Duration // under load
	wall    time.Duration // of the load, until its last decision
	lines   int
	load    []time.Duration
	idle    []time.Duration
	missing int // decisions that never came
	rss     int // KiB, the most
}

// share is the CPU time as a share of one core.
func (r result) share() float64 { return 100 * r.cpu.Seconds() / r.wall.Seconds() }

func (r result) line(name string) string {
	return fmt.Sprintf("%s: %.2f %% of a core, %.2f µs a line, under load p50 %s p99 %s, from idle p50 %s most %s, %d decisions missing", name, r.share(),
		float64(r.cpu.Microseconds())/float64(r.lines), ms(quantile(r.load, .5)), ms(quantile(r.load, .99)), ms(quantile(r.idle, .5)), ms(quantile(r.idle, 1)), r.missing)
}

// quantile is the least value that is not below the share q of all; 0 when there is none.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

func report(all []*follower, o options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Following a live log\n\nWritten by `go run ./bench/live` on %s, %s, %d CPUs (%s), Go %s. %d lines a second, one a write, for %d s, nginx's; %d decisions a second; then %d decisions from idle. %d rounds, the followers in turn. "+
		"CPU is user and system time of the whole process as a share of one core. Latency is from the write of the line to the follower's line about its decision. The host's load average was %s at the end: where others use the processors too, latencies are theirs.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), cpuModel(), strings.TrimPrefix(runtime.Version(), "go"), o.rate, o.seconds, o.abusers, o.idle, o.rounds, loadAverage())
	b.WriteString("| follower | CPU of a core, least | median | µs a line, least | ÷ regwarden | p50 under load | p99 under load | p50 from idle | worst from idle | memory MiB | decisions missing |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	first := 0.0
	for _, f := range all {
		var shares []float64
		var load, idle []time.Duration
		missing, rss, perLine := 0, 0, math.Inf(1)
		for _, r := range f.results {
			shares = append(shares, r.share())
			load, idle = append(load, r.load...), append(idle, r.idle...)
			missing, rss = missing+r.missing, max(rss, r.rss)
			perLine = min(perLine, float64(r.cpu.Microseconds())/float64(r.lines))
		}
		slices.Sort(shares)
		if first == 0 {
			first = perLine
		}
		fmt.Fprintf(&b, "| %s | %.2f %% | %.2f %% | %.2f | %.2f | %s | %s | %s | %s | %d | %d |\n", f.name, shares[0], shares[len(shares)/2], perLine, perLine/first,
			ms(quantile(load, .5)), ms(quantile(load, .99)), ms(quantile(idle, .5)), ms(quantile(idle, 1)), rss>>10, missing)
	}
	os.Stdout.WriteString(b.String())
	return os.WriteFile(o.out, []byte(b.String()), 0o644)
}

// loadAverage is that of the last one, five and fifteen minutes.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], ", ")
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
