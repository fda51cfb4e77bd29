package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// skipped is how a test says that it did not run.
const skipped = "SKIPPED: %s. Run: sudo make integration"

// Namespace is a network namespace of its own.
type Namespace struct {
	Name   string // for messages
	fd     int
	handle *netlink.Handle
}

// NeedRoot skips the test, loudly, where no network namespace can be made.
func NeedRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skipf(skipped, "needs root")
	}
}

// NeedCommand skips the test, loudly, where a program is not installed; package names Debian's.
func NeedCommand(tb testing.TB, program, debian string) {
	tb.Helper()
	if _, err := exec.LookPath(program); err != nil {
		tb.Skipf(skipped, "needs "+program+" (apt-get install "+debian+")")
	}
}

// New makes a namespace with lo up; the test removes it at its end.
func New(tb testing.TB, name string) *Namespace {
	tb.Helper()
	NeedRoot(tb)
	n := &Namespace{Name: name}
	var err error
	n.fd, err = unshared()
	if err != nil {
		tb.Skipf(skipped, fmt.Sprintf("cannot make a network namespace here (%v)", err))
	}
	n.Run(tb, func() { n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE) })
	if err != nil {
		unix.Close(n.fd)
		tb.Fatalf("%s: open netlink: %v", name, err)
	}
	tb.Cleanup(func() {
		n.handle.Close()
		unix.Close(n.fd)
	})
	for _, which := range []string{"all", "default"} { // addresses work at once, and replies may take another way
		n.Sysctl(tb, "net/ipv6/conf/"+which+"/accept_dad", "0")
		n.Sysctl(tb, "net/ipv4/conf/"+which+"/rp_filter", "0")
	}
	n.up(tb, "lo")
	return n
}

// Of is the namespace that a process is in; the test lets go of it at its end.
func Of(tb testing.TB, name string, pid int) *Namespace {
	tb.Helper()
	n := &Namespace{Name: name}
	var err error
	n.fd, err = unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(tb, name+": open the namespace", err)
	tb.Cleanup(func() { unix.Close(n.fd) })
	return n
}

// unshared makes a namespace and returns a descriptor of it; the thread goes back to its own.
func unshared() (int, error) {
	runtime.LockOSThread()
	home, err := threadNamespace()
	if err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	defer unix.Close(home)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return -1, err
	}
	fd, err := threadNamespace()
	if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
		return -1, back // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return fd, err
}

func threadNamespace() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// FD is the namespace's descriptor, valid until the test ends.
func (n *Namespace) FD() int { return n.fd }

// Run calls f with the calling goroutine's thread in the namespace. Sockets that f makes and processes that it starts belong to the
// namespace and stay there; goroutines that it starts do not. Calls may be nested.
func (n *Namespace) Run(tb testing.TB, f func()) {
	tb.Helper()
	runtime.LockOSThread()
	home, err := threadNamespace()
	if err == nil {
		err = unix.Setns(n.fd, unix.CLONE_NEWNET)
	}
	if err != nil {
		runtime.UnlockOSThread()
		tb.Fatalf("%s: enter the namespace: %v", n.Name, err)
	}
	defer func() {
		err := unix.Setns(home, unix.CLONE_NEWNET)
		unix.Close(home)
		if err != nil { // the thread stays locked and ends with its goroutine
			tb.Errorf("%s: leave the namespace: %v", n.Name, err)
			return
		}
		runtime.UnlockOSThread()
	}()
	f()
}

// Try runs a program in the namespace and returns all that it printed.
func (n *Namespace) Try(tb testing.TB, program string, args ...string) (string, error) {
	tb.Helper()
	return n.feed(tb, "", program, args...)
}

// Command runs a program in the namespace and returns all that it printed; the test ends if it fails.
func (n *Namespace) Command(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	out, err := n.Try(tb, program, args...)
	if err != nil {
		tb.Fatalf("%s: %s %s: %v: %s", n.Name, program, strings.Join(args, " "), err, out)
	}
	return out
}

// Feed is Command with a standard input.
func (n *Namespace) Feed(tb testing.TB, input, program string, args ...string) string {
	tb.Helper()
	out, err := n.feed(tb, input, program, args...)
	if err != nil {
		tb.Fatalf("%s: %s %s: %v: %s", n.Name, program, strings.Join(args, " "), err, out)
	}
	return out
}

func (n *Namespace) feed(tb testing.TB, input, program string, args ...string) (out string, err error) {
	tb.Helper()
	n.Run(tb, func() {
		cmd := exec.Command(program, args...)
		cmd.Stdin = strings.NewReader(input)
		var b []byte
		b, err = cmd.CombinedOutput()
		out = string(b)
	})
	return out, err
}

// Listen opens a TCP listener in the namespace; the test closes it at its end.
func (n *Namespace) Listen(tb testing.TB, at netip.AddrPort) net.Listener {
	tb.Helper()
	var l net.Listener
	var err error
	n.Run(tb, func() { l, err = net.Listen("tcp", at.String()) })
	must(tb, n.Name+": listen", err)
	tb.Cleanup(func() { l.Close() })
	return l
}

// Dial connects by TCP from an address of the namespace.
func (n *Namespace) Dial(tb testing.TB, from netip.Addr, to netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	tb.Helper()
	var c net.Conn
	var err error
	n.Run(tb, func() {
		d := net.Dialer{Timeout: timeout, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		c, err = d.Dial("tcp", to.String())
	})
	return c, err
}

// Publish sends what reaches the server's port to a port of the container, as a container engine does, with a table of nft's own.
// The table's name is "published"; it goes when somebody flushes the ruleset.
func (l *Lab) Publish(tb testing.TB, port, inside uint16) {
	tb.Helper()
	NeedCommand(tb, "nft", "nftables")
	l.Server.Feed(tb, fmt.Sprintf(`table inet published {
		chain pre { type nat hook prerouting priority dstnat; policy accept;
			ip daddr %v tcp dport %d dnat ip to %v:%d
			ip6 daddr %v tcp dport %d dnat ip6 to [%v]:%d
		}
	}`, ServerV4, port, ContainerV4, inside, ServerV6, port, ContainerV6, inside), "nft", "-f", "-")
}
