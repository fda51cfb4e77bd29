// Command bench measures `regwarden replay` beside fail2ban, CrowdSec, ripgrep, grep, awk, wc and cat: on the same generated logs, in the same run,
// interleaved, one core each. It checks that every program that decides finds the same abusers, holds the figures against the targets, and writes
// bench/RESULTS.md and the table in README.md. It knows regwarden as a program only and none of its packages.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	lines, rounds int
	budget        time.Duration
	memory        int64 // MB of the log for the measurement of memory
	print         bool  // write nothing
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == measureFlag {
		os.Exit(measureOne(os.Args[2:]))
	}
	var o options
	flag.IntVar(&o.lines, "lines", 1_000_000, "lines of each log")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&o.budget, "budget", 3*time.Second, "CPU time of one run, by which a slow program gets a shorter log")
	flag.Int64Var(&o.memory, "memory", 2000, "MB of the log on which peak memory is measured; 0 for none")
	flag.BoolVar(&o.print, "print", false, "print the report and write no file")
	only := flag.String("only", "", "measure only contenders whose `name` has this in it, and print without writing")
	flag.Parse()
	if err := bench(o, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o options, only string) error {
	if o.lines < 10_000 {
		return fmt.Errorf("-lines %d: at least 10000 are needed, so that the shortest part has an abuser in it", o.lines)
	}
	r, err := prepare(o)
	if err != nil {
		return err
	}
	if only != "" {
		r.keep(func(c *contender) bool { return strings.Contains(c.name, only) })
	}
	if err := r.calibrate(o.budget); err != nil {
		return err
	}
	for n := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", n+1, o.rounds)
		for _, c := range r.run {
			if err := c.round(); err != nil {
				return err
			}
		}
	}
	if err := r.checkAll(); err != nil {
		return err
	}
	if o.memory > 0 && only == "" {
		if err := r.measureMemory(o); err != nil {
			return err
		}
	}
	return r.write(!o.print && only == "")
}

// prepare makes the logs and the rules, and gathers the contenders.
func prepare(o options) (*results, error) {
	data := filepath.Join("bench", "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	if err := writeRules(data); err != nil {
		return nil, err
	}
	r := &results{begun: time.Now(), rounds: o.rounds}
	for _, l := range logs {
		if err := l.make(data, o.lines); err != nil {
			return nil, err
		}
		one, two := ours(oursName, l), ours(oursTwoName, l)
		one.whole, two.whole, two.env = true, true, []string{"GOMAXPROCS=2"}
		r.add(append([]*contender{one, two}, lookers(l)...)...)
	}
	nginx := logs[0]
	if err := nginx.makeParts(); err != nil {
		return nil, err
	}
	for _, sort := range []string{"field", "raw"} {
		for _, n := range []int{1, 10, 50} {
			c := ours(rulesName(sort, n), nginx, ruleArguments(data, sort, n)...)
			c.group = sort
			r.add(c)
		}
	}
	r.add(awk(nginx))
	r.add(fail2ban(nginx, data)...)
	peer, err := crowdsec(nginx)
	if err != nil {
		return nil, err
	}
	r.add(peer)
	return r, nil
}

func rulesName(sort string, n int) string {
	plural := "s"
	if n == 1 {
		plural = ""
	}
	return fmt.Sprintf("regwarden replay, %d %s rule%s", n, map[string]string{"field": "field", "raw": "failregex"}[sort], plural)
}
