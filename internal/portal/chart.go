package portal

import "time"

// chart is a drawing of bars and the table of the same numbers. Sizes are in the drawing's own units.
type chart struct {
	What          string
	Bars          []bar
	Width, Height int
	Most          int
	Total         int
}

// bar is one bar, with its label.
type bar struct {
	Label, Short string
	N            int
	X, Y         int
	Width, Depth int
}

const (
	chartWidth  = 720
	chartHeight = 160
)

// overTime is a chart of upright bars, one for each span.
func overTime(made []Made, since time.Time, span time.Duration, n int) chart {
	c := chart{What: "time", Width: chartWidth, Height: chartHeight}
	counts := make([]int, n)
	for _, m := range made {
		if i := int(m.From.Sub(since) / span); i >= 0 && i < n {
			counts[i] += m.N
			c.Total += m.N
			c.Most = max(c.Most, counts[i])
		}
	}
	for i, count := range counts {
		from := since.Add(time.Duration(i) * span)
		short := from.Format("15:04")
		if span >= 6*time.Hour {
			short = from.Format("2 Jan")
		}
		b := bar{Label: from.Format("2 Jan 2006 15:04 UTC"), Short: short, N: count, X: i * chartWidth / n, Width: max(1, chartWidth/n-2)}
		if c.Most > 0 {
			b.Depth = count * (chartHeight - 10) / c.Most
		}
		if count > 0 {
			b.Depth = max(b.Depth, 2)
		}
		b.Y = chartHeight - b.Depth
		c.Bars = append(c.Bars, b)
	}
	return c
}

// mostBars is how many names a chart shows.
const mostBars = 12

// byName is a chart of lying bars in a table, one for each name, of at most 100 units.
func byName(what string, made []Made) chart {
	c := chart{What: what, Width: 100}
	for _, m := range made {
		c.Total += m.N
		c.Most = max(c.Most, m.N)
	}
	for _, m := range made[:min(len(made), mostBars)] {
		c.Bars = append(c.Bars, bar{Label: m.Name, N: m.N, Width: max(1, m.N*100/max(1, c.Most))})
	}
	return c
}
