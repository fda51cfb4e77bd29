package actions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// The ports of the lab's server.
const (
	registryPort = 443
	portalPort   = 8443
	floodPort    = 9
)

// soon is long enough for anything that should work at once, and short enough to wait for what should not.
const (
	soon    = 5 * time.Second
	stalled = 150 * time.Millisecond
)

// fw makes an action in the server's namespace.
func fw(t testing.TB, n *netlab.Namespace, o actions.NFTablesOptions) *actions.NFTables {
	t.Helper()
	o.Namespace = n.FD()
	a, err := actions.NewNFTables(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// hostBlock is a block that ends after a time from now.
func hostBlock(target string, left time.Duration) detector.Block {
	now := time.Now()
	return block(target, cause("id "+target, func(c *detector.Cause) { c.Since, c.Until = now, now.Add(left) }))
}

func hostChange(verb, target string, left time.Duration) detector.Change {
	b := hostBlock(target, left)
	return detector.Change{Time: time.Now(), Verb: verb, Block: b, Cause: b.Causes[0], By: "rule"}
}

// end closes the action and waits until the kernel has let go of its table: another test that starts a program in this moment holds the socket for as long
// as that takes.
func end(t *testing.T, n *netlab.Namespace, a *actions.NFTables) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	next := fw(t, n, actions.NFTablesOptions{})
	eventually(t, "the kernel has let go of the table", func() bool {
		problems, _ := next.Check()
		return !strings.Contains(strings.Join(problems, "\n"), "another regwarden owns it")
	})
}

func syncTo(t testing.TB, a actions.Syncer, blocks ...detector.Block) {
	t.Helper()
	if err := a.Sync(t.Context(), blocks); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

// server is where a client of that family reaches the server.
func server(client netip.Addr, port uint16) netip.AddrPort {
	if client.Is6() {
		return netip.AddrPortFrom(netlab.ServerV6, port)
	}
	return netip.AddrPortFrom(netlab.ServerV4, port)
}

// serve echoes on a port of the server, over both families.
func serve(t testing.TB, l *netlab.Lab, port uint16) map[bool]*netlab.Echo {
	t.Helper()
	return map[bool]*netlab.Echo{
		false: l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV4, port)),
		true:  l.Server.Echo(t, netip.AddrPortFrom(netlab.ServerV6, port)),
	}
}

// reaches says whether a client can connect; patience is soon where it should, stalled where it should not.
func reaches(t testing.TB, n *netlab.Namespace, from netip.Addr, port uint16, patience time.Duration) bool {
	t.Helper()
	_, err := n.Connect(t, from, server(from, port), patience)
	return err == nil
}

// element is a block as the nft program lists it.
type element struct {
	Left    time.Duration
	Packets uint64
}

// inKernel asks the nft program for the blocks of a table.
func inKernel(t testing.TB, n *netlab.Namespace, table string) map[netip.Prefix]element {
	t.Helper()
	out := n.Command(t, "nft", "-j", "list", "sets") // the table itself has a flag that nft 1.0.6 cannot print
	var all struct {
		Nftables []struct {
			Set *struct {
				Table string            `json:"table"`
				Name  string            `json:"name"`
				Elem  []json.RawMessage `json:"elem"`
			} `json:"set"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("nft prints no JSON: %v: %s", err, out)
	}
	found := map[netip.Prefix]element{}
	for _, o := range all.Nftables {
		if o.Set == nil || o.Set.Table != table || !strings.HasPrefix(o.Set.Name, "v") {
			continue
		}
		var bits int
		if _, err := fmt.Sscanf(o.Set.Name[3:], "%d", &bits); err != nil {
			t.Fatalf("set %s: %v", o.Set.Name, err)
		}
		for _, raw := range o.Set.Elem {
			var e struct {
				Elem struct {
					Val     string `json:"val"`
					Expires int    `json:"expires"`
					Counter struct {
						Packets uint64 `json:"packets"`
					} `json:"counter"`
				} `json:"elem"`
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatalf("set %s: %s: %v", o.Set.Name, raw, err)
			}
			found[netip.PrefixFrom(netip.MustParseAddr(e.Elem.Val), bits)] = element{time.Duration(e.Elem.Expires) * time.Second, e.Elem.Counter.Packets}
		}
	}
	return found
}

// wantLeft compares what the kernel holds with targets and the whole minutes that they have left.
func wantLeft(t testing.TB, n *netlab.Namespace, table string, want map[string]time.Duration) {
	t.Helper()
	got := inKernel(t, n, table)
	for target, left := range want {
		e, ok := got[netip.MustParsePrefix(target)]
		if !ok || e.Left > left || e.Left < left-30*time.Second {
			t.Errorf("want %s with %v left, got %v (there: %v)", target, left, e.Left, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("want %d blocks, got %v", len(want), got)
	}
}

// guarded is an action with its runner and its watch, as the daemon runs them.
type guarded struct {
	*actions.NFTables
	runner *actions.Runner
	doubts chan string
}

func guard(t testing.TB, a *actions.NFTables, blocks ...detector.Block) *guarded {
	t.Helper()
	g := &guarded{NFTables: a, runner: actions.NewRunner(a, actions.RunnerOptions{}), doubts: make(chan string, 100)}
	g.runner.Reset(blocks)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- g.runner.Run(ctx) }()
	g.settled(t)
	go func() {
		ended <- a.Watch(ctx, func(reason string) {
			g.runner.Doubt(reason)
			g.doubts <- reason
		})
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("end: %v", err)
			}
		}
	})
	return g
}

// settled waits until the runner has carried all out.
func (g *guarded) settled(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := g.runner.Flush(ctx); err != nil {
		t.Fatalf("%v; %+v", err, g.runner.Status())
	}
}

// doubt waits for the next one.
func (g *guarded) doubt(t testing.TB) string {
	t.Helper()
	select {
	case reason := <-g.doubts:
		return reason
	case <-time.After(2 * time.Second):
		t.Fatal("want a doubt within two seconds")
		return ""
	}
}
