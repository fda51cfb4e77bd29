package actions_test

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// TestTheCostOfAHundredThousandBlocks measures processor time, since the machine may have other things to do. A program anywhere on the
// machine that listens to the kernel's nf_tables events ("nft monitor", in whatever namespace) makes a rewrite dearer.
func TestTheCostOfAHundredThousandBlocks(t *testing.T) {
	netlab.NeedRoot(t)
	if os.Getenv("REGWARDEN_STRESS") == "" {
		t.Skip("SKIPPED: measures for some seconds. Run: sudo REGWARDEN_STRESS=1 go test -run HundredThousand -v ./actions")
	}
	const count = 100_000
	for _, plain := range []bool{false, true} {
		l := netlab.Standard(t)
		l.Server.CountPackets(t, server(netlab.ClientV4, floodPort))
		none := packetCost(t, l)
		a := fw(t, l.Server, actions.NFTablesOptions{Plain: plain})
		syncTo(t, a)
		empty := packetCost(t, l)
		blocks := crowd(count)
		var rewrites []time.Duration
		for range 9 {
			runtime.GC()
			before := netlab.CPU()
			syncTo(t, a, blocks...)
			rewrites = append(rewrites, netlab.CPU()-before)
		}
		full := packetCost(t, l)
		var walls []time.Duration
		cpu := netlab.CPU()
		const ops = 200
		for i := range ops {
			one := hostChange(detector.ChangeBlock, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32).String(), time.Hour)
			began := time.Now()
			apply(t, a, one)
			walls = append(walls, time.Since(began))
		}
		cpu = (netlab.CPU() - cpu) / ops
		slices.Sort(walls)
		slices.Sort(rewrites)
		t.Logf("plain %v: rewrite of %d: CPU median %v, %v to %v; one more block: wall median %v, worst %v, CPU %v; an innocent packet: %v with no table, %v with no blocks, %v with all",
			plain, len(blocks), rewrites[len(rewrites)/2], rewrites[0], rewrites[len(rewrites)-1], walls[ops/2], walls[ops-1], cpu, none, empty, full)
		if rewrites[len(rewrites)/2] > time.Second {
			t.Errorf("want a rewrite within 1 s of CPU, got %v", rewrites)
		}
		if walls[ops/2] > 5*time.Millisecond || cpu > 5*time.Millisecond {
			t.Errorf("want one more block within 5 ms, got %v, CPU %v", walls[ops/2], cpu)
		}
		if float64(full) > 1.3*float64(none) {
			t.Errorf("want an innocent packet to cost at most 1.3 times, got %v against %v", full, none)
		}
	}
}

// packetCost is the processor time that one small packet from the innocent client takes to reach the server's socket. On a veth pair
// the sender's thread does the receiver's work too. Of many runs the tenth percentile counts: what nothing else disturbed.
func packetCost(t *testing.T, l *netlab.Lab) time.Duration {
	t.Helper()
	var c *net.UDPConn
	var err error
	l.Client.Run(t, func() {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netlab.ClientV4, 0)), net.UDPAddrFromAddrPort(server(netlab.ClientV4, floodPort)))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const runs, packets = 200, 1000
	var costs []time.Duration
	err = raw.Control(func(fd uintptr) {
		payload := []byte("innocent")
		for range runs {
			before := threadCPU()
			for range packets {
				_, _ = unix.Write(int(fd), payload)
			}
			costs = append(costs, (threadCPU()-before)/packets)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(costs)
	return costs[len(costs)/10]
}

func threadCPU() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}
