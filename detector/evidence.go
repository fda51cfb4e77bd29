package detector

import (
	"slices"
	"strings"
)

// evidence is what will be said of a key if it is blocked. It is kept only for keys that are on their way to a block.
type evidence struct {
	repositories, projects, references, users []string
	samples                                   [][]byte
}

// lines are the samples as text.
func (e *evidence) lines() (out []string) {
	for _, s := range e.samples {
		out = append(out, strings.ToValidUTF8(string(s), "�"))
	}
	return out
}

// How much evidence is kept: of so many keys, so many values of each sort and so many lines.
const (
	evidenceKeys    = 4096
	evidenceValues  = 20
	evidenceSamples = 5
	evidenceText    = 255 // a repository's longest name
)

// evidenceFile keeps the evidence of the latest evidenceKeys keys.
type evidenceFile struct {
	of    map[uint64]*evidence
	order []uint64 // oldest first
}

// add keeps what a hit says.
func (f *evidenceFile) add(h *Hit) {
	e := f.of[h.key]
	if e == nil {
		for len(f.order) >= evidenceKeys {
			delete(f.of, f.order[0])
			f.order = f.order[1:]
		}
		if f.of == nil {
			f.of = map[uint64]*evidence{}
		}
		e = &evidence{}
		f.of[h.key], f.order = e, append(f.order, h.key)
	}
	keep(&e.repositories, h.repository)
	keep(&e.projects, h.project)
	keep(&e.references, h.reference)
	keep(&e.users, h.user)
	e.sample(h.line)
}

// sample keeps a line: of more than there is room for the first and the latest, which say most.
func (e *evidence) sample(line string) {
	var room []byte
	if len(e.samples) == evidenceSamples {
		room = e.samples[1]
		e.samples = slices.Delete(e.samples, 1, 2)
	}
	e.samples = append(e.samples, append(room[:0], line[:min(len(line), SampleLength)]...))
}

func keep(list *[]string, value string) {
	if value == "" || len(*list) >= evidenceValues || slices.Contains(*list, value) { // the usual case costs no copy
		return
	}
	if value = cut(value, evidenceText); !slices.Contains(*list, value) {
		*list = append(*list, value)
	}
}

// cut copies at most n bytes of a text; what is no UTF-8 is marked.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.Clone(strings.ToValidUTF8(s, "�"))
}

// take returns the evidence for a key and forgets it.
func (f *evidenceFile) take(key uint64) *evidence {
	e := f.of[key]
	if e == nil {
		return &evidence{}
	}
	f.drop(key)
	return e
}

func (f *evidenceFile) drop(key uint64) {
	if _, ok := f.of[key]; ok {
		delete(f.of, key)
		f.order = slices.DeleteFunc(f.order, func(k uint64) bool { return k == key })
	}
}
