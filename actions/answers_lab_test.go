package actions_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

// says makes answers as the daemon does.
func says(t testing.TB) actions.Answers {
	t.Helper()
	text, err := answer.NewText("", "https://registry.example.org/unblock/{id}")
	if err != nil {
		t.Fatal(err)
	}
	text.SetRules(map[string]answer.Rule{"missing-manifest": {Words: "asked {count} times for {what}, which does not exist", Limit: 5}})
	return func(b detector.Block, repository string, now time.Time) (actions.Answer, bool) {
		n, concerned := text.Concerning(&b, repository, false, now)
		message, body := text.JSON(n)
		return actions.Answer{Body: body, Message: message, Until: n.Cause.Until}, concerned
	}
}

// asked is a cause as the detector makes it.
func asked(repositories ...string) func(*detector.Cause) {
	return func(c *detector.Cause) { c.Count, c.Repositories, c.References = 45, repositories, []string{"v9"} }
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

// background starts a server in the foreground of its own process, which ends with the test.
func background(t *testing.T, ready func() bool, command ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s said:\n%s", command[0], text)
		}
	})
	eventually(t, command[0]+" answers", ready)
	return cmd
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(20 * time.Millisecond) // another process works on it
	}
}

// front is a front end before a registry that lets everybody in.
type front struct {
	t    *testing.T
	port int
}

// get asks as a client; the front ends of these tests believe X-Test-Client.
func (f *front) get(client, method, path string, body io.Reader) (status int, text string, header http.Header) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", f.port, path), body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("X-Test-Client", client)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(said), response.Header
}

func (f *front) status(client, method, path string) int {
	f.t.Helper()
	status, _, _ := f.get(client, method, path, nil)
	return status
}

func (f *front) up() bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", f.port), time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// nginxConf is a whole configuration: what stands in http, and in the server before its location.
func nginxConf(dir string, port, registry int, inHTTP, inServer string) string {
	return fmt.Sprintf(`pid %[1]s/pid; error_log stderr; daemon off; worker_processes 1; events {}
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	set_real_ip_from 127.0.0.1; real_ip_header X-Test-Client; client_max_body_size 0;
	server { listen 127.0.0.1:%[3]d; location / { default_type text/plain; return 200 "registry"; } }
	%[4]s
	server {
		listen 127.0.0.1:%[2]d;
		%[5]s
		location / { proxy_pass http://127.0.0.1:%[3]d; }
	}
}
`, dir, port, registry, inHTTP, inServer)
}

// startNginx runs nginx with that configuration.
func startNginx(t *testing.T, inHTTP, inServer string) (f *front, dir, conf string) {
	t.Helper()
	nginx := tool(t, "nginx")
	dir = t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	f = &front{t, freePort(t)}
	conf = filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf(dir, f.port, freePort(t), inHTTP, inServer)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", nginx, "-t", "-q", "-p", dir, "-c", conf)
	background(t, f.up, nginx, "-p", dir, "-c", conf)
	return f, dir, conf
}

// shippedForNginx is a file of packaging/nginx.
func shippedForNginx(t *testing.T, name string) string {
	return read(t, filepath.Join("..", "packaging", "nginx", name))
}

// answerFiles returns the action over a directory that nginx may read.
func answerFiles(t testing.TB, clock func() time.Time) (*actions.AnswerFiles, string) {
	t.Helper()
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "answers")
	a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: dir, Answers: says(t), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// TestNginxServesTheAnswerFiles: a block is there with the next request and gone with the next after it is lifted, without a reload.
