// Command frontends measures what a request costs the front ends of packaging/ with 100,000 blocks, beside the same server without regwarden in the same
// run. It writes bench/FRONTENDS.md; bench/frontends/run starts it in namespaces of its own.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/answer"
)

const (
	dir      = "/run/bench"
	registry = 9000
	many     = 100_000
	rounds   = 9
)

var seconds = flag.Int("seconds", 1, "how long each measurement lasts")

func main() {
	flag.Parse()
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/frontends:", err)
		os.Exit(1)
	}
}

// blocks are half IPv4 addresses of 198.18.0.0/15, which is for benchmarks, about 100 in a /24, and half IPv6 nets.
func blocks() []detector.Block {
	out := make([]detector.Block, many)
	until := time.Now().Add(6 * time.Hour)
	for i := range out {
		var p netip.Prefix
		if i%2 == 0 {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 198<<24|18<<16+uint32(i/2*2654435761%131072/2*2))
			p = netip.PrefixFrom(netip.AddrFrom4(a), 32) // the even ones
		} else {
			a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
			binary.BigEndian.PutUint32(a[4:], uint32(i))
			p = netip.PrefixFrom(netip.AddrFrom16(a), 64)
		}
		out[i] = detector.Block{Target: p, Until: until, Causes: []detector.Cause{{ID: fmt.Sprintf("%012x", i), Rule: "missing-manifest", By: "rule", Scope: detector.ScopeHost, Strike: 3, Count: 45,
			First: time.Now(), Last: time.Now(), Since: time.Now(), Until: until, Repositories: []string{"acme/web"}, References: []string{"v9"}}}}
	}
	return out
}

// client is who asks in a measurement.
type client struct{ name, address string }

var (
	free      = client{"innocent", "203.0.113.9"}
	neighbour = client{"innocent, its /24 has 100 blocked clients", "198.18.0.1"}
	six       = client{"innocent, IPv6", "2001:db8:ffff:1::9"}
	blocked   = client{"blocked", "198.18.0.0"}
)

// server is one front end to measure.
type server struct {
	name string
	port int
	pids func() []string
	asks bool // the daemon works too
	tls  bool
	base *server
}

func bench() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("run it with: make bench-frontends")
	}
	script := "mount -t tmpfs tmpfs /run && mkdir -p " + dir + " /run/haproxy && ip link set lo up"
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	servers, err := startAll()
	if err != nil {
		return err
	}
	var out strings.Builder
	out.WriteString("# What the front ends cost\n\nWritten by `make bench-frontends`. CPU (user and system, of the workers alone, from /proc) for one request, with 100,000 blocks: 50,000 IPv4 addresses and 50,000 IPv6 nets.\n")
	fmt.Fprintf(&out, "wrk with 32 connections that are kept, and a registry that answers at once. A usual nginx has TLS, the access log that regwarden reads, and a new connection to the registry\nfor each request, as nginx does by itself. The others have nothing of that, so that the difference is seen best. Each row is measured %d times for %d s, at the same time as the same server\nwithout regwarden, so that all else on the machine slows both; the factor is the median of the quotients. The daemon's own CPU stands beside it where it is asked.\n\n", rounds, *seconds)
	out.WriteString("| front end | client | server alone, us | with regwarden, us | factor | daemon, us |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, s := range servers {
		for _, c := range []client{free, neighbour, six, blocked} {
			if s.asks && (c == neighbour || c == six) || s.base == nil || c == neighbour && !strings.Contains(s.name, "files") {
				continue // it is all the same to the daemon
			}
			row, err := compare(s, c)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, c.name, err)
			}
			fmt.Print(row)
			out.WriteString(row)
		}
	}
	out.WriteString(sizes)
	return os.WriteFile("bench/FRONTENDS.md", []byte(out.String()), 0o644)
}

// sizes is what the 100,000 blocks take, filled in by startAll.
var sizes string

