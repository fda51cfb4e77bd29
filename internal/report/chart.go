package report

import (
	"fmt"
	"time"
)

// A chart is drawn here, on the server: the page has no script. Units are those of the SVG's own box.
const (
	chartWidth  = 720
	chartHeight = 200
	chartLeft   = 40 // room for the scale's numbers
	chartBottom = 24 // and for the times
	chartTop    = 10
)

// chart is the bars over time.
type chart struct {
	Width, Height int
	Bars          []bar
	Lines         []gridLine
	Labels        []label
	Base          int // the y of zero
	Left          int
}

// bar is one rectangle; Kind names its colour.
type bar struct {
	X, Y, W, H float64
	Kind       string
	Title      string
}

type gridLine struct {
	Y    float64
	Text string
}

type label struct {
	X    float64
	Text string
}

// chart draws the buckets as stacked bars.
func (r *Report) chart() *chart {
	most := 0
	for _, b := range r.Buckets {
		most = max(most, b.Would+b.Blocked+b.Spared)
	}
	if most == 0 {
		return nil
	}
	c := &chart{Width: chartWidth, Height: chartHeight, Base: chartHeight - chartBottom, Left: chartLeft}
	step := gridStep(most)
	top := (most + step - 1) / step * step
	plot := float64(chartHeight - chartBottom - chartTop)
	y := func(n int) float64 { return float64(c.Base) - plot*float64(n)/float64(top) }
	for n := 0; n <= top; n += step {
		c.Lines = append(c.Lines, gridLine{y(n), fmt.Sprint(n)})
	}
	slot := float64(chartWidth-chartLeft) / float64(len(r.Buckets))
	width := max(1, min(slot*0.8, 40))
	every := (len(r.Buckets) + 7) / 8
	for i, b := range r.Buckets {
		x := chartLeft + slot*float64(i) + (slot-width)/2
		if i%every == 0 {
			c.Labels = append(c.Labels, label{chartLeft + slot*(float64(i)+0.5), r.tick(b.Start)})
		}
		below := 0
		for _, part := range []struct {
			n          int
			kind, what string
		}{{b.Blocked, "blocked", "blocked"}, {b.Would, "would", "would have been blocked"}, {b.Spared, "spared", "spared"}} {
			if part.n > 0 {
				c.Bars = append(c.Bars, bar{x, y(below + part.n), width, y(below) - y(below+part.n), part.kind,
					fmt.Sprintf("%s: %d %s", r.moment(b.Start), part.n, part.what)})
				below += part.n
			}
		}
	}
	return c
}

// gridStep is 1, 2 or 5 times a power of ten, so that the scale has at most five lines above zero.
func gridStep(most int) int {
	for step := 1; ; step *= 10 {
		for _, n := range []int{step, 2 * step, 5 * step} {
			if most <= 5*n {
				return n
			}
		}
	}
}

func (r *Report) tick(t time.Time) string {
	if r.Step >= 24*time.Hour || r.Step >= 6*time.Hour && t.In(r.location).Hour() == 0 {
		return t.In(r.location).Format("02 Jan")
	}
	return t.In(r.location).Format("15:04")
}

// moment is a time in the report's zone.
func (r *Report) moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(r.location).Format("2006-01-02 15:04:05")
}

// StepText says how long a bar of the chart is.
func (r *Report) StepText() string {
	for _, unit := range []struct {
		is   time.Duration
		one  string
		more string
	}{{24 * time.Hour, "a day", "days"}, {time.Hour, "an hour", "hours"}, {time.Minute, "a minute", "minutes"}} {
		switch n := r.Step / unit.is; {
		case n == 1:
			return unit.one
		case n > 1:
			return fmt.Sprintf("%d %s", n, unit.more)
		}
	}
	return "the whole time"
}
