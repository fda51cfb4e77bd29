package packaging_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// caddy starts it with the shipped file; the test's load balancer is trusted as the file's head says.
func (h *host) caddy(t *testing.T, replace ...string) (*front, int) {
	t.Helper()
	path := program(t, "caddy", "caddy")
	f := &front{t: t, port: freePort(t), narrow: true, asks: true}
	text := shipped(t, "caddy/Caddyfile", append([]string{"registry.example.org {", fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n}\nhttp://127.0.0.1:%d {", f.port),
		"/run/regwarden/answer.sock", filepath.Join(h.dir, "answer.sock"), "127.0.0.1:5000", h.registry.Listener.Addr().String(),
		"uri /forward\n", "uri /forward\n\t\t\ttrusted_proxies 127.0.0.1/32\n"}, replace...)...)
	text = strings.Replace(text, fmt.Sprintf("http://127.0.0.1:%d {", f.port), fmt.Sprintf("http://:%d {\n\tbind 127.0.0.1", f.port), 1)
	conf := write(t, filepath.Join(h.dir, "Caddyfile"), text)
	return f, start(t, f.port, path, "run", "--adapter", "caddyfile", "--config", conf).Process.Pid
}

func TestCaddyAsksTheDaemon(t *testing.T) {
	h := newHost(t)
	stop := h.serve(t, false, netip.MustParsePrefix("127.0.0.1/32")) // Caddy adds whom it got a request from
	f, pid := h.caddy(t)
	f.decides()
	f.believesNobodyElse()
	f.refusesUploads()
	f.withstands()
	f.holdsIdle(pid)
	stop()
	for range 2 {
		if status, said, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); status != 200 {
			t.Errorf("without a daemon: %d %s", status, said)
		}
		h.hang(t)
	}
}

func TestCaddyFailsClosed(t *testing.T) {
	h := newHost(t)
	h.hang(t)
	closed := "\thandle_errors {\n\t\theader Content-Type application/json\n\t\trespond `" + `{"errors":[{"code":"UNAVAILABLE","message":"UNAVAILABLE: it cannot be told who is blocked. Try again soon"}]}` + "` 503\n\t}\n"
	f, _ := h.caddy(t, "\thandle_errors {\n\t\treverse_proxy 127.0.0.1:5000\n\t}\n", closed)
	if status, said, _ := f.get("127.0.0.1", "203.0.113.9", "GET", api, nil); status != 503 || !strings.Contains(said, `"code":"UNAVAILABLE"`) {
		t.Errorf("with a daemon that hangs: %d %s", status, said)
	}
}
