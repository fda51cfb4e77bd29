// Package packaging_test holds the front ends' configurations as they are shipped against the real servers.
package packaging_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/answer"
)

// host is what the tests know of the machine: blocks as the daemon makes them, and a registry that lets everybody in and counts what it reads.
type host struct {
	dir      string
	text     *answer.Text
	files    *actions.AnswerFiles
	endpoint *answer.Endpoint
	registry *httptest.Server
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{dir: t.TempDir()}
	for d := h.dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil { // nginx's workers are somebody else
			t.Fatal(err)
		}
	}
	var err error
	if h.text, err = answer.NewText("", "https://registry.example.org/unblock/{id}"); err != nil {
		t.Fatal(err)
	}
	h.text.SetRules(map[string]answer.Rule{"missing-manifest": {Words: "asked {count} times for {what}, which does not exist", Limit: 5}})
	if h.files, err = actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: filepath.Join(h.dir, "answers"), Answers: h.say}); err != nil {
		t.Fatal(err)
	}
	h.registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "registry")
	}))
	t.Cleanup(h.registry.Close)
	return h
}

func (h *host) say(b detector.Block, repository string, now time.Time) (actions.Answer, bool) {
	n, concerned := h.text.Concerning(&b, repository, false, now)
	if !concerned {
		return actions.Answer{}, false
	}
	message, body := h.text.JSON(n)
	return actions.Answer{Body: body, Message: message, Until: n.Cause.Until}, true
}

// serve runs the answer endpoint until the returned function is called.
func (h *host) serve(t *testing.T, failClosed bool, trusted ...netip.Prefix) (stop func()) {
	t.Helper()
	h.endpoint = answer.NewEndpoint(answer.EndpointOptions{Name: "answer-endpoint", Text: h.text, Socket: filepath.Join(h.dir, "answer.sock"), FailClosed: failClosed, TrustedProxies: trusted})
	if err := h.endpoint.Held.Sync(t.Context(), blocks()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.endpoint.Serve(ctx) }()
	eventually(t, "the endpoint answers", func() bool {
		c, err := net.Dial("unix", filepath.Join(h.dir, "answer.sock"))
		if err == nil {
			c.Close()
		}
		return err == nil && os.Chmod(filepath.Join(h.dir, "answer.sock"), 0o666) == nil
	})
	return func() { cancel(); <-ended }
}

var began = time.Now()

func block(target, id string, repositories ...string) detector.Block {
	c := detector.Cause{ID: id, Rule: "missing-manifest", By: "rule", Scope: detector.ScopeHost, Strike: 1, Count: 45, First: began.Add(-9 * time.Minute), Last: began, Since: began, Until: began.Add(time.Hour),
		Repositories: repositories, References: []string{"v9"}}
	if strings.HasPrefix(id, "narrow") {
		c.Scope = detector.ScopeRepository
	}
	return detector.Block{Target: netip.MustParsePrefix(target), Until: c.Until, Causes: []detector.Cause{c}}
}

func blocks() []detector.Block {
	return []detector.Block{
		block("203.0.113.7/32", "narrow4", "acme/web"), block("203.0.113.8/32", "host4", "acme/web"), block("198.51.100.0/24", "net4"),
		block("2001:db8::/64", "narrow6", "acme/web"), block("2001:db8:0:1::/64", "host6", "acme/web"),
	}
}

// request is a row of the table that holds for every front end; narrow rows need one that knows repository blocks.
type request struct {
	client, method, path string
	want                 int
	narrow, own          bool // own: a 200 that the front end gives itself
}

const web, api = "/v2/acme/web/manifests/v9", "/v2/acme/api/manifests/v1"

