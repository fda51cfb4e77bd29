package setup_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"regwarden/internal/config"
	"regwarden/internal/setup"
)

// incident is a recorded incident of a GitLab host.
const incident = "../replay/testdata/incident/"

// real are logs of real registries.
const real = "../../sources/format/testdata/real/"

// root makes a host of files: their text, or @ and the path of the file to copy.
func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if from, ok := strings.CutPrefix(text, "@"); ok {
			data, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			text = string(data)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// requests are lines of nginx from clients, one of each in turn.
func requests(n int, clients ...string) string {
	var b strings.Builder
	for i := range n {
		at := time.Date(2026, 10, 5, 8, 0, i, 0, time.UTC)
		fmt.Fprintf(&b, "%s - - [%s] \"GET /v2/acme/web/manifests/v%d HTTP/1.1\" 200 93 \"-\" \"docker/27.5.1\"\n", clients[i%len(clients)], at.Format("02/Jan/2006:15:04:05 -0700"), i)
	}
	return b.String()
}

func TestWhatIsFound(t *testing.T) {
	many := []string{}
	for i := range 12 {
		many = append(many, fmt.Sprintf("10.1.2.%d", i+1))
	}
	cri := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			b.WriteString("2026-10-05T08:00:00.000000000Z stdout F " + line)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		files map[string]string
		paths []string // that are followed
		say   []string // that stands in the text
		not   []string
	}{
		"GitLab's Linux package": {
			files: map[string]string{
				"var/log/gitlab/nginx/gitlab_registry_access.log":      "@" + incident + "gitlab_registry_access.log",
				"var/log/gitlab/gitlab-rails/production_json.log":      "@" + incident + "production_json.log",
				"var/log/gitlab/gitlab-rails/auth_json.log":            "@" + incident + "auth.log",
				"var/log/gitlab/registry/current":                      "@" + real + "svlogd-registry-text.current",
				"etc/ufw/ufw.conf":                                     "ENABLED=yes\n",
				"run/docker.sock":                                      "",
				"etc/systemd/system/multi-user.target.wants/x.service": "",
			},
			paths: []string{"/var/log/gitlab/nginx/gitlab_registry_access.log", "/var/log/gitlab/gitlab-rails/production_json.log", "/var/log/gitlab/gitlab-rails/auth_json.log"},
			say: []string{"# - /var/log/gitlab/registry/current: it has the same requests as /var/log/gitlab/nginx/gitlab_registry_access.log", "ufw is installed and on",
				"# Docker runs (/run/docker.sock)", "[actions.nftables]", "No sign of a proxy in front", "block_private = false", "0 in a form that is not known"},
		},
		"GitLab from source": {
			files: map[string]string{"var/log/nginx/gitlab_registry_access.log": requests(30, "203.0.113.7"), "home/git/gitlab/log/production_json.log": "@" + incident + "production_json.log"},
			paths: []string{"/var/log/nginx/gitlab_registry_access.log", "/home/git/gitlab/log/production_json.log"},
		},
		"GitLab in Kubernetes": {
			files: map[string]string{
				"var/log/containers/gitlab-nginx-ingress-controller-abc_gitlab_controller-1.log": cri(requests(30, "203.0.113.7")),
				"var/log/containers/gitlab-webservice-default-abc_gitlab_webservice-2.log":       "@" + incident + "production_json.log",
				"var/log/containers/gitlab-registry-abc_gitlab_registry-3.log":                   "@" + real + "gitlab-registry-json.log",
				"var/log/pods/gitlab_gitlab-webservice_1/webservice/0.log":                       "@" + incident + "production_json.log",
			},
			paths: []string{"/var/log/containers/*nginx-ingress*_controller-*.log", "/var/log/containers/*_webservice-*.log"},
			say:   []string{"# - /var/log/containers/*_registry-*.log: it has the same requests", "# - /var/log/pods/*/webservice/*.log: it has the same requests"},
		},
		"a registry in Docker": {
			files: map[string]string{
				"var/lib/docker/containers/0123456789abcdef/config.v2.json":                 `{"Config":{"Image":"registry:2"}}`,
				"var/lib/docker/containers/0123456789abcdef/0123456789abcdef-json.log":      "@" + real + "registry-v2-json.stderr.log",
				"var/lib/docker/containers/fedcba9876543210/config.v2.json":                 `{"Config":{"Image":"postgres:17"}}`,
				"var/lib/docker/containers/fedcba9876543210/fedcba9876543210-json.log":      "",
				"var/lib/docker/containers/aaaaaaaaaaaaaaaa/config.v2.json":                 `{"Config":{"Image":"evil\n[[source]]/registry:2"}}`,
				"var/lib/docker/containers/aaaaaaaaaaaaaaaa/aaaaaaaaaaaaaaaa-json.log":      "",
				"var/lib/docker/containers/bbbbbbbbbbbbbbbb\nx = 1/config.v2.json":          `{"Config":{"Image":"registry:2"}}`,
				"var/lib/docker/containers/bbbbbbbbbbbbbbbb\nx = 1/bbbbbbbbbbbbbbb-json.lo": "",
			},
			paths: []string{"/var/lib/docker/containers/0123456789abcdef/0123456789abcdef-json.log"},
			say:   []string{`kind = "access"`},
			not:   []string{"evil"},
		},
		"a registry whose own lines prove nothing": {
			files: map[string]string{"var/log/docker-registry/registry.log": "@" + real + "docker-json-file.registry-v2.log"},
			paths: []string{"/var/log/docker-registry/registry.log"},
			say:   []string{"with a client's address"},
		},
		"Harbor": {
			files: map[string]string{"var/log/harbor/proxy.log": requests(30, "203.0.113.7"), "var/log/harbor/registry.log": "x\n"},
			paths: []string{"/var/log/harbor/proxy.log"},
			say:   []string{"# - /var/log/harbor/registry.log: it has the same requests as /var/log/harbor/proxy.log"},
		},
		"nginx with two logs of the same requests, and another site": {
			files: map[string]string{"var/log/nginx/access.log": requests(30, "203.0.113.7"), "var/log/nginx/registry.access.log": requests(30, "203.0.113.7"),
				"var/log/nginx/shop-access.log": strings.ReplaceAll(requests(30, "203.0.113.7"), "/v2/", "/shop/")},
			paths: []string{"/var/log/nginx/access.log"},
			say: []string{"# - /var/log/nginx/registry.access.log: it has the same requests as /var/log/nginx/access.log",
				"# - /var/log/nginx/shop-access.log: none of the lines that were looked at is a request to a registry"},
		},
		"docker-registry in the journal": {
			files: map[string]string{"lib/systemd/system/docker-registry.service": "", "lib/systemd/system/ssh.service": ""},
			say:   []string{"units = [\"docker-registry.service\"]\n# the only log that names this registry's clients: the rules take it for an access log\nkind = \"access\"", `# units = ["ssh.service"]`},
		},
		"a proxy in front": {
			files: map[string]string{"var/log/nginx/access.log": requests(50, "10.0.0.5")},
			paths: []string{"/var/log/nginx/access.log"},
			say: []string{"A reverse proxy or load balancer", `trusted_proxies = ["10.0.0.5"]`, "block_private = false", "50 of those requests come from private",
				"the kernel sees the proxy's packets", "[[actions.blocklist]]"},
			not: []string{"No sign of a proxy", "\n[actions.nftables]"},
		},
		"clients in the house": {
			files: map[string]string{"var/log/nginx/access.log": requests(60, many...)},
			paths: []string{"/var/log/nginx/access.log"},
			say:   []string{"come from 12 private addresses", "block_private = true", "trusted_proxies = []"},
		},
		"proxies that the host names": {
			files: map[string]string{"var/log/nginx/access.log": requests(50, "203.0.113.7", "198.51.100.8"),
				"etc/nginx/conf.d/real.conf": "  set_real_ip_from 192.0.2.0/24;\nset_real_ip_from 0.0.0.0/0;\nset_real_ip_from unix:;\n# set_real_ip_from 192.0.2.99;\n",
				"etc/gitlab/gitlab.rb":       "nginx['real_ip_trusted_addresses'] = ['198.51.100.1', '192.0.2.0/24', '127.0.0.1']\n"},
			paths: []string{"/var/log/nginx/access.log"},
			say:   []string{`trusted_proxies = ["192.0.2.0/24", "198.51.100.1"]`, "as /etc/nginx/conf.d/real.conf and /etc/gitlab/gitlab.rb has them", "[[actions.blocklist]]"},
			not:   []string{"\n[actions.nftables]"},
		},
		"lines that nobody knows": {
			files: map[string]string{"var/log/gitlab/nginx/gitlab_registry_access.log": strings.Repeat("what is this\n", 40)},
			paths: []string{"/var/log/gitlab/nginx/gitlab_registry_access.log"},
			say:   []string{"40 in a form that is not known", "regwarden explain"},
		},
		"nothing": {say: []string{"No log of a registry was found", "no tool of a firewall is installed"}, paths: []string{"/var/log/gitlab/nginx/gitlab_registry_access.log"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(setup.Look(t.Context(), root(t, c.files)).Config("test"))
			got, err := config.Parse("/etc/regwarden/regwarden.toml", []byte(text))
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			var paths []string
			for _, s := range got.Sources {
				paths = append(paths, s.Paths...)
			}
			if !slices.Equal(paths, c.paths) || !got.DryRun {
				t.Errorf("want %q followed in a dry run, got %q, dry run %v", c.paths, paths, got.DryRun)
			}
			for _, say := range c.say {
				if !strings.Contains(text, say) {
					t.Errorf("want it to say %q", say)
				}
			}
			for _, say := range c.not {
				if strings.Contains(text, say) {
					t.Errorf("it must not say %q", say)
				}
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

// TestAKernelThatCannotBlock leaves the firewall in the file as a comment.
func TestAKernelThatCannotBlock(t *testing.T) {
	h := setup.Look(t.Context(), root(t, nil))
	h.Firewall.Problem = "nftables: CAP_NET_ADMIN is missing"
	c, err := config.Parse("/f.toml", h.Config("test"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Actions.NFTables != nil || len(c.Actions.Blocklists) != 1 {
		t.Errorf("got %+v\n%s", c.Actions, h.Config("test"))
	}
}
