package detector

import "encoding/binary"

// fares is what is known of how one target's requests fare. Two of them are one line of the core's cache, since every line of every log comes by here.
type fares struct {
	key uint64 // 0 is an empty place
	// requests by Outcome. Each generation takes a quarter of them away.
	requests [3]uint32
	// services are three sets of services and two flags; see the constants.
	services uint32
	// agents are the numbers of four user agents, each of agentBits, the first one lowest; 0 is none. Above them is the low part of the generation up to which
	// the requests were aged.
	agents uint64
}

// What stands in fares.services. A set has a bit for each service.
const (
	servedSet = 1<<services - 1 // those that served the target last, in this generation
	wasShift  = 10              // those that did in the one before, and did not treat it since
	seenShift = 20              // those that it asked in this generation
	busy      = 1 << 30         // there was a request in this generation
	many      = 1 << 31         // there were more user agents than agents has room for

	_ = uint(wasShift - services)
)

const (
	agentBits    = 12 // two of five agents have the same number one time in four hundred
	agentMask    = 1<<agentBits - 1
	agentsHeld   = 4
	allAgents    = 1<<generationAt - 1
	agentsFor    = 12 // generations after which agents are forgotten: an hour
	generationAt = agentsHeld * agentBits
	faresFor     = 24 // generations after which a target that was not seen is of no more use: two hours

	_ = uint(agentsHeld + 1 - proxyAgents)
)

func (r *fares) generation() uint16 { return uint16(r.agents >> generationAt) }

// total is how many requests are remembered.
func (r *fares) total() uint32 {
	return r.requests[Neutral] + r.requests[Success] + r.requests[Failure]
}

// over says whether the target was not seen for so long that it is of no more use.
func (r *fares) over(gen uint32) bool { return uint16(gen)-r.generation() >= faresFor }

// age forgets what the generations since the last request take away.
func (r *fares) age(gen uint32) {
	passed := uint32(uint16(gen) - r.generation())
	if passed == 0 {
		return
	}
	was := uint32(0)
	if passed == 1 {
		was = r.services & servedSet << wasShift
	}
	r.services = r.services&many | was
	for n := passed; n > 0 && r.total() > 0; n-- {
		for i := range r.requests {
			r.requests[i] -= (r.requests[i] + 3) / 4
		}
	}
	agents := r.agents & allAgents
	if gen/agentsFor != (gen-passed)/agentsFor {
		agents, r.services = 0, r.services&^many
	}
	r.agents = agents | uint64(gen)<<generationAt
}

// noteAgent notes that a user agent has that number.
func (r *fares) noteAgent(number uint16) {
	for at := 0; at < generationAt; at += agentBits {
		switch uint16(r.agents>>at) & agentMask {
		case number:
			return
		case 0:
			r.agents |= uint64(number) << at
			return
		}
	}
	r.services |= many
}

// userAgents is how many different ones there were, agentsHeld + 1 where there were more than that.
func (r *fares) userAgents() (n int) {
	for held := r.agents & allAgents; held != 0; held >>= agentBits {
		n++
	}
	if r.services&many != 0 {
		n++
	}
	return n
}

// appendTo appends the fields, fareBytes in all.
func (r *fares) appendTo(out []byte) []byte {
	out = binary.LittleEndian.AppendUint64(out, r.key)
	for _, n := range r.requests {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	out = binary.LittleEndian.AppendUint32(out, r.services)
	return binary.LittleEndian.AppendUint64(out, r.agents)
}

// readFares reads what appendTo wrote.
func readFares(b []byte) (r fares) {
	r.key = binary.LittleEndian.Uint64(b)
	for i := range r.requests {
		r.requests[i] = binary.LittleEndian.Uint32(b[8+4*i:])
	}
	r.services, r.agents = binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint64(b[24:])
	return r
}

// set is the places that a target's fares can be in, one of two such sets. It is two lines of the cache that the core fetches together.
type set [4]fares

// find returns the place of the key, -1 if it is not there. Which of the places it is cannot be foreseen, so there is no branch for each.
func (s *set) find(key uint64) int {
	at := -1
	if s[3].key == key {
		at = 3
	}
	if s[2].key == key {
		at = 2
	}
	if s[1].key == key {
		at = 1
	}
	if s[0].key == key {
		at = 0
	}
	return at
}

// touch brings the set near the core.
func (s *set) touch() uint64 { return s[0].key + s[len(s)-1].key }

// empty returns an empty place, -1 if there is none.
func (s *set) empty() int { return s.find(0) }
