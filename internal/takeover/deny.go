package takeover

import (
	"regexp"
	"strings"
)

// geoLine is a line within nginx's geo block, as our nginx-geo blocklist has them: a target and its value.
var geoLine = regexp.MustCompile(`^\S+\s+"?([^\s";]*)"?\s*;`)

func isNginx(text string) bool {
	word, _, _ := strings.Cut(text, " ")
	return word == "deny" || word == "allow" || word == "geo" && strings.HasSuffix(text, "{") || text == "}" || geoLine.MatchString(text) && !strings.Contains(text, ",")
}

// readNginx reads a deny, or a line of a geo block whose value says that the target is blocked.
func (r *reader) readNginx(text string) {
	statement, _, ended := strings.Cut(text, ";")
	w := strings.Fields(statement)
	switch {
	case text == "}", w[0] == "allow", w[0] == "geo":
	case w[0] == "default" && ended:
	case w[0] == "deny" && len(w) == 2 && ended:
		r.take(w[1], 0, "")
	case w[0] == "deny":
		r.refuse(r.line, text, "is no deny of nginx: want deny, an address or a network, and ;")
	case len(w) == 2 && strings.Trim(w[1], `"`) == "1":
		r.take(w[0], 0, "")
	case len(w) == 2 && strings.Trim(w[1], `"`) == "0":
	default:
		r.readPlain(text)
	}
}

// hostsDeny is a line of hosts.deny: daemons, clients and perhaps options, with colons between them.
var hostsDeny = regexp.MustCompile(`^[A-Za-z_][\w.@-]*([\s,]+[A-Za-z_][\w.@-]*)*\s*:\s*(.*)$`)

// clientList ends where a colon outside of brackets begins the options; [2001:db8::]/32 is how the list writes IPv6.
var clientList = regexp.MustCompile(`^((?:\[[^\]]*\]|[^:\[\]])*)(?::\s*(.*))?$`)

func isHostsDeny(text string) bool {
	m := hostsDeny.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	first, _, _ := strings.Cut(text, " ")
	_, why := targets(strings.TrimSuffix(first, ","))
	return why == notTarget // 2001:db8::1 begins with a digit, but fd00::1 does not
}

// readHostsDeny reads a line of hosts.deny. Names, wildcards and exceptions cannot be blocks; and this may be a line of a log,
// whose addresses are not those of the blocked.
func (r *reader) readHostsDeny(text string) {
	text, _, _ = strings.Cut(text, "#")
	m := clientList.FindStringSubmatch(strings.TrimSpace(hostsDeny.FindStringSubmatch(text)[2]))
	if m == nil || m[2] != "" && !strings.EqualFold(strings.TrimSpace(m[2]), "deny") {
		r.refuse(r.line, text, "is no line of hosts.deny without options")
		return
	}
	clients := strings.FieldsFunc(m[1], func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	for i, c := range clients {
		clients[i] = denied(c)
		if _, why := targets(clients[i]); why == notTarget {
			r.refuse(r.line, text, "is no line of hosts.deny with only addresses and networks in it")
			return
		}
	}
	for _, c := range clients {
		r.take(c, 0, "")
	}
	if len(clients) == 0 {
		r.refuse(r.line, text, "%s", notTarget)
	}
}

// denied writes a client of hosts.deny as we do: 192.0.2. is 192.0.2.0/24, and [2001:db8::1] has no brackets.
func denied(client string) string {
	client = strings.NewReplacer("[", "", "]", "").Replace(client)
	parts := strings.Split(client, ".")
	if n := len(parts) - 1; strings.HasSuffix(client, ".") && n >= 1 && n <= 3 {
		return client + strings.Repeat("0.", 3-n) + "0/" + []string{"8", "16", "24"}[n-1]
	}
	return client
}
