package netlab_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"regwarden/actions/internal/netlab"
)

func TestEveryNeighbourReachesTheServer(t *testing.T) {
	l := netlab.Standard(t)
	for _, server := range []netip.Addr{netlab.ServerV4, netlab.ServerV6} {
		l.Server.Echo(t, netip.AddrPortFrom(server, 443))
	}
	for from, n := range map[netip.Addr]*netlab.Namespace{
		netlab.ClientV4: l.Client, netlab.ClientV6: l.Client, netlab.AttackerV4: l.Attacker, netlab.AttackerV6: l.Attacker,
		netlab.NeighbourV4: l.Attacker, netlab.NeighbourV6: l.Attacker, netlab.StrangerV4: l.Attacker, netlab.StrangerV6: l.Attacker,
		netlab.ContainerV4: l.Container, netlab.ContainerV6: l.Container,
	} {
		to := netip.AddrPortFrom(netlab.ServerV4, 443)
		if from.Is6() {
			to = netip.AddrPortFrom(netlab.ServerV6, 443)
		}
		if _, err := n.Connect(t, from, to, 3*time.Second); err != nil {
			t.Errorf("from %v: %v", from, err)
		}
	}
}

func TestAPublishedPortReachesTheContainer(t *testing.T) {
	l := netlab.Standard(t)
	l.Publish(t, 443, 5000)
	for _, r := range []struct{ from, container, server netip.Addr }{
		{netlab.AttackerV4, netlab.ContainerV4, netlab.ServerV4}, {netlab.AttackerV6, netlab.ContainerV6, netlab.ServerV6},
	} {
		l.Container.Echo(t, netip.AddrPortFrom(r.container, 5000))
		if _, err := l.Attacker.Connect(t, r.from, netip.AddrPortFrom(r.server, 443), 3*time.Second); err != nil {
			t.Errorf("from %v: %v", r.from, err)
		}
	}
}

func TestAFloodIsCounted(t *testing.T) {
	l := netlab.Standard(t)
	p := l.Server.CountPackets(t, netip.AddrPortFrom(netlab.ServerV4, 9))
	f := l.Attacker.Flood(t, netlab.AttackerV4, netip.AddrPortFrom(netlab.ServerV4, 9), time.Millisecond)
	if err := p.AwaitFrom(netlab.AttackerV4, 20, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	f.Stop()
	if f.Sent() < 20 {
		t.Errorf("want at least 20 sent, got %d", f.Sent())
	}
}

func init() {
	netlab.Child("hello", func(args []string) {
		fmt.Println("hello", strings.Join(args, " "), os.Geteuid())
		_, _ = fmt.Scanln()
		links, _ := os.ReadFile("/proc/self/net/dev")
		fmt.Println(strings.Count(string(links), ":"))
	})
}

func TestAChildRunsInTheNamespaceAsAnotherUser(t *testing.T) {
	n := netlab.New(t, "empty")
	p := n.Start(t, "hello", netlab.StartOptions{Args: []string{"a", "b"}, UID: 65534})
	if got := p.Line(t); got != "hello a b 65534" {
		t.Errorf("want its arguments and user, got %q", got)
	}
	p.Say(t, "")
	if got := p.Line(t); got != "1" {
		t.Errorf("want it to see lo only, got %s interfaces", got)
	}
}

func TestACommandSeesTheNamespaceOnly(t *testing.T) {
	n := netlab.New(t, "empty")
	if got := n.Command(t, "cat", "/proc/net/dev"); strings.Count(got, ":") != 1 {
		t.Errorf("want lo only, got %s", got)
	}
}
