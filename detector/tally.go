package detector

import (
	"math/bits"
	"time"
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
	tallyServed // bitmap of the services that served the target last, in this generation
	tallyWas    // and in the one before, where it was not seen since
	tallyAgents // bitmap of user agents, to the record's end

	tallyWords = 16 - headWords // a record is one line of the core's cache
	agentBits  = 7              // of an agent's place there: 4 words of 32
)

// service is what can fail by itself: a rule's storm guard asks whether others are still served by what the rule is about.
type service uint8

// The services.
const (
	serviceManifests service = iota // manifests and tags
	serviceBlobs
	serviceSite // everything else that a web server answers
	serviceRegistry
	serviceTokens
	serviceLogins
	serviceRails
	serviceAPI
	serviceAuth
	serviceSSH
	services
	noService = services
)

// serviceOf says which service an event is about.
func serviceOf(k Kind, o Operation) service {
	switch k {
	case KindAccess:
		switch o {
		case OpManifest, OpTags:
			return serviceManifests
		case OpBlob, OpUpload:
			return serviceBlobs
		case OpPing:
			return noService // every client is refused there first
		}
		return serviceSite
	case KindRails, KindAuth: // auth.log has only who was refused; who was served stands in production_json.log
		switch {
		case o == OpToken:
			return serviceTokens
		case o == OpLogin:
			return serviceLogins
		case k == KindAuth:
			return serviceAuth
		}
		return serviceRails
	case KindRegistry:
		return serviceRegistry
	case KindAPI:
		return serviceAPI
	case KindSSH:
		return serviceSSH
	}
	return noService
}

// served counts targets by how a service treated them last, over this generation and the one before.
type served struct {
	Now, Was   [services]int32 // that were served
	Seen, Were [services]int32 // that asked
}

// tallies know how every target's requests fare, whether a rule wants them or not: that is what tells a crowd or a proxy from an abuser.
type tallies struct {
	seed       Seed
	table      *table
	generation uint32
	total      float64 // all requests, forgotten at the same pace
	active     int     // targets seen in this generation
	wasActive  int     // and in the one before
	served     served
	touched    uint64
}

func newTallies(seed Seed, bytes int) *tallies {
	return &tallies{seed: seed, table: newTable(tallyWords, bytes)}
}

// target is the target's key in tables. Whoever does not know the seed cannot choose targets that collide. It is never 0.
func (s Seed) target(target targetKey) uint64 {
	hi, lo := bits.Mul64(uint64(target)^s[0], s[1]|1)
	hi, lo = bits.Mul64(hi^lo^s[1], s[0]|1)
	return hi ^ lo | 1
}

func generationOf(ms int64) uint32 { return uint32(ms / generation.Milliseconds()) }

// turn begins a new generation when it is time; time never runs back here.
func (s *tallies) turn(gen uint32) {
	if s.generation == 0 {
		s.generation = gen
	}
	for ; s.generation < gen; s.generation++ {
		s.wasActive, s.active, s.total = s.active, 0, s.total*3/4
		s.served = served{Was: s.served.Now, Were: s.served.Seen}
		if gen-s.generation > 40 {
			s.generation, s.total, s.wasActive, s.served = gen-1, 0, 0, served{}
		}
	}
}

// places are where the records of sightings stand that are about to be added, -1 for none.
type places [warmAtOnce]int

// warmAtOnce is how many records are waited for together: about as many as a core can have on their way.
const warmAtOnce = 16

// warm looks for the records of at most warmAtOnce sightings. Each is somewhere else in memory: asked for together, they are waited for once.
func (s *tallies) warm(list []sighting) (at places) {
	var sum uint64
	for i := range list {
		a, b := s.table.homes(list[i].key)
		sum += uint64(s.table.tags[a]) + uint64(s.table.tags[b])
	}
	for i := range list {
		if at[i] = s.table.find(list[i].key); at[i] >= 0 {
			sum += uint64(s.table.use(at[i]).count)
		}
	}
	s.touched = sum // or the compiler would see that nobody needs it
	return at
}

