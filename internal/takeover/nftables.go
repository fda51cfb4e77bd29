package takeover

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/internal/strict"
)

// tableStart begins what `nft list set` and `nft list ruleset` print; elementsStart is what is left of it where somebody cut out the elements.
var (
	tableStart    = regexp.MustCompile(`^table (ip|ip6|inet|arp|bridge|netdev) \S+ \{`)
	elementsStart = regexp.MustCompile(`^elements = \{`)
)

func isTable(text string) bool {
	return tableStart.MatchString(text) || elementsStart.MatchString(text)
}

// ruleset is a table of nftables that is being read. Its sets are taken at its end: those that a rule of it drops or rejects, or all if it has no
// rules, as when one set was listed. A set may as well say who is let in.
type ruleset struct {
	began     int
	inRule    int      // open braces within one statement, as an anonymous set has them
	statement []string // so far
	within    []block  // what the open braces belong to
	elements  bool     // whether the tokens are elements of the innermost set
	sets      []set
	chains    map[string]*nftChain
}

// block is an open brace: its kind, such as set, chain or table, and its name.
type block struct{ kind, name string }

// set is a named set or map with what it holds.
type set struct {
	block
	line    int
	holds   string // its type
	members []member
}

// member is one element, as tokens.
type member struct {
	line   int
	tokens []string
}

func (r *reader) openTable(text string) {
	r.table = &ruleset{began: r.line, chains: map[string]*nftChain{}}
	if elementsStart.MatchString(text) {
		r.table.open(r.line, []string{"set", "elements"})
	}
	r.readTable(text)
}

// readTable reads one line of a table.
func (r *reader) readTable(text string) {
	t := r.table
	for _, token := range tokens(text) {
		if t.elements {
			t.element(r.line, token)
		} else {
			t.token(r, token)
		}
		if len(t.within) == 0 && !t.elements && len(t.statement) == 0 || t.bare() {
			t.end(r)
			return
		}
	}
	if !t.elements && t.inRule == 0 {
		t.endStatement(r)
	}
}

// bare says that elements without a table are at their end.
func (t *ruleset) bare() bool {
	return len(t.within) == 1 && t.within[0] == block{"set", "elements"} && !t.elements && len(t.statement) == 0
}

// token takes the next token outside of elements.
func (t *ruleset) token(r *reader, token string) {
	inChain := len(t.within) > 0 && t.within[len(t.within)-1].kind == "chain"
	switch {
	case token == "{" && slices.Equal(t.statement, []string{"elements", "="}) && len(t.sets) > 0:
		t.statement, t.elements = nil, true
		t.member(r.line)
	case token == "{" && !inChain:
		t.open(r.line, t.statement)
		t.statement = nil
	case token == "}" && t.inRule == 0:
		t.endStatement(r)
		if len(t.within) > 0 {
			t.within = t.within[:len(t.within)-1]
		}
	case token == ";" && t.inRule == 0:
		t.endStatement(r)
	default:
		if token == "{" {
			t.inRule++
		} else if token == "}" {
			t.inRule--
		}
		t.statement = append(t.statement, token)
	}
}

// open begins a block that the statement before its brace names.
func (t *ruleset) open(line int, statement []string) {
	b := block{}
	if len(statement) > 0 {
		b = block{statement[0], statement[len(statement)-1]}
	}
	t.within = append(t.within, b)
	switch b.kind {
	case "set", "map":
		t.sets = append(t.sets, set{block: b, line: line})
	case "chain":
		t.chains[b.name] = &nftChain{}
	}
}

// element takes the next token of a set's elements.
func (t *ruleset) element(line int, token string) {
	s := &t.sets[len(t.sets)-1]
	switch token {
	case "}":
		t.elements = false
	case ",":
		t.member(line)
	default:
		m := &s.members[len(s.members)-1]
		if len(m.tokens) == 0 {
			m.line = line
		}
		m.tokens = append(m.tokens, token)
	}
}

func (t *ruleset) member(line int) {
	s := &t.sets[len(t.sets)-1]
	s.members = append(s.members, member{line: line})
}

