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
	ipsetList     = 7
	ipsetAdd      = 9
	ipsetDel      = 10
	ipsetTest     = 11
)

// The attributes of a command.
const (
	ipsetAttrProtocol = 1
	ipsetAttrSetName  = 2
	ipsetAttrTypeName = 3 // of swap: the other set
	ipsetAttrRevision = 4
	ipsetAttrFamily   = 5
	ipsetAttrFlags    = 6
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
	ipsetDataUses     = 25 // how many rules and lists refer to the set

	ipsetHeadOnly = 4 // a flag of list: not the elements

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
	if err := s.conn.SetDeadline(s.answered()); err != nil {
		return nil, err
	}
	return s.conn.Execute(m)
}

// answered is when the kernel must have answered.
func (s *ipsetConn) answered() time.Time {
	answered := time.Now().Add(ipsetAnswer)
	if !s.end.IsZero() && s.end.Before(answered) {
		return s.end
	}
	return answered
}

// supported fails where the kernel has no ipset or we may not use it.
func (s *ipsetConn) supported() error {
	_, err := s.ask(ipsetProtocol, 0, nil)
	return ipsetError("ask the kernel for ipset", err)
}

// ipsetHead is what is to know of a set of ours besides its elements.
type ipsetHead struct {
	there      bool
	references int
	most       uint32 // elements
}

// own is find, and fails also if the set has room for another number of elements than every regwarden gives it: then somebody else has made it.
func (s *ipsetConn) own(name string, v6 bool) (ipsetHead, error) {
	head, err := s.find(name, v6)
	if err == nil && head.there && head.most != setSize {
		err = foreignSet("look at set "+name, fmt.Sprintf("with maxelem %d and not %d", head.most, setSize))
	}
	return head, err
}

func foreignSet(what, how string) error {
	return caused{fmt.Errorf("%s: somebody else's set has that name, %s: destroy it or choose another set name (set in [actions.iptables])", what, how), ErrForeign}
}

// find looks for the set, and fails if it is of another kind than ours.
func (s *ipsetConn) find(name string, v6 bool) (ipsetHead, error) {
	what := "look at set " + name
	var head ipsetHead
	kind, family, timed := "", byte(0), false
	err := s.list(name, true, func(attribute uint16, value []byte) {
		head.there = true
		switch {
		case attribute == ipsetAttrTypeName:
			kind = nlenc.String(value)
		case attribute == ipsetAttrFamily && len(value) == 1:
			family = value[0]
		case attribute == ipsetAttrData:
			for attribute, value := range attributes(value) {
				switch {
				case attribute == ipsetDataTimeout:
					timed = true
				case attribute == ipsetDataMaxElem && len(value) == 4:
					head.most = binary.BigEndian.Uint32(value)
				case attribute == ipsetDataUses && len(value) == 4:
					head.references = int(binary.BigEndian.Uint32(value))
				}
			}
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return ipsetHead{}, nil
	}
	if err != nil {
		return head, ipsetError(what, err)
	}
	switch {
	case kind != ipsetType:
		return head, foreignSet(what, "of type "+clean(kind, 32))
	case family != familyOf(v6):
		return head, foreignSet(what, "of the other address family")
	case !timed:
		return head, foreignSet(what, "without timeouts")
	}
	return head, nil
}

// list hands over the attributes of a set as the kernel lists them, in several messages if it is large.
func (s *ipsetConn) list(name string, headOnly bool, each func(attribute uint16, value []byte)) error {
	data := []byte{unix.AF_INET, 0, 0, 0} // struct nfgenmsg
	data = appendName(appendAttr(data, ipsetAttrProtocol, ipsetVersion), ipsetAttrSetName, name)
	if headOnly {
		data = appendUint32(data, ipsetAttrFlags, ipsetHeadOnly)
	}
	m := netlink.Message{Data: data}
	m.Header.Type = netlink.HeaderType(ipsetSubsystem<<8 | ipsetList)
	return dump(s.conn, m, s.answered(), func(data []byte) {
		if len(data) < 4 {
			return
		}
		for attribute, value := range attributes(data[4:]) {
			each(attribute, value)
		}
	})
}

// elements hands over the elements of a set; 0 seconds are for ever.
func (s *ipsetConn) elements(name string, each func(element)) error {
	err := s.list(name, false, func(attribute uint16, value []byte) {
		if attribute != ipsetAttrADT {
			return
		}
		for _, one := range attributes(value) {
			var e element
			var addr netip.Addr
			bits := -1
			for attribute, value := range attributes(one) {
				switch {
				case attribute == ipsetDataIP:
					for _, ip := range attributes(value) {
						addr, _ = netip.AddrFromSlice(ip)
					}
				case attribute == ipsetDataCIDR && len(value) == 1:
					bits = int(value[0])
				case attribute == ipsetDataTimeout && len(value) == 4:
					e.seconds = binary.BigEndian.Uint32(value)
				}
			}
			if bits < 0 {
				bits = addr.BitLen()
			}
			e.network = netip.PrefixFrom(addr, bits)
			each(e)
		}
	})
	return ipsetError("list set "+name, err)
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
