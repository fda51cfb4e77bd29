package reference

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// odd is how many lines of a hundred are written in an unusual way.
type odd float64

// line writes a request as one kind of log does.
func (m *maker) line(log string, r request, o odd) string {
	strange := m.chance(float64(o))
	if strange && m.chance(10) {
		return m.junk(r)
	}
	var line string
	switch {
	case r.operation == "ssh" || log == "ssh":
		line = m.sshLine(r, strange)
	case log == "nginx":
		line = m.nginxLine(r, strange)
	case log == "registry":
		line = m.registryLine(r, strange)
	case log == "rails":
		line = m.railsLine(r, strange)
	default:
		line = m.authLine(r, strange)
	}
	if strange && m.chance(3) {
		line = line[:m.IntN(len(line)+1)] // cut short
	}
	if strange && m.chance(3) {
		line = pick(m, "\ufeff", " ", "\t") + line + pick(m, "\r", "", " ")
	}
	return line
}

// junk is no line of any log that is known, and some have an address.
func (m *maker) junk(r request) string {
	return pick(m, "", "\x00\x01\x16\x03\x01", "# Logfile created on 2026-10-05", "==> a.log <==", "{", "}", `{"a":1}`, `[]`, `{"status":404}`,
		`{"log":"`, "Failed password for x from "+r.client+" port 1 ssh2", `{"message":"hello","remote_ip":"`+r.client+`"}`, "client="+r.client+", refused",
		"panic: runtime error", "\xff\xfe", `{"status":404,"remote_ip":"`+r.client+`"`, "time=x level=info msg=x", r.client,
		fmt.Sprintf("2026-10-05T08:00:00.000000+00:00 vm dovecot[7]: auth failed, rip=%s, lip=192.0.2.1", r.client), "-")
}

func (m *maker) nginxLine(r request, strange bool) string {
	user, request, agent, client, tail, size := "-", r.method+" "+r.uri+" HTTP/1.1", r.agent, r.client, pick(m, " -", "", ` "-"`), fmt.Sprint(m.IntN(3000))
	status := fmt.Sprintf("%03d", r.status)
	if r.user != "" {
		user = r.user
	}
	if strange {
		forwarded := fmt.Sprintf(` "%s, %s"`, m.abuser(), m.honestClient())
		switch m.IntN(14) {
		case 0:
			user = pick(m, `a b`, `x [05/Oct/2026:08:00:00 +0000] "GET / HTTP/1.1" 200 1 "" "a"`, `[1]`, `]`, `"`, `- [`+m.abuser()+`] - bob`, "\xc3\xa9", "[[[[[[[[[[")
		case 1:
			request = pick(m, "-  -", `\x16\x03\x01`, "GET", "", "GET / HTTP/1.1 HTTP/1.1", "get "+r.uri+" HTTP/1.1", "GET http://r.example.org"+r.uri+" HTTP/2.0")
		case 2:
			agent = pick(m, `a\"b`, `x" 200 1 "" "y`, "", "-", `\x22`, m.abuser())
		case 3:
			client = pick(m, "-", "unix:", "host.example.org", "0.0.0.0", "::", "::1", "["+r.client+"]", "::ffff:192.0.2.1", r.client+"%eth0", r.client+", "+m.abuser(), "1.2.3")
		case 4, 5:
			tail = forwarded
		case 6:
			size = pick(m, "-", "", "99999999999999999999", "x")
		case 7:
			status = pick(m, "000", "099", "4040", "40", "-")
		case 8:
			tail = pick(m, ` "a" b "c"`, ` "`, ` x"y`, ` "a`)
		case 9:
			request = strings.Replace(request, "/", pick(m, "//", "/%2F", "/./", "/%00"), 1)
		case 10:
			request = r.method + " " + strings.ReplaceAll(r.uri, "/manifests/", pick(m, "%2Fmanifests%2f", "/manifests/a/", "/manifests/manifests/")) + " HTTP/1.1"
		case 11:
			return fmt.Sprintf(`%s - %s [%s] "%s" %s %s`, client, user, r.at.Format("02/Jan/2006:15:04:05 -0700"), request, status, size) // the common format
		case 12:
			return fmt.Sprintf(`%s - %s [%s] "%s" %s %s "" "%s" -`, client, user, pick(m, "32/Jan/2026:99:04:05 +0000", "05/Oct/2026:08:00:00", "x"), request, status, size, agent)
		case 13:
			r.at = r.at.In(time.FixedZone("", pick(m, 3600, -7200, 19800)))
		}
	}
	return fmt.Sprintf(`%s - %s [%s] "%s" %s %s "%s" "%s"%s`, client, user, r.at.Format("02/Jan/2006:15:04:05 -0700"), request, status, size, pick(m, "", "-", "https://example.org/"), agent, tail)
}

