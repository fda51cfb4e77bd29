// Package explain tells how a line is read, field by field, and which rule takes it or why not.
package explain

import (
	"time"

	"regwarden/detector"
	"regwarden/sources/format"
)

// Options say how lines are read and by which rules they are judged.
type Options struct {
	Format         string
	Kind           detector.Kind
	TrustForwarded bool
	Location       *time.Location
	Reference      time.Time
	Rules          []*detector.Rule
}

// Line is what is known about one line.
type Line struct {
	Number  int    `json:"line"`
	Verdict string `json:"verdict"` // parsed, noise or unparsed
	Dialect string `json:"dialect,omitempty"`
	Wrapper string `json:"wrapper,omitempty"`
	Fields  []Pair `json:"fields"`
	// Exempt is why GitLab's own words keep the line from counting, whatever rules say.
	Exempt string    `json:"exempt,omitempty"`
	Rules  []Verdict `json:"rules"`
}

// Pair is a field and its value as text.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Verdict is what one rule makes of the line.
type Verdict struct {
	Rule  string `json:"rule"`
	Takes bool   `json:"takes"`
	// Client is whom it counts for.
	Client string `json:"client,omitempty"`
	// Why is what held it off: the part of the rule, and its condition.
	Why string `json:"why,omitempty"`
}

// Explainer explains the lines of one file.
type Explainer struct {
	options Options
	reader  *format.Reader
	lines   int
}

// New returns an explainer; an unknown format is an error.
func New(o Options) (*Explainer, error) {
	r, err := format.New(format.Options{Name: o.Format, Reference: o.Reference, Location: o.Location, TrustForwarded: o.TrustForwarded, Kind: o.Kind})
	return &Explainer{options: o, reader: r}, err
}

// Explain explains the next line.
func (x *Explainer) Explain(line []byte) Line {
	var e detector.Event
	verdict := x.reader.Read(line, &e)
	x.lines++
	out := Line{Number: x.lines, Dialect: x.reader.Dialect(), Wrapper: x.reader.Wrapper(), Fields: []Pair{}, Rules: []Verdict{},
		Verdict: [...]string{format.Unparsed: "unparsed", format.Parsed: "parsed", format.Noise: "noise", format.Foreign: "noise"}[verdict]}
	if verdict == format.Noise {
		return out
	}
	if verdict == format.Parsed {
		out.Fields = fields(&e)
	}
	out.Exempt = detector.Exempt(&e)
	for _, r := range x.options.Rules {
		out.Rules = append(out.Rules, judge(r, line, &e, out.Exempt))
	}
	return out
}

func judge(r *detector.Rule, line []byte, e *detector.Event, exempt string) Verdict {
	v := Verdict{Rule: r.Name}
	client, refusal := r.Explain(line, e)
	switch {
	case refusal != nil:
		v.Why = refusal.Part + ": " + refusal.Condition
	case exempt != "":
		v.Why = "exempt: " + exempt
	default:
		v.Takes, v.Client = true, client.String()
	}
	return v
}
