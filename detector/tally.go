package detector

import (
	"math/bits"
	"time"
)

// generation is the pace at which traffic is forgotten: every five minutes a quarter of what was counted goes, so that half of
// it is gone after twelve minutes.
const generation = 5 * time.Minute

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
	table      *faresTable
	generation uint32
	total      float64 // all requests, forgotten at the same pace
	active     int     // targets seen in this generation
	wasActive  int     // and in the one before
	served     served
	touched    uint64
}

func newTallies(seed Seed, bytes int) *tallies {
	return &tallies{seed: seed, table: newFaresTable(bytes)}
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
	if gen > s.generation+40 { // nothing is left of it
		s.generation, s.total, s.active, s.wasActive, s.served = gen, 0, 0, 0, served{}
		s.table.clear()
	}
	for ; s.generation < gen; s.generation++ {
		s.wasActive, s.active, s.total = s.active, 0, s.total*3/4
		s.served = served{Was: s.served.Now, Were: s.served.Seen}
		if s.generation%sweepEvery == 0 {
			s.table.sweep(s.generation)
		}
	}
}

// sweepEvery is well within the generations that fares can tell apart.
const sweepEvery = 1 << 14

// places are where the fares of sightings stand that are about to be added, nil for none.
type places [warmAtOnce]*fares

// warmAtOnce is how many fares are waited for together: about as many as a core can have on their way.
const warmAtOnce = 16

// warm looks for the fares of at most warmAtOnce sightings. Each is somewhere else in memory: asked for together, they are waited for once.
func (s *tallies) warm(list []sighting, at *places) {
	var sum uint64
	for i := range list {
		sum += s.table.first(list[i].key).touch()
	}
	missing := uint(0)
	for i := range list {
		set := s.table.first(list[i].key)
		if n := set.find(list[i].key); n >= 0 {
			at[i] = &set[n]
			continue
		}
		missing |= 1 << i
		sum += s.table.second(list[i].key).touch()
	}
	s.touched = sum // or the compiler would see that nobody needs it
	for ; missing != 0; missing &= missing - 1 {
		i := bits.TrailingZeros(missing)
		at[i] = nil
		set := s.table.second(list[i].key)
		if n := set.find(list[i].key); n >= 0 {
			at[i] = &set[n]
		}
	}
}

// add counts a sighting. r is where its fares were found before others were added.
func (s *tallies) add(g *sighting, r *fares) {
	if gen := generationOf(g.time); gen > s.generation {
		s.turn(gen)
	}
	if r == nil || r.key != g.key { // it has come since then, or was moved
		if r = s.table.find(g.key); r == nil {
			r = s.table.insert(g.key, s.generation)
		}
	}
	if r.generation() != uint16(s.generation) {
		r.age(s.generation)
	}
	r.requests[g.outcome]++
	if g.outcome == Success { // whoever only fails could name a new agent each time to look like a crowd
		r.noteAgent(g.agent)
	}
	if r.services&busy == 0 {
		r.services |= busy
		s.active++
	}
	s.total++
	s.serve(r, g)
}

// serve keeps count of the targets that a service served last.
func (s *tallies) serve(r *fares, g *sighting) {
	if g.service >= services {
		return
	}
	bit := uint32(1) << g.service
	if r.services&(bit<<seenShift) == 0 {
		r.services |= bit << seenShift
		s.served.Seen[g.service]++
	}
	if g.fate == Neutral {
		return
	}
	if r.services&(bit<<wasShift) != 0 { // what is known now takes the place of what was
		r.services &^= bit << wasShift
		s.served.Was[g.service]--
	}
	switch had := r.services&bit != 0; {
	case g.fate == Success && !had:
		r.services |= bit
		s.served.Now[g.service]++
	case g.fate == Failure && had:
		r.services &^= bit
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

// traffic is how a target fares.
type traffic struct {
	success, failure uint32
	share            float64 // of all requests that were seen
	agents           int     // different user agents, agentsHeld + 1 for more
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
	r := s.table.find(s.seed.target(target))
	if r == nil {
		return traffic{seen: s.total}
	}
	r.age(s.generation)
	return traffic{success: r.requests[Success], failure: r.requests[Failure], share: float64(r.total()) / max(s.total, 1),
		agents: r.userAgents(), seen: s.total}
}
