package packaging_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/actions"
	"regwarden/detector"
)

// nginx starts it with what is shipped for http and for the server.
func (h *host) nginx(t *testing.T, http, server string) (f *front, pid int, conf string) {
	t.Helper()
	path := program(t, "nginx", "nginx-light")
	f = &front{t: t, port: freePort(t)}
	conf = write(t, filepath.Join(h.dir, "nginx.conf"), fmt.Sprintf(`pid %[1]s/pid; error_log stderr; daemon off; worker_processes 1; worker_rlimit_nofile 8192; events { worker_connections 4096; }
http {
	access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; real_ip_recursive on; client_max_body_size 0;
	%[4]s
	server {
		listen 127.0.0.1:%[2]d;
		%[5]s
		location = /net { return 200 "$rw_client $rw_other"; }
		location / { proxy_pass %[3]s; }
	}
}
`, h.dir, f.port, h.registry.URL, shipped(t, "nginx/client.conf")+http, server))
	if out, err := exec.Command(path, "-t", "-q", "-p", h.dir, "-c", conf).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return f, start(t, f.port, path, "-p", h.dir, "-c", conf).Process.Pid, conf
}

func TestNginxWithAnswerFiles(t *testing.T) {
	h := newHost(t)
	dir := filepath.Join(h.dir, "answers")
	f, pid, _ := h.nginx(t, shipped(t, "nginx/answer-files-http.conf"), shipped(t, "nginx/answer-files-server.conf", "/run/regwarden/answers", dir))
	if status, _, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); status != 200 {
		t.Errorf("without a directory: %d", status)
	}
	if err := h.files.Sync(t.Context(), blocks()); err != nil {
		t.Fatal(err)
	}
	f.narrow = true
	f.decides()
	f.believesNobodyElse()
	f.refusesUploads()
	f.withstands()
	f.holdsIdle(pid)
	if _, _, head := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil, "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", "Range: bytes=0-3"); head.Get("Last-Modified") != "" {
		t.Errorf("headers of a file: %v", head)
	}
	if err := h.files.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); status != 200 {
		t.Errorf("the next request after the block was lifted: %d", status)
	}
}

// TestTheIncludeStandsAnywhere: an operator's own directives of the server go on working before it and behind it, for those who are blocked and those who are not.
func TestTheIncludeStandsAnywhere(t *testing.T) {
	own := []string{
		"set $own set;", "if ($http_x_own) { set $own if; }", "add_header X-Own $own always;", "auth_basic off;",
		"if ($uri !~ ^(/v2/|/old/|/own|/root/|/page|/.regwarden/)) { return 410 gone; }",
		"if ($request_method = PATCH) { return 409 patched; }",
		"if ($uri ~ ^/old/) { rewrite ^/old/(.*)$ /v2/$1; }",
		"rewrite ^/root(/.*)$ $1;",
		"if ($uri = /own) { return 200 own; }",
		`location ~ \.DENIED$ { return 500; } location = /page { return 200 page; } error_page 404 /page;`,
	}
	include := shipped(t, "nginx/answer-files-server.conf")
	for name, order := range map[string][2][]string{"first": {nil, own}, "in the middle": {own[:5], own[5:]}, "last": {own, nil}} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			moved := strings.ReplaceAll(include, "/run/regwarden/answers", filepath.Join(h.dir, "answers"))
			f, _, _ := h.nginx(t, shipped(t, "nginx/answer-files-http.conf"), strings.Join(order[0], "\n")+"\n"+moved+strings.Join(order[1], "\n"))
			innocent := func(when string) {
				t.Helper()
				for request, want := range map[string]string{
					"GET /own": "200 own", "GET /other": "410 gone", "PATCH " + web: "409 patched", "GET /old/acme/web/manifests/v9": "200 registry", "GET /root" + web: "200 registry",
					"POST /v2/acme/web/blobs/uploads/": "200 registry", "GET /.regwarden/denied": "404 page", "GET /root/.regwarden/denied": "404 page",
				} {
					method, path, _ := strings.Cut(request, " ")
					for _, client := range []string{"203.0.113.9", "2001:db8:0:2::7"} {
						status, said, head := f.get("127.0.0.1", client, method, path, nil, "X-Own: yes")
						if got := fmt.Sprint(status, " ", strings.TrimSpace(said)); got != want || head.Get("X-Own") != "if" {
							t.Errorf("%s: %s %s: want %s, got %s, X-Own %s", when, client, request, want, got, head.Get("X-Own"))
						}
					}
				}
			}
			innocent("without a directory")
			if err := h.files.Sync(t.Context(), blocks()); err != nil {
				t.Fatal(err)
			}
			innocent("beside blocks")
			if err := h.files.Sync(t.Context(), blocks()[:2]); err != nil {
				t.Fatal(err)
			}
			innocent("beside clients only")
			if err := h.files.Sync(t.Context(), blocks()); err != nil {
				t.Fatal(err)
			}
			f.narrow = true
			f.decides()
			f.refusesUploads()
			f.withstands()
		})
	}
}

