package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/control/controltest"
)

var now = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// socketDir is short enough for a socket's 107 bytes, which t.TempDir is not for a test with a long name.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// running is a server on a socket.
type running struct {
	path string
	stop func() error // ends it and returns what Serve returned
}

// start serves and returns once the socket answers.
func start(t *testing.T, o control.ServerOptions) running {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(socketDir(t), "s.sock")
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	o.Ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- control.Serve(ctx, o) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("Serve: %v", err)
	case <-time.After(10 * time.Second):
		cancel()
		t.Fatal("the server is not ready after 10 s")
	}
	var over bool
	r := running{path: o.Path, stop: func() error {
		if over {
			return nil
		}
		over = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(15 * time.Second):
			t.Error("the server has not ended after 15 s")
			return nil
		}
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends one request over the socket, as curl would.
func send(t *testing.T, path, method, target, body string) answer {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(text)}
}

// wantProblem checks that the answer is a whole problem of that status whose detail and hint contain these.
func wantProblem(t *testing.T, a answer, status int, detail, hint string) {
	t.Helper()
	if a.status != status {
		t.Errorf("want status %d, got %d: %s", status, a.status, a.body)
	}
	if want, got := "application/problem+json", a.header.Get("Content-Type"); want != got {
		t.Errorf("want content type %q, got %q", want, got)
	}
	var p control.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("the body %q is no problem: %v", a.body, err)
	}
	if p.Status != status || p.Title == "" {
		t.Errorf("want a title and status %d in the problem, got %+v", status, p)
	}
	if !strings.Contains(p.Detail, detail) {
		t.Errorf("want detail with %q, got %q", detail, p.Detail)
	}
	if !strings.Contains(p.Hint, hint) {
		t.Errorf("want hint with %q, got %q", hint, p.Hint)
	}
	wantPleasant(t, a.body)
}

// wantPleasant checks what every body must be: ended by a newline, and without a character that moves the cursor.
func wantPleasant(t *testing.T, body string) {
	t.Helper()
	if !strings.HasSuffix(body, "\n") {
		t.Errorf("want a newline at the end of %q", body)
	}
	for _, r := range body {
		if r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u202e') {
			t.Errorf("want no raw %q in %q", r, body)
		}
	}
}

func cause(id, rule string, more func(*detector.Cause)) detector.Cause {
	c := detector.Cause{ID: id, Rule: rule, By: "rule", Reason: "asks too much", Since: now, Until: now.Add(time.Hour),
		First: now.Add(-time.Minute), Last: now, Count: 60, Window: 900}
	if more != nil {
		more(&c)
	}
	return c
}

func block(target string, causes ...detector.Cause) detector.Block {
	b := detector.Block{Target: netip.MustParsePrefix(target), Causes: causes}
	for _, c := range causes {
		b.Until = c.Until
	}
	return b
}

func backend() *controltest.Backend {
	return controltest.NewBackend(clock,
		block("203.0.113.7/32", cause("aaaaaaaaaaaa", "missing-manifest", func(c *detector.Cause) {
			c.Repositories, c.Projects = []string{"acme/web"}, []string{"acme/web"}
			c.Samples = []string{"GET /v2/\x1b[31m\u009b2J\u202e <b>&"}
		}), cause("bbbbbbbbbbbb", "push-flood", nil)),
		block("2001:db8:0:1::/64", cause("cccccccccccc", "missing-manifest", nil)))
}

