package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The lab's addresses: the server has the first of each net; the swarm is the one that will be blocked.
const (
	serverV4 = "203.0.113.1"
	swarmV4  = "203.0.113.7"
	otherV4  = "203.0.113.20"
)

// dir holds all files of a run, on the lab's own tmpfs.
const dir = "/run/lab"

// isolate gives the lab file systems and a network of its own: the process is already alone in its namespaces.
func isolate() error {
	if os.Getpid() != 1 {
		return fmt.Errorf("run it with: make lab (it wants namespaces of its own)")
	}
	const script = `set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/lab/upper /run/lab/work /run/lab/home /run/netns /run/lock
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/lab/upper,workdir=/run/lab/work /etc
rm -f /etc/docker/daemon.json
echo "203.0.113.1 registry.example.org" > /etc/hosts
: > /etc/resolv.conf
ip link set lo up
ip link add br0 type bridge
ip addr add 203.0.113.1/24 dev br0
ip addr add 2001:db8:7::1/48 dev br0 nodad
ip link set br0 up
for host in swarm:203.0.113.7:2001:db8:7:1::7 other:203.0.113.20:2001:db8:7:2::7; do
	name=${host%%:*} rest=${host#*:}; v4=${rest%%:*} v6=${rest#*:}
	ip netns add "$name"
	ip link add "$name" type veth peer name eth0 netns "$name"
	ip link set "$name" master br0 up
	ip -n "$name" link set lo up
	ip -n "$name" addr add "$v4/24" dev eth0
	ip -n "$name" addr add "$v6/48" dev eth0 nodad
	ip -n "$name" link set eth0 up
	ip -n "$name" addr add "${v6%::7}:ffff::9/48" dev eth0 nodad
	ip -n "$name" route add default via 203.0.113.1
done`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("make the lab's namespaces: %w: %s", err, out)
	}
	return nil
}

// in is a command in the namespace of a host; "" is the server's.
func in(host string, args ...string) []string {
	if host == "" {
		return args
	}
	return append([]string{"nsenter", "--net=/run/netns/" + host}, args...)
}

func environment() []string {
	return append(os.Environ(), "HOME="+dir+"/home", "SSL_CERT_FILE="+dir+"/ca.crt", "XDG_RUNTIME_DIR=/run", "REGWARDEN_SOCKET=/run/regwarden/regwarden.sock", "TZ=UTC")
}

// run runs a command to its end and returns all that it printed.
func run(host string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args = in(host, args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = environment(), dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// process is a server that runs until it is stopped, or the lab ends.
type process struct {
	*exec.Cmd
	name  string
	log   string
	ended chan struct{}
}

func start(host, name string, args ...string) (*process, error) {
	args = in(host, args...)
	p := &process{Cmd: exec.Command(args[0], args[1:]...), name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.Stdout, p.Stderr, p.Env, p.Dir = log, log, environment(), dir
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	return p, nil
}

func (p *process) stop(how syscall.Signal) {
	_ = p.Process.Signal(how)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.Process.Kill()
		<-p.ended
	}
}

// waitFor asks until it is so. What is waited for happens in other processes.
func waitFor(what string, patience time.Duration, so func() bool) error {
	for deadline := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain until %s", patience, what)
		}
	}
	return nil
}

func write(name, text string) error {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, name)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// accessLog is what the nginx of port 443 wrote, from which regwarden takes everything.
func accessLog() string {
	text, _ := os.ReadFile(dir + "/access.log")
	return string(text)
}

// asked are the requests of a user agent in a piece of the access log: method, path, status.
func asked(log, agent string) string {
	var out bytes.Buffer
	for line := range strings.Lines(log) {
		fields := strings.Split(line, `"`)
		if len(fields) < 6 || !strings.Contains(fields[5], agent) {
			continue
		}
		method, rest, _ := strings.Cut(fields[1], " ")
		path, _, _ := strings.Cut(rest, " ")
		path, _, _ = strings.Cut(path, "?")
		status, _, _ := strings.Cut(strings.TrimSpace(fields[2]), " ")
		fmt.Fprintf(&out, "%s %s %s\n", method, path, status)
	}
	return out.String()
}
