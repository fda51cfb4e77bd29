package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Names of the contenders that the targets ask for.
const (
	oursName      = "regwarden replay, shipped rules"
	oursTwoName   = "regwarden replay, shipped rules, two cores"
	grepName      = "grep -c -F"
	rgName        = "rg -j1 -c -F"
	crowdsecName  = "CrowdSec, one scenario"
	fail2banStart = "fail2ban"
)

// program returns where a program is: installed, or unpacked under bench/out from its Debian package.
func program(name, unpacked string) (path, missing string) {
	if path, err := exec.LookPath(name); err == nil {
		return path, ""
	}
	path, err := filepath.Abs(filepath.Join("bench", "out", unpacked))
	if err == nil {
		if _, err = os.Stat(path); err == nil {
			return path, ""
		}
	}
	return "", name + " is not installed, and its Debian package is not unpacked in bench/out"
}

var oneCore = []string{"GOMAXPROCS=1"}

// ours is `regwarden replay` with some rules.
func ours(name string, l *corpus, rules ...string) *contender {
	return &contender{name: name, log: l, env: oneCore, found: blocked, args: func(file string) []string {
		return slices.Concat([]string{"./regwarden", "replay", "--json"}, l.replay, rules, []string{file})
	}}
}

// lookers are programs that decide nothing: what it costs to read a log, and to look for a string in it.
func lookers(l *corpus) []*contender {
	rg, missing := program("rg", "ripgrep/usr/bin/rg")
	look := func(name string, args ...string) *contender {
		return &contender{name: name, log: l, whole: true, args: func(file string) []string { return append(slices.Clone(args), file) }}
	}
	cat := look("cat", "cat")
	cat.silent = true
	finder := look(rgName, rg, "-j1", "-c", "-F", l.needle)
	finder.missing = missing
	return []*contender{cat, look("wc -l", "wc", "-l"), finder, look(grepName, "grep", "-c", "-F", l.needle)}
}

// awk counts the first rule's lines for each address; it knows no times, so it counts over the whole log.
func awk(l *corpus) *contender {
	program := fmt.Sprintf(`$9 == 404 && ($6 == "\"GET" || $6 == "\"HEAD") && $7 ~ /^\/v2\/.+\/manifests\// { n[$1]++ } END { for (a in n) if (n[a] >= %d) print a }`, ruleRetries)
	return &contender{name: "awk, 1 rule and a count for each address", log: l, found: words, args: func(file string) []string { return []string{"awk", program, file} }}
}

func words(out []byte) []string { return strings.Fields(string(out)) }

// blocked is who is blocked in the end, as `replay --json` tells it.
func blocked(out []byte) []string {
	var who []string
	for d := range decisions(out) {
		switch target := strings.TrimSuffix(d.Target, "/32"); d.Verb {
		case "block":
			who = append(who, target)
		case "unblock":
			who = slices.DeleteFunc(who, func(w string) bool { return w == target })
		}
	}
	slices.Sort(who)
	return slices.Compact(who)
}

// fail2ban's ways to find the date: its default, what its own nginx filters say, and the cheapest that one can write by hand.
var datePatterns = []struct{ name, pattern string }{
	{"default dates", "default"},
	{"its nginx filter's dates", "{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\\s*%z)?\n^[^\\[]*\\[({DATE})\n{^LN-BEG}"},
	{"dates anchored by hand", `^[^\[]*\[(%d/%b/%Y:%H:%M:%S %z)\]`},
}

func fail2banName(rules int, dates string) string {
	return fmt.Sprintf("%s, %d rule%s, %s", fail2banStart, rules, map[bool]string{true: "s"}[rules > 1], dates)
}

// fail2ban is its own filter code, driven by peers/feed_fail2ban.py.
func fail2ban(l *corpus, dir string) []*contender {
	library, missing := "/usr/lib/python3/dist-packages", ""
	if _, err := os.Stat(filepath.Join(library, "fail2ban")); err != nil {
		library = filepath.Join("bench", "out", "fail2ban", library)
		if _, err := os.Stat(library); err != nil {
			missing = "fail2ban is not installed, and its Debian package is not unpacked in bench/out"
		}
	}
	var all []*contender
	for _, rules := range []int{1, 10} {
		for _, d := range datePatterns {
			all = append(all, &contender{name: fail2banName(rules, d.name), log: l, env: []string{"PYTHONPATH=" + library}, found: words, missing: missing, args: func(file string) []string {
				return []string{"/usr/bin/python3", "bench/peers/feed_fail2ban.py", d.pattern, expressions(dir, rules), strconv.Itoa(ruleRetries), strconv.Itoa(ruleSeconds), file}
			}})
		}
	}
	return all
}
