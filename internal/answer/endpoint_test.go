package answer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/answer"
)

func endpoint(t testing.TB, more ...func(*answer.EndpointOptions)) *answer.Endpoint {
	t.Helper()
	x, err := answer.NewText("", unblockURL)
	if err != nil {
		t.Fatal(err)
	}
	x.SetRules(words)
	o := answer.EndpointOptions{Name: "answer-endpoint", Text: x, Clock: func() time.Time { return noon }}
	for _, m := range more {
		m(&o)
	}
	e := answer.NewEndpoint(o)
	err = e.Sync(context.Background(), []detector.Block{block("203.0.113.7/32", missing()), block("203.0.113.8/32", missing(host)), block("2001:db8:0:1::/64", missing())})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// asked is one question of a front end: headers as "Name: value".
func asked(e http.Handler, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://x/", nil)
	r.RequestURI = target
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result()
}

const web, api = "/v2/acme/web/manifests/v9", "/v2/acme/api/manifests/v9"

func TestFrontEndsAreAnswered(t *testing.T) {
	e := endpoint(t)
	nginx := func(client, method, uri string) []string {
		return []string{"X-Real-IP: " + client, "X-Original-Method: " + method, "X-Original-URI: " + uri}
	}
	traefik := func(client, method, uri string) []string {
		return []string{"X-Forwarded-For: " + client, "X-Forwarded-Method: " + method, "X-Forwarded-Uri: " + uri}
	}
	for _, row := range []struct {
		method, target string
		headers        []string
		want           int
	}{
		{"GET", "/auth", nginx("203.0.113.7", "GET", web), 403},
		{"GET", "/auth", nginx("203.0.113.7", "GET", api), 204},
		{"GET", "/auth", nginx("203.0.113.7", "GET", "/v2/"), 204},
		{"GET", "/auth", nginx("203.0.113.8", "GET", "/v2/"), 403},
		{"GET", "/auth", nginx("203.0.113.9", "GET", web), 204},
		{"GET", "/auth", nginx("2001:db8:0:1:ffff::7", "GET", web), 403},
		{"GET", "/auth", nginx("2001:db8:0:2::7", "GET", web), 204},
		{"GET", "/auth", nginx("::ffff:203.0.113.7", "GET", web), 403},
		{"GET", "/answer", nginx("203.0.113.8", "GET", "/v2/"), 200},
		{"HEAD", "/answer", nginx("203.0.113.8", "HEAD", "/v2/x/blobs/sha256:aa"), 404},
		{"GET", "/answer", nginx("203.0.113.8", "GET", api), 403},
		{"GET", "/answer", nginx("203.0.113.9", "GET", api), 403},
		{"GET", "/forward", traefik("203.0.113.7", "GET", web), 403},
		{"GET", "/forward", traefik("203.0.113.7", "PUT", api), 200},
		{"GET", "/forward", traefik("203.0.113.8", "GET", "/v2/"), 200}, // the registry answers it: a 200 of ours would let it pass anyhow
		{"GET", "/forward", traefik("203.0.113.8", "GET", api), 403},
		{"GET", "/envoy" + web, []string{"X-Forwarded-For: 203.0.113.7"}, 403},
		{"POST", "/envoy/v2/acme/web/blobs/uploads/", []string{"X-Forwarded-For: 203.0.113.7"}, 403},
		{"GET", "/envoy" + api, []string{"X-Forwarded-For: 203.0.113.7"}, 200},
		{"GET", "/v2/", nginx("203.0.113.8", "GET", api), 404},
		// A front end's question is not answered by headers that another sort of front end sets: this one's client sent them.
		{"GET", "/auth", append(nginx("203.0.113.8", "GET", api), "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Uri: /", "Forwarded: for=203.0.113.9"), 403},
		{"GET", "/forward", append(traefik("203.0.113.7", "GET", web), "X-Real-IP: 203.0.113.9", "X-Original-URI: "+api), 403},
		// The last value is the front end's.
		{"GET", "/forward", traefik("203.0.113.9, 203.0.113.8", "GET", api), 403},
		{"GET", "/forward", append([]string{"X-Forwarded-For: 203.0.113.9"}, traefik("203.0.113.8", "GET", api)...), 403},
		{"GET", "/forward", append([]string{"X-Forwarded-Uri: " + api}, traefik("203.0.113.7", "GET", web)...), 403},
		{"GET", "/forward", traefik("203.0.113.8, 203.0.113.9", "GET", api), 200},
		// Who cannot be told passes.
		{"GET", "/auth", nil, 204},
		{"GET", "/forward", traefik("unknown", "GET", api), 200},
		{"GET", "/forward", traefik("203.0.113.8, x", "GET", api), 200},
		{"GET", "/forward", traefik("[2001:db8:0:1::7]:443", "GET", web), 403},
	} {
		if got := asked(e, row.method, row.target, row.headers...).StatusCode; got != row.want {
			t.Errorf("%s %s %v: want %d, got %d", row.method, row.target, row.headers, row.want, got)
		}
	}
	h := asked(e, "GET", "/auth", nginx("203.0.113.7", "HEAD", web)...).Header
	for name, want := range map[string]string{"X-Regwarden-Status": "403", "X-Regwarden-Block": "5f0c31a2b4d6", "X-Regwarden-Expires": "2026-10-05T12:10:00Z", "Retry-After": "600",
		"X-Regwarden-Message": "BLOCKED until 2026-10-05 12:10 UTC: 203.0.113.7 asked 45 times for acme/web:v9, which does not exist. Block 5f0c31a2b4d6, lift it at https://registry.example.org/unblock/5f0c31a2b4d6"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: want %q, got %q", name, want, got)
		}
	}
	said, _ := io.ReadAll(asked(e, "GET", "/forward", traefik("203.0.113.7", "HEAD", web)...).Body)
	if !strings.HasPrefix(string(said), `{"errors":[{"code":"DENIED","message":"BLOCKED until`) {
		t.Errorf("Traefik wants the whole body whatever the client's method was, got %q", said)
	}
}

