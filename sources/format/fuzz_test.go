package format_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/sources/format"
)

// hostile returns lines near the length limit that are made to be slow.
func hostile() map[string][]byte {
	fill := func(head, body, tail string) []byte {
		return []byte(head + strings.Repeat(body, (format.MaxLine-len(head)-len(tail)-1)/len(body)) + tail)
	}
	const start = `192.0.2.1 - `
	return map[string][]byte{
		"brackets":     fill(start, "[", ""),
		"times":        fill(start, `[21/Nov/2026:17:42:57 +0000] "`, ""),
		"requests":     fill(start, `[21/Nov/2026:17:42:57 +0000] "" 200 2 "" "`, ""),
		"backslashes":  fill(start+`[21/Nov/2026:17:42:57 +0000] "`, `\"`, `" 200 2 "" "-"`),
		"statuses":     fill(start+`[21/Nov/2026:17:42:57 +0000] "`, `" 20 `, ``),
		"escapes":      fill(start+`[21/Nov/2026:17:42:57 +0000] "GET /v2/`, `%41/`, ` HTTP/1.1" 200 2 "" "-"`),
		"scopes":       fill(start+`[21/Nov/2026:17:42:57 +0000] "GET /jwt/auth?`, `scope=repository:a:b&`, ` HTTP/1.1" 200 2 "" "-"`),
		"scope":        fill(start+`[21/Nov/2026:17:42:57 +0000] "GET /jwt/auth?scope=`, `+`, ` HTTP/1.1" 200 2 "" "-"`),
		"JSON list":    fill(`{"controller":"x","path":"/","status":200,"params":[`, `0,`, `0]}`),
		"JSON depth":   fill(`{"controller":`, `[`, `}`),
		"JSON keys":    fill(`{"path":"/"`, `,"ip":1`, `}`),
		"logfmt":       fill(`time=x level=info`, ` a="\\"`, ``),
		"sshd from":    fill(`2026-11-21T18:12:17+00:00 vm sshd[1]: Failed password for x`, ` from 192.0.2.1 port 1 ssh2:`, ` CA x`),
		"sshd colons":  fill(`2026-11-21T18:12:17+00:00 vm sshd[1]: Disconnecting invalid user `, `:`, ``),
		"sshd ssh2":    fill(`2026-11-21T18:12:17+00:00 vm sshd[1]: Failed password for x`, ` ssh2: `, ` CA x`),
		"sshd port":    fill(`2026-11-21T18:12:17+00:00 vm sshd[1]: Failed password for x`, ` port 1 ssh2: `, ` CA x`),
		"sshd ports":   fill(`2026-11-21T18:12:17+00:00 vm sshd[1]: Disconnecting invalid user `, ` port :`, ``),
		"Gitea":        fill(`2025/04/29 12:33:54 a.go:1:x() [W] Failed authentication attempt for `, ` from `, ``),
		"Artifactory":  fill(`2018-11-18T15:39:04.902Z|d|192.0.2.1|`, `GET|`, ``),
		"Artifactory2": fill(`2018-11-18T15:39:04.902Z|d|192.0.2.1`, `|`, ``),
		"Harbor":       fill(`2026-05-16T12:11:38Z [ERROR] [client IP="`, `,`, `" requestID=""]: failed to authenticate user:x`),
		"syslog data":  fill(`<1>1 - a b c d `, `[a]`, ``),
	}
}

// TestHostileLinesAreQuick: no line may take time that grows with its square. A second for 64 KiB is a hundred times what the worst takes.
func TestHostileLinesAreQuick(t *testing.T) {
	for _, options := range []format.Options{{Reference: reference}, {Name: "nginx"}, {Name: "sshd", TrustForwarded: true}, {Name: "harbor", TrustForwarded: true}} {
		for name, line := range hostile() {
			r := reader(t, options)
			var e detector.Event
			begin := time.Now()
			r.Read(line, &e)
			if took := time.Since(begin); took > time.Second {
				t.Errorf("%s as %q: took %s", name, options.Name, took)
			}
		}
	}
}

