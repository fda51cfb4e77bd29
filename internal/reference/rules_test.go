package reference

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/rules"
)

// rules makes up rules of every sort of condition, in the rules' own language.
func (m *maker) rules(t testing.TB, n int) []*detector.Rule {
	t.Helper()
	var out []*detector.Rule
	for i := range n {
		text := m.rule()
		t.Logf("rule-%d:\n%s", i, text) // seen where it fails
		r, err := rules.Parse(fmt.Sprint("rule-", i), "made up", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		out = append(out, r)
	}
	return out
}

func (m *maker) rule() string {
	var b strings.Builder
	say := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	say(`summary = "made up"`)
	if m.chance(30) {
		kind := "access"
		if len(m.sample) > 0 && m.chance(80) {
			if e := pick(m, m.sample...); e.Kind != detector.KindUnknown {
				kind = e.Kind.String()
			}
		}
		say("source = %s", m.list(kind, kind, "access", "registry", "rails", "auth", "ssh", "api"))
	}
	windows := m.chance(25)
	say("maxretry = %d", pick(m, 1, 2, 2, 3, 3, 4, 5, 7, 10, 15, 31))
	say("findtime = %q", pick(m, "1s", "5s", "12s", "1m", "1m", "2m30s", "10m", "10m", "1h"))
	if windows {
		say("windows = %d", 2+m.IntN(3))
	}
	if m.chance(50) {
		say("key = %s", m.list("client", "repository", "reference", "user", "path", "method", "status", "operation", "user_agent", "source", "error"))
	}
	if !windows && m.chance(30) {
		say("distinct = %q", pick(m, "repository", "reference", "user", "path", "method", "status", "operation", "user_agent", "message", "throttle"))
	}
	if m.chance(25) {
		say("attempt = %q", pick(m, "1s", "500ms"))
	}
	if m.chance(15) {
		say("weight = %d", 1+m.IntN(4))
	}
	if m.chance(50) {
		say("success_ratio = %s", pick(m, "1.0", "0.9", "0.3", "0.05"))
	}
	if m.chance(50) {
		say("scope = %q", pick(m, "host", "repository"))
	}
	if m.chance(50) {
		say("escalate = %s", pick(m, `["30s repository", "2m", "1h host"]`, `["10m"]`, `["1m host", "3m repository"]`))
		if m.chance(50) {
			say("forget = %q", pick(m, "1m", "10m"))
		}
	} else {
		say("bantime = %q", pick(m, "10s", "1m", "1h"))
	}
	for _, each := range []struct {
		key     string
		percent float64
	}{{"widen = false", 20}, {"dry_run = true", 10}, {"storm = false", 30}} {
		if m.chance(each.percent) {
			say("%s", each.key)
		}
	}
	pattern := m.chance(30)
	if pattern {
		say("failregex = [%s]", strings.Join(m.several(2, m.failregex), ", "))
		if m.chance(30) {
			say("ignoreregex = %s", m.regexp())
		}
	}
	if !pattern || m.chance(50) {
		m.conditions(say, "[match]", pick(m, 1, 1, 2, 3))
	}
	for range pick(m, 0, 0, 0, 1, 2) {
		m.conditions(say, "[[unless]]", pick(m, 1, 1, 2))
	}
	for range pick(m, 0, 0, 1, 1, 2) {
		m.conditions(say, "[[reset]]", pick(m, 1, 2))
	}
	return b.String()
}

func (m *maker) several(most int, make func() string) (out []string) {
	for range 1 + m.IntN(most) {
		out = append(out, make())
	}
	return out
}

func (m *maker) list(from ...string) string {
	var out []string
	for range 1 + m.IntN(3) {
		out = append(out, fmt.Sprintf("%q", pick(m, from...)))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// conditions writes a table of different fields.
func (m *maker) conditions(say func(string, ...any), table string, n int) {
	say("%s", table)
	m.like = nil
	if len(m.sample) > 0 && m.chance(80) {
		m.like = factsOf(pick(m, m.sample...))
	}
	fields := []string{"status", "status", "operation", "operation", "client", "source", "bytes", "method", "path", "path", "repository", "reference", "user", "user_agent",
		"project", "throttle", "throttle_env", "safelist", "error", "message"}
	m.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	seen := map[string]bool{}
	for _, f := range fields {
		if !seen[f] && len(seen) < n {
			seen[f] = true
			say("%s = %s", f, m.value(f))
		}
	}
}

// value is one value, several, or the opposite of it.
func (m *maker) value(field string) string {
	one := func() string { return m.one(field) }
	switch m.IntN(10) {
	case 0:
		return "{ not = " + one() + " }"
	case 1:
		return "{ not = [" + strings.Join(m.several(3, one), ", ") + "] }"
	case 2:
		return "{ not = { any = true } }"
	case 3, 4, 5:
		return "[" + strings.Join(m.several(3, one), ", ") + "]"
	}
	return one()
}

func (m *maker) one(field string) string {
	if m.chance(8) {
		return "{ any = true }"
	}
	if m.like != nil && m.chance(70) {
		switch field {
		case "client":
			if m.like.Client.IsValid() {
				return fmt.Sprintf("%q", pick(m, m.like.Client.String(), target(detector.Mask{V4: 24, V6: 40}, m.like.Client).String()))
			}
		case "status", "bytes":
			return m.like.texts[field]
		}
	}
	switch field {
	case "status":
		return pick(m, "404", "404", "401", "403", `"400-499"`, `"401-404"`, "200", `"200-399"`, "429", "0", `"404"`, `"0-999"`, "499", "302")
	case "bytes":
		return pick(m, "0", `"0-1000"`, `"1-99999"`, `"2000-2999"`)
	case "client":
		return fmt.Sprintf("%q", pick(m, m.abuser(), "203.0.113.0/25", "198.51.100.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0"))
	case "source":
		if m.like != nil && m.like.Kind != detector.KindUnknown && m.chance(70) {
			return fmt.Sprintf("%q", m.like.Kind)
		}
		return fmt.Sprintf("%q", pick(m, "access", "registry", "rails", "auth", "ssh", "unknown"))
	case "operation":
		if m.like != nil && m.chance(70) {
			return fmt.Sprintf("%q", m.like.Operation)
		}
		return fmt.Sprintf("%q", pick(m, "manifest", "manifest", "token", "token", "ping", "blob", "upload", "tags", "login", "web", "other", "git"))
	}
	switch m.IntN(4) {
	case 0:
		return "{ regex = " + m.regexp() + " }"
	case 1:
		text := m.known(field)
		return fmt.Sprintf("{ prefix = %s }", quote(text[:m.IntN(len(text)+1)]))
	case 2:
		text := m.known(field)
		from := m.IntN(len(text) + 1)
		piece := regexp.QuoteMeta(strings.ToValidUTF8(text[from:from+m.IntN(len(text)-from+1)], "�"))
		return "{ regex = " + quote(pick(m, "", "", "^", "(?i)", ".*")+piece+pick(m, "", "", "$", ".*", `\b`)) + " }"
	}
	return quote(m.known(field))
}

// quote writes a text for TOML.
func quote(s string) string {
	var b strings.Builder
	for _, c := range strings.ToValidUTF8(s, "�") {
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			fmt.Fprintf(&b, "\\u%04x", c)
		} else {
			b.WriteRune(c)
		}
	}
	return `"` + b.String() + `"`
}

// known is a text that the logs have in that field.
func (m *maker) known(field string) string {
	if m.like != nil && field != "operation" && field != "source" && m.chance(70) {
		s := m.like.texts[field]
		return s[:min(len(s), 200)]
	}
	switch field {
	case "method":
		return pick(m, "GET", "HEAD", "POST", "get")
	case "path":
		return pick(m, "/v2/acme/web/manifests/v9", "/jwt/auth", "/v2/", "/users/sign_in", pick(m, weak...))
	case "repository", "project":
		return pick(m, "acme/web", "a/b", "", "grp/private/api", "api")
	case "reference":
		return pick(m, "v9", "missing", "", "sha256:")
	case "user":
		return pick(m, users...)
	case "user_agent":
		return pick(m, agents...)
	case "throttle":
		return pick(m, "throttle_unauthenticated_web", "any", "throttle_unauthenticated_protected_paths")
	case "throttle_env":
		return pick(m, "throttle", "blocklist", "track")
	case "safelist":
		return pick(m, "any", "throttle_bypass_header")
	case "error":
		return pick(m, "login failed", "", "JWT authentication failed")
	}
	return pick(m, "access", "JWT authentication failed", "Rack_Attack", "", "Failed password")
}

// snippets are pieces of what the logs hold, and of what they could.
var snippets = []string{"v2", "/", "manifests", "acme", "web", "v9", "docker", "curl", "4", "404", "GET", "a", "jwt/auth", "x", "JWT", "failed", "login", "é", "-", "root", "sha256:"}

// regexp is a pattern in single quotes.
func (m *maker) regexp() string { return "'" + m.pattern(3) + "'" }

// pattern is made up of everything that patterns may be made of.
func (m *maker) pattern(depth int) string {
	if depth == 0 {
		return pick(m, quoted(pick(m, snippets...)), quoted(pick(m, snippets...)), ".", `\d`, `\w`, `[^/]`, "[a-m]", `\S`, `\pL`, `[[:alpha:]]`, `[^a-z\d]`, `\x{e9}`)
	}
	sub := func() string { return m.pattern(depth - 1 - m.IntN(depth)) }
	switch m.IntN(12) {
	case 0, 1, 2:
		return sub() + sub()
	case 3:
		return "(?:" + sub() + "|" + sub() + ")"
	case 4:
		return "(" + sub() + ")" + pick(m, "*", "+", "?", "{2}", "{1,3}", "*?", "+?")
	case 5:
		return "^" + sub()
	case 6:
		return sub() + "$"
	case 7:
		return pick(m, `(?i)`, `(?s)`, `(?m)`, `(?i)`) + sub()
	case 8:
		return pick(m, `\b`, `\B`, `\A`, `\z`, "^", "$", "") + sub()
	case 9:
		return sub() + ".*" + sub()
	case 10:
		return sub() + "|" + sub()
	}
	return sub()
}

// quoted takes the meaning out of the few characters of the snippets that have one.
func quoted(s string) string { return strings.ReplaceAll(s, ".", `\.`) }

// failregex is a pattern of whole lines that names the client.
func (m *maker) failregex() string {
	host := pick(m, "<HOST>", "<ADDR>")
	core := pick(m, "^"+host+" ", "^"+host+` - \S+ \[`, "from "+host+" port", `"remote_ip":"`+host+`"`, "client="+host, "rip="+host+",", `"remote_addr":"`+host+`:\d+"`, host, `(?:^|\s|")`+host+"")
	if m.chance(60) {
		core += ".*" + pick(m, "404", "401", `" 40[0-9] `, `"status":40\d`, "ssh2", "manifests", "(?i)GET")
	}
	if m.chance(20) {
		core += m.pattern(2)
	}
	return "'" + core + "'"
}
