package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAVerdictSaysByHowMuchATargetIsMissed(t *testing.T) {
	most, least := target{limit: 1.2, most: true}, target{limit: 600}
	for _, c := range []struct {
		t     target
		value float64
		want  string
	}{
		{most, 1.2, "yes"}, {most, 0.4, "yes"}, {most, 1.8, "**no**: 50 % too much"},
		{least, 600, "yes"}, {least, 693, "yes"}, {least, 450, "**no**: 25 % short"},
	} {
		if got := c.t.verdict(c.value); got != c.want {
			t.Errorf("%v against %v: %q, not %q", c.value, c.t.limit, got, c.want)
		}
	}
}

func TestATargetWithoutItsPeerIsNotMeasured(t *testing.T) {
	for _, target := range targets {
		if row := target.row(&results{}); !strings.Contains(row, "not measured") {
			t.Errorf("nothing has run, and yet: %s", row)
		}
	}
}

func TestStartUpIsSubtractedWhereAPartIsRead(t *testing.T) {
	l := &corpus{lines: 1000}
	c := &contender{log: l, lines: 1000, startup: time.Millisecond}
	for _, cpu := range []time.Duration{4, 2, 3, 9} {
		c.runs = append(c.runs, cost{CPU: cpu * time.Millisecond})
	}
	if least, median := c.perLine(); least != 2000 || median != 3500 {
		t.Errorf("whole: %v and %v ns a line", least, median)
	}
	c.lines = 100
	if least, median := c.perLine(); least != 10_000 || median != 25_000 {
		t.Errorf("a part: %v and %v ns a line", least, median)
	}
}

func TestWhoWasMissedAndWhoWasWronglyFoundIsTold(t *testing.T) {
	l := &corpus{name: "nginx"}
	c := &contender{name: "x", log: l}
	verdict := c.judge([]string{"203.0.113.1", "203.0.113.3", "198.18.0.1"}, truth{
		must: map[string]bool{"203.0.113.1": true, "203.0.113.2": true}, may: map[string]bool{"203.0.113.1": true, "203.0.113.2": true, "203.0.113.3": true}})
	if verdict != "1 of 2, and 1 others" {
		t.Errorf("verdict %q", verdict)
	}
	faults := (&results{run: []*contender{c}}).faults()
	if len(faults) != 1 || !strings.Contains(faults[0], "missed 203.0.113.2; wrongly 198.18.0.1") {
		t.Errorf("faults %q", faults)
	}
}

func TestADecisionThatIsTakenBackIsNone(t *testing.T) {
	out := []byte(`{"kind":"decision","verb":"block","target":"203.0.113.1/32"}
{"kind":"decision","verb":"spared","target":"203.0.113.2/32"}
{"kind":"decision","verb":"block","target":"203.0.113.3/32"}
{"kind":"decision","verb":"unblock","target":"203.0.113.3/32"}
{"kind":"summary","lines":7,"seconds":0.1,"bytes_per_target":58}
`)
	if who := blocked(out); len(who) != 1 || who[0] != "203.0.113.1" {
		t.Errorf("blocked %q", who)
	}
	if s := summaryOf(out); s.Lines != 7 || s.PerTarget != 58 {
		t.Errorf("summary %+v", s)
	}
	if rest := withoutSummary(out); strings.Contains(string(rest), "seconds") || !strings.HasSuffix(string(rest), "unblock\",\"target\":\"203.0.113.3/32\"}\n") {
		t.Errorf("decisions %s", rest)
	}
}

func TestTheTableReplacesTheOneBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	for _, table := range []string{"first\n", "second\n"} {
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte("above\n<a>\n<b>\nbelow\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := between(path, "<a>\n", "<b>\n", table); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "above\n<a>\nsecond\n<b>\nbelow\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := between(path, "<c>\n", "<b>\n", "x"); err == nil {
		t.Error("a file without the mark is written")
	}
}

func TestWallTimeOfABusyMachineIsNoMeasurement(t *testing.T) {
	l := &corpus{name: "nginx", lines: 1000}
	of := func(name string, wall time.Duration) *contender {
		return &contender{name: name, log: l, lines: 1000, runs: []cost{{CPU: time.Second, Wall: wall}}}
	}
	for busy, want := range map[time.Duration]bool{1100 * time.Millisecond: true, 4 * time.Second: false} {
		r := &results{run: []*contender{of(oursName, busy), of(oursTwoName, 600*time.Millisecond)}}
		if _, ok := wall("nginx")(r); ok != want {
			t.Errorf("one core in %v for a second of CPU: measured %v", busy, ok)
		}
	}
}
