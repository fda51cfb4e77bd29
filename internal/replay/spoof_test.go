package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/replay"
	"regwarden/rules"
)

// TestNobodyElseIsBlocked: an attacker writes a victim's address wherever a client can write: headers, user names, user agents, paths, parameters. Each
// line comes often enough for every rule; only the attacker may be blocked for it.
func TestNobodyElseIsBlocked(t *testing.T) {
	const attacker, victim = "198.51.100.66", "203.0.113.7"
	const stamp = "05/Oct/2026:08:%02d:%02d +0000"
	const iso = "2026-10-05T08:%02d:%02d.000Z"
	access := func(client, user, request, status, agent string) string {
		return client + " - " + user + " [" + stamp + `] "` + request + `" ` + status + ` 93 "" "` + agent + `" -`
	}
	missing := "GET /v2/a/b/manifests/c HTTP/1.1"
	fake := victim + ` - - [05/Oct/2026:08:00:00 +0000] \x22` + missing + `\x22 404 93 \x22\x22 \x22x\x22`
	for name, line := range map[string]string{
		"user agent with a fake line":     access(attacker, "-", missing, "404", fake),
		"user with a fake line":           access(attacker, fake, missing, "404", "docker"),
		"user with spaces and a time":     access(attacker, victim+" - - ["+stamp+"]", missing, "404", "docker"),
		"path with an address":            access(attacker, "-", "GET /v2/a/b/manifests/c?x="+victim+" HTTP/1.1", "404", "docker"),
		"wrong logins in a scan":          access(attacker, "-", "GET /.env%20"+victim+" HTTP/1.1", "404", "docker"),
		"mapped address":                  access("::ffff:"+attacker, "-", missing, "404", "docker"),
		"registry JSON, forwarded":        `{"correlation_id":"1","host":"r","level":"info","method":"GET","msg":"access","proto":"HTTP/1.1","remote_addr":"127.0.0.1:56596","remote_ip":"` + victim + `","status":404,"system":"http","time":"` + iso + `","uri":"/v2/a/b/manifests/c","user_agent":"x","written_bytes":2}`,
		"distribution JSON, forwarded":    `{"go.version":"go1.19.8","http.request.host":"r","http.request.method":"GET","http.request.remoteaddr":"` + victim + `","http.request.uri":"/v2/a/b/manifests/c","http.response.status":404,"level":"error","msg":"response completed with error","time":"` + iso + `","vars.name":"a/b","vars.reference":"c"}`,
		"rails, address in a parameter":   `{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":401,"time":"` + iso + `","params":[{"key":"remote_ip","value":"` + victim + `"},{"key":"account","value":"x\",\"remote_ip\":\"` + victim + `"}],"remote_ip":"` + attacker + `"}`,
		"rails, address in a nested hash": `{"method":"POST","path":"/users/sign_in","controller":"SessionsController","action":"create","status":0,"time":"` + iso + `","params":[{"key":"user","value":{"login":"x","remote_ip":"` + victim + `"}}],"remote_ip":"` + attacker + `"}`,
		"auth, address in the user":       `{"severity":"WARN","time":"` + iso + `","message":"JWT authentication failed","http_user":"x remote_ip=` + victim + `","remote_ip":"` + attacker + `"}`,
		"sshd, fake address in the user":  "2026-10-05T08:%02d:%02d.000000+00:00 vm sshd[1]: Failed password for invalid user x from " + victim + " port 22 ssh2 from " + attacker + " port 42452 ssh2",
		"sshd, closed":                    "2026-10-05T08:%02d:%02d.000000+00:00 vm sshd[1]: Connection closed by invalid user x from " + victim + " port 22 ssh2 " + attacker + " port 42452 [preauth]",
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for i := range 800 {
				args := []any{}
				for range strings.Count(line, "%02d") / 2 {
					args = append(args, i/60, i%60)
				}
				fmt.Fprintf(&b, strings.ReplaceAll(line, "%20", "%%20")+"\n", args...)
			}
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			decisions, summary := run(t, path)
			for target := range blocked(decisions) {
				if target.Addr().String() != attacker {
					t.Errorf("%v is blocked", target)
				}
			}
			if summary.Events == 0 && !strings.Contains(name, "JSON") {
				t.Error("nothing was read")
			}
			t.Logf("%d events, %d blocks", summary.Events, summary.Blocks)
		})
	}
}

// TestAnOldLogWithoutYearsIsReadAsOfItsFile: sshd's traditional lines in December, looked at in January.
func TestAnOldLogWithoutYearsIsReadAsOfItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "auth.log")
	var b strings.Builder
	for i := range 12 {
		fmt.Fprintf(&b, "Dec 31 23:58:%02d vm sshd[1]: Failed password for root from 203.0.113.9 port 42452 ssh2\n", i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	written := time.Date(2025, 12, 31, 23, 59, 0, 0, time.UTC)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	decisions, _ := run(t, path)
	if len(decisions) != 1 || decisions[0].Time.Year() != 2025 {
		t.Errorf("got %+v", decisions)
	}
}

// TestAFailregexReadsLinesOfProgramsThatNoDialectKnows, also behind a syslog header.
func TestAFailregexReadsLinesOfProgramsThatNoDialectKnows(t *testing.T) {
	r, err := rules.Parse("dovecot", "dovecot.toml", []byte(`
summary = "guesses mail passwords"
maxretry = 5
findtime = "10m"
bantime = "1h"
failregex = 'imap-login: Aborted login \(auth failed.*rip=<HOST>,'
`))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mail.log")
	var b strings.Builder
	for i := range 5 {
		fmt.Fprintf(&b, "2026-10-05T08:00:%02d.000000+00:00 vm dovecot: imap-login: Aborted login (auth failed, 1 attempts): user=<x>, rip=203.0.113.9, lip=192.0.2.1\n", i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []detector.Decision
	if _, err := replay.Run(t.Context(), replay.Options{Files: []string{path}, Rules: []*detector.Rule{r}, Now: time.Now(),
		Detector: detector.Options{Guards: detector.DefaultGuards, Mask: detector.DefaultMask, Memory: 1 << 20}},
		func(d detector.Decision) { got = append(got, d) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Verb != detector.VerbBlock || got[0].Target.Addr().String() != "203.0.113.9" {
		t.Errorf("got %+v", got)
	}
}
