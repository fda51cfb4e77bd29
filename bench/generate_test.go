package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

func TestTheSameSeedMakesTheSameLog(t *testing.T) {
	var sums [2]string
	for i := range sums {
		path := filepath.Join(t.TempDir(), "nginx.log")
		if err := writeLog(path, 20_000, nginxLine); err != nil {
			t.Fatal(err)
		}
		_, s, err := sum(path)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = s
	}
	if sums[0] != sums[1] {
		t.Errorf("two runs made %s and %s", sums[0], sums[1])
	}
}

func TestTwoInAHundredLinesAreAbuse(t *testing.T) {
	const lines = 200_000
	last, abuse, each := start, 0, map[string]int{}
	for n, r := range requests(lines) {
		if r.at.Before(last) {
			t.Fatalf("line %d is earlier than the one before", n)
		}
		last = r.at
		if r.attempt > 0 {
			abuse++
			each[r.client]++
		}
	}
	if abuse != lines/50 || len(each) != lines/50/attempts {
		t.Errorf("%d lines of %d abusers", abuse, len(each))
	}
	for client, n := range each {
		if n != attempts {
			t.Errorf("%s has %d lines, not %d", client, n, attempts)
		}
	}
}

func TestAPartIsJudgedByWhoIsThroughInIt(t *testing.T) {
	if whole := truthOf(100_000, 100_000); len(whole.must) != 50 || len(whole.may) != 50 {
		t.Errorf("the whole log has %d and %d abusers, not 50", len(whole.must), len(whole.may))
	}
	part := truthOf(100_000, 20_000)
	if len(part.must) < 9 || len(part.may) < len(part.must) || len(part.may) > 12 {
		t.Errorf("a fifth has %d who are through and %d who have begun", len(part.must), len(part.may))
	}
}

func TestLinesHaveTheirSizeAndShape(t *testing.T) {
	for _, l := range logs {
		var b bytes.Buffer
		w, rnd, n := bufio.NewWriter(&b), rand.New(rand.NewPCG(1, 2)), 0
		for _, r := range requests(5_000) {
			l.write(w, rnd, r)
			n++
		}
		w.Flush()
		if got := b.Len() / n; got < l.size*97/100 || got > l.size*103/100 {
			t.Errorf("%s: a line has %d bytes, not about %d", l.name, got, l.size)
		}
		for line := range bytes.Lines(b.Bytes()) {
			var fields map[string]any
			if l.fields > 0 && (json.Unmarshal(line, &fields) != nil || len(fields) != l.fields) {
				t.Fatalf("%s: %d fields, not %d: %s", l.name, len(fields), l.fields, line)
			}
		}
	}
}