func TestRoutesAnswer(t *testing.T) {
	fake := backend()
	fake.Entries = []control.HistoryEntry{{ID: 2, Time: now, Verb: "block", Target: netip.MustParsePrefix("203.0.113.7/32"),
		Cause: cause("aaaaaaaaaaaa", "missing-manifest", nil), By: "rule"}}
	s := start(t, control.ServerOptions{Backend: fake})
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     []string
	}{
		{"list of routes", "GET", "/v1", "", 200, []string{`"/v1/blocks/{target}"`, `"POST"`}},
		{"slash too many", "GET", "/v1//status/", "", 200, []string{`"blocks": 2`}},
		{"status", "GET", "/v1/status", "", 200, []string{`"blocks": 2`, `"rules": []`, `"sources": []`, `"actions": []`, `"rule_hits": {}`}},
		{"blocks", "GET", "/v1/blocks", "", 200, []string{"[\n  {\n    \"target\": \"203.0.113.7/32\"", `"2001:db8:0:1::/64"`, "\n]\n"}},
		{"blocks by client", "GET", "/v1/blocks?client=2001:db8:0:1::7", "", 200, []string{`"2001:db8:0:1::/64"`}},
		{"blocks by nobody's rule", "GET", "/v1/blocks?rule=none", "", 200, []string{"[]\n"}},
		{"address", "GET", "/v1/blocks/203.0.113.7", "", 200, []string{`"aaaaaaaaaaaa"`, `"bbbbbbbbbbbb"`, `\u001b[31m\u009b2J\u202e <b>&`}},
		{"address as IPv6", "GET", "/v1/blocks/::ffff:203.0.113.7", "", 200, []string{`"aaaaaaaaaaaa"`}},
		{"prefix", "GET", "/v1/blocks/203.0.113.0/24", "", 200, []string{`"aaaaaaaaaaaa"`}},
		{"prefix escaped", "GET", "/v1/blocks/203.0.113.0%2F24", "", 200, []string{`"aaaaaaaaaaaa"`}},
		{"address in a blocked prefix", "GET", "/v1/blocks/2001:db8:0:1::99", "", 200, []string{`"cccccccccccc"`}},
		{"id", "GET", "/v1/blocks/cccccccccccc", "", 200, []string{`"2001:db8:0:1::/64"`}},
		{"history", "GET", "/v1/history?since=2026-10-05T09:59:00+02:00&limit=5", "", 200, []string{`"id": 2`}},
		{"history of nothing", "GET", "/v1/history?until=2020-01-01T00:00:00Z", "", 200, []string{"[]\n"}},
		{"allow list, empty", "GET", "/v1/allow", "", 200, []string{"[]\n"}},
		{"block", "POST", "/v1/blocks", `{"target":"198.51.100.9","for":"1h","reason":"noise"}`, 200, []string{`"verb": "block"`, `"198.51.100.9/32"`, `"noise"`}},
		{"unblock one rule", "DELETE", "/v1/blocks/203.0.113.7?rule=push-flood&reason=mended", "", 200, []string{`"verb": "shorten"`, `"mended"`}},
		{"unblock", "POST", "/v1/unblock", `{"target":"203.0.113.7"}`, 200, []string{`"verb": "unblock"`, `"causes": []`}},
		{"unblock prefix", "DELETE", "/v1/blocks/2001:db8:0:1::/64", "", 200, []string{`"verb": "unblock"`}},
		{"allow", "POST", "/v1/allow", `{"target":"198.51.100.0/24","comment":"ci"}`, 200, []string{`"verb": "unblock"`}},
		{"allow list", "GET", "/v1/allow", "", 200, []string{`"target": "198.51.100.0/24"`, `"comment": "ci"`}},
		{"disallow", "DELETE", "/v1/allow/198.51.100.0/24", "", 204, nil},
		{"unblock all of none", "POST", "/v1/unblock", `{"all":true}`, 200, []string{`"changes": []`}},
		{"blocks, none", "GET", "/v1/blocks", "", 200, []string{"[]\n"}},
		{"reload", "POST", "/v1/reload", "", 200, []string{`"changed": []`}},
		{"reload with an empty object", "POST", "/v1/reload", "{}\n", 200, []string{`"changed": []`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := send(t, s.path, c.method, c.path, c.body)
			if a.status != c.status {
				t.Fatalf("want status %d, got %d: %s", c.status, a.status, a.body)
			}
			if c.status == http.StatusNoContent {
				if a.body != "" {
					t.Errorf("want no body, got %q", a.body)
				}
				return
			}
			if !json.Valid([]byte(a.body)) || strings.Contains(a.body, "null") {
				t.Errorf("want JSON without null, got %s", a.body)
			}
			if want, got := "application/json", a.header.Get("Content-Type"); want != got {
				t.Errorf("want content type %q, got %q", want, got)
			}
			for _, want := range c.want {
				if !strings.Contains(a.body, want) {
					t.Errorf("want %s in %s", want, a.body)
				}
			}
			wantPleasant(t, a.body)
		})
	}
}

