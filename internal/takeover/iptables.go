package takeover

import (
	"regexp"
	"slices"
	"strings"
)

// ruleLine is a rule of iptables as `iptables -S` and `iptables-save` print it, the latter with counters if asked; tableLine is what stands around it.
var (
	ruleLine  = regexp.MustCompile(`^(\[\d+:\d+\] )?-[AI] \S+`)
	tableLine = regexp.MustCompile(`^(-[PN] \S+.*|\*[a-z]+|:\S+ \S+ \[\d+:\d+\])$`)
)

// mostPassed is how many sources that are let through are remembered.
const mostPassed = 1000

func isRule(text string) bool { return ruleLine.MatchString(text) || tableLine.MatchString(text) }

// readRule takes the source of a rule that drops or rejects everything that comes from it. What else a rule asks for makes it block less than
// the source, and so it is refused. Rules that are no such blocks are none of ours.
func (r *reader) readRule(text string) {
	if tableLine.MatchString(text) {
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
		case w[i] == "-j" || w[i] == "--jump":
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
	switch {
	case verdict == "ACCEPT" || verdict == "RETURN":
		if found, _ := targets(source); !slices.Contains(more, "!") && len(r.passed) < mostPassed {
			r.passed = append(r.passed, found...)
		}
	case verdict != "DROP" && verdict != "REJECT", source == "" && set == "":
	case set != "":
		r.refuse(r.line, text, "names a set; if this holds who is blocked, import what ipset save %s prints", set)
	case len(more) > 0:
		r.refuse(r.line, text, "blocks %s in part only: %q belongs to it", source, cut(strings.Join(more, " "), mostText))
	default:
		found, _ := targets(source)
		for _, p := range r.passed {
			if slices.ContainsFunc(found, p.Overlaps) {
				r.refuse(r.line, text, "blocks %s, but a rule above it lets %s through", source, p)
				return
			}
		}
		r.take(source, 0, reason)
	}
}