func seed(f *testing.F) {
	for _, name := range []string{"real/docker-json-file.registry-v2.log", "real/svlogd-registry-text.current", "real/nginx_combined_access.log",
		"real/registry-v2-text.stderr.log", "real/registry-v2-json-tokenauth.stderr.log", "real/sshd_auth.log.traditional.log",
		"incident/auth.log", "incident/production_json.log"} {
		for i, line := range lines(f, name) {
			if i%17 == 0 && len(line) < 4096 {
				f.Add(line)
			}
		}
	}
	for _, line := range []string{
		`192.0.2.1 (203.0.113.7) - - [03/Jun/2025:10:00:00 +0000] "GET /v2/ HTTP/1.1" 401 4 "-" "x" (0.010 200 0.009)`,
		`192.0.2.1 - - [03/Jun/2025:10:00:00 +0000] "GET /v2/ HTTP/1.1" 404 - 92 5 "x" [qtp1-4]`,
		`2018-11-18T15:39:04.902Z|d5d75b3c41242768|192.0.2.1|anonymous|GET|api/v1/cert/root|200|0|6|0|x`,
		`20200312164423|93|REQUEST|192.0.2.1|anonymous|GET|/webapp/|HTTP/1.1|200|0`,
		`2025/04/29 12:33:54 ...ers/web/auth/auth.go:217:SignInPost() [W] Failed authentication attempt for a from 192.0.2.1:4: b`,
		`May 16 12:11:39 172.25.0.1 core[1]: 2026-05-16T12:11:39Z [ERROR] [/a.go:72][client IP="192.0.2.1, 192.168.32.1" requestID="d" user agent="x"]: failed to authenticate user:test, error:x`,
		`2026-06-03T10:00:00.123456789Z stdout P {"controller":`,
		`@400000006b01e16a3129f9c4 time="2026-11-21T18:09:50.379Z" level=error msg="manifest unknown" correlation_id=1`,
		`2020-04-09T14:04:00.667Z: Failed Login: username=a ip=192.0.2.1`,
		`<38>1 2026-11-21T18:12:16Z vm sshd 26853 - [a b="c"] message repeated 3 times: [ Failed password for root from 192.0.2.1 port 2 ssh2]`,
	} {
		f.Add([]byte(line))
	}
	f.Add([]byte(rateLimit(501, 500, `{"user":1}`)))
}

// FuzzRead reads the same line in several ways: nothing panics, every field keeps its limits, and a client is an address
// that stands in the line.
func FuzzRead(f *testing.F) {
	seed(f)
	names := format.Names()
	f.Fuzz(func(t *testing.T, line []byte) {
		for i := range len(names) * 2 {
			r := reader(t, format.Options{Name: names[i/2], TrustForwarded: i%2 == 1, Reference: reference})
			var e detector.Event
			for range 2 {
				verdict := r.Read(line, &e)
				checkLimits(t, &e)
				if verdict != format.Parsed && (e.Client.IsValid() || e.Operation != detector.OpOther) {
					t.Fatalf("%v with an event: %+v", verdict, e)
				}
				checkClient(t, e.Client, line)
			}
			if state := r.Pending(); len(state) > format.MaxPending {
				t.Fatalf("%d bytes pending", len(state))
			}
			r.SetPending(line)
			r.Read(line, &e)
			checkLimits(t, &e)
		}
	})
}

func checkLimits(t *testing.T, e *detector.Event) {
	t.Helper()
	for _, s := range []string{e.Method, e.Path, e.Repository, e.Reference, e.User, e.UserAgent, e.Project, e.Throttle, e.ThrottleEnv,
		e.Safelist, e.Error, e.Message} {
		if len(s) > format.MaxText {
			t.Fatalf("text of %d bytes", len(s))
		}
	}
	if e.Weight < 1 || e.Weight > format.MaxWeight || e.Status < 0 || e.Status > 999 || e.Client.Zone() != "" || e.Client.Is4In6() {
		t.Fatalf("out of bounds: %+v", e)
	}
}