func TestTrustedProxies(t *testing.T) {
	e := endpoint(t, func(o *answer.EndpointOptions) {
		o.ClientHeader = "X-Client"
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	for client, want := range map[string]int{
		"203.0.113.8, 192.0.2.7": 403, "203.0.113.8, 192.0.2.7, 192.0.2.8": 403, "203.0.113.8, 203.0.113.9, 192.0.2.7": 204, "192.0.2.7": 204,
		"203.0.113.8" + strings.Repeat(", 192.0.2.7", 100): 204,
	} {
		if got := asked(e, "GET", "/auth", "X-Client: "+client, "X-Real-IP: 203.0.113.8", "X-Original-Method: GET", "X-Original-URI: "+api).StatusCode; got != want {
			t.Errorf("%s: want %d, got %d", client, want, got)
		}
	}
}

func TestFailClosed(t *testing.T) {
	closed := func(o *answer.EndpointOptions) { o.FailClosed = true }
	e := endpoint(t, closed)
	for _, target := range []string{"/auth", "/forward", "/answer", "/envoy/v2/"} {
		r := asked(e, "GET", target)
		said, _ := io.ReadAll(r.Body)
		if r.StatusCode != 503 || !strings.Contains(string(said), `"message":"UNAVAILABLE: regwarden cannot tell who is blocked`) || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s without a client: %d %s", target, r.StatusCode, said)
		}
	}
	if got := asked(e, "GET", "/auth", "X-Real-IP: 203.0.113.9").StatusCode; got != 204 {
		t.Errorf("a known client: %d", got)
	}
	o := answer.EndpointOptions{Name: "x", FailClosed: true}
	if got := asked(answer.NewEndpoint(o), "GET", "/auth", "X-Real-IP: 203.0.113.9").StatusCode; got != 503 {
		t.Errorf("before the first blocks are known: %d", got)
	}
}

// serve runs the endpoint on a socket.
func serve(t *testing.T, more ...func(*answer.EndpointOptions)) (path string, e *answer.Endpoint) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "answer.sock")
	e = endpoint(t, append(more, func(o *answer.EndpointOptions) { o.Socket = path })...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = e.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
			return path, e
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
}

