package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// frontEnd is one of the front ends before the one registry.
type frontEnd struct {
	name string
	port int
	// narrow says that it knows repository blocks; open that it lets everybody in while the daemon is away and has nothing of its own.
	narrow, asks, closed bool
}

var frontEnds = []frontEnd{
	{name: "nginx with answer files", port: 443, narrow: true},
	{name: "nginx with geo", port: 8443},
	{name: "nginx with auth_request", port: 8444, narrow: true, asks: true},
	{name: "nginx with auth_request, fail closed", port: 8445, narrow: true, asks: true, closed: true},
	{name: "HAProxy", port: 8446, narrow: true},
	{name: "Caddy", port: 8447, narrow: true, asks: true},
}

// shipped is a file of packaging/, with its paths moved to the lab's.
func shipped(name string, replace ...string) string {
	text, err := os.ReadFile(packaging + "/" + name)
	if err != nil {
		panic(err) // the lab and packaging/ are in one tree
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

func nginxConf(name string, port int, http, server string) string {
	return fmt.Sprintf(`user www-data; pid %[1]s/%[2]s.pid; error_log stderr; daemon off; worker_processes 1; events { worker_connections 4096; }
http {
	access_log off; client_body_temp_path %[1]s/%[2]s.a; proxy_temp_path %[1]s/%[2]s.b; fastcgi_temp_path %[1]s/%[2]s.c; uwsgi_temp_path %[1]s/%[2]s.d; scgi_temp_path %[1]s/%[2]s.e;
	%[4]s
	server {
		listen %[3]d ssl http2; listen [::]:%[3]d ssl http2; server_name registry.example.org;
		ssl_certificate %[1]s/registry.crt; ssl_certificate_key %[1]s/registry.key;
		client_max_body_size 0; proxy_request_buffering off;
		proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
		%[5]s
		location = /jwt/auth { proxy_pass http://127.0.0.1:5001; }
		location / { proxy_pass http://127.0.0.1:5000; }
	}
}
`, dir, name, port, http, server)
}

const registryConf = `version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /run/lab/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:5000", secret: lab}
auth: {token: {realm: "https://registry.example.org/jwt/auth", service: container_registry, issuer: lab, rootcertbundle: /run/lab/token.crt}}
`

const haproxyConf = `global
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend registry
    bind 0.0.0.0:8446 ssl crt /run/lab/registry.pem
    bind :::8446 v6only ssl crt /run/lab/registry.pem
%s
    default_backend registry
backend registry
    server registry 127.0.0.1:5000
`

const regwardenConf = `rules = "rules.d"

[[source]]
name = "registry"
path = "/run/lab/access.log"
from = "start"

[actions.answer-files]

[actions.answer-endpoint]
group = "www-data"

[actions.nginx-geo]
path   = "/run/lab/regwarden.geo"
test   = ["%[1]s", "-t", "-q", "-c", "/run/lab/geo.conf"]
reload = ["%[1]s", "-s", "reload", "-c", "/run/lab/geo.conf"]

[actions.haproxy]
socket       = "/run/haproxy/admin.sock"
map          = "/run/lab/regwarden.map"
repositories = "/run/lab/repositories.map"

[actions.nftables]
ports = [443]

[answers]
unblock_url = "https://registry.example.org/unblock/{id}"

[state]
path = "/run/lab/state.db"

[control]
group = "root"
`

// serve starts the registry with its token service and every front end.
func serve() ([]*process, error) {
	authority, err := newIdentity("lab", nil)
	if err != nil {
		return nil, err
	}
	registry, err := newIdentity(registryName, authority)
	if err != nil {
		return nil, err
	}
	signer, err := newIdentity("tokens", nil)
	if err != nil {
		return nil, err
	}
	for name, i := range map[string]*identity{"ca": authority, "registry": registry, "token": signer} {
		if err := i.write(dir, name); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:5001")
	if err != nil {
		return nil, err
	}
	go func() { _ = http.Serve(l, &tokens{signer}) }()
	if err := os.MkdirAll("/run/haproxy", 0o755); err != nil {
		return nil, err
	}
	client := shipped("nginx/client.conf")
	auth := client + shipped("nginx/auth-http.conf")
	caddy := shipped("caddy/Caddyfile", "registry.example.org {", "{\n\tadmin off\n\tauto_https disable_redirects\n}\nhttps://registry.example.org:8447 {\n\ttls /run/lab/registry.crt /run/lab/registry.key")
	for name, text := range map[string]string{
		"registry.yml":     registryConf,
		"files.conf":       nginxConf("files", 443, client+shipped("nginx/answer-files-http.conf"), "access_log /run/lab/access.log combined;\n"+shipped("nginx/answer-files-server.conf")),
		"geo.conf":         nginxConf("geo", 8443, shipped("nginx/geo-http.conf", "/var/opt/gitlab/nginx/conf/regwarden.geo", dir+"/regwarden.geo"), shipped("nginx/geo-server.conf")),
		"auth.conf":        nginxConf("auth", 8444, auth, shipped("nginx/auth-server.conf")),
		"closed.conf":      nginxConf("closed", 8445, auth, shipped("nginx/auth-server-fail-closed.conf")),
		"haproxy.cfg":      fmt.Sprintf(haproxyConf, shipped("haproxy/frontend.cfg", "/etc/haproxy/regwarden.map", dir+"/regwarden.map", "/etc/haproxy/regwarden-repositories.map", dir+"/repositories.map")),
		"Caddyfile":        caddy,
		"regwarden.geo":    "",
		"regwarden.map":    "",
		"repositories.map": "",
		"access.log":       "",
		"regwarden.toml":   fmt.Sprintf(regwardenConf, path("nginx")),
	} {
		if err := write(name, text); err != nil {
			return nil, err
		}
	}
	var started []*process
	for _, s := range [][]string{
		{"registry", "docker-registry", "serve", dir + "/registry.yml"},
		{"files", "nginx", "-c", dir + "/files.conf"}, {"geo", "nginx", "-c", dir + "/geo.conf"}, {"auth", "nginx", "-c", dir + "/auth.conf"}, {"closed", "nginx", "-c", dir + "/closed.conf"},
		{"haproxy", "haproxy", "-f", dir + "/haproxy.cfg"}, {"caddy", "caddy", "run", "--adapter", "caddyfile", "--config", dir + "/Caddyfile"},
	} {
		p, err := start("", s[0], s[1:]...)
		if err != nil {
			return started, err
		}
		started = append(started, p)
	}
	for _, f := range frontEnds {
		if err := waitFor(f.name+" listens", 20*time.Second, func() bool { return listens(f.port) }); err != nil {
			return started, err
		}
	}
	return started, waitFor("the registry listens", 20*time.Second, func() bool { return listens(5000) })
}

func listens(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// startSwarm runs dockerd, with a swarm of one, on the host that will be blocked.
func startSwarm(group string) (*process, error) {
	p, err := start("swarm", "dockerd", "dockerd", "--data-root", dir+"/docker", "--exec-root", dir+"/exec", "-H", "unix://"+dir+"/docker.sock", "-p", dir+"/docker.pid",
		"--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--cgroup-parent", "/"+group)
	if err != nil {
		return nil, err
	}
	if err := waitFor("dockerd answers", time.Minute, func() bool { _, err := docker("version"); return err == nil }); err != nil {
		return p, err
	}
	if out, err := docker("swarm", "init", "--advertise-addr", swarmV4); err != nil {
		return p, fmt.Errorf("docker swarm init: %w: %s", err, out)
	}
	return p, nil
}

func docker(args ...string) (string, error) {
	return run("swarm", append([]string{"docker", "-H", "unix://" + dir + "/docker.sock"}, args...)...)
}