// member is one key of a JSON object with its value as it is written.
type member struct{ key, value string }

func text(s string) string { return strconv.QuoteToASCII(s) }

func stamp(at time.Time) string { return text(at.UTC().Format("2006-01-02T15:04:05.000Z")) }

func (m *maker) registryLine(r request, strange bool) string {
	port := netip.MustParseAddr(r.client)
	return m.object([]member{{"correlation_id", `"01M4"`}, {"host", `"r.example.org"`}, {"level", `"info"`}, {"method", text(r.method)}, {"msg", `"access"`}, {"proto", `"HTTP/1.1"`},
		{"referrer", `""`}, {"remote_addr", text(netip.AddrPortFrom(port, uint16(1024+m.IntN(60000))).String())}, {"remote_ip", text(r.client)},
		{"status", fmt.Sprint(r.status)}, {"system", `"http"`}, {"time", stamp(r.at)}, {"ttfb_ms", "3"}, {"uri", text(r.uri)}, {"user_agent", text(r.agent)},
		{"written_bytes", fmt.Sprint(m.IntN(3000))}}, r, strange)
}

func (m *maker) railsLine(r request, strange bool) string {
	controller, action, params := "ProjectsController", "show", `[]`
	switch r.operation {
	case "token", "ping", "manifest", "tags":
		controller, action = "JwtController", "auth"
		params = fmt.Sprintf(`[{"key":"account","value":%s},{"key":"scope","value":%s},{"key":"service","value":"container_registry"}]`, text(r.user), text("repository:"+r.repository+":pull"))
		r.uri = "/jwt/auth"
		if r.status == 404 {
			r.status = 403 // who may not know that a repository is not there
		}
	case "login":
		controller, action = "SessionsController", "create"
		params = fmt.Sprintf(`[{"key":"user","value":{"login":%s,"password":"[FILTERED]","remote_ip":"192.0.2.99","status":200}}]`, text(r.user))
	case "blob":
		controller, action = "Repositories::GitHttpController", "info_refs"
	}
	members := []member{{"method", text(r.method)}, {"path", text(strings.SplitN(r.uri, "?", 2)[0])}, {"format", `"html"`}, {"controller", text(controller)}, {"action", text(action)},
		{"status", fmt.Sprint(r.status)}, {"time", stamp(r.at)}, {"params", params}, {"correlation_id", `"01M5"`}, {"meta.caller_id", `"X#y"`}, {"remote_ip", text(r.client)},
		{"ua", text(r.agent)}, {"duration_s", "0.0711"}, {"db_count", "7"}}
	if r.user != "" && r.status == 200 {
		members = append(members, member{"user_id", "7"}, member{"username", text(r.user)}, member{"meta.user", text(r.user)})
	}
	if strange && m.chance(10) {
		members = append(members, member{"throttle_safelist", `"throttle_bypass_header"`})
	}
	if strange && m.chance(10) {
		members = append(members, member{"meta.project", text(r.repository)})
	}
	return m.object(members, r, strange)
}

