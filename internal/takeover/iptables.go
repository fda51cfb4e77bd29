package takeover

import (
	"regexp"
	"slices"
	"strings"
)

// ruleLine is a rule of iptables as `iptables -S` and `iptables-save` print it, the latter with counters if asked; tableLine is what stands around it.
var (
	ruleLine  = regexp.MustCompile(`^(\[\d+:\d+\] )?-[AI] \S+`)
	tableLine = regexp.MustCompile(`^(-[PN] \S+.*|\*[a-z]+|:\S+ \S+ \[\d+:\d+\]|COMMIT)$`)
)

// mostPassed is how many sources that are let through are remembered.
const mostPassed = 1000

func isRule(text string) bool { return ruleLine.MatchString(text) || tableLine.MatchString(text) }

// ruleList is what was read of one table of iptables. What a rule of a chain blocks hangs on the rules that lead there, which may stand below it.
type ruleList struct {
	whole  bool             // that it is `iptables-save`, which has all chains
	ways   map[string][]way // to a chain
	blocks []sourceRule
}

// sourceRule is a rule that blocks a source.
type sourceRule struct {
	line                        int
	chain, text, source, reason string
	limit                       limit
	more                        string // what limits it
}

// builtIn are the chains that packets come to by themselves.
var builtIn = []string{"INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"}

// endRules takes the blocks of a table that has been read.
func (r *reader) endRules() {
	t := r.rules
	r.rules = ruleList{}
	limits := map[string]limit{}
	for _, b := range t.blocks {
		at, known := limits[b.chain]
		if !known {
			at = reached(b.chain, func(c string) bool { return slices.Contains(builtIn, c) }, func(c string) []way { return t.ways[c] })
			limits[b.chain] = at
		}
		if at == nothing && !t.whole && len(t.ways[b.chain]) == 0 {
			r.note("chain %s: the rules that lead there are not in the list, so it may block some ports only; its blocks are taken as blocks of everything", cut(b.chain, mostText))
			at = everything
		}
		switch l := max(at, b.limit); {
		case at == nothing:
			r.refuse(b.line, b.text, "blocks nobody: no rule leads to its chain %s", cut(b.chain, mostText))
		case l == inPart:
			r.refuse(b.line, b.text, "blocks %s in part only: the rules that lead to its chain %s ask for more", b.source, cut(b.chain, mostText))
		case l == somePorts && !r.anyPort && b.limit == somePorts:
			r.refuse(b.line, b.text, "blocks %s on some ports or protocols only: %q belongs to it"+anyPortHint, b.source, cut(b.more, mostText))
		case l == somePorts && !r.anyPort:
			r.refuse(b.line, b.text, "blocks %s on some ports or protocols only, by the rule that leads to its chain %s"+anyPortHint, b.source, cut(b.chain, mostText))
		default:
			r.takeAt(b.line, b.source, 0, b.reason)
		}
	}
}

// asks says how much is left by what else a rule asks for.
func asks(more []string) limit {
	found := everything
	for i := 0; i < len(more); i += 2 {
		known := slices.Contains([]string{"-p", "--protocol", "--dport", "--dports", "--destination-port", "--destination-ports"}, more[i]) ||
			more[i] == "-m" && i+1 < len(more) && slices.Contains([]string{"tcp", "udp", "sctp", "dccp", "multiport"}, more[i+1])
		if !known {
			return inPart
		}
		found = somePorts
	}
	return found
}

// readRule takes the source of a rule that drops or rejects everything that comes from it. What else a rule asks for makes it block less than
// the source, and so it is refused. Rules that are no such blocks are none of ours.
func (r *reader) readRule(text string) {
	if tableLine.MatchString(text) {
		if text[0] == '*' || text == "COMMIT" {
			r.endRules()
			r.rules.whole = text[0] == '*'
		}
		return
	}
	w := words(text[strings.Index(text, "-"):])
	source, set, reason, verdict := "", "", "", ""
	var more []string
	for i := 2; i < len(w) && verdict == ""; i++ {
		value := ""
		if i+1 < len(w) {
			value = w[i+1]
		}
		switch {
		case w[i] == "-s" || w[i] == "--source" || w[i] == "--src-range":
			source = value
		case w[i] == "--match-set":
			set = value
		case slices.Contains([]string{"-j", "--jump", "-g", "--goto"}, w[i]):
			verdict = value
		case w[i] == "--comment":
			reason = value
		case w[i] == "-m" && slices.Contains([]string{"comment", "iprange", "set"}, value):
		case w[i] == "-c":
			i++
		default:
			more = append(more, w[i])
			continue
		}
		i++
	}
	limit := asks(more)
	switch {
	case verdict == "ACCEPT" || verdict == "RETURN":
		if found, _ := targets(source); !slices.Contains(more, "!") && len(r.passed) < mostPassed {
			r.passed = append(r.passed, found...)
		}
	case verdict != "DROP" && verdict != "REJECT":
		r.lead(w[1], verdict, limit, source+set != "")
	case source == "" && set == "":
	case set != "":
		r.refuse(r.line, text, "names a set; if this holds who is blocked, import what ipset save %s prints", set)
	case limit == inPart:
		r.refuse(r.line, text, "blocks %s in part only: %q belongs to it", source, cut(strings.Join(more, " "), mostText))
	default:
		found, _ := targets(source)
		for _, p := range r.passed {
			if slices.ContainsFunc(found, p.Overlaps) {
				r.refuse(r.line, text, "blocks %s, but a rule above it lets %s through", source, p)
				return
			}
		}
		r.rules.blocks = append(r.rules.blocks, sourceRule{r.line, w[1], cut(text, mostText), source, reason, limit, strings.Join(more, " ")})
	}
}

// lead notes that a rule leads to a chain; one that asks for a source leads there in part.
func (r *reader) lead(from, to string, l limit, ofSource bool) {
	if ofSource {
		l = inPart
	}
	if r.rules.ways == nil {
		r.rules.ways = map[string][]way{}
	}
	if w := (way{from, l}); !slices.Contains(r.rules.ways[to], w) && len(r.rules.ways[to]) < mostPassed {
		r.rules.ways[to] = append(r.rules.ways[to], w)
	}
}