var table = []request{
	{"203.0.113.7", "GET", web, 403, true, false}, {"203.0.113.7", "HEAD", web, 403, true, false}, {"203.0.113.7", "GET", "/v2/acme/web/blobs/sha256:aa", 403, true, false},
	{"203.0.113.7", "HEAD", "/v2/acme/web/blobs/sha256:aa", 404, true, false}, {"203.0.113.7", "POST", "/v2/acme/web/blobs/uploads/", 403, true, false},
	{"203.0.113.7", "GET", "/v2/acme%2fweb/manifests/v9", 403, true, false}, {"203.0.113.7", "GET", "/v2/acme/%77eb/manifests/v9", 403, true, false},
	{"203.0.113.7", "GET", web + "?ns=registry.example.org", 403, true, false},
	{"203.0.113.7", "GET", "/v2//acme//web//manifests/v9", 403, true, false}, {"203.0.113.7", "GET", "/v2/./acme/web/manifests/v9", 403, true, false},
	{"203.0.113.7", "GET", "/v2/acme/%2e/web/manifests/v9", 403, true, false}, {"203.0.113.7", "GET", "/v2/acme/web/%2e/./%2E/manifests/v9", 403, true, false},
	{"203.0.113.7", "GET", "/v2/acme/x/../web/manifests/v9", 403, true, false}, {"203.0.113.7", "GET", "/v2/x/y/%2e%2e/../acme/web/manifests/v9", 403, true, false},
	{"203.0.113.7", "GET", "http://registry.example.org//v2/acme/web/manifests/v9", 403, true, false}, {"203.0.113.7", "GET", "http://registry.example.org/v2/./acme/./api/manifests/v9", 200, false, false},
	{"203.0.113.7", "GET", "/v2/acme%2f%2fweb/manifests/v9", 403, true, false}, {"203.0.113.7", "HEAD", "/v2//acme/./web/blobs/sha256:aa", 404, true, false},
	{"203.0.113.7", "GET", api, 200, false, false}, {"203.0.113.7", "GET", "/v2/", 200, false, false}, {"203.0.113.7", "GET", "/v2/acme/webs/manifests/v9", 200, false, false},
	{"203.0.113.7", "GET", "/v2/acme/manifests/web", 200, false, false},
	{"203.0.113.8", "GET", web, 403, false, false}, {"203.0.113.8", "GET", api, 403, false, false}, {"203.0.113.8", "GET", "/v2/_catalog", 403, false, false},
	{"203.0.113.8", "GET", "/v2/", 200, false, true}, {"203.0.113.8", "HEAD", "/v2/", 200, false, true}, {"203.0.113.8", "POST", "/v2/", 403, false, false},
	{"203.0.113.8", "HEAD", "/v2/x/blobs/sha256:aa", 404, false, false}, {"203.0.113.8", "PUT", "/v2/x/blobs/uploads/1?digest=x", 403, false, false}, {"203.0.113.8", "DELETE", "/v2/x/manifests/v1", 403, false, false},
	{"203.0.113.9", "GET", web, 200, false, false}, {"203.0.113.78", "GET", web, 200, false, false}, {"198.51.100.77", "GET", api, 403, false, false}, {"198.51.101.1", "GET", api, 200, false, false},
	{"2001:db8::7", "GET", web, 403, true, false}, {"2001:db8:0:0:ffff:1:2:3", "GET", web, 403, true, false}, {"2001:db8::7", "GET", api, 200, false, false},
	{"2001:db8:0:1::7", "GET", api, 403, false, false}, {"2001:db8:0:1:2:3:4:5", "GET", api, 403, false, false}, {"2001:db8:0:2::7", "GET", web, 200, false, false},
}

// front is a front end under test.
type front struct {
	t      *testing.T
	port   int
	narrow bool
	// asks says that it asks the daemon, whose 200 lets a request pass: a blocked client's ping is then the registry's to answer.
	asks bool
}

// get asks from 127.0.0.1, which the front end is told to believe, or from another address.
func (f *front) get(from, client, method, path string, body io.Reader, more ...string) (int, string, http.Header) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d/", f.port), body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.URL.Opaque, r.Host = path, "registry.example.org"
	if client != "" {
		r.Header.Set("X-Forwarded-For", client)
	}
	for _, h := range more {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	transport := &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(said), response.Header
}

