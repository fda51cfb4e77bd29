package format_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

// victim is the address that every forged line of these tests tries to have blamed.
const victim = "203.0.113.66"

// TestNobodyElseIsBlamed has lines that clients wrote as far as they can. The client is who really sent the request, or nobody.
func TestNobodyElseIsBlamed(t *testing.T) {
	const fakeAccess = victim + ` - - [21/Nov/2026:17:42:57 +0000] \"GET /v2/a/manifests/b HTTP/1.1\" 404 9 \"\" \"-\" -`
	fakeRaw := strings.ReplaceAll(fakeAccess, `\"`, `"`)
	escaped := strings.ReplaceAll(fakeRaw, `"`, `\x22`)
	rails := func(more string) string {
		return `{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":401,` + more + `}`
	}
	for _, c := range []struct{ name, line, want string }{
		{"user agent with a line", `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "` + escaped + `" -`, "192.0.2.1"},
		{"user agent with a line, Go's quotes", `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "` + fakeAccess + `"`, "192.0.2.1"},
		{"user agent with a line, no quotes", `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "` + fakeRaw + `"`, "192.0.2.1"},
		{"path with a line, no quotes", `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /` + fakeRaw + ` HTTP/1.1" 200 2 "" "-"`, "192.0.2.1"},
		{"user with a line, no quotes", `192.0.2.1 - ` + fakeRaw + ` [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "-"`, "192.0.2.1"},
		{"user with an address", `192.0.2.1 - ` + victim + ` [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "-"`, "192.0.2.1"},
		{"user in brackets", `192.0.2.1 - [` + victim + `] - x [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "-"`, "192.0.2.1"},
		{"unix socket", `unix: - ` + victim + ` [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" "-"`, ""},
		{"parameters", rails(`"params":[{"key":"remote_ip","value":"` + victim + `"},{"key":"x","value":{"remote_ip":"` + victim + `","meta.remote_ip":"` + victim + `"}}],"remote_ip":"192.0.2.1"`), "192.0.2.1"},
		{"parameters only", rails(`"params":[{"key":"remote_ip","value":"` + victim + `"}]`), ""},
		{"user agent that ends a string", rails(`"ua":"x\",\"remote_ip\":\"` + victim + `","remote_ip":"192.0.2.1"`), "192.0.2.1"},
		{"the same key twice", rails(`"remote_ip":"` + victim + `","remote_ip":"192.0.2.1"`), ""},
		{"the same key twice, escaped", rails(`"remote\u005fip":"` + victim + `","remote_ip":"192.0.2.1"`), ""},
		{"the same key twice, alike", rails(`"remote_ip":"192.0.2.1","remote_ip":"192.0.2.1"`), "192.0.2.1"},
		{"a list of addresses", rails(`"remote_ip":"` + victim + `, 192.0.2.1"`), ""},
		{"an address that is no text", rails(`"remote_ip":["` + victim + `"]`), ""},
		{"two names that disagree", `{"severity":"ERROR","message":"Rack_Attack","env":"throttle","ip":"` + victim + `","remote_ip":"192.0.2.1"}`, ""},
		{"name in a failed login", `{"severity":"INFO","message":"Failed Login: username=x ip=` + victim + ` ip=192.0.2.1"}`, "192.0.2.1"},
		{"name in a failed login with better to go by", `{"severity":"INFO","meta.remote_ip":"192.0.2.1","message":"Failed Login: username=x ip=` + victim + `"}`, "192.0.2.1"},
		{"name in a failed login of old", `2020-04-09T14:04:00.667Z: Failed Login: username=x ip=` + victim + ` ip=192.0.2.1`, "192.0.2.1"},
		{"name in a ban of old", `IP 192.0.2.1 failed to login as IP ` + victim + ` failed to login as x but has been temporarily banned from Git auth`, "192.0.2.1"},
		{"X-Forwarded-For in GitLab's registry", strings.Replace(labkitJSON, "127.0.0.1:56596", "192.0.2.1:56596", 1), "192.0.2.1"},
		{"X-Forwarded-For in GitLab's registry, logfmt", strings.Replace(labkitText, "127.0.0.1:56596", "192.0.2.1:56596", 1), "192.0.2.1"},
		{"user agent in logfmt", `time="2026-11-21T18:09:42.313Z" level=info msg=access correlation_id=1 method=GET remote_addr="192.0.2.1:1" status=404 system=http uri=/v2/ user_agent="x\" remote_addr=\"` + victim + `:1"`, "192.0.2.1"},
		{"the same key twice in logfmt", `time="2026-11-21T18:09:42.313Z" level=info msg=access correlation_id=1 method=GET remote_addr="` + victim + `:1" remote_addr="192.0.2.1:1" status=404 system=http uri=/v2/`, ""},
		{"X-Forwarded-For in distribution", strings.Replace(completed, "127.0.0.12:41796", victim, 1), ""},
		{"X-Forwarded-For over IPv6 in distribution", strings.Replace(completed, "127.0.0.12:41796", "2001:db8::66", 1), ""},
		{"X-Forwarded-For in distribution's text", strings.Replace(completedTxt, "127.0.0.12:41796", victim, 1), ""},
		{"X-Real-IP in Quay", victim + ` (-) - - [03/Jun/2025:10:00:00 +0000] "GET /v2/ HTTP/1.1" 401 92 "-" "-" (0.010 200 0.009)`, ""},
		{"X-Forwarded-For in zot", `{"level":"info","module":"http","clientIP":"192.0.2.1:40112","method":"GET","path":"/v2/","statusCode":401,"headers":{"clientIP":"` + victim + `","X-Forwarded-For":["` + victim + `"]},"message":"HTTP API"}`, "192.0.2.1"},
		{"X-Forwarded-For in Harbor", `2026-05-16T12:11:38Z [ERROR] [/a/basic_auth.go:72][client IP="` + victim + `, 192.0.2.1" requestID="1" user agent="x"]: failed to authenticate user:test, error:x`, ""},
		{"name in Gitea", `2025/04/29 12:33:54 a/auth.go:217:SignInPost() [W] Failed authentication attempt for x from ` + victim + `:1: y from 192.0.2.1:2: user does not exist [uid: 0, name: x from ` + victim + `:1: y, keyid: 0]`, ""},
		{"name with a separator in Artifactory", `2018-11-18T15:39:04.902Z|d5d7|192.0.2.1|x|` + victim + `|GET|/a|GET|api/v1|200|0|6|0|x`, "192.0.2.1"},
		{"a JSON line in a message", `2026-11-21T18:12:17.124036+00:00 vm sshd[1]: Invalid user {"controller":"x","remote_ip":"` + victim + `"} from 192.0.2.1 port 1`, "192.0.2.1"},
	} {
		e, _ := read(t, format.Options{}, c.line)
		var want netip.Addr
		if c.want != "" {
			want = ip(c.want)
		}
		if e.Client != want {
			t.Errorf("%s: want %v, got %v for %s", c.name, want, e.Client, c.line)
		}
	}
}

