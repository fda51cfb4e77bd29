package main

import (
	"bytes"
	"encoding/json"
	"iter"
)

// decision is what the measurement needs of a line of `replay --json`.
type decision struct{ Kind, Verb, Target string }

func decisions(out []byte) iter.Seq[decision] {
	return func(yield func(decision) bool) {
		for line := range bytes.Lines(out) {
			var d decision
			if json.Unmarshal(line, &d) == nil && d.Kind == "decision" && !yield(d) {
				return
			}
		}
	}
}

// summary is the last line of `replay --json`.
type summary struct {
	Kind  string
	Lines int
	// PerTarget is how many bytes a tracked target takes, in versions that tell it.
	PerTarget float64 `json:"bytes_per_target"`
	// Tables is how many bytes the tables take.
	Tables int64 `json:"table_bytes"`
}

func summaryOf(out []byte) summary {
	var s summary
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte(`{"kind":"summary"`)) && json.Unmarshal(line, &s) == nil {
			break
		}
	}
	return s
}

// withoutSummary is the decisions alone: the summary has the seconds in it.
func withoutSummary(out []byte) []byte {
	if i := bytes.LastIndex(out, []byte(`{"kind":"summary"`)); i >= 0 {
		return out[:i]
	}
	return out
}
