package detector

import "slices"

// A sieve knows from a line's first sight which rules may want it. It is made from the rules' conditions on source, operation, status and the
// absence of a user, so that most lines cost one look at a table and no parsing.
type sieve struct {
	// class numbers the ranges of statuses between which no rule tells a difference.
	class   [1000]uint8
	classes int
	cells   []cell
}

// cell is what the rules may do with events that look alike.
type cell struct {
	// rules are numbers of rules that may count or clear something, in the rules' order.
	rules []uint16
	// plain says that some rule may count the event whatever its path and line are; paths and lines that patterns of others decide.
	plain, paths, lines bool
	// resets says that some rule may clear its count.
	resets bool
	// pathGroups and lineGroups are the patterns that decide, as sets of the groups that a search finds; nil without any.
	pathGroups, lineGroups []uint64
}

func newSieve(rules []*Rule, patterns *patterns) *sieve {
	s := &sieve{}
	edges := statusEdges(rules)
	for i, from := range edges {
		to := len(s.class)
		if i+1 < len(edges) {
			to = edges[i+1]
		}
		for status := from; status < to; status++ {
			s.class[status] = uint8(i)
		}
	}
	s.classes = len(edges)
	var e Event
	for k := range kindNames {
		for o := range operationNames {
			for _, status := range edges {
				for _, anonymous := range [...]bool{false, true} {
					e.Kind, e.Operation, e.Status = Kind(k), Operation(o), status
					s.cells = append(s.cells, newCell(rules, patterns, &e, anonymous))
				}
			}
		}
	}
	return s
}

// statusEdges are the statuses at which some condition may change its mind, from 0 on.
func statusEdges(rules []*Rule) []int {
	edges := []int{0, 1}
	add := func(cs Conditions) {
		for _, c := range cs {
			if c.Field != FieldStatus {
				continue
			}
			for _, r := range c.Ranges {
				edges = append(edges, int(min(max(r.From, 0), 999)), int(min(max(r.To+1, 0), 999)))
			}
		}
	}
	for _, r := range rules {
		add(r.Match)
		for _, alternative := range append(slices.Clone(r.Unless), r.Reset...) {
			add(alternative)
		}
	}
	slices.Sort(edges)
	if edges = slices.Compact(edges); len(edges) > 256 {
		return nil // no table for it
	}
	return edges
}

func newCell(rules []*Rule, p *patterns, e *Event, anonymous bool) cell {
	var c cell
	for i, r := range rules {
		hit, reset := r.mayHit(e, anonymous), r.mayReset(e, anonymous)
		if !hit && !reset {
			continue
		}
		c.rules = append(c.rules, uint16(i))
		c.resets = c.resets || reset
		switch {
		case !hit:
		case p.line[i] >= 0:
			if !c.lines {
				c.lines, c.lineGroups = true, p.lines.newSet()
			}
			include(c.lineGroups, p.line[i])
		case p.path[i] >= 0:
			if !c.paths {
				c.paths, c.pathGroups = true, p.paths.newSet()
			}
			include(c.pathGroups, p.path[i])
		default:
			c.plain = true
		}
	}
	return c
}

// cell returns what the rules may do; nil where there is no table for it.
func (s *sieve) cell(k Kind, o Operation, status int, anonymous bool) *cell {
	if status < 0 || status >= len(s.class) || s.classes == 0 {
		return nil
	}
	i := ((int(k)*len(operationNames)+int(o))*s.classes + int(s.class[status])) * 2
	if anonymous {
		i++
	}
	return &s.cells[i]
}

// Cost says what a rule makes of lines that it does not want.
type Cost struct {
	Rule string
	// Why is in words: what is done with which lines.
	Why string
}

// Costs are the rules that cost every line of a busy log something: those that may want a successful request for all that they say of source, operation, status
// and user.
func Costs(rules []*Rule) (costs []Cost) {
	for _, r := range rules {
		if !r.wantsSuccesses() {
			continue
		}
		why := "reads every line whole, since nothing in it says which lines it does not want; name a status or an operation"
		switch {
		case len(r.FailRegex) > 0:
			why = "searches every line for its failregex; name a status or an operation in [match]"
		case r.pathExpressions() != nil:
			why = "searches the path of every line; name a status"
		}
		costs = append(costs, Cost{r.Name, why})
	}
	return costs
}

func (r *Rule) wantsSuccesses() bool {
	for _, k := range [...]Kind{KindAccess, KindRegistry, KindRails, KindAPI} {
		for _, o := range [...]Operation{OpManifest, OpBlob, OpWeb, OpGit, OpAPI} {
			if r.mayHit(&Event{Kind: k, Operation: o, Status: 200}, false) {
				return true
			}
		}
	}
	return false
}