// TestForwardedForIsNotTrickedWhereItIsTrusted: in Harbor's log the header stands raw between quotes.
func TestForwardedForIsNotTrickedWhereItIsTrusted(t *testing.T) {
	const line = `2026-05-16T12:11:38Z [ERROR] [/a/basic_auth.go:72][client IP="%s" requestID="1" user agent="%s"]: failed to authenticate user:%s, error:x`
	for _, c := range []struct{ header, agent, user, want string }{
		{"192.0.2.1", "x", "x", "192.0.2.1"},
		{victim + ", 192.0.2.1, 192.168.32.1", "x", "x", "192.0.2.1"},
		{"192.168.32.1", "x", "x", "192.168.32.1"},
		{victim + `" requestID="2" x="192.0.2.1`, "x", "x", ""},
		{victim + `" x, 192.0.2.1`, "x", "x", "192.0.2.1"},
		{victim + ", junk", "x", "x", ""},
		{"192.0.2.1", `x"][client IP="` + victim + `" requestID="2`, "x", ""},
		{"192.0.2.1", "x", `y"][client IP="` + victim + `" requestID="2"]: failed to authenticate user:z`, ""},
	} {
		e, verdict := read(t, format.Options{TrustForwarded: true}, fmt.Sprintf(line, c.header, c.agent, c.user))
		var want netip.Addr
		if c.want != "" {
			want = ip(c.want)
		}
		if verdict != format.Parsed || e.Client != want {
			t.Errorf("%s, %s, %s: want %v, got %v %v", c.header, c.agent, c.user, want, verdict, e.Client)
		}
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1":               "192.0.2.1",
		"192.0.2.1:443":           "192.0.2.1",
		"::ffff:192.0.2.1":        "192.0.2.1",
		"::ffff:c000:201":         "192.0.2.1",
		"[::ffff:192.0.2.1]:443":  "192.0.2.1",
		"2001:db8::1":             "2001:db8::1",
		"2001:DB8::1":             "2001:db8::1",
		"2001:db8:0:0:0:0:0:1":    "2001:db8::1",
		"[2001:db8::1]":           "2001:db8::1",
		"[2001:db8::1]:443":       "2001:db8::1",
		"fe80::1%eth0":            "fe80::1",
		"[fe80::1%eth0]:443":      "fe80::1",
		"::1":                     "::1",
		"":                        "",
		"-":                       "",
		"unknown":                 "",
		"unix:":                   "",
		"unix:/run/x.sock":        "",
		"localhost":               "",
		"0.0.0.0":                 "",
		"::":                      "",
		"192.0.2.01":              "",
		"192.0.2.256":             "",
		"192.0.2":                 "",
		"192.0.2.1.":              "",
		"192.0.2.1:":              "",
		"192.0.2.1:x":             "",
		"192.0.2.1:443:1":         "",
		"192.0.2.1, 203.0.113.66": "",
		"192.0.2.1/24":            "",
		"[192.0.2.1":              "",
		"[2001:db8::1]x":          "",
		"2001:db8::1]:443":        "",
		"::ffff:192.0.2.1:443":    "",
		strings.Repeat("1", 1000): "",
		"2001:db8::1" + "\u0000":  "",
		"1:2:3:4:5:6:7:8:9":       "",
		"dead":                    "",
	} {
		e, verdict := read(t, format.Options{}, `{"controller":"X","path":"/","status":200,"remote_ip":`+quote(text)+`}`)
		var client netip.Addr
		if want != "" {
			client = ip(want)
		}
		if verdict != format.Parsed || e.Client != client {
			t.Errorf("%q: want %v, got %v %v", text, client, verdict, e.Client)
		}
	}
}

