package format_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

// agrees checks one line: where Skim says yes, Read must say the same. skimmer and reader have both seen the lines before.
func agrees(t *testing.T, skimmer, reader *format.Reader, line []byte) (skimmed bool) {
	t.Helper()
	var g detector.Glance
	var e detector.Event
	_, first := skimmer.Skim(line, &g)
	verdict := reader.Read(line, &e)
	if first == format.Unparsed {
		skimmer.Read(line, &detector.Event{})
		return false
	}
	if verdict == format.Unparsed && line[0] == '{' && (!json.Valid(line) || bytes.Contains(line, []byte(`"clientIP"`))) {
		return true // broken, or of no dialect that there is, behind what a glance needs
	}
	if !e.Client.IsValid() && bytes.Count(line, []byte(`"remote_ip"`)) > 1 {
		g.Client = e.Client // a second address behind what a glance needs: Read believes neither
	}
	if first == format.Noise {
		if verdict != format.Noise {
			t.Errorf("%.300q: Read says %v, Skim noise", line, verdict)
		}
		return true
	}
	time := int64(0)
	if !e.Time.IsZero() {
		time = e.Time.UnixMilli()
	}
	want := detector.Glance{Time: time, Client: e.Client, Kind: e.Kind, Operation: e.Operation, Status: e.Status, Head: e.Method == "HEAD", Anonymous: g.Anonymous && e.User == "",
		Path: e.Path, Agent: e.UserAgent}
	if verdict != format.Parsed || g != want {
		t.Errorf("%.300q\nRead says  %v %+v\nSkim says %+v", line, verdict, want, g)
	}
	if skimmer.Dialect() != reader.Dialect() {
		t.Errorf("%.300q: Read says %q, Skim %q", line, reader.Dialect(), skimmer.Dialect())
	}
	return true
}

// skimmable are logs and the share of their lines that must be done at first sight.
var skimmable = map[string]float64{
	"real/nginx_gitlab_registry_access.log":    0.8,
	"real/nginx_combined_access.log":           0.8,
	"real/nginx_realip_access.log":             0,
	"incident/production_json.log":             0.9,
	"incident/auth.log":                        0,
	"real/gitlab-registry-json.log":            0.8,
	"real/svlogd-registry-text.current":        0,
	"real/registry-v2-json.stderr.log":         0,
	"real/registry-v2-json.stdout.log":         0,
	"real/gitlab-registry-omnibus-default.log": 0,
	"real/docker-json-file.registry-v2.log":    0,
	"real/sshd_auth.log.traditional.log":       0,
}

func TestSkimSaysWhatReadSays(t *testing.T) {
	for name, share := range skimmable {
		for _, options := range []format.Options{{Reference: reference}, {Reference: reference, Kind: detector.KindAccess, TrustForwarded: true}, {Name: "nginx"}, {Name: "gitlab-rails"}, {Name: "gitlab-registry"}} {
			skimmer, reader := reader(t, options), reader(t, options)
			all, skimmed := lines(t, name), 0
			for _, line := range all {
				if agrees(t, skimmer, reader, line) {
					skimmed++
				}
			}
			if got := float64(skimmed) / float64(len(all)); options.Name == "" && !options.TrustForwarded && got < share {
				t.Errorf("%s: %.2f of the lines are skimmed, want %.2f", name, got, share)
			}
		}
	}
}