// endStatement looks at a whole statement: the type of a set, or a rule.
func (t *ruleset) endStatement(r *reader) {
	s := t.statement
	t.statement, t.inRule = nil, 0
	if len(s) == 0 || len(t.within) == 0 {
		return
	}
	switch in := t.within[len(t.within)-1]; {
	case (in.kind == "set" || in.kind == "map") && len(t.sets) > 0 && (s[0] == "type" || s[0] == "typeof"):
		t.sets[len(t.sets)-1].holds = strings.Join(s[1:], " ")
	case in.kind == "chain":
		t.rule(in.name, r.line, s)
	}
}

// end takes what the rules and the sets hold.
func (t *ruleset) end(r *reader) {
	r.table = nil
	sets := t.judge(r)
	for _, s := range t.sets {
		addresses := s.holds == "" || strings.Contains(s.holds, "_addr") || strings.Contains(s.holds, "saddr") || strings.Contains(s.holds, "daddr")
		use, dropped := sets[s.name]
		switch {
		case !addresses || len(s.members) == 0:
		case s.kind == "map":
			r.refuse(s.line, "map "+s.name, "is a map, which says something else of each target; list what to block one a line")
		case len(t.chains) > 0 && !dropped:
			r.refuse(s.line, "set "+s.name, "is a set that no rule of its table drops or rejects; if it holds who is blocked, list it alone with nft list set")
		case len(t.chains) > 0 && use.limit == nothing:
			// Who is let in is no block, and nothing that was missed.
		case use.limit == inPart:
			r.refuse(s.line, "set "+s.name, "is dropped in part only, by a rule that asks for more than where a packet comes from")
		case use.limit == somePorts && !r.anyPort:
			r.refuse(s.line, "set "+s.name, "is blocked on some ports or protocols only"+anyPortHint)
		default:
			if len(t.chains) == 0 && strings.HasPrefix(s.name, "addr-set-") {
				r.note("set %s: the rules that use it are not in the list, so it may be blocked on some ports only; its elements are taken as blocks of everything", cut(s.name, mostText))
			}
			for _, m := range s.members {
				r.takeElement(m, use.mask)
			}
		}
	}
}

// takeElement takes one element: TARGET counter packets N bytes N timeout T expires T comment "…".
// A mask is the network's length that its rule looks up, which our own sets have in their names only; 0 is none.
func (r *reader) takeElement(m member, mask int) {
	if len(m.tokens) == 0 {
		return // a comma at the end
	}
	target, rest := m.tokens[0], m.tokens[1:]
	if mask > 0 && !strings.ContainsAny(target, "/-") {
		target += "/" + strconv.Itoa(mask)
	}
	var left, whole time.Duration
	reason, text := "", strings.Join(m.tokens, " ")
	for i, w := range rest {
		if w == "." || w == ":" {
			r.refuse(m.line, text, "is blocked in part only: a port or another end belongs to it")
			return
		}
		if i+1 == len(rest) {
			break
		}
		var err error
		switch w {
		case "expires":
			left, err = strict.Duration(rest[i+1])
		case "timeout":
			whole, err = strict.Duration(rest[i+1])
		case "comment":
			reason = strings.TrimPrefix(rest[i+1], `"`)
		}
		if err != nil {
			r.refuse(m.line, text, "has no time that can be read")
			return
		}
	}
	if left <= 0 {
		left = max(whole, 0)
	}
	r.takeAt(m.line, target, left, reason)
}

// tokens splits a line of nftables: words, quoted words with the first quote, so that they are never taken for anything else, and the marks that need
// no space beside them.
func tokens(text string) []string {
	var out []string
	for len(text) > 0 {
		switch c := text[0]; {
		case c == ' ' || c == '\t':
			text = text[1:]
		case c == '#':
			return out
		case strings.IndexByte("{},;", c) >= 0:
			out, text = append(out, text[:1]), text[1:]
		case c == '"':
			quoted, rest, _ := strings.Cut(text[1:], `"`)
			out, text = append(out, `"`+quoted), rest
		default:
			end := strings.IndexAny(text, " \t{},;\"")
			if end < 0 {
				end = len(text)
			}
			out, text = append(out, text[:end]), text[end:]
		}
	}
	return out
}
