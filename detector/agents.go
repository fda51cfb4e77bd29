package detector

import (
	"encoding/binary"

	"github.com/dchest/siphash"
)

// agents numbers user agents. There are few in any log, and they are long: those seen last are known by their text. It belongs to one goroutine.
type agents struct {
	seed  Seed
	known [1 << knownBits]knownAgent
}

type knownAgent struct {
	text   []byte // its memory is kept
	number uint16
}

const (
	knownBits = 7
	// Shorter ones are hashed as fast, and longer ones are nobody's that comes again and again.
	minKnown, maxKnown = 8, 512
)

// number returns the agent's number of agentBits, which is not 0. It is the same whenever the seed is, and nobody who does not know that can choose which two agents share one.
func (a *agents) number(text string) uint16 {
	if len(text) < minKnown || len(text) > maxKnown {
		return a.hash(text)
	}
	b := bytesOf(text)
	mixed := (binary.LittleEndian.Uint64(b) ^ binary.LittleEndian.Uint64(b[len(b)-minKnown:])) * 0x9e3779b97f4a7c15
	k := &a.known[(mixed+uint64(len(text))<<(64-knownBits))>>(64-knownBits)]
	if string(k.text) != text {
		k.text, k.number = append(k.text[:0], text...), a.hash(text)
	}
	return k.number
}

func (a *agents) hash(text string) uint16 {
	return max(uint16(siphash.Hash(a.seed[0], a.seed[1], bytesOf(text))>>(64-agentBits)), 1)
}