func TestRequestsThatMakeNoSenseAreProblems(t *testing.T) {
	s := start(t, control.ServerOptions{Backend: backend()})
	long := strings.Repeat("a", 2000)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		detail, hint             string
	}{
		{"no such route", "GET", "/v2/status", "", 404, "there is no route /v2/status", "/v1/unblock"},
		{"root", "GET", "/", "", 404, "there is no route /", "/v1/status"},
		{"below a route", "GET", "/v1/status/x", "", 404, "no route", "/v1/status"},
		{"not blocked", "GET", "/v1/blocks/192.0.2.1", "", 404, "192.0.2.1 is not blocked", "GET /v1/blocks"},
		{"unknown id", "GET", "/v1/blocks/abc", "", 404, "\"abc\" is neither an address nor the ID of a block", ""},
		{"host name", "GET", "/v1/blocks/example.org", "", 400, `"example.org" is neither an address, a prefix nor the ID`, "192.0.2.7"},
		{"control characters", "GET", "/v1/blocks/%1b%5b31m", "", 400, `"\x1b[31m" is neither`, ""},
		{"zone", "GET", "/v1/blocks/fe80::1%25eth0", "", 400, "is an address of one interface", ""},
		{"address within a network", "POST", "/v1/blocks", `{"target":"192.0.2.7/24","for":"1h","reason":"x"}`, 400,
			"write 192.0.2.7 for the address or 192.0.2.0/24 for all of the network", ""},
		{"long nonsense", "GET", "/v1/blocks/" + long, "", 400, "aaa…", ""},
		{"unblock who is free", "DELETE", "/v1/blocks/192.0.2.1", "", 404, "192.0.2.1 is not blocked", ""},
		{"unblock by another rule", "DELETE", "/v1/blocks/203.0.113.7?rule=x", "", 404, `203.0.113.7 is not blocked by the rule "x"`, ""},
		{"unknown filter", "GET", "/v1/blocks?clint=192.0.2.1", "", 400, `no query parameter "clint"`, "client, repository, project, rule"},
		{"filter on status", "GET", "/v1/status?x=1", "", 400, `no query parameter "x"`, "none"},
		{"filter twice", "GET", "/v1/blocks?rule=a&rule=b", "", 400, `"rule" comes 2 times`, ""},
		{"bad client", "GET", "/v1/blocks?client=300.1.1.1", "", 400, `"300.1.1.1" is neither`, "192.0.2.7"},
		{"bad since", "GET", "/v1/history?since=yesterday", "", 400, `"since"`, "2026-"},
		{"bad limit", "GET", "/v1/history?limit=1001", "", 400, "1 to 1000", ""},
		{"bad page", "GET", "/v1/history?before_id=-4", "", 400, `"before_id"`, ""},
		{"empty body", "POST", "/v1/blocks", "", 400, "the body is empty", "target, for, reason"},
		{"no JSON", "POST", "/v1/blocks", "target=192.0.2.1", 400, "no JSON", ""},
		{"half JSON", "POST", "/v1/blocks", `{"target":`, 400, "ends in the middle", ""},
		{"a list", "POST", "/v1/blocks", `[]`, 400, "a JSON array, an object is needed", ""},
		{"null", "POST", "/v1/blocks", `null`, 400, "target is missing", ""},
		{"two objects", "POST", "/v1/blocks", `{"target":"192.0.2.1","for":"1h"}{}`, 400, "goes on after", ""},
		{"unknown field", "POST", "/v1/blocks", `{"target":"192.0.2.1","until":"x"}`, 400, `unknown field "until"`, "target, for, reason"},
		{"wrong type", "POST", "/v1/unblock", `{"all":"yes"}`, 400, `field "all" is a JSON string, a boolean is needed`, ""},
		{"wrong type of text", "POST", "/v1/blocks", `{"target":7}`, 400, `field "target" is a JSON number, a string is needed`, ""},
		{"no target", "POST", "/v1/blocks", `{"for":"1h"}`, 400, "target is missing", "192.0.2.7"},
		{"no time", "POST", "/v1/blocks", `{"target":"192.0.2.1"}`, 400, "for is missing", "1h30m"},
		{"target is no address", "POST", "/v1/blocks", `{"target":"example.org","for":"1h"}`, 400, "neither an address nor a prefix", ""},
		{"long reason", "POST", "/v1/blocks", `{"target":"192.0.2.1","for":"1h","reason":"` + long + `"}`, 400, "reason is longer than 1000 bytes", ""},
		{"large body", "POST", "/v1/blocks", `{"reason":"` + strings.Repeat("a", 64<<10) + `"}`, 413, "larger than 65536 bytes", ""},
		{"large body of spaces", "POST", "/v1/reload", strings.Repeat(" ", 65<<10), 413, "larger than 65536 bytes", ""},
		{"reload with a field", "POST", "/v1/reload", `{"rules":1}`, 400, `unknown field "rules"`, "send none"},
		{"unblock nobody", "POST", "/v1/unblock", `{}`, 400, "target is missing", "all"},
		{"unblock one and all", "POST", "/v1/unblock", `{"all":true,"target":"192.0.2.1"}`, 400, "exclude each other", ""},
		{"allow with the daemon's fields", "POST", "/v1/allow", `{"target":"192.0.2.1","by":"me"}`, 400, "the daemon's to fill in", "for"},
		{"allow with a bad time", "POST", "/v1/allow", `{"target":"192.0.2.1","since":"x"}`, 400, "cannot be read", ""},
		{"allow nobody", "POST", "/v1/allow", `{}`, 400, "target is missing", ""},
		{"disallow nonsense", "DELETE", "/v1/allow/abc", "", 400, "neither an address nor a prefix", ""},
		{"disallow who is not on the list", "DELETE", "/v1/allow/192.0.2.1", "", 404, "not on the allow list", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantProblem(t, send(t, s.path, c.method, c.path, c.body), c.status, c.detail, c.hint)
		})
	}
}

