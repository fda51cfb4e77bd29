package actions

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// nftMode is what of the options shapes the rules.
type nftMode struct {
	reject   bool
	ports    []uint16 // all if empty
	counters bool
}

// nftBucket is one hash set: the blocks of one family and prefix length. Blocks of different lengths never meet, so that a host and the
// network around it keep their own ends, which an interval set could not.
type nftBucket struct {
	v6   bool
	bits int
}

func bucketOf(p netip.Prefix) nftBucket { return nftBucket{v6: p.Addr().Is6(), bits: p.Bits()} }

func (b nftBucket) String() string {
	if b.v6 {
		return fmt.Sprintf("v6_%d", b.bits)
	}
	return fmt.Sprintf("v4_%d", b.bits)
}

// order is that of the rules: IPv4 first, hosts before networks.
func (b nftBucket) order(o nftBucket) int {
	if b.v6 != o.v6 {
		if o.v6 {
			return -1
		}
		return 1
	}
	return cmp.Compare(o.bits, b.bits)
}

func width(v6 bool) int {
	if v6 {
		return 128
	}
	return 32
}

func keyType(v6 bool) nftables.SetDatatype {
	if v6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

func (b nftBucket) set(t *nftables.Table, counters bool) *nftables.Set {
	return &nftables.Set{Table: t, Name: b.String(), KeyType: keyType(b.v6), KeyByteOrder: binaryutil.BigEndian, HasTimeout: true, Counter: counters}
}

func neverSet(t *nftables.Table, v6 bool) *nftables.Set {
	name := "never4"
	if v6 {
		name = "never6"
	}
	return &nftables.Set{Table: t, Name: name, KeyType: keyType(v6), KeyByteOrder: binaryutil.BigEndian, Interval: true}
}

func portSet(t *nftables.Table) *nftables.Set {
	return &nftables.Set{Table: t, Name: "ports", KeyType: nftables.TypeInetService, KeyByteOrder: binaryutil.BigEndian}
}

// The counters of the table; they outlive rewrites.
const (
	counterBlocked4 = "blocked4"
	counterBlocked6 = "blocked6"
	counterResets   = "resets"
)

// firewallPriority is before raw, connection tracking and DNAT: what comes for a published port is still seen with that port, and
// flows that are established already are seen too.
const firewallPriority = nftables.ChainPriority(-310)

// nftChains are the table's chains. The base chains only look addresses up, which is all that an innocent packet pays for; the others, to
// which they go, say what happens: first of all nothing, for an address that must never be blocked.
type nftChains struct {
	pre, out, forward         *nftables.Chain
	blocked4, blocked6, reply *nftables.Chain
}

func (m nftMode) chains(t *nftables.Table) nftChains {
	base := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		priority, policy := firewallPriority, nftables.ChainPolicyAccept
		return &nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority, Policy: &policy}
	}
	named := func(name string) *nftables.Chain { return &nftables.Chain{Name: name, Table: t} }
	c := nftChains{
		pre: base("prerouting", nftables.ChainHookPrerouting), out: base("output", nftables.ChainHookOutput),
		blocked4: named("blocked4"), blocked6: named("blocked6"), reply: named("reply"),
	}
	if len(m.ports) > 0 {
		c.forward = base("forward", nftables.ChainHookForward)
	}
	return c
}

// all returns the chains, those before that others go to.
func (c nftChains) all() []*nftables.Chain {
	return slices.DeleteFunc([]*nftables.Chain{c.blocked4, c.blocked6, c.reply, c.pre, c.out, c.forward}, func(c *nftables.Chain) bool { return c == nil })
}