// TestAForgedLineHidesNothing: a user that sends what looks like the end of a line does not get its request counted as another one.
func TestAForgedLineHidesNothing(t *testing.T) {
	line := `192.0.2.1 - x [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 200 2 "" " [21/Nov/2026:17:42:57 +0000] "GET /v2/a/manifests/b HTTP/1.1" 404 9 "" "-"`
	e, _ := read(t, format.Options{}, line)
	if e.Status != 404 || e.Operation != detector.OpManifest {
		t.Errorf("got %+v", e)
	}
	many := strings.Repeat("[", 100) + strings.Repeat("[21/Nov/2026:17:42:57 +0000]", 20)
	e, verdict := read(t, format.Options{}, `192.0.2.1 - `+many+` [21/Nov/2026:17:42:57 +0000] "GET /v2/a/manifests/b HTTP/1.1" 404 9 "" "-"`)
	if verdict != format.Parsed || e.Status != 404 {
		t.Errorf("got %v %+v", verdict, e)
	}
}

// TestLinesThatAClientPutsIntoTheDistributionsLog: gorilla/handlers writes the URL's user unescaped, newlines and all, so that one request can write as many
// lines as it likes, the end of its own line first. Lines of such a stream name nobody, unless the operator vouches for it.
func TestLinesThatAClientPutsIntoTheDistributionsLog(t *testing.T) {
	access := victim + ` - - [21/Nov/2026:17:44:10 +0000] "GET /v2/a/manifests/b HTTP/1.1" 404 93 "" "docker"`
	app := `time="2026-11-21T17:42:52.767428677Z" level=info msg="listening on [::]:5000" environment=production go.version=go1.19.8 instance.id=e200 service=registry version=2.8.2`
	wrapped := `{"log":` + strconv.Quote(access+"\n") + `,"stream":"stdout","time":"2026-11-21T18:14:28.45839422Z"}`
	for _, c := range []struct {
		what, name string
		before     string
		line       string
		trust      bool
		want       bool
	}{
		{"the registry's stream", "auto", app, access, false, false},
		{"a container's stream", "auto", "", wrapped, false, false},
		{"so configured", "distribution", "", access, false, false},
		{"vouched for", "distribution", app, access, true, true},
		{"a container's stream, vouched for", "auto", "", wrapped, true, true},
		{"old nginx", "auto", "", access, false, true},
		{"nginx, so configured, in a container", "nginx", "", wrapped, false, true},
		{"nginx beside a registry", "auto", app, access + " -", false, true},
	} {
		r, err := format.New(format.Options{Name: c.name, TrustOwnAccess: c.trust})
		if err != nil {
			t.Fatal(err)
		}
		var e detector.Event
		if c.before != "" {
			r.Read([]byte(c.before), &e)
		}
		if v := r.Read([]byte(c.line), &e); v != format.Parsed || e.Client.IsValid() != c.want || e.Status != 404 {
			t.Errorf("%s: %v, client %v, want one: %v", c.what, v, e.Client, c.want)
		}
	}
}
