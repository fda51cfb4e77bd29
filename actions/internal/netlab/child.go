package netlab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

const childKey = "NETLAB_CHILD"

// Child makes the test binary able to be another program: call it in an init function of the test package. In a process that Start
// started under that name it runs f, which never returns to the tests.
func Child(name string, f func(args []string)) {
	got := strings.Split(os.Getenv(childKey), "\x1f")
	if got[0] != name {
		return
	}
	f(got[1:])
	os.Exit(0)
}

// Process is a child that runs.
type Process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	stdin io.WriteCloser
	ended bool
}

// StartOptions say how a child runs.
type StartOptions struct {
	Args []string
	// UID is who it runs as, the caller if zero.
	UID int
	// Capabilities are all that it has if UID is set: unix.CAP_NET_ADMIN and the like.
	Capabilities []uintptr
}

// Start runs the child of that name in the namespace; the test kills it at its end. What it prints is read with Line.
func (n *Namespace) Start(tb testing.TB, name string, o StartOptions) *Process {
	tb.Helper()
	// By this link another user may start a binary that lies in a private directory.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childKey+"="+strings.Join(append([]string{name}, o.Args...), "\x1f"))
	cmd.Stderr = os.Stderr
	if o.UID != 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.UID)},
			AmbientCaps: o.Capabilities,
		}
	}
	stdout, err := cmd.StdoutPipe()
	must(tb, "start "+name, err)
	p := &Process{cmd: cmd, lines: bufio.NewScanner(stdout)}
	p.stdin, err = cmd.StdinPipe()
	must(tb, "start "+name, err)
	n.Run(tb, func() { err = cmd.Start() })
	must(tb, "start "+name, err)
	tb.Cleanup(p.Kill)
	return p
}

// Line returns the next line that the child prints; the test ends if it ended.
func (p *Process) Line(tb testing.TB) string {
	tb.Helper()
	if !p.lines.Scan() {
		tb.Fatalf("the child ended: %v", p.lines.Err())
	}
	return p.lines.Text()
}

// Say writes a line to the child's standard input.
func (p *Process) Say(tb testing.TB, line string) {
	tb.Helper()
	_, err := fmt.Fprintln(p.stdin, line)
	must(tb, "tell the child", err)
}

// PID is the child's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the child as kill -9 does, and waits for it.
func (p *Process) Kill() {
	if p.ended {
		return
	}
	p.ended = true
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
