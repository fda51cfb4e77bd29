package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds are the upper ends of a Timing's buckets, in seconds.
var bounds = [...]float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60}

// Timing is how long something took, each time. It belongs to whoever observes; a copy is a snapshot.
type Timing struct {
	count  uint64
	sum    float64             // seconds
	within [len(bounds)]uint64 // how many took at most so long; cumulative
}

// Observe adds one.
func (t *Timing) Observe(d time.Duration) {
	seconds := math.Max(d.Seconds(), 0)
	t.count++
	t.sum += seconds
	for i := len(bounds) - 1; i >= 0 && seconds <= bounds[i]; i-- {
		t.within[i]++
	}
}

func (t *Timing) metric(f family, labels ...string) prometheus.Metric {
	buckets := map[float64]uint64{}
	for i, n := range t.within {
		buckets[bounds[i]] = n
	}
	return prometheus.MustNewConstHistogram(f.desc, t.count, t.sum, buckets, labels...)
}
