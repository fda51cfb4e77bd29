package detector

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/dchest/siphash"
)

// generation is the pace at which traffic is forgotten: every five minutes a quarter of what was counted goes, so that half of
// it is gone after twelve minutes.
const generation = 5 * time.Minute

// A tally's words.
const (
	tallySuccess = iota
	tallyFailure
	tallyNeutral
	tallyGeneration
	tallyNow    // requests in this generation
	tallyAgents // bitmap of user agents
	tallyWords
)

// tallies know how every target's requests fare, whether a rule wants them or not: that is what tells a crowd or a proxy from an abuser.
type tallies struct {
	seed       Seed
	table      *table
	generation uint32
	total      float64 // all requests, forgotten at the same pace
	active     int     // targets seen in this generation
	wasActive  int     // and in the one before
}

func newTallies(seed Seed, bytes int) *tallies {
	return &tallies{seed: seed, table: newTable(tallyWords, bytes)}
}

// key is the target's key in the table, which nobody can choose.
func (s *tallies) key(target targetKey) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(target))
	return siphash.Hash(s.seed[0], s.seed[1], b[:]) | 1
}

func generationOf(ms int64) uint32 { return uint32(ms / generation.Milliseconds()) }

// turn begins a new generation when it is time; time never runs back here.
func (s *tallies) turn(gen uint32) {
	if s.generation == 0 {
		s.generation = gen
	}
	for ; s.generation < gen; s.generation++ {
		s.wasActive, s.active, s.total = s.active, 0, s.total*3/4
		if gen-s.generation > 40 {
			s.generation, s.total, s.wasActive = gen-1, 0, 0
		}
	}
}

// add counts a sighting.
func (s *tallies) add(g sighting) {
	s.turn(generationOf(g.time))
	key := s.key(g.target)
	i := s.table.find(key)
	if i < 0 {
		i = s.table.insert(key, s.generation)
		s.table.record(i)[tallyGeneration] = s.generation
	}
	rec := s.table.record(i)
	s.age(rec)
	rec[[...]int{Success: tallySuccess, Failure: tallyFailure, Neutral: tallyNeutral}[g.outcome]]++
	rec[tallyNow]++
	rec[tallyAgents] |= 1 << g.agent
	if rec[tallyNow] == 1 {
		s.active++
	}
	s.total++
	// A record is of use for two hours; busy targets are evicted last.
	s.table.lasts[i], s.table.ends[i] = s.generation, s.generation+24
	s.table.counts[i] = uint16(min(rec[tallySuccess]+rec[tallyFailure]+rec[tallyNeutral], 1<<16-1))
}

// age forgets what the generations since the record's last use take away.
func (s *tallies) age(rec []uint32) {
	for n := 0; rec[tallyGeneration] < s.generation; n++ {
		if n == 40 {
			rec[tallyGeneration] = s.generation
			rec[tallySuccess], rec[tallyFailure], rec[tallyNeutral], rec[tallyAgents] = 0, 0, 0, 0
			break
		}
		for i := tallySuccess; i <= tallyNeutral; i++ {
			rec[i] -= (rec[i] + 3) / 4
		}
		rec[tallyGeneration]++
		rec[tallyNow] = 0
		if n >= 12 {
			rec[tallyAgents] = 0
		}
	}
}

// traffic is how a target fares.
type traffic struct {
	success, failure uint32
	share            float64 // of all requests that were seen
	agents           int     // different user agents, of at most 32
	seen             float64 // all requests of everybody
}

// ratio is the share of the requests which had an outcome that succeeded.
func (t traffic) ratio() float64 {
	if t.success == 0 {
		return 0
	}
	return float64(t.success) / float64(t.success+t.failure)
}

// of returns how a target fares.
func (s *tallies) of(target targetKey) traffic {
	i := s.table.find(s.key(target))
	if i < 0 {
		return traffic{seen: s.total}
	}
	rec := s.table.record(i)
	s.age(rec)
	n := float64(rec[tallySuccess]) + float64(rec[tallyFailure]) + float64(rec[tallyNeutral])
	return traffic{success: rec[tallySuccess], failure: rec[tallyFailure], share: n / max(s.total, 1),
		agents: bits.OnesCount32(rec[tallyAgents]), seen: s.total}
}