// TestSkimSaysWhatReadSaysOfOddLines: the same of lines of which parts were exchanged, doubled, dropped or made odd.
func TestSkimSaysWhatReadSaysOfOddLines(t *testing.T) {
	var all [][]byte
	for name := range skimmable {
		kept := lines(t, name)
		all = append(all, kept[:min(len(kept), 60)]...)
	}
	odd := []string{`"`, `\`, `\"`, ` `, `[`, `]`, `{`, `}`, `,`, `%41`, `?a=b`, `"status":404,`, `"remote_ip":"192.0.2.99",`, `"remote_addr":"192.0.2.99:1",`, `{"remote_ip":"192.0.2.98"},`, `"route":"x",`, `"clientIP":"x",`,
		`"message":"x",`, `"msg":"access",`, `null`, `HEAD`, `POST`, `/users/sign_in`, `/v2/`, `/token`, `.git/info/refs`, `[21/Nov/2026:17:42:57 +0000] "`, ` HTTP/1.1" 200 2 "" "-"`, "\r", "\x00", "\xff", `::1`, `0.0.0.0`,
		`1.2.3.4:5`, `"ua":"x",`, `"controller":null,`, `"controller":"SessionsController","action":"create",`, `"time":"2026-10-05T08:00:01Z",`, ` - - `, `- "" "`, `"" "x"`}
	rnd := rand.New(rand.NewPCG(5, 6))
	skimmer, reader := reader(t, format.Options{Reference: reference}), reader(t, format.Options{Reference: reference})
	skimmed := 0
	for range 100_000 {
		line := bytes.Clone(all[rnd.IntN(len(all))])
		for range 1 + rnd.IntN(2) {
			i, j := rnd.IntN(len(line)+1), rnd.IntN(len(line)+1)
			i, j = min(i, j), max(i, j)
			switch rnd.IntN(4) {
			case 0:
				line = append(line[:i:i], append([]byte(odd[rnd.IntN(len(odd))]), line[i:]...)...)
			case 1:
				line = append(line[:i:i], line[min(j, i+20):]...)
			case 2:
				at := bytes.IndexAny(line[i:], `,"{[ `)
				if at >= 0 {
					line = append(line[:i+at:i+at], append([]byte(odd[rnd.IntN(len(odd))]), line[i+at:]...)...)
				}
			case 3:
				other := all[rnd.IntN(len(all))]
				line = append(line[:i:i], other[min(len(other), j):]...)
			}
			if len(line) == 0 {
				line = []byte("x")
			}
		}
		if bytes.ContainsRune(line, '\n') {
			continue
		}
		if agrees(t, skimmer, reader, line) {
			skimmed++
		}
		if t.Failed() {
			return
		}
	}
	if skimmed < 5_000 {
		t.Errorf("only %d lines were skimmed: nothing was tried", skimmed)
	}
}

// FuzzSkim is the same of any line.
func FuzzSkim(f *testing.F) {
	for name := range skimmable {
		for i, line := range lines(f, name) {
			if i%50 == 0 {
				f.Add(line)
			}
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		agrees(t, reader(t, format.Options{Reference: reference}), reader(t, format.Options{Reference: reference}), line)
	})
}

// TestEverNewKeysAreReadToo, though not remembered.
func TestEverNewKeysAreReadToo(t *testing.T) {
	r := reader(t, format.Options{})
	var g detector.Glance
	for i := range 20_000 {
		line := `{"method":"GET","k` + strings.Repeat("x", i%500) + `":1,"path":"/","format":"html","controller":"A","action":"b","status":200,"time":"2026-10-05T08:00:01.892Z","remote_ip":"192.0.2.1","ua":"u"}`
		if _, v := r.Skim([]byte(line), &g); v != format.Parsed || g.Status != 200 {
			t.Fatalf("line %d is not skimmed: %+v", i, g)
		}
	}
}

// TestSkimSaysWhatReadSaysOfOddRequests: without a path, without a method, or with one that looks like HEAD.
func TestSkimSaysWhatReadSaysOfOddRequests(t *testing.T) {
	for _, request := range []string{"HEAD  HTTP/1.1", "GET  HTTP/1.0", "HEAD   HTTP/2.0", " HTTP/1.1", "HEAD HTTP/1.1", "HEAD / HTTP/1.1", "HGET /v2/a/b/blobs/sha256:" + strings.Repeat("ab", 32) + " HTTP/1.1"} {
		line := []byte(`203.0.113.7 - - [05/Oct/2026:08:00:05 +0000] "` + request + `" 200 21371 "-" "docker/27.5.1" -`)
		agrees(t, reader(t, format.Options{Reference: reference}), reader(t, format.Options{Reference: reference}), line)
	}
}
