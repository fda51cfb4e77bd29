package answer_test

import (
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
)

// authConf asks the endpoint about each request; a daemon that is away or hangs lets everybody in.
const authConf = `pid DIR/pid; error_log stderr; daemon off; master_process off; events {}
http {
	access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	set_real_ip_from 127.0.0.1; real_ip_header X-Test-Client; client_max_body_size 0;
	server { listen 127.0.0.1:REGISTRY; location / { default_type text/plain; return 200 "registry"; } }
	server {
		listen 127.0.0.1:PORT;
		auth_request /.regwarden/auth;
		auth_request_set $rw_status $upstream_http_x_regwarden_status;
		auth_request_set $rw_message $upstream_http_x_regwarden_message;
		error_page 403 = @refused;
		location / { proxy_pass http://127.0.0.1:REGISTRY; }
		location = /.regwarden/auth {
			internal; auth_request off;
			proxy_pass http://unix:SOCKET:/auth; proxy_pass_request_body off; proxy_pass_request_headers off;
			proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri;
			proxy_connect_timeout 200ms; proxy_send_timeout 200ms; proxy_read_timeout 200ms;
			error_page 500 502 503 504 = @open;
		}
		location @open { auth_request off; return 204; }
		location @refused {
			auth_request off; default_type "application/json; charset=utf-8";
			add_header Docker-Distribution-Api-Version registry/2.0 always; add_header Cache-Control no-store always;
			if ($rw_status = 200) { return 200 "{}"; }
			if ($rw_status = 404) { return 404; }
			return 403 '{"errors":[{"code":"DENIED","message":"$rw_message"}]}\n';
		}
	}
}
`

// TestNginxAsks the endpoint by auth_request, passes on what it answers, and lets everybody in when nobody answers.
func TestNginxAsks(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil { // where it is installed and not in an ordinary user's path
		if nginx = "/usr/sbin/nginx"; exec.Command(nginx, "-v").Run() != nil {
			t.Skip("SKIPPED: nginx is not installed; install it and run: go test -run TestNginxAsks ./internal/answer")
		}
	}
	socket, e := serve(t)
	dir := t.TempDir()
	var ports [2]int
	var held [2]net.Listener // both at once, so that they differ
	for i := range ports {
		if held[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		ports[i] = held[i].Addr().(*net.TCPAddr).Port
	}
	held[0].Close()
	held[1].Close()
	conf := filepath.Join(dir, "nginx.conf")
	text := strings.NewReplacer("DIR", dir, "REGISTRY", fmt.Sprint(ports[0]), "PORT", fmt.Sprint(ports[1]), "SOCKET", socket).Replace(authConf)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	get := func(client, method, path string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", ports[1], path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"X-Test-Client": client, "X-Real-IP": "203.0.113.77", "X-Original-URI": "/", "X-Forwarded-For": "203.0.113.77"} {
			r.Header.Set(name, value)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		said, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(said)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		if status, said := get("203.0.113.9", "GET", "/"); status == 200 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("nginx does not answer: %d %s", status, said)
		}
		<-time.After(20 * time.Millisecond) // another process starts
	}
	for _, row := range []struct {
		client, method, path string
		want                 int
		body                 string
	}{
		{"203.0.113.7", "GET", web, 403, `{"errors":[{"code":"DENIED","message":"BLOCKED until 2026-10-05 12:10 UTC: 203.0.113.7 asked 45 times for acme/web:v9, which does not exist.`},
		{"203.0.113.7", "HEAD", web, 403, ""},
		{"203.0.113.7", "PUT", web, 403, `{"errors":[{"code":"DENIED"`},
		{"203.0.113.7", "GET", api, 200, "registry"},
		{"203.0.113.7", "GET", "/v2/", 200, "registry"},
		{"203.0.113.8", "GET", "/v2/", 200, "{}"},
		{"203.0.113.8", "HEAD", "/v2/acme/web/blobs/sha256:aa", 404, ""},
		{"203.0.113.8", "GET", "/v2/_catalog", 403, `{"errors":[{"code":"DENIED","message":"BLOCKED until 2026-10-05 12:10 UTC: 203.0.113.8 asked 45 times for an image, which`},
		{"2001:db8:0:1::77", "GET", web, 403, `{"errors":[{"code":"DENIED","message":"BLOCKED until 2026-10-05 12:10 UTC: 2001:db8:0:1::/64 asked`},
		{"203.0.113.9", "GET", web, 200, "registry"},
	} {
		if status, said := get(row.client, row.method, row.path); status != row.want || !strings.HasPrefix(said, row.body) {
			t.Errorf("%s %s %s: want %d %s, got %d %s", row.client, row.method, row.path, row.want, row.body, status, said)
		}
	}
	if err := e.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if status, _ := get("203.0.113.7", "GET", web); status != 200 {
		t.Errorf("after the block is lifted: %d", status)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if status, said := get("203.0.113.8", "GET", api); status != 200 {
		t.Errorf("with nobody to ask: %d %s", status, said)
	}
	l, err := net.Listen("unix", socket) // accepts in the kernel's queue and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if status, said := get("203.0.113.8", "GET", api); status != 200 {
		t.Errorf("with a daemon that hangs: %d %s", status, said)
	}
}
