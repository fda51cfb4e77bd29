package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// contender is one command that is measured on one log.
type contender struct {
	name string
	log  *corpus
	args func(file string) []string
	env  []string
	// found reads out of what it printed whom it would block; nil where the program decides nothing.
	found func(out []byte) []string
	// group names contenders that read equally many lines, because they are compared with each other; empty for none.
	group string
	// whole says that it reads the whole log, however long that takes.
	whole bool
	// silent says that its output goes to /dev/null. The others have a pipe: grep stops at the first hit when it sees that nobody reads.
	silent bool
	// logs says that what it has to tell is in its log, on standard error.
	logs bool
	// missing says what is not installed; it is then not run.
	missing string

	lines   int           // that it reads in a round
	startup time.Duration // CPU of a run on an empty file, the least; subtracted where only a part is read
	runs    []cost
	// verdict is whom it found of those that it had to, and faults whom it did not, or wrongly.
	verdict string
	faults  []string
	// decisions is what `regwarden replay` printed, without its summary.
	decisions []byte
}

// run runs the command once on a file.
func (c *contender) run(file string) (cost, []byte, error) {
	var out, complaints bytes.Buffer
	to, log := io.Writer(&out), io.Writer(&complaints)
	if c.silent {
		to = nil
	}
	if c.logs {
		log = &out
	}
	k, err := measured(c.args(file), c.env, to, log)
	if err != nil {
		return cost{}, nil, fmt.Errorf("%s on %s: %w\n%s%s", c.name, file, err, tail(out.Bytes()), tail(complaints.Bytes()))
	}
	return k, out.Bytes(), nil
}

func tail(text []byte) []byte { return text[max(0, len(text)-2000):] }

// calibrate chooses how much of the log is read, so that a round takes about budget of CPU at most, and measures the start-up that is then subtracted.
func (c *contender) calibrate(budget time.Duration) error {
	if c.lines = c.log.lines; c.whole {
		return nil
	}
	for range 2 {
		k, _, err := c.run(c.log.empty)
		if err != nil {
			return err
		}
		if c.startup == 0 || k.CPU < c.startup {
			c.startup = k.CPU
		}
	}
	short := slices.Min(c.log.parts)
	k, _, err := c.run(c.log.part(short))
	if err != nil {
		return err
	}
	perLine := float64(max(k.CPU-c.startup, 0)) / float64(short)
	for _, n := range c.log.parts { // the longest first
		if c.lines = n; perLine*float64(n) <= float64(budget) {
			return nil
		}
	}
	return nil // not even the shortest can be read in time: it is taken all the same
}

// level makes the contenders of each group read equally many lines.
func level(all []*contender) {
	least := map[string]int{}
	for _, c := range all {
		if n, known := least[c.group]; !known || c.lines < n {
			least[c.group] = c.lines
		}
	}
	for _, c := range all {
		if c.group != "" {
			c.lines = least[c.group]
		}
	}
}

// round runs it once more and keeps what that cost and whom it found.
func (c *contender) round() error {
	k, out, err := c.run(c.log.part(c.lines))
	if err != nil {
		return err
	}
	if c.runs = append(c.runs, k); c.found == nil {
		return nil
	}
	c.verdict = c.judge(c.found(out), c.log.truth(c.lines))
	decisions := withoutSummary(out)
	if c.decisions != nil && strings.HasPrefix(c.name, "regwarden") && !bytes.Equal(c.decisions, decisions) {
		c.faults = append(c.faults, "two runs decided differently")
	}
	c.decisions = decisions
	return nil
}

// judge says how many of those who must be found were, and notes who was not, and who was though nothing is to be said against him.
func (c *contender) judge(found []string, t truth) string {
	hit := 0
	for who := range t.must {
		if slices.Contains(found, who) {
			hit++
		} else {
			c.faults = append(c.faults, "missed "+who)
		}
	}
	wrong := 0
	for _, who := range found {
		if !t.may[who] {
			wrong++
			c.faults = append(c.faults, "wrongly "+who)
		}
	}
	verdict := fmt.Sprintf("%d of %d", hit, len(t.must))
	if wrong > 0 {
		verdict += fmt.Sprintf(", and %d others", wrong)
	}
	return verdict
}

// net is the CPU time of a run for its lines: start-up included where the whole log is read.
func (c *contender) net(k cost) time.Duration {
	if c.lines < c.log.lines {
		return max(k.CPU-c.startup, time.Microsecond)
	}
	return k.CPU
}

// perLine returns CPU nanoseconds a line, the least and the median of the rounds.
func (c *contender) perLine() (least, median float64) {
	cpu := make([]float64, len(c.runs))
	for i, k := range c.runs {
		cpu[i] = float64(c.net(k)) / float64(c.lines)
	}
	slices.Sort(cpu)
	return cpu[0], middle(cpu)
}

// middle is the median of what is sorted.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// wall is the least wall time.
func (c *contender) wall() time.Duration {
	return slices.MinFunc(c.runs, func(a, b cost) int { return cmp.Compare(a.Wall, b.Wall) }).Wall
}

func (c *contender) rss() int64 {
	most := int64(0)
	for _, k := range c.runs {
		most = max(most, k.RSS)
	}
	return most
}