func TestNginxServesTheAnswerFiles(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	if err := a.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f, _, _ := startNginx(t, shippedForNginx(t, "client.conf")+shippedForNginx(t, "answer-files-http.conf"), strings.ReplaceAll(shippedForNginx(t, "answer-files-server.conf"), "/run/regwarden/answers", dir))
	host := func(id string) detector.Cause { return cause(id, asked("acme/web")) }
	blocks := []detector.Block{
		block("203.0.113.7/32", cause("narrow4", narrow, asked("acme/web"))),
		block("203.0.113.8/32", host("host4")),
		block("198.51.100.0/24", cause("net4")),
		block("192.0.2.64/26", cause("part4")),
		block("2001:db8::/64", cause("narrow6", narrow, asked("acme/web"))),
		block("2001:db8:0:1::/64", host("host6")),
		block("2001:db8:1::/48", cause("tooWide6")),
		block("2001:db8:2::/60", cause("wide6")),
		block("2001:0:0:7::/64", cause("zeros6")),
		block("2001:db8:0:5::9/128", cause("one6")),
	}
	if err := a.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	const manifest, other = "/v2/acme/web/manifests/v9", "/v2/acme/api/manifests/v9"
	rows := []struct {
		client, method, path string
		want                 int
	}{
		{"203.0.113.7", "GET", manifest, 403}, {"203.0.113.7", "HEAD", manifest, 403}, {"203.0.113.7", "GET", other, 200}, {"203.0.113.7", "GET", "/v2/", 200},
		{"203.0.113.7", "HEAD", "/v2/acme/web/blobs/sha256:aa", 404}, {"203.0.113.7", "GET", "/v2/acme/web/blobs/sha256:aa", 403},
		{"203.0.113.7", "POST", "/v2/acme/web/blobs/uploads/", 403}, {"203.0.113.7", "PUT", "/v2/acme/web/blobs/uploads/1?digest=x", 403},
		{"203.0.113.7", "GET", "/v2/acme%2fweb/manifests/v9", 403}, {"203.0.113.7", "GET", "/v2/acme/../acme/./web/manifests/v9", 403},
		{"203.0.113.7", "GET", "/v2/../../203.0.113.8.json", 400}, {"203.0.113.7", "GET", "/.regwarden/denied", 404},
		{"::ffff:203.0.113.7", "GET", manifest, 403},
		{"203.0.113.8", "GET", manifest, 403}, {"203.0.113.8", "GET", other, 403}, {"203.0.113.8", "GET", "/v2/", 200}, {"203.0.113.8", "GET", "/v2/_catalog", 403},
		{"203.0.113.8", "HEAD", "/v2/x/blobs/sha256:aa", 404}, {"203.0.113.8", "DELETE", "/v2/x/manifests/v1", 403},
		{"203.0.113.9", "GET", manifest, 200}, {"203.0.114.7", "GET", manifest, 200},
		{"198.51.100.0", "GET", other, 403}, {"198.51.100.255", "GET", other, 403}, {"198.51.101.0", "GET", other, 200},
		{"192.0.2.63", "GET", other, 200}, {"192.0.2.64", "GET", other, 403}, {"192.0.2.127", "GET", other, 403}, {"192.0.2.128", "GET", other, 200},
		{"2001:db8::7", "GET", manifest, 403}, {"2001:db8:0:0:ffff:1:2:3", "GET", manifest, 403}, {"2001:db8::7", "GET", other, 200},
		{"2001:db8:0:1::7", "GET", other, 403}, {"2001:db8:0:1:2:3:4:5", "GET", other, 403}, {"2001:db8:0:1:0:0:0:1", "GET", other, 403},
		{"2001:db8:0:2::7", "GET", other, 200}, {"2001:db8:1::1", "GET", other, 200}, {"2001:db8:2:f::1", "GET", other, 403}, {"2001:db8:2:10::1", "GET", other, 200},
		{"2001:0:0:7:1:2:3:4", "GET", other, 403}, {"2001:0:0:7::1", "GET", other, 403}, {"2001::8:1:2:3:4", "GET", other, 200},
		{"2001:db8:0:5::9", "GET", other, 403}, {"2001:db8:0:5::8", "GET", other, 200},
	}
	for _, r := range rows {
		if got := f.status(r.client, r.method, r.path); got != r.want {
			t.Errorf("%s %s %s: want %d, got %d", r.client, r.method, r.path, r.want, got)
		}
	}
	const want = `{"errors":[{"code":"DENIED","message":"BLOCKED until 2026-10-05 13:00 UTC: 203.0.113.7 asked 45 times for acme/web:v9, which does not exist. Block narrow4, lift it at https://registry.example.org/unblock/narrow4","detail":{"block_id":"narrow4","expires_at":"2026-10-05T13:00:00Z"}}]}` + "\n"
	_, said, head := f.get("203.0.113.7", "GET", manifest, nil)
	if said != want || head.Get("Content-Type") != "application/json; charset=utf-8" || head.Get("Cache-Control") != "no-store" || head.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Errorf("want %s, got %s with %v", want, said, head)
	}
	if _, _, head := f.get("203.0.113.7", "HEAD", manifest, nil); head.Get("Content-Length") != fmt.Sprint(len(want)) {
		t.Errorf("a HEAD must tell the length of what GET gets, got %v", head)
	}
	if _, said, _ := f.get("203.0.113.7", "POST", "/v2/acme/web/blobs/uploads/", strings.NewReader(strings.Repeat("x", 4<<20))); said != want {
		t.Errorf("an upload gets %s", said)
	}
	if _, said, _ := f.get("203.0.113.8", "GET", other, nil); !strings.Contains(said, "for an image, which") {
		t.Errorf("who asks for another repository reads %s", said)
	}
	if _, said, _ := f.get("203.0.113.8", "GET", manifest, nil); !strings.Contains(said, "for acme/web:v9, which") {
		t.Errorf("who asks for the repository reads %s", said)
	}
	apply(t, a, unblocked("203.0.113.7/32"), unblocked("198.51.100.0/24"), blocked("203.0.113.9/32"))
	for client, want := range map[string]int{"203.0.113.7": 200, "198.51.100.9": 200, "203.0.113.9": 403, "203.0.113.8": 403} {
		if got := f.status(client, "GET", manifest); got != want {
			t.Errorf("after the changes %s: want %d, got %d", client, want, got)
		}
	}
	if err := a.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("want the two marks alone when nobody is blocked, got %v, %v", entries, err)
	}
}