// TestNginxNamesTheClient of every shape that an IPv6 address can have: each of its eight numbers zero or not.
func TestNginxNamesTheClient(t *testing.T) {
	h := newHost(t)
	f, _, _ := h.nginx(t, shipped(t, "nginx/answer-files-http.conf"), shipped(t, "nginx/answer-files-server.conf", "/run/regwarden/answers", filepath.Join(h.dir, "answers")))
	for shape := range 1 << 7 {
		b := [16]byte{0x20, 0x01}
		var want []string
		for i := 1; i < 8; i++ {
			if shape>>(i-1)&1 == 1 {
				b[2*i], b[2*i+1] = byte(i&1), byte(0x10+i)
			}
		}
		for i := range 4 {
			want = append(want, fmt.Sprintf("%x", uint(b[2*i])<<8|uint(b[2*i+1])))
		}
		client := netip.AddrFrom16(b).String()
		if _, said, _ := f.get("127.0.0.1", client, "GET", "/net", nil); said != strings.Join(want, ":")+" "+client {
			t.Errorf("%s: want the net %s and the address, got %s", client, strings.Join(want, ":"), said)
		}
	}
	for client, want := range map[string]string{"::ffff:203.0.113.7": "203.0.113.7 203.0.113", "203.0.113.7": "203.0.113.7 203.0.113", "::1": "- ::1"} {
		if _, said, _ := f.get("127.0.0.1", client, "GET", "/net", nil); said != want {
			t.Errorf("%s: want %s, got %s", client, want, said)
		}
	}
}

func TestNginxWithGeo(t *testing.T) {
	h := newHost(t)
	nginx := program(t, "nginx", "nginx-light")
	list := write(t, filepath.Join(h.dir, "regwarden.geo"), "")
	f, pid, conf := h.nginx(t, shipped(t, "nginx/geo-http.conf", "/var/opt/gitlab/nginx/conf/regwarden.geo", list), shipped(t, "nginx/geo-server.conf"))
	g, err := actions.NewNginxGeo(actions.NginxGeoOptions{Name: "nginx-geo", Path: list, Test: []string{nginx, "-t", "-q", "-p", h.dir, "-c", conf}, Reload: []string{"/bin/kill", "-HUP", fmt.Sprint(pid)}, Answers: h.say})
	if err != nil {
		t.Fatal(err)
	}
	var wide []detector.Block // the daemon gives it those only that it can hold
	for _, b := range blocks() {
		if b.Causes[0].Closes() == detector.ScopeHost {
			wide = append(wide, b)
		}
	}
	before := workers(t, pid)
	if err := g.Sync(t.Context(), wide); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker with the old list has ended", func() bool {
		now := workers(t, pid)
		return len(now) == 1 && now[0] != before[0]
	})
	f.decides()
	f.believesNobodyElse()
	f.refusesUploads()
	f.withstands()
	f.holdsIdle(pid)
}

// workers are the processes of an nginx besides its master.
func workers(t *testing.T, master int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// hang takes the place of a daemon that accepts and never answers.
func (h *host) hang(t *testing.T) {
	t.Helper()
	os.Remove(filepath.Join(h.dir, "answer.sock"))
	l, err := net.Listen("unix", filepath.Join(h.dir, "answer.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(h.dir, "answer.sock"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestNginxAsksTheDaemon(t *testing.T) {
	h := newHost(t)
	stop := h.serve(t, false)
	f, pid, _ := h.nginx(t, shipped(t, "nginx/auth-http.conf", "/run/regwarden/answer.sock", filepath.Join(h.dir, "answer.sock")), shipped(t, "nginx/auth-server.conf"))
	f.narrow = true
	f.decides()
	f.believesNobodyElse()
	f.refusesUploads()
	f.withstands()
	f.holdsIdle(pid)
	_, _, head := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil)
	if head.Get("Retry-After") == "" || head.Get("X-Block-Id") != "host4" {
		t.Errorf("headers: %v", head)
	}
	stop()
	for range 2 {
		if status, said, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); status != 200 {
			t.Errorf("without a daemon: %d %s", status, said)
		}
		h.hang(t)
	}
}

func TestNginxFailsClosed(t *testing.T) {
	h := newHost(t)
	stop := h.serve(t, true)
	f, _, _ := h.nginx(t, shipped(t, "nginx/auth-http.conf", "/run/regwarden/answer.sock", filepath.Join(h.dir, "answer.sock")), shipped(t, "nginx/auth-server-fail-closed.conf"))
	f.narrow = true
	f.decides()
	stop()
	for range 2 {
		for client, want := range map[string]int{"203.0.113.8": 503, "203.0.113.9": 503} {
			status, said, _ := f.get("127.0.0.1", client, "GET", api, nil)
			if status != want || !strings.HasPrefix(said, `{"errors":[{"code":"UNAVAILABLE","message":"UNAVAILABLE: it cannot be told who is blocked`) {
				t.Errorf("without a daemon %s gets %d %s", client, status, said)
			}
		}
		h.hang(t)
	}
}