// compare measures a front end and the server alone in turn.
func compare(s *server, c client) (string, error) {
	var own, with, factor, daemon []float64
	for range rounds {
		// Both at the same time: what else runs on the machine then slows both down.
		var a float64
		var failed error
		var alone sync.WaitGroup
		alone.Go(func() { a, _, failed = load(s.base, c) })
		b, d, err := load(s, c)
		alone.Wait()
		if err = errors.Join(failed, err); err != nil {
			return "", err
		}
		own, with, factor, daemon = append(own, a), append(with, b), append(factor, b/a), append(daemon, d)
	}
	said := ""
	if s.asks {
		said = fmt.Sprintf("%.1f", median(daemon))
	}
	return fmt.Sprintf("| %s | %s | %.1f | %.1f | %.2f | %s |\n", s.name, c.name, median(own), median(with), median(factor), said), nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

var (
	total  = regexp.MustCompile(`(\d+) requests in`)
	failed = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
)

// load asks for some seconds and returns the microseconds of CPU that a request cost the server, and us.
func load(s *server, c client) (cost, ours float64, err error) {
	pids := s.pids()
	before, own := spent(pids), self()
	out, err := exec.Command("wrk", "-t1", "-c32", fmt.Sprintf("-d%ds", *seconds), "-H", "X-Forwarded-For: "+c.address, fmt.Sprintf("http%s://127.0.0.1:%d/v2/acme/web/manifests/v9", map[bool]string{true: "s"}[s.tls], s.port)).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, mine := spent(pids), self()
	found := total.FindSubmatch(out)
	if found == nil {
		return 0, 0, fmt.Errorf("wrk says %s", out)
	}
	n, _ := strconv.ParseFloat(string(found[1]), 64)
	refused := 0.0
	if f := failed.FindSubmatch(out); f != nil {
		refused, _ = strconv.ParseFloat(string(f[1]), 64)
	}
	if n == 0 || (c == blocked && s.base != nil) != (refused == n) || refused != 0 && refused != n {
		return 0, 0, fmt.Errorf("%v of %v requests were refused", refused, n)
	}
	return float64(after-before) / 1000 / n, float64(mine-own) / 1000 / n, nil
}

// spent is the CPU time of some processes with all their threads, in nanoseconds.
func spent(pids []string) (sum int64) {
	for _, pid := range pids {
		threads, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, name := range threads {
			text, _ := os.ReadFile(name)
			n, _ := strconv.ParseInt(strings.Fields(string(text) + " 0")[0], 10, 64)
			sum += n
		}
	}
	return sum
}

func self() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// children are the workers of a server.
func children(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return strings.Fields(string(text))
}

func listens(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// start runs a server until the bench, and with it its namespaces, ends.
func start(port int, command ...string) (int, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	log, err := os.Create(fmt.Sprintf("%s/%d.log", dir, port))
	if err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(60 * time.Second); !listens(port); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			return 0, fmt.Errorf("%s does not listen on %d: %s", command[0], port, text)
		}
	}
	return cmd.Process.Pid, nil
}

// nginx starts one. A usual one has TLS, an access log, which regwarden reads, and a new connection to the registry for each request, as nginx does by itself;
// the other has nothing of that.
func nginx(name string, port int, usual bool, http, inServer string) (*server, error) {
	where, listen, log := `proxy_pass http://registry; proxy_http_version 1.1; proxy_set_header Connection "";`, "", "off"
	if usual {
		where, listen, log = fmt.Sprintf("proxy_pass http://127.0.0.1:%d;", registry), fmt.Sprintf(" ssl; ssl_certificate %[1]s/crt; ssl_certificate_key %[1]s/key", dir), dir+"/access.log combined"
	}
	if port == registry {
		where = `return 200 "{}";`
	}
	conf := fmt.Sprintf(`pid %[1]s/%[2]d.pid; error_log stderr; daemon off; worker_processes 1; events { worker_connections 1024; }
http { access_log %[6]s; client_body_temp_path %[1]s/a%[2]d; proxy_temp_path %[1]s/b%[2]d; fastcgi_temp_path %[1]s/c%[2]d; uwsgi_temp_path %[1]s/d%[2]d; scgi_temp_path %[1]s/e%[2]d;
	set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; keepalive_requests 100000000;
	upstream registry { server 127.0.0.1:9000; keepalive 64; }
	%[3]s
	server { listen 127.0.0.1:%[2]d%[7]s;
		%[4]s
		location / { %[5]s } } }
`, dir, port, http, inServer, where, log, listen)
	path := fmt.Sprintf("%s/%d.conf", dir, port)
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	pid, err := start(port, "nginx", "-c", path)
	return &server{name: name, port: port, tls: usual, pids: func() []string { return children(pid) }}, err
}

