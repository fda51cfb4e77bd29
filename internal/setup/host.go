// Package setup looks at a host and writes a first configuration for it: which logs of a registry there are and whether their lines name
// clients, which firewall, whether Docker runs, whether a proxy stands in front. Everything that is written says what was seen. It changes nothing.
package setup

import (
	"bufio"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Host is what was seen.
type Host struct {
	// Root is where the host's files are: "/" for this host.
	Root string
	// Logs are those that are worth following, Left those that are not, with the reason in Why.
	Logs, Left []Log
	Firewall   Firewall
	// Docker is what shows that Docker runs; "" if nothing does.
	Docker string
	// SSH is the journal's unit of the ssh server; "" if there is none.
	SSH string
	// Proxies are the addresses that the host's own configuration says to be proxies, and ProxiesFrom where it does.
	Proxies     []netip.Prefix
	ProxiesFrom []string
}

// Log is a log file or a journal's unit.
type Log struct {
	Name string
	// Path is a path or pattern on the host, without the root; Unit is a journal's unit instead.
	Path, Unit string
	// What says what it is.
	What string
	// Kind is what the source must be taken for; "" for what its lines say.
	Kind string
	// Why says why it is left out.
	Why    string
	Sample Sample
}

// place is where a log may be.
type place struct {
	name, pattern, what string
	// requests wants at least one request to a registry among its lines: a web server's log may be of other sites.
	requests bool
	// behind names the place whose log has the same requests with a better address.
	behind string
}

// places are tried in this order: of two logs with the same requests the first is kept.
var places = []place{
	{name: "registry-nginx", pattern: "/var/log/gitlab/nginx/gitlab_registry_access.log", what: "GitLab (Linux package): nginx in front of the registry"},
	{name: "gitlab-nginx", pattern: "/var/log/gitlab/nginx/gitlab_access.log", what: "GitLab (Linux package): nginx in front of GitLab"},
	{name: "gitlab", pattern: "/var/log/gitlab/gitlab-rails/production_json.log", what: "GitLab (Linux package): requests to GitLab, tokens among them"},
	{name: "gitlab-auth", pattern: "/var/log/gitlab/gitlab-rails/auth_json.log", what: "GitLab (Linux package): throttles and refused passwords"},
	{name: "gitlab-auth-old", pattern: "/var/log/gitlab/gitlab-rails/auth.log", what: "GitLab (Linux package, before 16): throttles and refused passwords"},
	{name: "registry", pattern: "/var/log/gitlab/registry/current", what: "GitLab (Linux package): the registry itself", behind: "registry-nginx"},
	{name: "source-registry-nginx", pattern: "/var/log/nginx/gitlab_registry_access.log", what: "GitLab (from source): nginx in front of the registry"},
	{name: "source-nginx", pattern: "/var/log/nginx/gitlab_access.log", what: "GitLab (from source): nginx in front of GitLab"},
	{name: "source-gitlab", pattern: "/home/git/gitlab/log/production_json.log", what: "GitLab (from source): requests to GitLab, tokens among them"},
	{name: "source-auth", pattern: "/home/git/gitlab/log/auth_json.log", what: "GitLab (from source): throttles and refused passwords"},
	{name: "source-auth-old", pattern: "/home/git/gitlab/log/auth.log", what: "GitLab (from source): throttles and refused passwords"},
	{name: "ingress", pattern: "/var/log/containers/*nginx-ingress*_controller-*.log", what: "Kubernetes: the ingress in front of GitLab", requests: true},
	{name: "webservice", pattern: "/var/log/containers/*_webservice-*.log", what: "GitLab (Helm): requests to GitLab, tokens among them"},
	{name: "registry-pods", pattern: "/var/log/containers/*_registry-*.log", what: "Kubernetes: the registry itself", behind: "ingress"},
	{name: "ingress-pods", pattern: "/var/log/pods/*nginx-ingress*/controller/*.log", what: "Kubernetes: the ingress in front of GitLab", requests: true, behind: "ingress"},
	{name: "webservice-pods", pattern: "/var/log/pods/*/webservice/*.log", what: "GitLab (Helm): requests to GitLab, tokens among them", behind: "webservice"},
	{name: "registry-pods-direct", pattern: "/var/log/pods/*/registry/*.log", what: "Kubernetes: the registry itself", behind: "registry-pods"},
	{name: "harbor", pattern: "/var/log/harbor/proxy.log", what: "Harbor: its nginx"},
	{name: "harbor-registry", pattern: "/var/log/harbor/registry.log", what: "Harbor: the registry itself", behind: "harbor"},
	{name: "nginx", pattern: "/var/log/nginx/access.log", what: "nginx", requests: true},
	{name: "nginx-sites", pattern: "/var/log/nginx/*access*.log", what: "nginx, a log of one site", requests: true},
	{name: "docker-registry-file", pattern: "/var/log/docker-registry/*.log", what: "docker-registry: the registry itself"},
}

// Look looks at the host whose files are below root.
func Look(ctx context.Context, root string) *Host {
	h := &Host{Root: root}
	taken := map[string]bool{}
	for _, p := range places {
		files := h.glob(p.pattern)
		files = slices.DeleteFunc(files, func(f string) bool { return taken[f] })
		if len(files) == 0 {
			continue
		}
		path := p.pattern
		if len(files) == 1 && !strings.HasPrefix(path, "/var/log/containers/") && !strings.HasPrefix(path, "/var/log/pods/") {
			path = files[0] // containers come and go with their files
		}
		if p.name == "nginx-sites" {
			for _, f := range files {
				h.consider(p, strings.TrimSuffix(filepath.Base(f), ".log"), f, []string{f})
			}
			continue
		}
		for _, f := range files {
			taken[f] = true
		}
		h.consider(p, p.name, path, files)
	}
	h.containers()
	h.units(ctx)
	h.firewall()
	h.docker()
	h.proxies()
	if h.proxied() {
		h.Firewall.Problem = "a proxy stands in front, so the kernel sees the proxy's packets and none of the blocked client's"
	}
	return h
}

// proxied says whether another host's proxy stands in front: the host's own configuration names one, or a log has hardly any other client.
func (h *Host) proxied() bool {
	for _, l := range h.Logs {
		n, nearlyAll := l.Sample.private()
		for _, a := range l.Sample.busiest(n) {
			if nearlyAll && n <= fewProxies && !a.IsLoopback() {
				return true
			}
		}
	}
	return len(h.Proxies) > 0
}

// consider reads some of a log's lines and keeps it, or says why not.
func (h *Host) consider(p place, name, path string, files []string) {
	l := Log{Name: name, Path: path, What: p.what}
	if !plain(path) {
		l.Path, l.Why = "a log in "+filepath.Dir(p.pattern), "its name has characters that no log's name should have"
		h.Left = append(h.Left, l)
		return
	}
	for _, f := range files[:min(len(files), mostFiles)] {
		l.Sample.file(h.path(f))
	}
	if p.requests && l.Sample.Registry == 0 {
		l.Why = "none of the lines that were looked at is a request to a registry"
	}
	for _, other := range h.Logs {
		switch {
		case other.Name == p.behind:
			l.Why = "it has the same requests as " + other.Path + ", which would be counted twice; that one knows the clients better"
		case l.Sample.same(&other.Sample):
			l.Why = "it has the same requests as " + other.Path + ", which would be counted twice"
		}
	}
	h.keep(l)
}

func (h *Host) keep(l Log) {
	if l.Why != "" {
		h.Left = append(h.Left, l)
		return
	}
	if l.Sample.ownRegistry() {
		l.Kind = "access" // nothing else names the clients of this registry
	}
	h.Logs = append(h.Logs, l)
}

// front says whether a web server's log with requests to a registry is followed already.
func (h *Host) front() string {
	for _, l := range h.Logs {
		if l.Sample.Registry > 0 && l.Sample.access {
			return l.Path
		}
	}
	return ""
}

// containers looks for registries that Docker runs: their logs are named by IDs.
func (h *Host) containers() {
	for n, f := range h.glob("/var/lib/docker/containers/*/config.v2.json") {
		var c struct {
			Name   string
			Config struct{ Image string }
		}
		text, err := os.ReadFile(h.path(f))
		if err != nil || json.Unmarshal(text, &c) != nil || !registryImage.MatchString(c.Config.Image) || n >= 10_000 {
			continue
		}
		dir := filepath.Dir(f)
		l := Log{Name: "container-" + filepath.Base(dir)[:min(12, len(filepath.Base(dir)))], Path: filepath.Join(dir, filepath.Base(dir)+"-json.log"), What: "Docker: a container of " + c.Config.Image}
		if !plain(l.Path) {
			continue
		}
		l.Sample.file(h.path(l.Path))
		if other := h.front(); other != "" {
			l.Why = "it is behind the web server of " + other + ", whose requests would be counted twice"
		}
		h.keep(l)
	}
}

// registryImage is a name of the distribution's images; the name has no other characters, so that it may be written into a comment.
var registryImage = regexp.MustCompile(`^([a-zA-Z0-9._:/-]+/)?(registry|distribution)(:[a-zA-Z0-9._-]+)?(@sha256:[0-9a-f]+)?$`)

// units looks for servers that log to the journal.
func (h *Host) units(ctx context.Context) {
	if h.unit("docker-registry.service") {
		l := Log{Name: "docker-registry", Unit: "docker-registry.service", What: "docker-registry: the registry itself, in the journal"}
		if h.Root == "/" {
			l.Sample.journal(ctx, l.Unit)
		}
		if other := h.front(); other != "" {
			l.Why = "it is behind the web server of " + other + ", whose requests would be counted twice"
		} else if l.Sample.Lines == 0 {
			l.Kind = "access" // a new registry has not said anything yet
		}
		h.keep(l)
	}
	for _, u := range []string{"ssh.service", "sshd.service"} {
		if h.SSH == "" && h.unit(u) {
			h.SSH = u
		}
	}
}

func (h *Host) unit(name string) bool {
	return h.has("/lib/systemd/system/"+name) || h.has("/usr/lib/systemd/system/"+name) || h.has("/etc/systemd/system/"+name)
}

func (h *Host) docker() {
	for _, f := range []string{"/run/docker.sock", "/var/run/docker.sock", "/run/docker.pid"} {
		if h.has(f) {
			h.Docker = f
			return
		}
	}
}

// proxyFiles are where web servers and GitLab are told of proxies in front, and the lines that do.
var proxyFiles = []struct {
	pattern string
	line    *regexp.Regexp
}{
	{"/etc/nginx/nginx.conf", realIP}, {"/etc/nginx/conf.d/*.conf", realIP}, {"/etc/nginx/sites-enabled/*", realIP}, {"/var/opt/gitlab/nginx/conf/*.conf", realIP},
	{"/etc/gitlab/gitlab.rb", regexp.MustCompile(`^\s*(?:(?:registry_)?nginx\['real_ip_trusted_addresses'\]|gitlab_rails\['trusted_proxies'\])\s*=\s*(.*)`)},
}

var (
	realIP  = regexp.MustCompile(`^\s*set_real_ip_from\s+([0-9a-fA-F.:/]+)\s*;`)
	network = regexp.MustCompile(`[0-9a-fA-F.:]+(?:/[0-9]+)?`)
)

// proxies reads which proxies the host's own configuration trusts.
func (h *Host) proxies() {
	for _, p := range proxyFiles {
		for _, f := range h.glob(p.pattern) {
			for line := range h.lines(f) {
				m := p.line.FindStringSubmatch(line)
				if m == nil {
					continue
				}
				for _, text := range network.FindAllString(m[1], -1) {
					h.proxy(text, f)
				}
			}
		}
	}
}

func (h *Host) proxy(text, from string) {
	p, err := netip.ParsePrefix(text)
	if a, bad := netip.ParseAddr(text); bad == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || p.Bits() == 0 || p.Addr().IsLoopback() || p.Addr().IsUnspecified() || slices.Contains(h.Proxies, p.Masked()) || len(h.Proxies) == mostProxies || !plain(from) {
		return // a network of everybody would protect everybody
	}
	h.Proxies = append(h.Proxies, p.Masked())
	if !slices.Contains(h.ProxiesFrom, from) {
		h.ProxiesFrom = append(h.ProxiesFrom, from)
	}
}

// The bounds of a look.
const (
	mostFiles   = 8 // of a pattern that are read
	mostProxies = 64
	journalTime = 10 * time.Second
)

func (h *Host) path(p string) string { return filepath.Join(h.Root, p) }

func (h *Host) has(p string) bool {
	_, err := os.Lstat(h.path(p))
	return err == nil
}

// glob returns the files of a pattern, without the root.
func (h *Host) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(quoteGlob(h.Root), pattern))
	var out []string
	for _, f := range found {
		if info, err := os.Stat(f); err != nil || !info.Mode().IsRegular() {
			continue
		}
		rel, err := filepath.Rel(h.Root, f)
		if err == nil {
			out = append(out, "/"+rel)
		}
	}
	return out
}

var globMeta = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`)

func quoteGlob(path string) string { return globMeta.Replace(path) }

// lines gives out the lines of a small text file.
func (h *Host) lines(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		f, err := os.Open(h.path(path))
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan() && yield(s.Text()); {
		}
	}
}

func (h *Host) firstLine(path string) string {
	for line := range h.lines(path) {
		return line
	}
	return ""
}

// plain says whether a path can be written into the configuration as it is.
func plain(path string) bool {
	return !strings.ContainsFunc(path, func(r rune) bool { return r == '"' || r == '\\' || r > unicode.MaxASCII || !unicode.IsPrint(r) })
}

// journal reads a unit's last lines.
func (s *Sample) journal(ctx context.Context, unit string) {
	ctx, cancel := context.WithTimeout(ctx, journalTime)
	defer cancel()
	text, err := exec.CommandContext(ctx, "journalctl", "--unit="+unit, "--lines=2000", "--output=short-iso", "--no-pager", "--quiet").Output()
	if err != nil {
		s.Error = "journalctl: " + err.Error()
		return
	}
	s.read(text)
}
