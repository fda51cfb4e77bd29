// Command firewall measures what it costs to bring blocks into the kernel: regwarden's two firewall actions beside one iptables rule a block, beside one nft
// command a block (fail2ban's way) and beside small netlink batches that each read the set first (CrowdSec's firewall bouncer's way). It
// must run in a network namespace of its own: make bench-firewall does that. It writes bench/FIREWALL.md.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"

	"regwarden/actions"
	"regwarden/detector"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench/firewall:", err)
		os.Exit(1)
	}
}

// cost is what something took: this process and its children, and the wall clock.
type cost struct{ cpu, wall time.Duration }

func measure(do func() error) (cost, error) {
	before, begun := spent(), time.Now()
	err := do()
	return cost{spent() - before, time.Since(begun)}, err
}

func spent() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// target is the n-th address of 198.18.0.0/15, which is for benchmarks.
func target(n int) netip.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 198<<24|18<<16+uint32(n))
	return netip.PrefixFrom(netip.AddrFrom4(a), 32)
}

func block(n int) detector.Block {
	until := time.Now().Add(time.Hour)
	return detector.Block{Target: target(n), Until: until, Causes: []detector.Cause{{ID: fmt.Sprint(n), Rule: "bench", Until: until}}}
}

func blocks(n int) []detector.Block {
	out := make([]detector.Block, n)
	for i := range out {
		out[i] = block(i)
	}
	return out
}

// row is one line of the table.
type row struct {
	what     string
	n        int
	all, one cost // all n together, and one more
}

func bench() error {
	links, err := net.Interfaces()
	if err != nil || len(links) > 1 {
		return fmt.Errorf("this namespace has interfaces; run it with: make bench-firewall")
	}
	// The actions refuse a namespace with nothing but lo.
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"link", "add", "bench0", "type", "veth", "peer", "name", "bench1"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	var rows []row
	for _, m := range []func() (row, error){ownNFTables, ownIPTables, ruleABlock, commandABlock, smallBatches} {
		r, err := m()
		if err != nil {
			return fmt.Errorf("%s: %w", r.what, err)
		}
		rows = append(rows, r)
	}
	return report(rows)
}

// action measures one of ours.
func action(what string, a actions.Firewall) (row, error) {
	const n = 100_000
	r := row{what: what, n: n}
	list := blocks(n)
	ctx := context.Background()
	var err error
	if r.all, err = measure(func() error { return a.Sync(ctx, list) }); err != nil {
		return r, err
	}
	const more = 20
	if r.one, err = measure(func() error {
		for i := range more {
			b := block(n + i)
			if err := a.Apply(ctx, []detector.Change{{Verb: detector.ChangeBlock, Block: b, Cause: b.Causes[0]}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return r, err
	}
	r.one = cost{r.one.cpu / more, r.one.wall / more}
	_, err = a.Flush(ctx)
	return r, err
}

func ownNFTables() (row, error) {
	const what = "regwarden, actions.nftables"
	a, err := actions.NewNFTables(actions.NFTablesOptions{Name: "nftables"})
	if err != nil {
		return row{what: what}, err
	}
	return action(what, a)
}

func ownIPTables() (row, error) {
	const what = "regwarden, actions.iptables with ipset"
	a, err := actions.NewIPTables(actions.IPTablesOptions{Name: "iptables", PreferIPSet: "require"})
	if err != nil {
		return row{what: what}, err
	}
	return action(what, a)
}

// each runs a command for each of n blocks, and then for one more.
func each(what string, n int, command func(i int) []string) (row, error) {
	r := row{what: what, n: n}
	run := func(i int) error {
		args := command(i)
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	var err error
	if r.all, err = measure(func() error {
		for i := range n {
			if err := run(i); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return r, err
	}
	r.one, err = measure(func() error { return run(n) })
	return r, err
}

func ruleABlock() (row, error) {
	return each("iptables, one rule and one command a block", 1000, func(i int) []string {
		return []string{"iptables", "-A", "INPUT", "-s", target(i).Addr().String(), "-j", "DROP"}
	})
}

func commandABlock() (row, error) {
	const what = "nft, one command a block (fail2ban's way)"
	for _, args := range [][]string{{"add", "table", "inet", "f2b"}, {"add", "set", "inet", "f2b", "bans", "{ type ipv4_addr; flags interval; }"}} {
		if out, err := exec.Command("nft", args...).CombinedOutput(); err != nil {
			return row{what: what}, fmt.Errorf("nft: %w: %s", err, out)
		}
	}
	return each(what, 1000, func(i int) []string {
		return []string{"nft", "add", "element", "inet", "f2b", "bans", "{ " + target(2*i).Addr().String() + " }"}
	})
}

// smallBatches adds 200 at a time and lists the set before each, so as not to add what is there.
func smallBatches() (row, error) {
	const n, batch = 10_000, 200
	r := row{what: "netlink, 200 a batch, the set read before each (CrowdSec's bouncer's way)", n: n}
	conn, err := nftables.New()
	if err != nil {
		return r, err
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "bouncer"})
	set := &nftables.Set{Table: table, Name: "bans", KeyType: nftables.TypeIPAddr, HasTimeout: true}
	if err := conn.AddSet(set, nil); err != nil {
		return r, err
	}
	if err := conn.Flush(); err != nil {
		return r, err
	}
	add := func(from, to int) error {
		if _, err := conn.GetSetElements(set); err != nil {
			return err
		}
		var elements []nftables.SetElement
		for i := from; i < to; i++ {
			elements = append(elements, nftables.SetElement{Key: target(i).Addr().AsSlice(), Timeout: time.Hour})
		}
		if err := conn.SetAddElements(set, elements); err != nil {
			return err
		}
		return conn.Flush()
	}
	if r.all, err = measure(func() error {
		for i := 0; i < n; i += batch {
			if err := add(i, i+batch); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return r, err
	}
	r.one, err = measure(func() error { return add(n, n+1) })
	return r, err
}

func report(rows []row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Blocks into the kernel\n\nWritten by `make bench-firewall` on %s, %s, %d CPUs, Go %s, in a network namespace of its own. CPU is user and system time of the process and its children.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go"))
	b.WriteString("| way | blocks | all of them, CPU | wall | CPU for 1,000 | one more: CPU | wall |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %d | %v | %v | %v | %v | %v |\n", r.what, r.n, round(r.all.cpu), round(r.all.wall), round(r.all.cpu*1000/time.Duration(r.n)), round(r.one.cpu), round(r.one.wall))
	}
	b.WriteString("\nWhat a packet of an innocent client costs is measured by `go test -run - -bench HundredThousand -benchtime 1x ./actions` as root, which `make bench-firewall` runs too.\n")
	os.Stdout.WriteString(b.String())
	return os.WriteFile("bench/FIREWALL.md", []byte(b.String()), 0o644)
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}