func (m *maker) authLine(r request, strange bool) string {
	members := []member{{"severity", `"ERROR"`}, {"time", stamp(r.at)}, {"correlation_id", `"01M6"`}}
	switch {
	case r.status == 401 || r.operation == "token" && m.chance(50):
		members = append(members, member{"message", `"JWT authentication failed"`}, member{"http_user", text(r.user)}, member{"auth_service", `"container_registry"`})
	case r.status == 403:
		members = append(members, member{"message", `"Rack_Attack"`}, member{"env", `"blocklist"`}, member{"request_method", text(r.method)}, member{"path", text(r.uri)})
	case r.operation == "login":
		members = append(members, member{"message", text("Failed Login: username=" + r.user + " ip=" + m.abuser())})
	case r.operation == "scan":
		members = append(members, member{"message", `"Rate_Limit_Block"`}, member{"matched", `"throttle_unauthenticated_web"`}, member{"limit", "10"},
			member{"count", fmt.Sprint(m.IntN(200))}, member{"counted_by", pick(m, `{"ip":"192.0.2.1"}`, `{"user":7}`, `{}`)})
	default:
		members = append(members, member{"message", `"Rack_Attack"`}, member{"env", pick(m, `"throttle"`, `"throttle"`, `"track"`)}, member{"request_method", text(r.method)},
			member{"path", text(r.uri)}, member{"matched", pick(m, `"throttle_unauthenticated_web"`, `"throttle_unauthenticated_protected_paths"`, `"throttle_authenticated_api"`)}, member{"status", "429"})
	}
	return m.object(append(members, member{"remote_ip", text(r.client)}), r, strange)
}

// object writes the members, and in a strange line does what JSON allows and no logger does.
func (m *maker) object(members []member, r request, strange bool) string {
	colon, comma := ":", ","
	if strange {
		for range 1 + m.IntN(2) {
			members = m.twist(members, r)
		}
		colon, comma = pick(m, ":", ":", ": ", " : ", ":\t"), pick(m, ",", ",", ", ", " ,")
	}
	var b strings.Builder
	b.WriteString("{")
	for i, p := range members {
		if i > 0 {
			b.WriteString(comma)
		}
		key := text(p.key)
		if strange && m.chance(4) {
			at := m.IntN(len(p.key))
			key = fmt.Sprintf(`"%s\u%04x%s"`, p.key[:at], p.key[at], p.key[at+1:])
		}
		b.WriteString(key + colon + p.value)
	}
	return b.String() + "}"
}

// twist changes one thing of an object.
func (m *maker) twist(members []member, r request) []member {
	members = slices.Clone(members)
	i := m.IntN(len(members))
	if j := slices.IndexFunc(members, func(p member) bool {
		return p.key == pick(m, "status", "remote_ip", "remote_addr", "time", "path", "uri")
	}); j >= 0 {
		i = j
	}
	p := &members[i]
	nested := fmt.Sprintf(`{"status":%d,"remote_ip":%s,"path":"/.env","key":"remote_ip","controller":"X","time":"2030-01-01T00:00:00Z","a":[1,{"status":404}]}`, pick(m, 200, 401, 404), text(m.abuser()))
	switch m.IntN(13) {
	case 0: // the same key twice
		other := member{p.key, pick(m, p.value, text(m.abuser()), "404", "200", "null")}
		return slices.Insert(members, pick(m, 0, len(members)), other)
	case 1:
		p.value = pick(m, "null", `""`, "true", "[]", "{}", nested, "-1", "404.0", "4.04e2", "1e999", `"404"`, `" 404"`, "99999999999999999999")
	case 2:
		if p.value[0] >= '0' && p.value[0] <= '9' {
			p.value = pick(m, text(p.value), p.value+".0", p.value+"e0")
		}
	case 3:
		return slices.Insert(members, pick(m, 0, i, len(members)), member{pick(m, "extra", "params", "json", "exception"), nested})
	case 4:
		m.Shuffle(len(members), func(a, b int) { members[a], members[b] = members[b], members[a] })
	case 5: // escapes in a value
		p.value = strings.ReplaceAll(p.value, "/", pick(m, `\/`, `\u002f`, `\u002F`))
	case 6:
		p.value = strings.NewReplacer("a", `\u0061`, "4", `\u0034`).Replace(strings.Trim(p.value, `"`))
		p.value = `"` + p.value + `"`
	case 7:
		return slices.Insert(members, pick(m, 0, len(members)), member{"padding", text(strings.Repeat(`"status":404,`, pick(m, 1, 10, 2000)))})
	case 8:
		return slices.Insert(members, i, member{pick(m, "Status", "status ", "remote_ip.x", "x.status", "meta.remote_ip", "ip", "ua", "user_agent"), pick(m, "404", text(m.abuser()))})
	case 9:
		return slices.Delete(members, i, i+1)
	case 10:
		p.value = pick(m, text(r.client+", "+m.abuser()), text("::ffff:192.0.2.1"), text("unknown"), `"\"status\":404"`, `"\\"`, `"a\\\",\"status\":404,\"b\":\""`)
	case 11:
		return append(members, member{"user_agent", text(`","status":404,"remote_ip":"` + m.abuser() + `","x":"`)})
	case 12:
		p.value = strings.Replace(p.value, `"`, "\"\u00e9\U0001F600", 1)
	}
	return members
}

