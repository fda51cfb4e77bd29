package actions_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/actions"
)

// written returns the path of a list of the sample in that format.
func written(t *testing.T, format string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.conf")
	b := blocklist(t, actions.BlocklistFile{Path: path, Format: format})
	if err := b.Sync(t.Context(), sample()); err != nil {
		t.Fatal(err)
	}
	return path
}

// tool returns where a program is, or skips.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	t.Skipf("SKIPPED: %s is not installed; install it and run: go test -run %s ./actions", name, t.Name())
	return ""
}

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestNginxTakesTheLists(t *testing.T) {
	nginx := tool(t, "nginx")
	for format, http := range map[string]string{
		"nginx-deny": "include %s;",
		"nginx-geo":  "geo $blocked { default 0; include %s; }",
	} {
		dir := t.TempDir()
		conf := fmt.Sprintf("pid %s/pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; "+
			"fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n"+http+"\n}\n", dir, written(t, format))
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "", nginx, "-t", "-q", "-p", dir, "-c", path)
	}
}

func TestHAProxyTakesTheList(t *testing.T) {
	haproxy := tool(t, "haproxy")
	conf := fmt.Sprintf("defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:18080\n"+
		" acl blocked src -f %s\n http-request deny if blocked\n", written(t, "haproxy"))
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", haproxy, "-c", "-f", path)
}

func TestIPSetTakesTheListTwice(t *testing.T) {
	ipset, unshare := tool(t, "ipset"), tool(t, "unshare")
	list := read(t, written(t, "ipset"))
	inside := []string{"--user", "--map-root-user", "--net", "sh", "-c"}
	if out, err := exec.Command(unshare, append(inside, ipset+" list")...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: ipset cannot run in a network namespace here (%s); as root with the ip_set module run: go test -run %s ./actions", strings.TrimSpace(string(out)), t.Name())
	}
	script := `cat >"$0" && IP restore <"$0" && IP restore <"$0" && IP save`
	out := run(t, list, unshare, append(inside, strings.ReplaceAll(script, "IP", ipset), filepath.Join(t.TempDir(), "list"))...)
	for _, want := range []string{"add regwarden4 198.51.100.0/24 timeout", "add regwarden4 203.0.113.7 timeout", "add regwarden6 2001:db8:1::/64 timeout"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "-new") {
		t.Errorf("want the second sets gone, got\n%s", out)
	}
}