func TestWrongMethodSaysWhichAreRight(t *testing.T) {
	s := start(t, control.ServerOptions{Backend: backend()})
	for path, allow := range map[string]string{
		"/v1":                     "GET, HEAD",
		"/v1/status":              "GET, HEAD",
		"/v1/blocks":              "GET, HEAD, POST",
		"/v1/blocks/203.0.113.7":  "DELETE, GET, HEAD",
		"/v1/unblock":             "POST",
		"/v1/history":             "GET, HEAD",
		"/v1/allow":               "GET, HEAD, POST",
		"/v1/allow/203.0.113.7":   "DELETE",
		"/v1/reload":              "POST",
		"/v1/allow/192.0.2.0/24/": "DELETE",
	} {
		a := send(t, s.path, "PATCH", path, "")
		wantProblem(t, a, http.StatusMethodNotAllowed, "does not take PATCH", allow)
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: want Allow %q, got %q", path, allow, got)
		}
	}
	if a := send(t, s.path, "HEAD", "/v1/status", ""); a.status != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: want 200 without a body, got %+v", a)
	}
}

func TestBackendErrorsAreAnswered(t *testing.T) {
	fake := backend()
	fake.Errors = map[string]error{
		"Status":    io.ErrClosedPipe,
		"Blocks":    &control.Problem{Title: "Wait", Status: 503, Detail: "the ledger is being read", Hint: "ask again"},
		"History":   &control.Problem{},
		"Reload":    &control.Problem{Title: "Invalid configuration", Status: 422, Detail: "a.toml: x\nb.toml: y"},
		"AllowList": io.ErrClosedPipe,
	}
	var log bytes.Buffer
	s := start(t, control.ServerOptions{Backend: fake, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	wantProblem(t, send(t, s.path, "GET", "/v1/status", ""), 500, "closed pipe", "")
	wantProblem(t, send(t, s.path, "GET", "/v1/blocks", ""), 503, "the ledger is being read", "ask again")
	wantProblem(t, send(t, s.path, "GET", "/v1/blocks/192.0.2.1", ""), 503, "the ledger is being read", "ask again")
	wantProblem(t, send(t, s.path, "GET", "/v1/history", ""), 500, "", "")
	wantProblem(t, send(t, s.path, "GET", "/v1/allow", ""), 500, "closed pipe", "")
	wantProblem(t, send(t, s.path, "POST", "/v1/reload", ""), 422, "a.toml: x\nb.toml: y", "")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if want, got := 3, strings.Count(log.String(), "control request failed"); want != got {
		t.Errorf("want %d faults in the log, got %d:\n%s", want, got, &log)
	}
}

func TestChangesNameThePeer(t *testing.T) {
	fake := backend()
	s := start(t, control.ServerOptions{Backend: fake})
	send(t, s.path, "POST", "/v1/reload", "")
	peers := fake.Peers()
	if len(peers) != 1 {
		t.Fatalf("want one peer, got %v", peers)
	}
	p := peers[0]
	if int(p.UID) != os.Geteuid() || int(p.GID) != os.Getegid() || int(p.PID) != os.Getpid() || !p.MayChange {
		t.Errorf("want this process, allowed to change, got %+v", p)
	}
}
