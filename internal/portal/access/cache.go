package access

import (
	"sync"
	"time"
)

// question is what was asked about whom. The person stands for every token of theirs: no token is ever a key.
type question struct{ subject, project string }

type entry[V any] struct {
	value V
	until time.Time
}

// cache keeps answers for a while, and no more than max of them.
type cache[V any] struct {
	mu      sync.Mutex
	max     int
	keep    time.Duration
	entries map[question]entry[V]
}

func newCache[V any](max int, keep time.Duration) *cache[V] {
	return &cache[V]{max: max, keep: keep, entries: map[question]entry[V]{}}
}

func (c *cache[V]) get(q question) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	if !ok || !time.Now().Before(e.until) {
		delete(c.entries, q)
		var none V
		return none, false
	}
	return e.value, true
}

func (c *cache[V]) put(q question, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[q]; !known && len(c.entries) >= c.max {
		c.makeRoom()
	}
	c.entries[q] = entry[V]{v, time.Now().Add(c.keep)}
}

// makeRoom drops what is over, or else a tenth of all, whichever come first: a look is asked again then, which is only slower.
func (c *cache[V]) makeRoom() {
	now := time.Now()
	for q, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, q)
		}
	}
	for q := range c.entries {
		if len(c.entries) <= c.max*9/10 {
			return
		}
		delete(c.entries, q)
	}
}
