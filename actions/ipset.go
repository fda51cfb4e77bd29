package actions

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"golang.org/x/sys/unix"
)

// ipsetConn speaks with the kernel's sets. See include/uapi/linux/netfilter/ipset/ip_set.h.
type ipsetConn struct {
	conn *netlink.Conn
	end  time.Time // of the whole work; zero for none
}

// The commands.
const (
	ipsetProtocol = 1
	ipsetCreate   = 2
	ipsetDestroy  = 3
	ipsetSwap     = 6
	ipsetAdd      = 9
	ipsetDel      = 10
	ipsetTest     = 11
	ipsetHeader   = 12
)

// The attributes of a command.
const (
	ipsetAttrProtocol = 1
	ipsetAttrSetName  = 2
	ipsetAttrTypeName = 3 // of swap: the other set
	ipsetAttrRevision = 4
	ipsetAttrFamily   = 5
	ipsetAttrData     = 7
	ipsetAttrADT      = 8
	ipsetAttrLine     = 9
)

// The attributes within ipsetAttrData.
const (
	ipsetDataIP       = 1
	ipsetDataCIDR     = 3
	ipsetDataTimeout  = 6
	ipsetDataHashSize = 18
	ipsetDataMaxElem  = 19

	ipsetIPv4 = 1
	ipsetIPv6 = 2
)

const (
	ipsetSubsystem = 6
	ipsetVersion   = 6 // the protocol that every kernel since 2.6.39 understands
	ipsetType      = "hash:net"
	// ipsetMessage is about how many bytes go to the kernel in one message; the length of an attribute has 16 bits.
	ipsetMessage = 32 << 10
	// ipsetAnswer is how long the kernel may take to answer.
	ipsetAnswer = 10 * time.Second
)

func dialIPSet(ctx context.Context) (*ipsetConn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netlink for ipset: %w", err)
	}
	end, _ := ctx.Deadline()
	return &ipsetConn{conn, end}, nil
}

func (s *ipsetConn) close() { s.conn.Close() }

// ask sends a command and returns the answer. Without an answer the kernel only acknowledges.
func (s *ipsetConn) ask(command int, flags netlink.HeaderFlags, attributes []byte) ([]netlink.Message, error) {
	data := []byte{unix.AF_INET, 0, 0, 0} // struct nfgenmsg
	data = appendAttr(data, ipsetAttrProtocol, ipsetVersion)
	m := netlink.Message{Data: append(data, attributes...)}
	m.Header.Type = netlink.HeaderType(ipsetSubsystem<<8 | command)
	m.Header.Flags = netlink.Request | flags
	return s.execute(m)
}

func (s *ipsetConn) execute(m netlink.Message) ([]netlink.Message, error) {
	answered := time.Now().Add(ipsetAnswer)
	if !s.end.IsZero() && s.end.Before(answered) {
		answered = s.end
	}
	if err := s.conn.SetDeadline(answered); err != nil {
		return nil, err
	}
	return s.conn.Execute(m)
}

// supported fails where the kernel has no ipset or we may not use it.
func (s *ipsetConn) supported() error {
	_, err := s.ask(ipsetProtocol, 0, nil)
	return ipsetError("ask the kernel for ipset", err)
}

// find says whether the set is there, and fails if it is another kind of set.
func (s *ipsetConn) find(name string, v6 bool) (bool, error) {
	what := "look at set " + name
	answer, err := s.ask(ipsetHeader, 0, appendName(nil, ipsetAttrSetName, name))
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, ipsetError(what, err)
	}
	for _, m := range answer {
		if len(m.Data) < 4 {
			continue
		}
		attributes, err := netlink.UnmarshalAttributes(m.Data[4:])
		if err != nil {
			return false, fmt.Errorf("%s: %w", what, err)
		}
		for _, a := range attributes {
			switch {
			case a.Type == ipsetAttrTypeName && nlenc.String(a.Data) != ipsetType:
				return true, fmt.Errorf("%s: somebody else's set has that name, of type %s: destroy it or choose another set name", what, clean(nlenc.String(a.Data), 32))
			case a.Type == ipsetAttrFamily && len(a.Data) == 1 && a.Data[0] != familyOf(v6):
				return true, fmt.Errorf("%s: somebody else's set has that name, of the other address family: destroy it or choose another set name", what)
			}
		}
	}
	return true, nil
}

