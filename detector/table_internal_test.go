package detector

import (
	"math/rand/v2"
	"testing"
)

// TestATargetTakesAtMostSixtyBytes by a rule with maxretry 5, with the places counted that stay empty until the table evicts, and finds what it holds while it grows.
func TestATargetTakesAtMostSixtyBytes(t *testing.T) {
	c := &counts{}
	words := (&Rule{MaxRetry: 5, Windows: 1}).words()
	c.reach(words, 8<<20)
	table := c.classes[len(c.classes)-1]
	rnd := rand.New(rand.NewPCG(7, 8))
	var keys []uint64
	for table.evicted == 0 {
		key := rnd.Uint64() | 1
		i := table.insert(key, 1)
		table.use(i).end, table.record(i)[0] = 100, uint32(key>>1)
		keys = append(keys, key)
	}
	lost := 0
	for _, key := range keys {
		if i := table.find(key); i < 0 {
			lost++
		} else if table.record(i)[0] != uint32(key>>1) {
			t.Fatalf("key %x has another's record", key)
		}
	}
	if each := float64(table.bytes()) / float64(table.live); each > 60 || lost != 1 || table.live != len(keys)-1 {
		t.Errorf("%.1f bytes for each of %d targets when the first was evicted, %d lost", each, table.live, lost)
	} else {
		t.Logf("%.1f bytes for each of %d targets", each, table.live)
	}
}