// checkClient looks for the address in lines without escapes, in which it can only stand as it is.
func checkClient(t *testing.T, client netip.Addr, line []byte) {
	t.Helper()
	if !client.IsValid() || bytes.ContainsAny(line, `\`) {
		return
	}
	words := bytes.FieldsFunc(line, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF.:", r)
	})
	for _, w := range words {
		word := strings.TrimSuffix(string(w), ":")
		for _, s := range []string{string(w), word, beforePort(word)} {
			if a, err := netip.ParseAddr(s); err == nil && a.Unmap() == client {
				return
			}
		}
	}
	t.Fatalf("%v does not stand in %q", client, line)
}

func beforePort(s string) string {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		return s[:i]
	}
	return s
}

// FuzzSpoof puts text of a client wherever the programs put it, escaped as they do, and the client stays who it is.
func FuzzSpoof(f *testing.F) {
	f.Add("x", "y")
	f.Add("x from "+victim+" port 22 ssh2", `" 200 2 "" "`)
	f.Add(victim+`" - [21/Nov/2026:17:42:57 +0000] "GET / HTTP/1.1" 404 2 "" "-"`, " ssh2: RSA SHA256:AAAA")
	f.Add(`","remote_ip":"`+victim+`","x":"`, `[client IP="`+victim+`" requestID="`)
	f.Add(" ip="+victim, "x from "+victim+":1: y")
	f.Add(victim+" port 1: Too many authentication failures", ": z")
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = printable(a), printable(b)
		nginx := strings.NewReplacer(`"`, `\x22`, `\`, `\x5C`)
		gorilla := strings.NewReplacer(`"`, `\"`, `\`, `\\`)
		cert := `ED25519-CERT SHA256:AAAA ID ` + b + ` (serial 0) CA ED25519 SHA256:BBBB`
		for _, line := range []string{
			`192.0.2.1 - ` + nginx.Replace(a) + ` [21/Nov/2026:17:42:57 +0000] "GET /` + nginx.Replace(b) + ` HTTP/1.1" 200 2 "` + nginx.Replace(a) + `" "` + nginx.Replace(b) + `" -`,
			`192.0.2.1 - ` + a + ` [21/Nov/2026:17:42:57 +0000] "GET /` + b + ` HTTP/1.1" 200 2 "` + gorilla.Replace(b) + `" "` + gorilla.Replace(a) + `"`,
			`{"method":` + quote(a) + `,"path":` + quote(b) + `,"controller":"SessionsController","action":"create","status":0,"params":[{"key":` + quote(a) + `,"value":` + quote(b) + `}],"remote_ip":"192.0.2.1","ua":` + quote(a) + `}`,
			`{"severity":"WARN","message":"JWT authentication failed","http_user":` + quote(a) + `,"remote_ip":"192.0.2.1","path":` + quote(b) + `}`,
			`{"severity":"INFO","message":` + quote("Failed Login: username="+a+b+" ip=192.0.2.1") + `}`,
			`2020-04-09T14:04:00.667Z: Failed Login: username=` + a + b + ` ip=192.0.2.1`,
			`time="2026-11-21T18:09:42.313Z" level=info msg=access correlation_id=1 remote_addr="192.0.2.1:1" remote_ip="` + gorilla.Replace(a) + `" status=404 system=http uri="` + gorilla.Replace(b) + `" user_agent="` + gorilla.Replace(a) + `"`,
			`{"http.request.method":` + quote(a) + `,"http.request.remoteaddr":"192.0.2.1:1","http.request.uri":` + quote(b) + `,"http.request.useragent":` + quote(a) + `,"level":"info","msg":"response completed"}`,
			`Nov 21 18:12:17 vm sshd[1]: Failed password for invalid user ` + a + ` from 192.0.2.1 port 1 ssh2`,
			`Nov 21 18:12:17 vm sshd[1]: Failed publickey for ` + a + ` from 192.0.2.1 port 1 ssh2: ED25519 SHA256:AAAA`,
			`Nov 21 18:12:17 vm sshd[1]: Failed publickey for ` + a + ` from 192.0.2.1 port 1 ssh2: ` + cert,
			`Nov 21 18:12:17 vm sshd[1]: Accepted publickey for git from 192.0.2.1 port 1 ssh2: ` + cert,
			`Nov 21 18:12:17 vm sshd[1]: Invalid user ` + a + ` from 192.0.2.1 port 1`,
			`Nov 21 18:12:17 vm sshd[1]: Connection closed by invalid user ` + a + ` 192.0.2.1 port 1 [preauth]`,
			`Nov 21 18:12:17 vm sshd[1]: Disconnecting invalid user ` + a + ` 192.0.2.1 port 1: Too many authentication failures [preauth]`,
			`Nov 21 18:12:17 vm sshd[1]: Disconnecting invalid user ` + a + ` 192.0.2.1 port 1: Change of username or service not allowed: (` + a + `,x) -> (` + b + `,x) [preauth]`,
			`Nov 21 18:12:17 vm sshd[1]: Bad protocol version identification '` + a + `' from 192.0.2.1 port 1`,
			`2025/04/29 12:33:54 a.go:1:x() [W] Failed authentication attempt for ` + a + ` from 192.0.2.1:1: user does not exist [uid: 0, name: ` + a + `, keyid: 0]`,
			`2018-11-18T15:39:04.902Z|d5d7|192.0.2.1|` + a + `|GET|` + b + `|200|0|6|0|` + a,
			`192.0.2.1 - - [03/Jun/2025:10:00:00 +0000] "GET /` + b + ` HTTP/1.1" 404 - 92 5 "` + a + `" [qtp1-4]`,
			`Nov 21 18:12:17 vm proxy[1]: 192.0.2.1 - "GET /` + nginx.Replace(a) + ` HTTP/1.1" 404 155 "-" "` + nginx.Replace(b) + `" 0.012 0.012 .`,
			`{"level":"info","module":"http","clientIP":"192.0.2.1:40112","method":"GET","path":` + quote(a) + `,"statusCode":404,"headers":{` + quote(a) + `:[` + quote(b) + `]},"message":"HTTP API"}`,
		} {
			r := reader(t, format.Options{Reference: reference})
			var e detector.Event
			r.Read([]byte(line), &e)
			if e.Client.IsValid() && e.Client != ip("192.0.2.1") {
				t.Fatalf("%v is blamed by %s", e.Client, line)
			}
		}
	})
}

// printable drops what no program logs as it is.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}
