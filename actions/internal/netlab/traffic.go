package netlab

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Echo is a TCP server that sends every line back.
type Echo struct {
	open   atomic.Int64
	served atomic.Uint64
	ended  chan struct{} // has room for one: a connection ended
}

// Echo serves at an address of the namespace until the test ends.
func (n *Namespace) Echo(tb testing.TB, at netip.AddrPort) *Echo {
	tb.Helper()
	e := &Echo{ended: make(chan struct{}, 1)}
	l := n.Listen(tb, at)
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			e.open.Add(1)
			all.Go(func() {
				e.serve(c)
				mu.Lock()
				delete(conns, c)
				mu.Unlock()
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return e
}

func (e *Echo) serve(c net.Conn) {
	defer func() {
		c.Close()
		e.open.Add(-1)
		select {
		case e.ended <- struct{}{}:
		default:
		}
	}()
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		e.served.Add(1)
		if _, err := c.Write(line); err != nil {
			return
		}
	}
}

// Open is how many connections the server has at this moment.
func (e *Echo) Open() int { return int(e.open.Load()) }

// Served is how many lines it has read.
func (e *Echo) Served() uint64 { return e.served.Load() }

// AwaitOpen waits until the server has at most this many connections.
func (e *Echo) AwaitOpen(most int, timeout time.Duration) error {
	deadline := time.After(timeout)
	for e.Open() > most {
		select {
		case <-e.ended:
		case <-deadline:
			return fmt.Errorf("the server still has %d connections after %v", e.Open(), timeout)
		}
	}
	return nil
}

// Flow is a TCP connection to an Echo that stays open.
type Flow struct {
	conn net.Conn
	r    *bufio.Reader
}

// Connect opens a flow and tries it; the test closes it at its end.
func (n *Namespace) Connect(tb testing.TB, from netip.Addr, to netip.AddrPort, timeout time.Duration) (*Flow, error) {
	tb.Helper()
	c, err := n.Dial(tb, from, to, timeout)
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { c.Close() })
	f := &Flow{conn: c, r: bufio.NewReader(c)}
	return f, f.Ping(timeout)
}

// Ping sends a line and waits for it to come back.
func (f *Flow) Ping(timeout time.Duration) error {
	if err := f.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := f.conn.Write([]byte("ping\n")); err != nil {
		return err
	}
	line, err := f.r.ReadString('\n')
	if err == nil && line != "ping\n" {
		err = fmt.Errorf("want the line back, got %q", line)
	}
	return err
}

// Port is the client's own port.
func (f *Flow) Port() uint16 {
	return f.conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
}

// Packets counts UDP packets by their source.
type Packets struct {
	mu     sync.Mutex
	counts map[netip.Addr]uint64
	total  atomic.Uint64
}

// CountPackets counts the UDP packets that reach an address of the namespace until the test ends. Give the unspecified address to count
// those for every address.
func (n *Namespace) CountPackets(tb testing.TB, at netip.AddrPort) *Packets {
	tb.Helper()
	var c *net.UDPConn
	var err error
	n.Run(tb, func() { c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at)) })
	must(tb, n.Name+": listen", err)
	_ = c.SetReadBuffer(8 << 20)
	p := &Packets{counts: map[netip.Addr]uint64{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			_, from, err := c.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			p.mu.Lock()
			p.counts[from.Addr().Unmap()]++
			p.mu.Unlock()
			p.total.Add(1)
		}
	}()
	tb.Cleanup(func() { c.Close(); <-ended })
	return p
}

// From is how many packets came from an address.
func (p *Packets) From(a netip.Addr) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[a]
}

// AwaitFrom waits until at least that many packets came from an address.
func (p *Packets) AwaitFrom(a netip.Addr, least uint64, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for p.From(a) < least { // packets give no other sign
		if time.Now().After(deadline) {
			return fmt.Errorf("want %d packets from %v within %v, got %d", least, a, timeout, p.From(a))
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Flood sends small UDP packets without end.
type Flood struct {
	sent atomic.Uint64
	stop func()
}

// Flood sends packets from one address to another, pause apart (0: as fast as it can), until Stop or the test's end.
func (n *Namespace) Flood(tb testing.TB, from netip.Addr, to netip.AddrPort, pause time.Duration) *Flood {
	tb.Helper()
	var c *net.UDPConn
	var err error
	n.Run(tb, func() {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), net.UDPAddrFromAddrPort(to))
	})
	must(tb, n.Name+": open a UDP socket", err)
	f := &Flood{}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for payload := []byte("flood"); ; {
			select {
			case <-over:
				return
			default:
			}
			if _, err := c.Write(payload); err == nil { // an ICMP answer to an earlier one is no packet sent
				f.sent.Add(1)
			}
			if pause > 0 {
				time.Sleep(pause)
			}
		}
	}()
	f.stop = sync.OnceFunc(func() { close(over); <-ended; c.Close() })
	tb.Cleanup(f.stop)
	return f
}

// Sent is how many packets were sent.
func (f *Flood) Sent() uint64 { return f.sent.Load() }

// Stop ends it and waits for the end.
func (f *Flood) Stop() { f.stop() }

// CPU is the processor time, user and system, that this process has used.
func CPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
