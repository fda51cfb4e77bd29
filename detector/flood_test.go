package detector_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"regwarden/detector"
)

// TestAFloodOfAddressesNeitherFillsTheMemoryNorHidesTheOffenders sends addresses that are seen once, with offenders among them whose hits
// lie as far apart as a quarter of the table's places.
func TestAFloodOfAddressesNeitherFillsTheMemoryNorHidesTheOffenders(t *testing.T) {
	flood := 600_000
	if os.Getenv("REGWARDEN_STRESS") != "" {
		flood = 10_000_000
	} else {
		t.Log("with REGWARDEN_STRESS=1 this sends 10,000,000 addresses; make test does")
	}
	const offenders, hits, memory = 200, 5, 64 << 20
	b := newBench(t, detector.Options{Memory: memory}, rule(func(r *detector.Rule) { r.MaxRetry = hits; r.FindTime = 2 * time.Hour }))
	rnd := rand.New(rand.NewPCG(1, 1))
	const every = 600 // 120,000 other addresses between two hits of an offender; the smallest records have 379,000 places
	blocked, sent := map[netip.Prefix]bool{}, 0
	var peak uint64
	e := event(begin, "203.0.113.7", 404)
	for i := range flood {
		e.Time = begin.Add(time.Duration(i) * 100 * time.Microsecond)
		var a [16]byte
		copy(a[:], []byte{0x20, 0x01, 0x0d, 0xb8})
		binary.BigEndian.PutUint32(a[4:], rnd.Uint32())
		e.Client = netip.AddrFrom16(a)
		b.feed(e)
		if i%every == 0 {
			e.Client = netip.AddrFrom4([4]byte{203, 0, 113, byte(sent % offenders)})
			sent++
			b.feed(e)
		}
		if i%(flood/20) == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	for _, d := range b.got {
		if d.Verb == detector.VerbBlock {
			blocked[d.Target] = true
		}
	}
	t.Logf("%d addresses, %d evicted, %d tracked, heap at most %d MiB", flood, b.detector.Stats().Evicted, b.detector.Stats().Tracked, peak>>20)
	if len(blocked) < offenders {
		t.Errorf("%d of %d offenders were found", len(blocked), offenders)
	}
	if peak > memory+memory/8 {
		t.Errorf("the heap grew to %d MiB, the tables may take %d", peak>>20, memory>>20)
	}
}

// TestALineThatNoRuleWantsCostsNoAllocation holds the hot path to nothing.
func TestALineThatNoRuleWantsCostsNoAllocation(t *testing.T) {
	b := newBench(t, detector.Options{}, rule(nil))
	e := event(begin, "203.0.113.7", 200)
	line := []byte("a line")
	n := testing.AllocsPerRun(1000, func() {
		b.findings.Reset()
		b.matcher.Match(line, e, e.Time.UnixMilli(), &b.findings)
		b.detector.Count(&b.findings, func(detector.Decision) {})
	})
	if n > 0 {
		t.Errorf("%v allocations a line", n)
	}
}

// TestTablesHoldWhatTheyHaveRoomFor: counts that fill nine tenths of the largest records' places lose none.
func TestTablesHoldWhatTheyHaveRoomFor(t *testing.T) {
	const clients, each = 1000, 600
	b := newBench(t, detector.Options{Memory: 85 << 20, Guards: detector.Guards{StormLimit: 1, ProxyShare: 1}}, rule(func(r *detector.Rule) { r.MaxRetry = each; r.FindTime = 7 * 24 * time.Hour }))
	for i := range clients * each {
		e := event(begin.Add(time.Duration(i)*time.Millisecond), "203.0.113.7", 404)
		e.Client = netip.AddrFrom4([4]byte{198, 18, byte(i % clients >> 8), byte(i % clients)})
		b.feed(e)
	}
	if n := len(b.got); n != clients {
		t.Errorf("%d of %d are found, %d evicted", n, clients, b.detector.Stats().Evicted)
	}
}