// decides asks every row.
func (f *front) decides() {
	f.t.Helper()
	for _, r := range table {
		want := r.want
		if r.narrow && !f.narrow {
			want = 200
		}
		if f.asks && r.path == "/v2/" {
			want = 200 // the registry's
		}
		status, said, head := f.get("127.0.0.1", r.client, r.method, r.path, nil)
		if status != want {
			f.t.Errorf("%s %s %s: want %d, got %d %s", r.client, r.method, r.path, want, status, said)
			continue
		}
		if status == 403 && r.method != "HEAD" && !strings.HasPrefix(said, `{"errors":[{"code":"DENIED","message":"BLOCKED until `) {
			f.t.Errorf("%s %s %s reads %s", r.client, r.method, r.path, said)
		}
		if status == 403 && (head.Get("Cache-Control") != "no-store" || head.Get("Docker-Distribution-Api-Version") != "registry/2.0" || !strings.HasPrefix(head.Get("Content-Type"), "application/json")) {
			f.t.Errorf("%s %s %s: headers %v", r.client, r.method, r.path, head)
		}
		if own := strings.TrimSpace(said) == "{}"; status == 200 && r.method == "GET" && own != (r.own && !f.asks) {
			f.t.Errorf("%s %s %s reads %s", r.client, r.method, r.path, said)
		}
	}
	if status, said, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); strings.Contains(said, "acme") || !strings.Contains(said, "for an image, which does not exist. Block host4, lift it at https://registry.example.org/unblock/host4") {
		f.t.Errorf("another project's name is told, or not what should be: %d %s", status, said)
	}
	if _, said, _ := f.get("127.0.0.1", "203.0.113.7", "GET", web, nil); f.narrow && !strings.Contains(said, "203.0.113.7 asked 45 times for acme/web:v9, which does not exist.") {
		f.t.Errorf("who asks for the repository reads %s", said)
	}
}

// believesNobodyElse: a client that is not the load balancer cannot choose its address, nor can it with any other header.
func (f *front) believesNobodyElse() {
	f.t.Helper()
	for _, h := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "X-Original-URI", "X-Original-Method", "X-Forwarded-Uri", "X-Forwarded-Method"} {
		value := "203.0.113.8"
		switch h {
		case "Forwarded":
			value = "for=203.0.113.8"
		case "X-Original-URI", "X-Forwarded-Uri":
			value = "/"
		case "X-Original-Method", "X-Forwarded-Method":
			value = "OPTIONS"
		}
		if status, said, _ := f.get("127.0.0.2", "", "GET", api, nil, h+": "+value); status != 200 {
			f.t.Errorf("%s: %s from a stranger makes him another: %d %s", h, value, status, said)
		}
		if status, _, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil, "X-"+h+": "+value); status != 403 {
			f.t.Errorf("X-%s lets a blocked client in", h)
		}
		if h != "X-Forwarded-For" {
			if status, _, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil, h+": 203.0.113.9"); status != 403 {
				f.t.Errorf("%s lets a blocked client in", h)
			}
		}
	}
	// What the client wrote before the load balancer added its address.
	if status, _, _ := f.get("127.0.0.1", "203.0.113.9, 203.0.113.8", "GET", api, nil); status != 403 {
		f.t.Errorf("a forged first hop lets a blocked client in: %d", status)
	}
	if status, _, _ := f.get("127.0.0.1", "203.0.113.8, 203.0.113.9", "GET", api, nil); status != 200 {
		f.t.Errorf("a forged first hop shuts an innocent client out: %d", status)
	}
}

// refusesUploads with the answer while nothing of 100 MB was read, but what the kernel takes.
func (f *front) refusesUploads() {
	f.t.Helper()
	const size = 100 << 20
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	// The head alone: the answer must come before any of the body is sent.
	fmt.Fprintf(c, "PUT /v2/x/blobs/uploads/1?digest=sha256:aa HTTP/1.1\r\nHost: registry.example.org\r\nX-Forwarded-For: 203.0.113.8\r\nContent-Length: %d\r\n\r\n", size)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		f.t.Fatalf("an upload of which nothing was sent yet: %v", err)
	}
	said, _ := io.ReadAll(response.Body)
	if response.StatusCode != 403 || !strings.Contains(string(said), "BLOCKED until") {
		f.t.Errorf("an upload: %d %s", response.StatusCode, said)
	}
}