// geoConf is how nginx reads the list.
func geoConf(list string) (inHTTP, inServer string) {
	return `geo $rw_msg { default ""; include ` + list + `; }`,
		`error_page 463 =403 @rw_deny; if ($rw_msg != "") { return 463; }
		location @rw_deny { default_type application/json; return 403 '{"errors":[{"code":"DENIED","message":"$rw_msg"}]}\n'; }`
}

// TestNginxReadsTheGeoList again when it has changed, only then, and keeps the old one when it refuses the new.
func TestNginxReadsTheGeoList(t *testing.T) {
	nginx, base := tool(t, "nginx"), t.TempDir()
	list, runs, broken := filepath.Join(base, "regwarden.geo"), filepath.Join(base, "runs"), filepath.Join(base, "broken")
	dirFile := filepath.Join(base, "dir")
	script := func(name, text string) []string {
		path := filepath.Join(base, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return []string{path}
	}
	test := script("test", fmt.Sprintf("d=$(cat %s) && ! test -e %s && %s -t -q -p $d -c $d/nginx.conf\n", dirFile, broken, nginx))
	reload := script("reload", fmt.Sprintf("echo x >> %s; kill -HUP $(cat $(cat %s)/pid)\n", runs, dirFile))
	now := noon
	g, err := actions.NewNginxGeo(actions.NginxGeoOptions{Name: "nginx-geo", Path: list, Test: test, Reload: reload, Answers: says(t), Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, nil, 0o644); err != nil { // as it is installed
		t.Fatal(err)
	}
	f, dir, _ := startNginx(t, first(geoConf(list)), second(geoConf(list)))
	if err := os.WriteFile(dirFile, []byte(dir), 0o600); err != nil {
		t.Fatal(err)
	}
	reloads := func() int {
		text, _ := os.ReadFile(runs)
		return strings.Count(string(text), "x")
	}
	blocks := []detector.Block{block("203.0.113.7/32", cause("a", asked("acme/web"))), block("2001:db8::/64", cause("b"))}
	if err := g.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nginx refuses the client", func() bool { return f.status("203.0.113.7", "GET", "/v2/x/manifests/v9") == 403 })
	_, said, _ := f.get("203.0.113.7", "GET", "/v2/x/manifests/v9", nil)
	if want := `{"errors":[{"code":"DENIED","message":"BLOCKED until 2026-10-05 13:00 UTC: 203.0.113.7 asked 45 times for an image, which does not exist. Block a, lift it at https://registry.example.org/unblock/a"}]}` + "\n"; said != want {
		t.Errorf("want %s, got %s", want, said)
	}
	if got := f.status("2001:db8::9", "GET", "/v2/"); got != 403 {
		t.Errorf("want the /64 refused, got %d", got)
	}
	if err := g.Sync(t.Context(), blocks); err != nil || reloads() != 1 {
		t.Errorf("a list that has not changed was read again: %d reloads, %v", reloads(), err)
	}
	if blocked, lifted := g.Pace(false), g.Pace(true); blocked != 5*time.Second || lifted != time.Second {
		t.Errorf("want the next reload 5 s later, or after a lift 1 s, got %v and %v", blocked, lifted)
	}
	before := read(t, list)
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err = g.Apply(t.Context(), []detector.Change{blocked("203.0.113.9/32")})
	if err == nil || !strings.Contains(err.Error(), "nginx refuses its configuration, so the list before stays") || read(t, list) != before || reloads() != 1 {
		t.Errorf("a refused list: %v, %d reloads, and the list is\n%s", err, reloads(), read(t, list))
	}
	os.Remove(broken)
	if err := g.Sync(t.Context(), append(blocks, blocked("203.0.113.9/32").Block)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nginx refuses the other client too", func() bool { return f.status("203.0.113.9", "GET", "/") == 403 })
	if err := g.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nginx lets the client in", func() bool { return f.status("203.0.113.7", "GET", "/") == 200 })
}

func first(a, _ string) string  { return a }
func second(_, b string) string { return b }

const haproxyConf = `
global
	stats socket DIR/admin.sock mode 600 level admin
defaults
	mode http
	timeout connect 2s
	timeout client 5s
	timeout server 5s
frontend f
	bind 127.0.0.1:PORT
	http-request set-src hdr(x-test-client)
	http-request set-var(txn.name) path,'regsub("^/v2/(.+)/(manifests|blobs|tags|referrers)/.*$","\1")' if { path_reg ^/v2/.+/(manifests|blobs|tags|referrers)/ }
	http-request set-var(txn.key) src,ipmask(32,64),concat("/",txn.name)
	http-request set-var(txn.msg) src,map_ip(DIR/regwarden.map)
	http-request return status 200 content-type application/json string "{}" if { var(txn.msg) -m found } { path /v2 /v2/ }
	http-request set-var(txn.msg) var(txn.key),map_str(DIR/repositories.map) if { var(txn.key),map_str(DIR/repositories.map) -m found }
	http-request return status 403 content-type application/json lf-string "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"%[var(txn.msg)]\"}]}\n" hdr Cache-Control no-store if { var(txn.msg) -m found }
	http-request return status 200 content-type text/plain string registry
`

// TestHAProxyTakesTheMaps at once, by the runtime API, and has them again after it was started anew.
func TestHAProxyTakesTheMaps(t *testing.T) {
	haproxy, dir := tool(t, "haproxy"), t.TempDir()
	f := &front{t, freePort(t)}
	conf := filepath.Join(dir, "haproxy.cfg")
	text := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(f.port)).Replace(haproxyConf)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := actions.NewHAProxy(actions.HAProxyOptions{Name: "haproxy", Socket: filepath.Join(dir, "admin.sock"), Map: filepath.Join(dir, "regwarden.map"),
		Repositories: filepath.Join(dir, "repositories.map"), Answers: says(t), Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "its configuration needs: stats socket") {
		t.Errorf("without HAProxy: %v", err)
	}
	cmd := background(t, f.up, haproxy, "-f", conf) // the files are there now
	blocks := []detector.Block{block("203.0.113.7/32", cause("n", narrow, asked("acme/web"))), block("203.0.113.8/32", cause("h", asked("acme/web"))),
		block("198.51.100.0/24", cause("w")), block("2001:db8::/64", cause("6", narrow, asked("acme/web")))}
	if err := h.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	check := func(when string, rows map[string]int) {
		t.Helper()
		for request, want := range rows {
			client, path, _ := strings.Cut(request, " ")
			if got := f.status(client, "GET", path); got != want {
				t.Errorf("%s, %s: want %d, got %d", when, request, want, got)
			}
		}
	}
	const manifest, other = "/v2/acme/web/manifests/v9", "/v2/acme/api/manifests/v9"
	held := map[string]int{"203.0.113.7 " + manifest: 403, "203.0.113.7 " + other: 200, "203.0.113.7 /v2/": 200, "203.0.113.8 " + other: 403, "203.0.113.8 " + manifest: 403, "203.0.113.8 /v2/": 200,
		"198.51.100.9 " + other: 403, "2001:db8::7 " + manifest: 403, "2001:db8::7 " + other: 200, "2001:db8:0:1::7 " + manifest: 200, "203.0.113.9 " + manifest: 200}
	check("at the start", held)
	for client, want := range map[string]string{"203.0.113.7": "asked 45 times for acme/web:v9, which does not exist. Block n,", "203.0.113.8": "asked 45 times for acme/web:v9, which does not exist. Block h,"} {
		if _, said, _ := f.get(client, "GET", manifest, nil); !strings.Contains(said, "BLOCKED until 2026-10-05 13:00 UTC: "+client+" "+want) {
			t.Errorf("%s reads %s", client, said)
		}
	}
	if _, said, _ := f.get("203.0.113.8", "GET", other, nil); !strings.Contains(said, "for an image, which") {
		t.Errorf("who asks for another repository reads %s", said)
	}
	longer := change(detector.ChangeExtend, "203.0.113.8/32", cause("h"), cause("h2", func(c *detector.Cause) { c.Until = noon.Add(2 * time.Hour) }))
	apply(t, h, unblocked("203.0.113.7/32"), blocked("203.0.113.9/32"), longer)
	check("after changes", map[string]int{"203.0.113.7 " + manifest: 200, "203.0.113.9 " + manifest: 403})
	if _, said, _ := f.get("203.0.113.8", "GET", other, nil); !strings.Contains(said, "until 2026-10-05 14:00 UTC") || strings.Contains(said, `\`) {
		t.Errorf("after a longer block it reads %s", said)
	}
	apply(t, h, unblocked("203.0.113.7/32")) // once more does no harm

	// Watch writes the files; a HAProxy that is started anew reads them.
	watched, stop := context.WithCancel(t.Context())
	doubts := make(chan string, 10)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.Watch(watched, func(reason string) { doubts <- reason }) }()
	eventually(t, "the file is written", func() bool {
		return strings.Contains(read(t, filepath.Join(dir, "regwarden.map")), "203.0.113.9/32 BLOCKED")
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	background(t, f.up, haproxy, "-f", conf)
	check("after a start", map[string]int{"203.0.113.7 " + manifest: 200, "203.0.113.9 " + manifest: 403, "203.0.113.8 " + other: 403, "2001:db8::7 " + manifest: 403})
	if reason := <-doubts; reason != "HAProxy was started anew" {
		t.Errorf("want it noticed, got %q", reason)
	}
	stop()
	<-ended
	if err := h.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check("when nobody is blocked", map[string]int{"203.0.113.9 " + manifest: 200, "2001:db8::7 " + manifest: 200})
}
