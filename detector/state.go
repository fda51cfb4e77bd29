package detector

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// The state is written as: the seed, the length of a JSON part and the part, the bits of the watch, how the targets fare, each count that is of use as its class, key,
// count, end, last and the words up to the last that is not zero, and a checksum of it all. All numbers are little-endian.
const stateVersion = 4

// stateHead is the part of the state that is small enough for JSON.
type stateHead struct {
	Version    int
	Base       int64
	Newest     int64
	Generation uint32
	Total      float64
	Active     int
	WasActive  int
	Served     served
	Storms     map[string]*storm
	Stats      Stats
	Evidence   map[uint64]stateEvidence
}

type stateEvidence struct{ Repositories, Projects, References, Users, Samples []string }

// State returns everything that the detector has counted, so that another one can go on from there.
func (d *Detector) State() []byte { return d.AppendState(nil) }

// StateSize is about how many bytes AppendState appends, rather more than fewer.
func (d *Detector) StateSize() int {
	n := 64<<10 + len(d.evidence.of)*2048 + 4*int(min(d.watch.set.Load()*2, watchBits))
	n += 4 + fareBytes*min(d.tallies.table.live, savedRecords*2)
	for _, t := range d.counts.classes {
		n += min(t.live, savedRecords*2) * (recordFixed + 4*t.stride) / 2
	}
	return n
}

// savedRecords of a table are saved whole. Where there are more, a flood of addresses goes on, and what was seen once only is left out:
// the file would grow as large as the memory.
const savedRecords = 200_000

// AppendState appends the state to out.
func (d *Detector) AppendState(out []byte) []byte {
	head := stateHead{Version: stateVersion, Base: d.counts.base, Newest: d.newest, Generation: d.tallies.generation,
		Total: d.tallies.total, Active: d.tallies.active, WasActive: d.tallies.wasActive, Served: d.tallies.served, Storms: d.storms, Stats: d.stats,
		Evidence: map[uint64]stateEvidence{}}
	for k, e := range d.evidence.of {
		head.Evidence[k] = stateEvidence{e.repositories, e.projects, e.references, e.users, e.lines()}
	}
	text, err := json.Marshal(head)
	if err != nil {
		panic(fmt.Sprintf("detector: state: %v", err)) // numbers and strings cannot fail
	}
	begin := len(out)
	out = binary.LittleEndian.AppendUint64(out, d.seed[0])
	out = binary.LittleEndian.AppendUint64(out, d.seed[1])
	out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
	out = append(out, text...)
	out = d.watch.appendTo(out)
	out = d.tallies.table.appendTo(out, d.tallies.generation)
	now := uint32(max(d.newest-d.counts.base, 1))
	for class, t := range d.counts.classes {
		out = t.appendTo(out, byte(class), now)
	}
	return binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out[begin:]))
}

// recordFixed is what a record takes in the state besides its words.
const recordFixed = 1 + 8 + 2 + 4 + 4 + 2

func (t *table) appendTo(out []byte, number byte, now uint32) []byte {
	for i, tag := range t.tags {
		if tag == 0 {
			continue
		}
		u := t.use(i)
		if u.end <= now || u.count < 2 && t.live > savedRecords {
			continue
		}
		rec := t.record(i)
		n := len(rec)
		for n > 0 && rec[n-1] == 0 {
			n--
		}
		out = append(out, number)
		out = binary.LittleEndian.AppendUint64(out, t.key(i))
		out = binary.LittleEndian.AppendUint16(out, uint16(u.count))
		out = binary.LittleEndian.AppendUint32(out, u.end)
		out = binary.LittleEndian.AppendUint32(out, u.last)
		out = binary.LittleEndian.AppendUint16(out, uint16(n))
		for _, w := range rec[:n] {
			out = binary.LittleEndian.AppendUint32(out, w)
		}
	}
	return out
}

var errState = errors.New("saved counts are cut short or not ours")

// SeedOf returns the seed in a saved state.
func SeedOf(state []byte) (Seed, error) {
	if len(state) < 20 {
		return Seed{}, errState
	}
	return Seed{binary.LittleEndian.Uint64(state), binary.LittleEndian.Uint64(state[8:])}, nil
}

// Restore goes on from a saved state. On an error the detector is as it was, or has forgotten counts, but never has wrong ones.
func (d *Detector) Restore(state []byte) error {
	seed, err := SeedOf(state)
	if err != nil {
		return err
	}
	sum := len(state) - 8
	if sum < 20 || binary.LittleEndian.Uint64(state[sum:]) != xxhash.Sum64(state[:sum]) {
		return errState
	}
	state = state[:sum]
	n := binary.LittleEndian.Uint32(state[16:])
	rest := state[20:]
	if uint64(len(rest)) < uint64(n) {
		return errState
	}
	var head stateHead
	if err := json.Unmarshal(rest[:n], &head); err != nil {
		return errState
	}
	if head.Version != stateVersion {
		return fmt.Errorf("saved counts are of version %d, and this is %d: another regwarden has written them", head.Version, stateVersion)
	}
	d.seed, d.counts.base, d.newest, d.stats = seed, head.Base, head.Newest, head.Stats
	d.tallies.seed = seed
	if d.stats.RuleHits == nil {
		d.stats.RuleHits = map[string]uint64{}
	}
	d.tallies.generation, d.tallies.total, d.tallies.active, d.tallies.wasActive = head.Generation, head.Total, head.Active, head.WasActive
	d.tallies.served = head.Served
	if head.Storms != nil {
		d.storms = head.Storms
	}
	d.evidence = evidenceFile{of: map[uint64]*evidence{}}
	for k, e := range head.Evidence {
		kept := &evidence{repositories: e.Repositories, projects: e.Projects, references: e.References, users: e.Users}
		for _, s := range e.Samples {
			kept.sample(s)
		}
		d.evidence.of[k] = kept
		d.evidence.order = append(d.evidence.order, k)
	}
	if rest, err = d.watch.restore(rest[n:]); err != nil {
		return err
	}
	if rest, err = d.tallies.table.restore(rest, d.tallies.generation); err != nil {
		return err
	}
	return d.restoreRecords(rest, uint32(max(d.newest-head.Base, 1)))
}

func (d *Detector) restoreRecords(b []byte, now uint32) error {
	const fixed = recordFixed
	for len(b) > 0 {
		if len(b) < fixed {
			return errState
		}
		number, key := b[0], binary.LittleEndian.Uint64(b[1:])
		words := int(binary.LittleEndian.Uint16(b[19:]))
		if len(b) < fixed+4*words {
			return errState
		}
		if int(number) >= len(d.counts.classes) {
			b = b[fixed+4*words:] // no rule needs a record of that size any more
			continue
		}
		t := d.counts.classes[number]
		if words > t.stride || key == 0 {
			return errState
		}
		i := t.insert(key, now)
		*t.use(i) = use{count: uint32(binary.LittleEndian.Uint16(b[9:])), end: binary.LittleEndian.Uint32(b[11:]), last: binary.LittleEndian.Uint32(b[15:])}
		rec := t.record(i)
		for w := range words {
			rec[w] = binary.LittleEndian.Uint32(b[fixed+4*w:])
		}
		b = b[fixed+4*words:]
	}
	return nil
}
