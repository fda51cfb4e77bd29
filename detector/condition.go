package detector

import (
	"net/netip"
	"regexp"
	"strings"
)

// Range is a closed range of numbers.
type Range struct{ From, To int64 }

// Condition is one line of a rule's [match], [unless] or [reset]: a field, and values of which any one will do.
type Condition struct {
	Field Field
	// Not turns the answer round.
	Not bool
	// Any holds when the field is not empty.
	Any      bool
	Equals   []string
	Prefixes []string
	Regexps  []*regexp.Regexp
	Ranges   []Range
	Networks []netip.Prefix
	// Text is the condition as the rule file has it, for explain.
	Text string

	refused, spared Refusal // made once, so that a refusal costs no allocation
}

// Ready fills in what is derived; the rules package calls it once when the condition is complete.
func (c *Condition) Ready() {
	c.refused = Refusal{Part: "match", Condition: c.Text}
	c.spared = Refusal{Part: "unless", Condition: c.Text}
}

// Holds says whether the event meets the condition.
func (c *Condition) Holds(e *Event) bool { return c.any(e) != c.Not }

func (c *Condition) any(e *Event) bool {
	if c.Field == FieldClient {
		return c.Any && e.Client.IsValid() || inAny(e.Client, c.Networks)
	}
	if c.Field.Numeric() {
		return c.anyNumber(e.number(c.Field))
	}
	text := e.Text(c.Field)
	if c.Any && text != "" {
		return true
	}
	for _, v := range c.Equals {
		if text == v {
			return true
		}
	}
	for _, v := range c.Prefixes {
		if strings.HasPrefix(text, v) {
			return true
		}
	}
	for _, r := range c.Regexps {
		if r.MatchString(text) {
			return true
		}
	}
	return false
}

func (c *Condition) anyNumber(n int64) bool {
	if c.Any && n != 0 {
		return true
	}
	for _, r := range c.Ranges {
		if n >= r.From && n <= r.To {
			return true
		}
	}
	return false
}

// Conditions hold when every one of them holds; none hold for everything.
type Conditions []Condition

// Failing returns the first condition that the event does not meet, or nil.
func (cs Conditions) Failing(e *Event) *Condition {
	for i := range cs {
		if !cs[i].Holds(e) {
			return &cs[i]
		}
	}
	return nil
}