// ruleset returns all rules for these buckets, in order.
//
// A reply to a blocked client is answered with a reset to whoever sent it, our own server or a container: its socket is closed
// at once and does not try for a quarter of an hour. The reset comes back over lo, which therefore passes first.
func (m nftMode) ruleset(t *nftables.Table, buckets []nftBucket) []*nftables.Rule {
	c := m.chains(t)
	var rules []*nftables.Rule
	add := func(chain *nftables.Chain, parts ...[]expr.Any) {
		rules = append(rules, &nftables.Rule{Table: t, Chain: chain, Exprs: slices.Concat(parts...)})
	}
	for _, v6 := range []bool{false, true} {
		m.verdicts(c, v6, add)
		add(c.reply, address(v6, true, width(v6)), lookup(neverSet(t, v6).Name), verdict(expr.VerdictAccept, ""))
	}
	if m.reject { // our own resets go out, too
		add(c.reply, transport(unix.IPPROTO_TCP), isReset(), verdict(expr.VerdictAccept, ""))
	}
	add(c.reply, transport(unix.IPPROTO_TCP), counter(counterResets), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})

	add(c.pre, fromLoopback(), verdict(expr.VerdictAccept, ""))
	for _, b := range buckets {
		target := c.blocked4
		if b.v6 {
			target = c.blocked6
		}
		add(c.pre, address(b.v6, false, b.bits), lookup(b.String()), verdict(expr.VerdictGoto, target.Name))
	}
	replies := func(chain *nftables.Chain, condition ...expr.Any) {
		for _, b := range buckets {
			add(chain, address(b.v6, true, b.bits), lookup(b.String()), condition, verdict(expr.VerdictGoto, c.reply.Name))
		}
	}
	if len(m.ports) == 0 {
		replies(c.pre)
		replies(c.out)
		return rules
	}
	ports := lookup(portSet(t).Name)
	replies(c.out, slices.Concat(transport(unix.IPPROTO_TCP), sourcePort(), ports)...)
	// Only connection tracking knows the published port of what a container answers, and it does so from forward on.
	replies(c.forward, slices.Concat(transport(unix.IPPROTO_TCP), publishedPort(), ports)...)
	return rules
}

// verdicts fills the chain to which packets from blocked addresses go.
func (m nftMode) verdicts(c nftChains, v6 bool, add func(*nftables.Chain, ...[]expr.Any)) {
	chain, name := c.blocked4, counterBlocked4
	if v6 {
		chain, name = c.blocked6, counterBlocked6
	}
	add(chain, address(v6, false, width(v6)), lookup(neverSet(c.pre.Table, v6).Name), verdict(expr.VerdictAccept, ""))
	var ports []expr.Any
	protocols := []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP}
	if len(m.ports) > 0 {
		ports = slices.Concat(destinationPort(), lookup("ports"))
	}
	switch {
	case !m.reject && ports == nil:
		add(chain, counter(name), verdict(expr.VerdictDrop, ""))
	case !m.reject:
		for _, p := range protocols {
			add(chain, transport(p), ports, counter(name), verdict(expr.VerdictDrop, ""))
		}
	default:
		prohibited := []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}
		add(chain, transport(unix.IPPROTO_TCP), ports, counter(name), []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
		if ports == nil {
			add(chain, counter(name), prohibited)
		} else {
			add(chain, transport(unix.IPPROTO_UDP), ports, counter(name), prohibited)
		}
	}
}

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}

func counter(name string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: name}}
}

func lookup(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: set}}
}

// fromLoopback matches by the interface's number, which is 1 for lo in every namespace.
func fromLoopback() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(1)},
	}
}

func transport(protocol byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}
}

// isReset matches a TCP header with the flag RST.
func isReset() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{4}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{0}},
	}
}

// address matches the family and loads the source or destination address, cut to so many bits.
func address(v6, destination bool, bits int) []expr.Any {
	family, offset, length := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // of the IP header
	if v6 {
		family, offset, length = unix.NFPROTO_IPV6, 8, 16
	}
	if destination {
		offset += length
	}
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
	}
	if bits < int(length)*8 {
		exprs = append(exprs, &expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: length,
			Mask: net.CIDRMask(bits, int(length)*8), Xor: make([]byte, length),
		})
	}
	return exprs
}

// sourcePort and destinationPort load a port of a TCP or UDP header.
func sourcePort() []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 2}}
}

func destinationPort() []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}}
}

// publishedPort loads the port to which the client sent the flow's first packet, before any translation.
func publishedPort() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeyPROTODST, Direction: 0, Register: 1}}
}