// add counts a sighting. at is where its record was found before others were added.
func (s *tallies) add(g *sighting, at int) {
	if gen := generationOf(g.time); gen != s.generation {
		s.turn(gen)
	}
	i := at
	if i < 0 || !s.table.holds(i, g.key) {
		i = s.table.find(g.key)
	}
	if i < 0 {
		i = s.table.insert(g.key, s.generation)
		s.table.record(i)[tallyGeneration] = s.generation
	}
	rec := s.table.record(i)
	if rec[tallyGeneration] != s.generation {
		s.age(rec)
	}
	rec[tallyOf[g.outcome]]++
	rec[tallyNow]++
	if g.outcome == Success { // whoever only fails could name a new agent each time to look like a crowd
		rec[tallyAgents+g.agent>>5] |= 1 << (g.agent & 31)
	}
	if rec[tallyNow] == 1 {
		s.active++
	}
	s.total++
	s.serve(rec, g)
	// A record is of use for two hours; busy targets are evicted last.
	*s.table.use(i) = use{last: s.generation, end: s.generation + 24, count: min(rec[tallySuccess]+rec[tallyFailure]+rec[tallyNeutral], maxCount)}
}

// tallyOf is the word that counts an outcome.
var tallyOf = [...]uint8{Success: tallySuccess, Failure: tallyFailure, Neutral: tallyNeutral}

// serve keeps count of the targets that a service served last.
func (s *tallies) serve(rec []uint32, g *sighting) {
	if g.service >= services {
		return
	}
	bit, seen := uint32(1)<<g.service, uint32(1)<<(16+g.service)
	if rec[tallyServed]&seen == 0 {
		rec[tallyServed] |= seen
		s.served.Seen[g.service]++
	}
	if g.fate == Neutral {
		return
	}
	if rec[tallyWas]&bit != 0 { // what is known now takes the place of what was
		rec[tallyWas] &^= bit
		s.served.Was[g.service]--
	}
	switch had := rec[tallyServed]&bit != 0; {
	case g.fate == Success && !had:
		rec[tallyServed] |= bit
		s.served.Now[g.service]++
	case g.fate == Failure && had:
		rec[tallyServed] &^= bit
		s.served.Now[g.service]--
	}
}

// health is how many targets the services served last, and how many asked; the most of any of them.
func (s *tallies) health(of uint16) (served, asked int) {
	for i := range services {
		if of&(1<<i) != 0 {
			served = max(served, int(s.served.Now[i]+s.served.Was[i]))
			asked = max(asked, int(max(s.served.Seen[i], s.served.Were[i])))
		}
	}
	return max(served, 0), asked
}

// age forgets what the generations since the record's last use take away.
func (s *tallies) age(rec []uint32) {
	for n := 0; rec[tallyGeneration] < s.generation; n++ {
		if n == 40 {
			rec[tallyGeneration] = s.generation
			clear(rec[:tallyGeneration])
			clear(rec[tallyNow:])
			break
		}
		for i := tallySuccess; i <= tallyNeutral; i++ {
			rec[i] -= (rec[i] + 3) / 4
		}
		rec[tallyGeneration]++
		rec[tallyNow] = 0
		rec[tallyWas], rec[tallyServed] = rec[tallyServed]&0xffff, 0
		if rec[tallyGeneration]%12 == 0 { // agents of the last hour count
			clear(rec[tallyAgents:])
		}
	}
}

// traffic is how a target fares.
type traffic struct {
	success, failure uint32
	share            float64 // of all requests that were seen
	agents           int     // different user agents; few in a hundred times two of five share a place
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
	i := s.table.find(s.seed.target(target))
	if i < 0 {
		return traffic{seen: s.total}
	}
	rec := s.table.record(i)
	s.age(rec)
	agents := 0
	for _, w := range rec[tallyAgents:] {
		agents += bits.OnesCount32(w)
	}
	n := float64(rec[tallySuccess]) + float64(rec[tallyFailure]) + float64(rec[tallyNeutral])
	return traffic{success: rec[tallySuccess], failure: rec[tallyFailure], share: n / max(s.total, 1),
		agents: agents, seen: s.total}
}

var _ [tallyWords - tallyAgents - 1<<agentBits/32]struct{} // there is room for them
