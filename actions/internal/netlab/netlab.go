// Package netlab is a network for tests that want a real kernel firewall: namespaces, veth pairs, servers, clients and floods.
//
// A namespace is held by a file descriptor and has no name in the file system, so that a test that is killed leaves nothing behind. It
// needs root; without it New skips the test and says how to run it. No traffic leaves the namespaces, and the host's own is never touched.
package netlab

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The addresses of the lab that Standard builds. Every namespace reaches the server's by its default route.
var (
	ServerV4     = netip.MustParseAddr("192.0.2.80") // the service's address, on the server's own lo
	ServerV6     = netip.MustParseAddr("2001:db8:80::80")
	ClientV4     = netip.MustParseAddr("198.51.100.10") // an innocent one, in 198.51.100.0/24 and 2001:db8:1::/64
	ClientV6     = netip.MustParseAddr("2001:db8:1::10")
	AttackerV4   = netip.MustParseAddr("203.0.113.7") // to be blocked, in 203.0.113.0/24 and 2001:db8:2::/64
	AttackerV6   = netip.MustParseAddr("2001:db8:2::7")
	NeighbourV4  = netip.MustParseAddr("203.0.113.99") // the attacker's second address of the same /24 and /64
	NeighbourV6  = netip.MustParseAddr("2001:db8:2::99")
	StrangerV4   = netip.MustParseAddr("203.0.112.1") // the attacker's third, of another /24 and /64
	StrangerV6   = netip.MustParseAddr("2001:db8:3::1")
	ContainerV4  = netip.MustParseAddr("192.0.2.2") // behind the server, see Publish
	ContainerV6  = netip.MustParseAddr("2001:db8:c::2")
	gatewaysV4V6 = map[string][2]string{
		"client":    {"198.51.100.1", "2001:db8:1::1"},
		"attacker":  {"203.0.113.1", "2001:db8:2::1"},
		"container": {"192.0.2.1", "2001:db8:c::1"},
	}
)

// Lab is a server with three neighbours, each on its own link: a client, an attacker and a container behind the server.
type Lab struct {
	Server, Client, Attacker, Container *Namespace
}

// Standard builds the lab for one test, which removes it at its end. The server forwards between its links.
func Standard(tb testing.TB) *Lab {
	tb.Helper()
	l := &Lab{Server: New(tb, "server"), Client: New(tb, "client"), Attacker: New(tb, "attacker"), Container: New(tb, "container")}
	l.Server.Sysctl(tb, "net/ipv4/ip_forward", "1")
	l.Server.Sysctl(tb, "net/ipv6/conf/all/forwarding", "1")
	l.Server.Address(tb, "lo", netip.PrefixFrom(ServerV4, 32), netip.PrefixFrom(ServerV6, 128))
	l.join(tb, l.Client, 24, ClientV4, ClientV6)
	l.join(tb, l.Attacker, 24, AttackerV4, AttackerV6)
	l.join(tb, l.Container, 26, ContainerV4, ContainerV6)
	l.Attacker.Address(tb, "eth0", netip.PrefixFrom(NeighbourV4, 24), netip.PrefixFrom(NeighbourV6, 64),
		netip.PrefixFrom(StrangerV4, 32), netip.PrefixFrom(StrangerV6, 128))
	for _, stranger := range []netip.Addr{StrangerV4, StrangerV6} {
		l.Server.Route(tb, netip.PrefixFrom(stranger, stranger.BitLen()), "attacker", netip.Addr{})
	}
	return l
}

// join links a neighbour with the server, whose end of the link has the neighbour's name, and routes all its traffic there.
func (l *Lab) join(tb testing.TB, n *Namespace, bits int, addresses ...netip.Addr) {
	tb.Helper()
	Link(tb, l.Server, n.Name, n, "eth0")
	for i, a := range addresses {
		if a.Is6() {
			bits = 64
		}
		gateway := netip.MustParseAddr(gatewaysV4V6[n.Name][i])
		l.Server.Address(tb, n.Name, netip.PrefixFrom(gateway, bits))
		n.Address(tb, "eth0", netip.PrefixFrom(a, bits))
		n.Route(tb, netip.PrefixFrom(a, 0).Masked(), "eth0", gateway)
	}
}

// Link makes a veth pair between two namespaces and sets both ends up.
func Link(tb testing.TB, a *Namespace, nameA string, b *Namespace, nameB string) {
	tb.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	must(tb, "add a veth pair", a.handle.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.fd)}))
	a.up(tb, nameA)
	b.up(tb, nameB)
}

func (n *Namespace) link(tb testing.TB, device string) netlink.Link {
	tb.Helper()
	link, err := n.handle.LinkByName(device)
	must(tb, n.Name+": find "+device, err)
	return link
}

func (n *Namespace) up(tb testing.TB, device string) {
	tb.Helper()
	must(tb, n.Name+": set up "+device, n.handle.LinkSetUp(n.link(tb, device)))
}

// Address gives a device further addresses, usable at once.
func (n *Namespace) Address(tb testing.TB, device string, prefixes ...netip.Prefix) {
	tb.Helper()
	for _, p := range prefixes {
		addr, err := netlink.ParseAddr(p.String())
		must(tb, "parse an address", err)
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		must(tb, fmt.Sprintf("%s: add %v to %s", n.Name, p, device), n.handle.AddrAdd(n.link(tb, device), addr))
	}
}

// Route sends a prefix over a device, by a gateway unless that is zero.
func (n *Namespace) Route(tb testing.TB, to netip.Prefix, device string, gateway netip.Addr) {
	tb.Helper()
	dst, err := netlink.ParseIPNet(to.String())
	must(tb, "parse a prefix", err)
	r := netlink.Route{LinkIndex: n.link(tb, device).Attrs().Index, Dst: dst}
	if gateway.IsValid() {
		r.Gw = gateway.AsSlice()
	}
	must(tb, fmt.Sprintf("%s: route %v", n.Name, to), n.handle.RouteAdd(&r))
}

// Sysctl writes a file below /proc/sys as the namespace sees it.
func (n *Namespace) Sysctl(tb testing.TB, key, value string) {
	tb.Helper()
	var err error
	n.Run(tb, func() { err = os.WriteFile("/proc/sys/"+key, []byte(value), 0o644) })
	must(tb, n.Name+": set "+key, err)
}

func must(tb testing.TB, what string, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
}