func (m *maker) sshLine(r request, strange bool) string {
	user := r.user
	if user == "" {
		user = "git"
	}
	if strange {
		user = pick(m, "x from 192.0.2.1 port 22 ssh2", "", " ", "root ssh2: ", "a: b", "invalid user x", strings.Repeat("u", 300))
	}
	port := 1024 + m.IntN(60000)
	var text string
	switch {
	case r.status == 200:
		text = fmt.Sprintf("Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:abc", user, r.client, port)
	case r.status == 404:
		text = fmt.Sprintf("Invalid user %s from %s port %d", user, r.client, port)
	case r.status == 499:
		text = fmt.Sprintf("Connection closed by authenticating user %s %s port %d [preauth]", user, r.client, port)
	default:
		text = fmt.Sprintf("Failed password for %s%s from %s port %d ssh2", pick(m, "", "invalid user "), user, r.client, port)
	}
	if m.chance(3) {
		text = fmt.Sprintf("message repeated %d times: [ %s]", m.IntN(6), text)
	}
	header := r.at.UTC().Format("2006-01-02T15:04:05.000000+00:00")
	if m.chance(20) {
		header = r.at.UTC().Format(time.Stamp)
	}
	return header + " vm " + pick(m, "sshd[7]", "sshd[7]", "sshd-session[9]", "dovecot") + ": " + text
}

// The wrappers that a line may come in. A wrapped line is one line or several.
var wrappers = []string{"", "", "docker", "cri", "svlogd", "svlogd-t", "syslog", "rfc5424", "svlogd-prefix"}

func (m *maker) wrap(wrapper, line string, at time.Time) []string {
	at = at.UTC()
	stream := pick(m, "stdout", "stdout", "stderr")
	parts := []string{line}
	if m.chance(15) && len(line) > 1 { // runtimes split what is long; here anything
		i := 1 + m.IntN(len(line)-1)
		parts = []string{line[:i], line[i:]}
	}
	var out []string
	for i, p := range parts {
		last := i == len(parts)-1
		switch wrapper {
		case "docker":
			end := ""
			if last {
				end = `\n`
			}
			out = append(out, fmt.Sprintf(`{"log":"%s%s","stream":"%s","time":"%s"}`, inJSON(p), end, stream, at.Format(time.RFC3339Nano)))
		case "cri":
			out = append(out, fmt.Sprintf("%s %s %s %s", at.Format("2006-01-02T15:04:05.000000000Z"), stream, map[bool]string{true: "F", false: "P"}[last], p))
		}
	}
	if out != nil {
		return out
	}
	switch wrapper {
	case "svlogd":
		line = at.Format("2006-01-02_15:04:05.00000 ") + line
	case "svlogd-prefix":
		line = at.Format("2006-01-02_15:04:05.00000 ") + "registry01 registry: " + line
	case "svlogd-t":
		line = fmt.Sprintf("@%016x%08x %s", 1<<62+10+uint64(at.Unix()), at.Nanosecond(), line)
	case "syslog":
		line = at.Format(time.Stamp) + " vm nginx[12]: " + line
	case "rfc5424":
		line = "<38>1 " + at.Format(time.RFC3339) + ` vm nginx 26853 - [a@1 k="v\"]"] ` + line
	}
	return []string{line}
}

// inJSON escapes a text for a JSON string; bytes that are no UTF-8 stay.
func inJSON(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// lines writes the requests as a log in a wrapper.
func (m *maker) lines(requests []request, log, wrapper string, o odd) string {
	var b strings.Builder
	for _, r := range requests {
		line := strings.ReplaceAll(m.line(log, r, o), "\n", " ")
		for _, l := range m.wrap(wrapper, line, r.at) {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}
