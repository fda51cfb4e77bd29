package detector

import "regexp"

// patterns are the regular expressions of all rules that decide about a whole path or a whole line, put together so that one pass over the text
// tells of all of them, however many there are.
type patterns struct {
	paths, lines *program // nil where no rule has any
	// path and line are the group of each rule, -1 for a rule that has no such condition.
	path, line []int
}

func newPatterns(rules []*Rule) *patterns {
	p := &patterns{}
	var paths, lines [][]string
	for _, r := range rules {
		path, line := r.pathExpressions(), expressions(r.FailRegex)
		p.path, p.line = append(p.path, -1), append(p.line, -1)
		if path != nil {
			p.path[len(p.path)-1] = len(paths)
			paths = append(paths, path)
		}
		if line != nil {
			p.line[len(p.line)-1] = len(lines)
			lines = append(lines, line)
		}
	}
	if paths != nil {
		p.paths = newProgram(paths)
	}
	if lines != nil {
		p.lines = newProgram(lines)
	}
	return p
}

// pathExpressions are expressions of which one matches the path of every event that the rule takes; nil if the rule has no such condition.
func (r *Rule) pathExpressions() []string {
	for _, c := range r.Match {
		if c.Field != FieldPath || c.Not || c.Any || len(c.Networks)+len(c.Ranges) > 0 {
			continue
		}
		var all []string
		for _, v := range c.Equals {
			all = append(all, `\A`+regexp.QuoteMeta(v)+`\z`)
		}
		for _, v := range c.Prefixes {
			all = append(all, `\A`+regexp.QuoteMeta(v))
		}
		return append(all, expressions(c.Regexps)...)
	}
	return nil
}

func expressions(list []*regexp.Regexp) (all []string) {
	for _, rx := range list {
		all = append(all, rx.String())
	}
	return all
}

// search runs the programs over texts. It belongs to one goroutine.
type search struct {
	automata []*automaton
	found    []uint64
}

func newSearch(p *program) *search {
	if p == nil {
		return nil
	}
	return &search{automata: []*automaton{newAutomaton(p)}, found: p.newSet()}
}

// newSet returns an empty set of the program's groups.
func (p *program) newSet() []uint64 { return make([]uint64, setWords(len(p.groups))) }

// in returns a set of the groups that may match the text, valid until the next call. nil is the search of no patterns.
func (s *search) in(text string) []uint64 {
	if s == nil {
		return nil
	}
	clear(s.found)
	for i := 0; i < len(s.automata); i++ {
		a := s.automata[i]
		for again := false; !a.hopeless && !a.scan(text, s.found); again = true {
			if again { // one text alone makes too many states: it would never come to its end
				a.giveUp()
			}
		}
		if a.hopeless {
			i = s.giveUp(i) - 1
		}
	}
	return s.found
}

// giveUp puts two smaller automata in the place of one that has too many states, and returns where to go on. An expression that has too many by
// itself always may match: the expression itself decides.
func (s *search) giveUp(i int) int {
	a := s.automata[i]
	halves := a.p.split()
	if halves == nil {
		for g, expressions := range a.p.groups {
			if len(expressions) > 0 {
				include(s.found, g)
			}
		}
		return i + 1
	}
	s.automata[i] = newAutomaton(halves[0])
	s.automata = append(s.automata, newAutomaton(halves[1]))
	return i
}

// setWords is how many words a set of so many members takes.
func setWords(members int) int { return (members + 63) / 64 }

func has(set []uint64, member int) bool { return set[member/64]>>(member%64)&1 != 0 }

func include(set []uint64, member int) { set[member/64] |= 1 << (member % 64) }

// meet says whether two sets of as many words have a member in common.
func meet(a, b []uint64) bool {
	for i, w := range a {
		if w&b[i] != 0 {
			return true
		}
	}
	return false
}

func unite(set, with []uint64) {
	for i, w := range with {
		set[i] |= w
	}
}
