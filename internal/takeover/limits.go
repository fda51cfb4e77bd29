package takeover

import "fmt"

// limit is how much of what comes from a source a rule blocks.
type limit int

const (
	everything limit = iota
	somePorts        // some ports or protocols, as nearly all bans of fail2ban
	inPart           // anything else that a rule asks for
	nothing          // no packet comes to the rule, or it lets all through
)

// anyPortHint is what to do about a block of some ports.
const anyPortHint = "; --any-port takes it as a block of everything"

// note adds something that a list cannot tell, once each and not without end.
func (r *reader) note(format string, args ...any) {
	const most = 20
	text := fmt.Sprintf(format, args...)
	for _, n := range r.list.Notes {
		if n == text {
			return
		}
	}
	if len(r.list.Notes) < most {
		r.list.Notes = append(r.list.Notes, text)
	}
}

// way is a rule that leads from one chain to another.
type way struct {
	from  string
	limit limit
}

// reached finds how much of all packets comes to a chain: what the widest way there lets through. begins says of a chain that packets come there by
// themselves, and ways tells what leads to one.
func reached(chain string, begins func(string) bool, ways func(string) []way) limit {
	for most := everything; most < nothing; most++ {
		seen, next := map[string]bool{chain: true}, []string{chain}
		for len(next) > 0 {
			at := next[len(next)-1]
			next = next[:len(next)-1]
			if begins(at) {
				return most
			}
			for _, w := range ways(at) {
				if w.limit <= most && !seen[w.from] {
					seen[w.from] = true
					next = append(next, w.from)
				}
			}
		}
	}
	return nothing
}
