package takeover

import (
	"regexp"
	"slices"
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
	chains    int
	blocked   map[string]bool // sets that a rule drops or rejects
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
	r.table = &ruleset{began: r.line, blocked: map[string]bool{}}
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
		t.chains++
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
		t.rule(r, s)
	}
}

// rule takes the sources of a rule that drops or rejects everything that comes from them, and remembers which sets it drops.
func (t *ruleset) rule(r *reader, s []string) {
	at := slices.Index(s, "saddr")
	if at < 1 || at+1 >= len(s) || s[at-1] != "ip" && s[at-1] != "ip6" || !slices.ContainsFunc(s[at:], isVerdict) {
		return
	}
	from, rest := s[at+1:at+2], s[at+2:]
	if name, ok := strings.CutPrefix(from[0], "@"); ok {
		// Conditions behind it, such as a rate, say that who is in the set may come in. Ports stand before it, as fail2ban has them.
		if rest = rest[said(rest):]; len(rest) > 0 && isVerdict(rest[0]) {
			t.blocked[name] = true
		}
		return
	}
	if end := slices.Index(s, "}"); from[0] == "{" && end > at {
		from, rest = s[at+2:end], s[end+1:]
	}
	rest = rest[said(rest):]
	if at != 1 || len(rest) == 0 || !isVerdict(rest[0]) {
		r.refuse(r.line, strings.Join(s, " "), "has more conditions than where a packet comes from, so that it blocks this in part only")
		return
	}
	for _, address := range from {
		if address != "," {
			r.take(address, 0, "")
		}
	}
}

// said is how many tokens of a rule's end only count and log, before what becomes of the packet.
func said(s []string) int {
	n := 0
	for n < len(s) {
		switch s[n] {
		case "counter", "log":
			n++
		case "packets", "bytes", "prefix", "level", "group":
			n += 2
		default:
			return n
		}
	}
	return len(s)
}

func isVerdict(token string) bool { return token == "drop" || token == "reject" }

// end takes what the sets hold.
func (t *ruleset) end(r *reader) {
	r.table = nil
	for _, s := range t.sets {
		addresses := s.holds == "" || strings.Contains(s.holds, "_addr") || strings.Contains(s.holds, "saddr") || strings.Contains(s.holds, "daddr")
		switch {
		case !addresses || len(s.members) == 0:
		case s.kind == "map":
			r.refuse(s.line, "map "+s.name, "is a map, which says something else of each target; list what to block one a line")
		case t.chains > 0 && !t.blocked[s.name]:
			r.refuse(s.line, "set "+s.name, "is a set that no rule of its table drops or rejects; if it holds who is blocked, list it alone with nft list set")
		default:
			for _, m := range s.members {
				r.takeElement(m)
			}
		}
	}
}

// takeElement takes one element: TARGET counter packets N bytes N timeout T expires T comment "…".
func (r *reader) takeElement(m member) {
	if len(m.tokens) == 0 {
		return // a comma at the end
	}
	target, rest := m.tokens[0], m.tokens[1:]
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
