package packaging_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"regwarden/actions"
)

func TestHAProxy(t *testing.T) {
	h := newHost(t)
	haproxy := program(t, "haproxy", "haproxy")
	f := &front{t: t, port: freePort(t), narrow: true}
	addresses, repositories := write(t, filepath.Join(h.dir, "regwarden.map"), ""), write(t, filepath.Join(h.dir, "repositories.map"), "")
	conf := write(t, filepath.Join(h.dir, "haproxy.cfg"), fmt.Sprintf(`global
    stats socket %[1]s/admin.sock mode 600 level admin
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 20s
    timeout server 20s
frontend registry
    bind 127.0.0.1:%[2]d
    http-request set-src hdr_ip(x-forwarded-for,-1) if { src 127.0.0.1 }
%[3]s
    default_backend registry
backend registry
    server registry %[4]s
`, h.dir, f.port, shipped(t, "haproxy/frontend.cfg", "/etc/haproxy/regwarden.map", addresses, "/etc/haproxy/regwarden-repositories.map", repositories), h.registry.Listener.Addr()))
	if out, err := exec.Command(haproxy, "-c", "-f", conf).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid := start(t, f.port, haproxy, "-f", conf).Process.Pid
	a, err := actions.NewHAProxy(actions.HAProxyOptions{Name: "haproxy", Socket: filepath.Join(h.dir, "admin.sock"), Map: addresses, Repositories: repositories, Answers: h.say})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(t.Context(), blocks()); err != nil {
		t.Fatal(err)
	}
	f.decides()
	f.believesNobodyElse()
	f.refusesUploads()
	f.withstands()
	f.holdsIdle(pid)
	if err := a.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := f.get("127.0.0.1", "203.0.113.8", "GET", api, nil); status != 200 {
		t.Errorf("the next request after the block was lifted: %d", status)
	}
}
