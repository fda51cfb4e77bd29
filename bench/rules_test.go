package main

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestTheRulesAreAboutAbusersOnly(t *testing.T) {
	var rules []*regexp.Regexp
	for i := range mostRules {
		rules = append(rules, regexp.MustCompile(strings.ReplaceAll(failregex(i), "<HOST>", `(\S+)`)))
	}
	var b bytes.Buffer
	w, rnd := bufio.NewWriter(&b), rand.New(rand.NewPCG(3, 4))
	first, others := map[string]int{}, 0
	for _, r := range requests(4_000) {
		b.Reset()
		nginxLine(w, rnd, r)
		w.Flush()
		line := bytes.TrimRight(b.Bytes(), "\n")
		for i, rx := range rules {
			switch hit := rx.Match(line); {
			case hit && r.attempt == 0:
				t.Errorf("rule %d is about an honest line: %s", i, line)
			case hit && i == 0:
				first[r.client]++
			case hit:
				others++
			}
		}
	}
	for client, n := range first {
		if n < 2*ruleRetries {
			t.Errorf("the first rule is about only %d lines of %s", n, client)
		}
	}
	if len(first) != 2 || others == 0 {
		t.Errorf("the first rule finds %d abusers, the others %d lines", len(first), others)
	}
}