func familyOf(v6 bool) byte {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// create makes a set with room for so many elements from the start.
func (s *ipsetConn) create(name string, v6 bool, room int) error {
	hash := uint32(1024)
	for int(hash)*4 < room && hash < 1<<18 { // a bucket holds several, and the kernel grows the set if it must
		hash *= 2
	}
	data := appendUint32(nil, ipsetDataHashSize, hash)
	data = appendUint32(data, ipsetDataMaxElem, setSize)
	data = appendUint32(data, ipsetDataTimeout, 0)
	b := appendName(nil, ipsetAttrSetName, name)
	b = appendName(b, ipsetAttrTypeName, ipsetType)
	b = appendAttr(b, ipsetAttrRevision, 0)
	b = appendAttr(b, ipsetAttrFamily, familyOf(v6))
	b = appendAttr(b, ipsetAttrData|unix.NLA_F_NESTED, data...)
	_, err := s.ask(ipsetCreate, netlink.Acknowledge|netlink.Excl, b)
	return ipsetError("create set "+name, err)
}

// destroy removes a set; one that is not there is no error.
func (s *ipsetConn) destroy(name string) error {
	_, err := s.ask(ipsetDestroy, netlink.Acknowledge, appendName(nil, ipsetAttrSetName, name))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return ipsetError("destroy set "+name, err)
}

// swap exchanges the content of two sets at once; rules keep the name.
func (s *ipsetConn) swap(a, b string) error {
	_, err := s.ask(ipsetSwap, netlink.Acknowledge, appendName(appendName(nil, ipsetAttrSetName, a), ipsetAttrTypeName, b))
	return ipsetError("swap sets "+a+" and "+b, err)
}

// element is what a set should hold: the network and the seconds that are left, 0 for ever.
type element struct {
	network netip.Prefix
	seconds uint32
}

// add enters elements; one that is there gets the new time.
func (s *ipsetConn) add(name string, elements []element) error {
	return s.change(ipsetAdd, "add blocks to set "+name, name, elements)
}

// remove takes elements out; one that is not there is no error.
func (s *ipsetConn) remove(name string, elements []element) error {
	return s.change(ipsetDel, "remove blocks from set "+name, name, elements)
}

func (s *ipsetConn) change(command int, what, name string, elements []element) error {
	head := appendUint32(appendName(nil, ipsetAttrSetName, name), ipsetAttrLine, 0)
	list := make([]byte, 0, ipsetMessage+64)
	for i, e := range elements {
		list = appendElement(list, e)
		if len(list) < ipsetMessage && i < len(elements)-1 {
			continue
		}
		message := appendAttr(head[:len(head):len(head)], ipsetAttrADT|unix.NLA_F_NESTED, list...)
		if _, err := s.ask(command, netlink.Acknowledge, message); err != nil { // not Excl: what is right already is no error
			return ipsetError(what, err)
		}
		list = list[:0]
	}
	return nil
}

// has says whether a network is in the set at this moment.
func (s *ipsetConn) has(name string, network netip.Prefix) (bool, error) {
	_, err := s.ask(ipsetTest, netlink.Acknowledge, appendElement(appendName(nil, ipsetAttrSetName, name), element{network: network}))
	if errors.Is(err, ipsetErrExist) {
		return false, nil
	}
	return err == nil, ipsetError("look for a block in set "+name, err)
}

func appendElement(b []byte, e element) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	if a := e.network.Addr(); a.Is4() {
		b = append(b, 0, 0, 0, 0)
		ip := a.As4()
		b = appendAttr(b, ipsetIPv4|unix.NLA_F_NET_BYTEORDER, ip[:]...)
		putAttr(b[start+4:], ipsetDataIP|unix.NLA_F_NESTED)
	} else {
		b = append(b, 0, 0, 0, 0)
		ip := a.As16()
		b = appendAttr(b, ipsetIPv6|unix.NLA_F_NET_BYTEORDER, ip[:]...)
		putAttr(b[start+4:], ipsetDataIP|unix.NLA_F_NESTED)
	}
	b = appendAttr(b, ipsetDataCIDR, byte(e.network.Bits()))
	b = appendUint32(b, ipsetDataTimeout, e.seconds)
	putAttr(b[start:], ipsetAttrData|unix.NLA_F_NESTED)
	return b
}

// putAttr writes the head of the attribute that fills b.
func putAttr(b []byte, kind uint16) {
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], kind)
}

func appendAttr(b []byte, kind uint16, data ...byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(b, data...)
	putAttr(b[start:], kind)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendUint32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind|unix.NLA_F_NET_BYTEORDER, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func appendName(b []byte, kind uint16, name string) []byte {
	return appendAttr(b, kind, append([]byte(name), 0)...)
}
