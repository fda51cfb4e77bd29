package actions_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
)

// dockerHost is a real Docker daemon in the lab's server, with all that it writes in a directory of the test and mounts of its own.
type dockerHost struct {
	t   *testing.T
	lab *netlab.Lab
	dir string
}

func startDocker(t *testing.T, l *netlab.Lab) *dockerHost {
	t.Helper()
	for _, program := range []string{"dockerd", "docker", "containerd", "runc", "docker-proxy"} {
		netlab.NeedCommand(t, program, "docker.io")
	}
	netlab.NeedCommand(t, "go", "golang")
	d := &dockerHost{t: t, lab: l, dir: t.TempDir()}
	const script = `set -eu
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$1/data"
mkdir "$1/data/upper" "$1/data/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/data/upper,workdir=$1/data/work" /etc
rm -f /etc/docker/daemon.json
exec dockerd --data-root "$1/data/docker" --exec-root "$1/exec" -H "unix://$1/s" -p "$1/pid" --storage-driver vfs --bip 192.0.2.129/26 --cgroup-parent "/$2"`
	if err := os.Mkdir(filepath.Join(d.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	group := fmt.Sprintf("regwarden-test-%d", os.Getpid())
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, "sh", d.dir, group)
	cmd.Stdout, cmd.Stderr = log, log
	l.Server.Run(t, func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		d.try("rm", "-f", "registry")
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("dockerd does not end")
			cmd.Process.Kill()
			<-ended
		}
		for _, pattern := range []string{"/sys/fs/cgroup/" + group, "/sys/fs/cgroup/*/" + group} {
			left, _ := filepath.Glob(pattern)
			for _, dir := range left {
				os.Remove(dir)
			}
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s", text[max(0, len(text)-3000):])
		}
	})
	for deadline := time.Now().Add(60 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if _, err := d.try("version"); err == nil {
			return d
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd ended: %s", text[max(0, len(text)-3000):])
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("dockerd does not answer")
		}
	}
}

func (d *dockerHost) try(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"-H", "unix://" + d.dir + "/s"}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (d *dockerHost) do(args ...string) string {
	d.t.Helper()
	out, err := d.try(args...)
	if err != nil {
		d.t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// publish runs a container, whose process does nothing, with its port published, and returns its network namespace.
func (d *dockerHost) publish(host, container uint16) *netlab.Namespace {
	d.t.Helper()
	source, program := filepath.Join(d.dir, "main.go"), filepath.Join(d.dir, "idle")
	if err := os.WriteFile(source, []byte("package main\nimport \"time\"\nfunc main() { time.Sleep(time.Hour) }\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		d.t.Fatalf("build: %v: %s", err, out)
	}
	tar := filepath.Join(d.dir, "image.tar")
	if out, err := exec.Command("tar", "-C", d.dir, "-cf", tar, "idle").CombinedOutput(); err != nil {
		d.t.Fatalf("tar: %v: %s", err, out)
	}
	d.do("import", tar, "idle:1")
	d.do("run", "-d", "--name", "registry", "-p", fmt.Sprintf("%d:%d", host, container), "idle:1", "/idle")
	pid, err := strconv.Atoi(d.do("inspect", "-f", "{{.State.Pid}}", "registry"))
	if err != nil || pid == 0 {
		d.t.Fatalf("the container does not run: %v", err)
	}
	return netlab.Of(d.t, "docker's container", pid)
}

// TestDockersPublishedPortsAreCovered by both actions, with a real Docker daemon: its translation comes after our blocks, and ports are those that the
// client sees. Check tells so.
func TestDockersPublishedPortsAreCovered(t *testing.T) {
	l := netlab.Standard(t)
	netlab.NeedCommand(t, "iptables", "iptables")
	d := startDocker(t, l)
	echo(t, d.publish(443, 5000), 5000)
	reaches := func(what string, from netip.Addr, want bool) {
		t.Helper()
		to := netip.AddrPortFrom(netlab.ServerV4, 443)
		if from.Is6() {
			to = netip.AddrPortFrom(netlab.ServerV6, 443) // by docker-proxy
		}
		c, err := l.Attacker.Dial(t, from, to, xtPatience(want))
		if from == netlab.ClientV4 {
			c, err = l.Client.Dial(t, from, to, xtPatience(want))
		}
		got := err == nil
		if got {
			c.Close()
		}
		if got != want {
			t.Errorf("%s: %v: want it let through: %v, got %v", what, from, want, err)
		}
	}
	reaches("before", netlab.AttackerV4, true)
	reaches("before", netlab.AttackerV6, true)
	nftables := func(ports ...uint16) actions.Firewall {
		return fw(t, l.Server, actions.NFTablesOptions{Ports: ports})
	}
	xtables := func(ports ...uint16) actions.Firewall {
		return ipTables(t, actions.IPTablesOptions{Ports: ports, Namespace: l.Server.FD()})
	}
	for _, row := range []struct {
		name   string
		a      actions.Firewall
		covers bool
		says   string
	}{
		{"nftables", nftables(), true, "so published ports are covered"},
		{"nftables, the published port", nftables(443), true, "ports are those that the client sends to"},
		{"nftables, the container's port", nftables(5000), false, "publishes a container's port 5000 as 443"},
		{"iptables", xtables(), true, "so published ports are covered"},
		{"iptables, the published port", xtables(443), true, "ports are those that the client sends to"},
		{"iptables, the container's port", xtables(5000), false, "publishes a container's port 5000 as 443"},
	} {
		problems, notes := row.a.Check()
		said := strings.Join(notes, "\n")
		if len(problems) != 0 || !strings.Contains(said, row.says) || !strings.Contains(said, "DOCKER-USER") || !strings.Contains(said, "DOCKER-ISOLATION-STAGE-1") {
			t.Errorf("%s: want no problems, and told %q, got %q and %q", row.name, row.says, problems, notes)
		}
		xtSync(t, row.a, xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", time.Hour))
		reaches(row.name, netlab.AttackerV4, !row.covers)
		reaches(row.name, netlab.AttackerV6, !row.covers)
		reaches(row.name, netlab.ClientV4, true)
		if _, err := row.a.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		reaches(row.name+", flushed", netlab.AttackerV4, true)
		if err := row.a.(interface{ Close() error }).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// echo accepts connections on a port until the test ends.
func echo(t *testing.T, n *netlab.Namespace, port uint16) {
	t.Helper()
	l := n.Listen(t, netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}