func shipped(name string, replace ...string) string {
	text, err := os.ReadFile("packaging/" + name)
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

func startAll() ([]*server, error) {
	ctx := context.Background()
	text, err := answer.NewText("", "https://registry.example.org/unblock/{id}")
	if err != nil {
		return nil, err
	}
	text.SetRules(map[string]answer.Rule{"missing-manifest": {Words: "asked {count} times for {what}, which does not exist", Limit: 5}})
	say := func(b detector.Block, repository string, now time.Time) (actions.Answer, bool) {
		n, concerned := text.Concerning(&b, repository, false, now)
		if !concerned {
			return actions.Answer{}, false
		}
		message, body := text.JSON(n)
		return actions.Answer{Body: body, Message: message, Until: n.Cause.Until}, true
	}
	list := blocks()
	if err := os.WriteFile(dir+"/geo", nil, 0o644); err != nil {
		return nil, err
	}
	files, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: dir + "/answers", Answers: say})
	if err != nil {
		return nil, err
	}
	geo, err := actions.NewNginxGeo(actions.NginxGeoOptions{Name: "nginx-geo", Path: dir + "/geo", Reload: []string{"/bin/true"}, Answers: say})
	if err != nil {
		return nil, err
	}
	endpoint := answer.NewEndpoint(answer.EndpointOptions{Name: "answer-endpoint", Text: text, Socket: dir + "/answer.sock", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	took := map[string]time.Duration{}
	for _, a := range []interface {
		Name() string
		Sync(context.Context, []detector.Block) error
	}{files, geo, endpoint.Held} {
		begun := time.Now()
		if err := a.Sync(ctx, list); err != nil {
			return nil, err
		}
		took[a.Name()] = time.Since(begun)
	}
	go func() { _ = endpoint.Serve(ctx) }()
	for os.Chmod(dir+"/answer.sock", 0o666) != nil {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := nginx("registry", registry, false, "", ""); err != nil {
		return nil, err
	}
	client := shipped("nginx/client.conf")
	alone, err := nginx("nginx alone", 9001, false, "", "")
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", dir+"/key", "-out", dir+"/crt", "-days", "2", "-subj", "/CN=registry.example.org").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("openssl: %w: %s", err, out)
	}
	usual, err := nginx("usual nginx alone", 9005, true, "", "")
	if err != nil {
		return nil, err
	}
	servers := []*server{}
	for i, f := range []struct {
		name, http, server string
		asks               bool
		base               *server
	}{
		{"nginx, answer files", client + shipped("nginx/answer-files-http.conf"), shipped("nginx/answer-files-server.conf", "/run/regwarden/answers", dir+"/answers"), false, alone},
		{"nginx, answer files, open_file_cache of 1 s", client + shipped("nginx/answer-files-http.conf"), shipped("nginx/answer-files-server.conf", "/run/regwarden/answers", dir+"/answers") +
			"open_file_cache max=20000 inactive=20s; open_file_cache_valid 1s; open_file_cache_errors on;\n", false, alone},
		{"usual nginx, answer files", client + shipped("nginx/answer-files-http.conf"), shipped("nginx/answer-files-server.conf", "/run/regwarden/answers", dir+"/answers"), false, usual},
		{"nginx, geo", shipped("nginx/geo-http.conf", "/var/opt/gitlab/nginx/conf/regwarden.geo", dir+"/geo"), shipped("nginx/geo-server.conf"), false, alone},
		{"nginx, auth_request", shipped("nginx/auth-http.conf", "/run/regwarden/answer.sock", dir+"/answer.sock"), shipped("nginx/auth-server.conf"), true, alone},
	} {
		s, err := nginx(f.name, 9031+i, f.base.tls, f.http, f.server)
		if err != nil {
			return nil, err
		}
		s.base, s.asks = f.base, f.asks
		servers = append(servers, s)
	}
	more, err := others(ctx, say, list, took)
	if err != nil {
		return nil, err
	}
	rss := func(s *server) int {
		for _, pid := range s.pids() {
			text, _ := os.ReadFile("/proc/" + pid + "/status")
			_, rest, _ := strings.Cut(string(text), "VmRSS:")
			if f := strings.Fields(rest); len(f) > 0 {
				n, _ := strconv.Atoi(f[0])
				return n >> 10
			}
		}
		return 0
	}
	used, _ := exec.Command("sh", "-c", "du -sm "+dir+"/answers | cut -f1").Output()
	sizes = fmt.Sprintf("\n100,000 blocks are brought into the answer files in %v (%s MiB of tmpfs), into the include of geo in %v without nginx's reload (its worker then holds %d MiB), into HAProxy's maps in %v (it holds %d MiB).\n",
		took["answer-files"].Round(10*time.Millisecond), strings.TrimSpace(string(used)), took["nginx-geo"].Round(10*time.Millisecond), rss(servers[3]), took["haproxy"].Round(10*time.Millisecond), rss(more[0]))
	return append(servers, more...), nil
}

// others are HAProxy and Caddy.
func others(ctx context.Context, say actions.Answers, list []detector.Block, took map[string]time.Duration) ([]*server, error) {
	for _, name := range []string{"map", "repositories"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o644); err != nil {
			return nil, err
		}
	}
	haproxy := func(name string, port int, lines string) (*server, error) {
		conf := fmt.Sprintf("global\n    stats socket %[1]s/%[2]d.sock mode 600 level admin\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    timeout server 60s\nfrontend f\n    bind 127.0.0.1:%[2]d\n    http-request set-src hdr_ip(x-forwarded-for,-1) if { src 127.0.0.1 }\n%[3]s\n    default_backend r\nbackend r\n    server r 127.0.0.1:%[4]d\n", dir, port, lines, registry)
		path := fmt.Sprintf("%s/%d.cfg", dir, port)
		if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
			return nil, err
		}
		pid, err := start(port, "haproxy", "-f", path)
		return &server{name: name, port: port, pids: func() []string { return []string{fmt.Sprint(pid)} }}, err
	}
	bare, err := haproxy("HAProxy alone", 9011, "")
	if err != nil {
		return nil, err
	}
	full, err := haproxy("HAProxy, maps", 9012, shipped("haproxy/frontend.cfg", "/etc/haproxy/regwarden.map", dir+"/map", "/etc/haproxy/regwarden-repositories.map", dir+"/repositories"))
	if err != nil {
		return nil, err
	}
	full.base = bare
	a, err := actions.NewHAProxy(actions.HAProxyOptions{Name: "haproxy", Socket: dir + "/9012.sock", Map: dir + "/map", Repositories: dir + "/repositories", Answers: say})
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := a.Sync(ctx, list); err != nil {
		return nil, err
	}
	took["haproxy"] = time.Since(begun)
	caddy := func(name string, port int, text string) (*server, error) {
		path := fmt.Sprintf("%s/%d.caddy", dir, port)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
		pid, err := start(port, "caddy", "run", "--adapter", "caddyfile", "--config", path)
		return &server{name: name, port: port, pids: func() []string { return []string{fmt.Sprint(pid)} }}, err
	}
	head := "{\n\tadmin off\n\tauto_https off\n}\nhttp://:%d {\n\tbind 127.0.0.1"
	plain, err := caddy("Caddy alone", 9021, fmt.Sprintf(head+"\n\treverse_proxy 127.0.0.1:%d\n}\n", 9021, registry))
	if err != nil {
		return nil, err
	}
	asking, err := caddy("Caddy, forward_auth", 9022, shipped("caddy/Caddyfile", "registry.example.org {", fmt.Sprintf(head, 9022), "/run/regwarden/answer.sock", dir+"/answer.sock", "127.0.0.1:5000", fmt.Sprintf("127.0.0.1:%d", registry), "uri /forward\n", "uri /forward\n\t\t\ttrusted_proxies 127.0.0.1/32\n"))
	if err != nil {
		return nil, err
	}
	asking.base, asking.asks = plain, true
	return []*server{full, asking}, nil
}
