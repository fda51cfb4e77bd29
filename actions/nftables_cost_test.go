package actions_test

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// BenchmarkAHundredThousandBlocks measures processor time, since the machine may have other things to do. A program anywhere on the
// machine that listens to the kernel's nf_tables events ("nft monitor", in whatever namespace) makes a rewrite dearer. `make
// bench-firewall` runs it once; that all blocks are there is tested below.
func BenchmarkAHundredThousandBlocks(b *testing.B) {
	netlab.NeedRoot(b)
	for name, plain := range map[string]bool{"owner": false, "plain": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				costOfBlocks(b, plain, crowd(100_000))
			}
		})
	}
}

// costOfBlocks reports a rewrite of all blocks, one more block, and what a packet of an innocent client costs with no table, with an
// empty one and with all blocks.
func costOfBlocks(b *testing.B, plain bool, blocks []detector.Block) {
	l := netlab.Standard(b)
	l.Server.CountPackets(b, server(netlab.ClientV4, floodPort))
	none := packetCost(b, l)
	a := fw(b, l.Server, actions.NFTablesOptions{Plain: plain})
	syncTo(b, a)
	empty := packetCost(b, l)
	var rewrites []time.Duration
	for range 9 {
		runtime.GC()
		before := netlab.CPU()
		syncTo(b, a, blocks...)
		rewrites = append(rewrites, netlab.CPU()-before)
	}
	full := packetCost(b, l)
	const ops = 200
	cpu := netlab.CPU()
	began := time.Now()
	for i := range ops {
		apply(b, a, hostChange(detector.ChangeBlock, netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32).String(), time.Hour))
	}
	wall := time.Since(began)
	cpu = netlab.CPU() - cpu
	slices.Sort(rewrites)
	b.ReportMetric(0, "ns/op") // the whole is no figure
	b.ReportMetric(float64(rewrites[len(rewrites)/2].Milliseconds()), "rewrite-CPU-ms")
	b.ReportMetric(float64(cpu.Microseconds())/ops, "one-more-CPU-µs")
	b.ReportMetric(float64(wall.Microseconds())/ops, "one-more-wall-µs")
	b.ReportMetric(float64(none), "packet-no-table-ns")
	b.ReportMetric(float64(empty)/float64(none), "packet-empty-table-times")
	b.ReportMetric(float64(full)/float64(none), "packet-all-blocks-times")
}

// packetCost is the processor time that one small packet from the innocent client takes to reach the server's socket. On a veth pair
// the sender's thread does the receiver's work too. Of many runs the tenth percentile counts: what nothing else disturbed.
func packetCost(t testing.TB, l *netlab.Lab) time.Duration {
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

func TestAHundredThousandBlocksAreAllThere(t *testing.T) {
	netlab.NeedRoot(t)
	for _, plain := range []bool{false, true} {
		l := netlab.Standard(t)
		a := fw(t, l.Server, actions.NFTablesOptions{Plain: plain})
		blocks := crowd(100_000)
		for range 2 { // anew, and over what is there
			syncTo(t, a, blocks...)
			got := strings.Count(l.Server.Command(t, "nft", "list", "table", "inet", "regwarden"), " expires ")
			if got != len(blocks) {
				t.Errorf("plain %v: want %d elements, got %d", plain, len(blocks), got)
			}
		}
	}
}