func TestTheSocketIsOfOurOwn(t *testing.T) {
	path, _ := serve(t)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("want mode 0660, got %v, %v", info.Mode(), err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := endpoint(t, func(o *answer.EndpointOptions) { o.Socket = file })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = e.Serve(ctx)
	if err := e.Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is there and no socket; remove it") {
		t.Errorf("the status must say why nobody is answered, got %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "mine" {
		t.Error("somebody's file was replaced")
	}
}

// TestWhatAFrontEndPassesOn: a megabyte of headers, nonsense, slow senders and idle connections, and questions are answered all the same.
func TestWhatAFrontEndPassesOn(t *testing.T) {
	path, _ := serve(t)
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	say := func(c net.Conn, text string) string {
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		go io.WriteString(c, text) // it may be answered before all of it is read
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.TrimSpace(line)
	}
	question := "GET /auth HTTP/1.1\r\nHost: x\r\nX-Real-IP: 203.0.113.7\r\nX-Original-Method: GET\r\nX-Original-URI: %s\r\n%s\r\n"
	for name, row := range map[string]struct{ text, want string }{
		"blocked":          {fmt.Sprintf(question, web, ""), "HTTP/1.1 403 Forbidden"},
		"other":            {fmt.Sprintf(question, api, ""), "HTTP/1.1 204 No Content"},
		"1 MB of headers":  {fmt.Sprintf(question, web, "X-A: "+strings.Repeat("a", 1<<20)+"\r\n"), "HTTP/1.1 431 Request Header Fields Too Large"},
		"a long path":      {fmt.Sprintf(question, "/v2/"+strings.Repeat("a/", 5000)+"manifests/v9", ""), "HTTP/1.1 204 No Content"},
		"no HTTP":          {"\x16\x03\x01\x02\x00\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		"an upload's head": {strings.Replace(fmt.Sprintf(question, web, "Content-Length: 104857600\r\n"), "GET /auth", "PUT /auth", 1), "HTTP/1.1 403 Forbidden"},
	} {
		c := dial()
		if got := say(c, row.text); got != row.want {
			t.Errorf("%s: want %s, got %s", name, row.want, got)
		}
		c.Close()
	}
	var idle []net.Conn
	for range 1000 {
		c := dial()
		idle = append(idle, c)
		_, _ = io.WriteString(c, "GET /auth HTTP/1.1\r\nX-Slow: ")
	}
	// All slots are taken: a front end is sent away at once, and lets its client in, instead of being held up.
	c := dial()
	if got := say(c, fmt.Sprintf(question, web, "")); got != "" && got != "HTTP/1.1 403 Forbidden" {
		t.Errorf("behind 1000 slow connections: %q", got)
	}
	c.Close()
	for _, c := range idle {
		c.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		c := dial()
		got := say(c, fmt.Sprintf(question, web, ""))
		c.Close()
		if got == "HTTP/1.1 403 Forbidden" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the slow ones have gone: %q", got)
		}
	}
}

// TestQuestionsWhileBlocksChange runs under the race detector: a client that stays blocked is refused at every moment.
func TestQuestionsWhileBlocksChange(t *testing.T) {
	e := endpoint(t)
	ctx, stop := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		always := []detector.Block{block("203.0.113.8/32", missing(host))}
		for i := 0; ctx.Err() == nil; i++ {
			b := block(fmt.Sprintf("198.51.%d.0/%d", i%100, 24+i%8), missing(host))
			_ = e.Apply(ctx, []detector.Change{{Verb: detector.ChangeBlock, Block: b}, {Verb: detector.ChangeExtend, Block: always[0]}})
			if i%3 == 0 {
				_ = e.Sync(ctx, append(always, b))
			}
			_ = e.Apply(ctx, []detector.Change{{Verb: detector.ChangeExpire, Block: detector.Block{Target: b.Target}}})
		}
	})
	for range 5000 {
		if got := asked(e, "GET", "/auth", "X-Real-IP: 203.0.113.8", "X-Original-URI: "+api).StatusCode; got != 403 {
			t.Fatalf("it passed: %d", got)
		}
	}
	stop()
	changing.Wait()
}

// FuzzEndpoint: whatever a client sends through a front end, a client whose host is blocked never passes but for Traefik's ping, no other is refused, and
// what is answered is in order.
func FuzzEndpoint(f *testing.F) {
	f.Add("GET", web, "203.0.113.9", "docker/27", oci)
	f.Add("HEAD", "/v2/acme/./web/blobs/sha256:aa?x=%zz", "203.0.113.9, x", "curl/8", "")
	f.Add("PUT", "//v2/%2e%2e/\x00", "[::1]:80", "git/2", html)
	f.Add("GET", "/jwt/auth?scope=repository:acme/web:pull&scope=x", "", "", "application/json")
	f.Fuzz(func(t *testing.T, method, uri, forged, agent, accept string) {
		e := endpoint(t)
		for _, client := range []string{"203.0.113.8", "203.0.113.77"} {
			for _, target := range []string{"/auth", "/forward", "/answer"} {
				r := asked(e, "GET", target, "X-Real-IP: "+forged, "X-Forwarded-For: "+forged, "X-Original-URI: "+forged, "X-Forwarded-Uri: "+forged,
					"X-Real-IP: "+client, "X-Forwarded-For: "+forged+", "+client, "X-Original-Method: "+method, "X-Forwarded-Method: "+method, "X-Original-URI: "+uri, "X-Forwarded-Uri: "+uri,
					"User-Agent: "+agent, "Accept: "+accept)
				said, _ := io.ReadAll(r.Body)
				refused := r.StatusCode == 403 || r.StatusCode == 404 || target == "/answer"
				ping := answer.ReadRequest(method, uri).Operation == detector.OpPing
				if blocked := client == "203.0.113.8"; blocked != refused && target != "/answer" && !(target == "/forward" && ping && blocked) {
					t.Errorf("%s for %s %q of %s: %d", target, method, uri, client, r.StatusCode)
				}
				if r.StatusCode == 401 || strings.Contains(string(said), "UNAUTHORIZED") || len(said) > 2000 {
					t.Errorf("%d %s", r.StatusCode, said)
				}
			}
		}
	})
}

// BenchmarkFind is the look-up alone, with 100,000 blocks.
func BenchmarkFind(b *testing.B) {
	x, _ := answer.NewText("", "")
	held := answer.NewHeld("x")
	var blocks []detector.Block
	for i := range 100_000 {
		blocks = append(blocks, detector.Block{Target: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)}), 32), Causes: []detector.Cause{missing(host)}})
	}
	if err := held.Sync(context.Background(), blocks); err != nil {
		b.Fatal(err)
	}
	client := netip.MustParseAddr("203.0.113.9")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			held.Find(x, client, answer.ReadRequest("GET", web), noon)
		}
	})
}