// withstands odd requests: whatever it answers, a blocked client does not reach the registry and the server goes on.
func (f *front) withstands() {
	f.t.Helper()
	for name, text := range map[string]string{
		"a header of 1 MB":       "GET /v2/acme/web/manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"an address of 1 MB":     "GET /v2/acme/web/manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: " + strings.Repeat("203.0.113.9, ", 80_000) + "203.0.113.8\r\n\r\n",
		"a path of 1 MB":         "GET /v2/" + strings.Repeat("a/", 500_000) + "manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"a climbing path":        "GET /v2/../../203.0.113.9/DENIED HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"the answer's own place": "GET /.regwarden/denied HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"the question's place":   "GET /.regwarden/auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"an encoded zero":        "GET /v2/acme/web%00/manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"a raw byte":             "GET /v2/acme/web\x01\xff/manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"a long name":            "GET /v2/" + strings.Repeat("a/", 2000) + "manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
		"a name of its own kind": "GET /v2/acme/web.DENIED/manifests/v9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n",
	} {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
		if err != nil {
			f.t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		sent := make(chan struct{})
		go func() { defer close(sent); _, _ = io.WriteString(c, text) }()
		said, _ := io.ReadAll(io.LimitReader(c, 64<<10))
		c.Close()
		<-sent
		if bytes.Contains(said, []byte("\r\n\r\nregistry")) || bytes.HasPrefix(said, []byte("HTTP/1.1 200")) {
			f.t.Errorf("%s lets a blocked client in: %.200s", name, said)
		}
	}
	if status, _, _ := f.get("127.0.0.1", "203.0.113.9", "GET", web, nil); status != 200 {
		f.t.Errorf("afterwards an innocent client gets %d", status)
	}
}

// holdsIdle opens 1,000 connections that send a part of a request and go silent: others are served, and memory stays where it was.
func (f *front) holdsIdle(pid int) {
	f.t.Helper()
	before := memory(f.t, pid)
	for i := range 1000 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
		if err != nil {
			f.t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.%d\r\n", web, i%10)
	}
	for client, want := range map[string]int{"203.0.113.9": 200, "203.0.113.8": 403} {
		if status, _, _ := f.get("127.0.0.1", client, "GET", api, nil); status != want {
			f.t.Errorf("beside 1,000 slow clients %s gets %d, want %d", client, status, want)
		}
	}
	if after := memory(f.t, pid); after-before > 64<<20 {
		f.t.Errorf("1,000 slow clients take %d MiB", (after-before)>>20)
	}
}

// memory is what a process and its children hold.
func memory(t *testing.T, pid int) (sum int) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, name := range all {
		text, _ := os.ReadFile(name)
		var own, parent, kib int
		for line := range strings.Lines(string(text)) {
			_, _ = fmt.Sscanf(line, "Pid: %d", &own)
			_, _ = fmt.Sscanf(line, "PPid: %d", &parent)
			_, _ = fmt.Sscanf(line, "VmRSS: %d kB", &kib)
		}
		if own == pid || parent == pid {
			sum += kib << 10
		}
	}
	if sum == 0 {
		t.Fatalf("process %d is not there", pid)
	}
	return sum
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(20 * time.Millisecond) // another process works on it
	}
}

// program finds a server that Debian has, also where lab/install has unpacked it.
func program(t *testing.T, name, debian string) string {
	t.Helper()
	unpacked, _ := filepath.Abs("../lab/out/root/usr/bin/" + name)
	for _, path := range []string{name, "/usr/sbin/" + name, unpacked} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("SKIPPED: %s is not installed; install %s, or run: sudo make test", name, debian)
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs a server in the foreground until the test ends.
func start(t *testing.T, port int, command ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", command[0], log.String()[max(0, log.Len()-3000):])
		}
	})
	eventually(t, command[0]+" answers", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return cmd
}

// shipped is a file of this directory, with its paths moved to the test's; each of them must be there.
func shipped(t *testing.T, name string, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			t.Fatalf("%s: %q is not in it any more; correct the test", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
