package actions

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// nftAnswer is how long the kernel may take to list a set.
const nftAnswer = 10 * time.Second

// prove compares every element of the table with the blocks, and when it ends. It returns what differs, or nothing. Where that was done lately at such a cost
// that it may not be done again yet, it is left for later.
func (n *NFTables) prove() (string, error) {
	if n.unproven = !n.proofs.due(); n.unproven {
		return "", nil
	}
	defer n.proofs.spent(time.Now())
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: n.options.Namespace})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	now := n.options.Clock().Round(0)
	soon := now.Add(soonEnded)
	missing := make(map[nftBucket]int)
	for target, until := range n.held {
		if until.After(soon) {
			missing[bucketOf(target)]++
		}
	}
	for _, b := range n.buckets {
		var what string
		err := dumpSet(conn, n.options.Table, b.String(), func(key []byte, left time.Duration, ends bool) {
			addr, _ := netip.AddrFromSlice(key)
			until, held := n.held[netip.PrefixFrom(addr, b.bits)]
			switch {
			case !held:
				what = "elements of set " + b.String() + " are not ours"
			case !ends || !endsAt(left, until.Sub(now), longestElement):
				what = "elements of set " + b.String() + " end at another time"
			}
			if held && until.After(soon) {
				missing[b]--
			}
		})
		switch {
		case errors.Is(err, unix.ENOENT):
			return "set " + b.String() + " is gone", nil
		case errors.Is(err, errDumpMoved):
			n.unproven = true
			return "", nil
		case err != nil:
			return "", fmt.Errorf("list set %s: %w", b, err)
		case what != "":
			return what, nil
		case missing[b] > 0:
			return "elements of set " + b.String() + " are gone", nil
		}
	}
	return "", nil
}

// dumpSet lists the elements of a set of an inet table: key, what is left, and whether it ends at all. The library can do that too, for ten times
// the cost.
func dumpSet(conn *netlink.Conn, table, set string, each func(key []byte, left time.Duration, ends bool)) error {
	data := []byte{byte(nftables.TableFamilyINet), 0, 0, 0} // struct nfgenmsg
	data = appendName(data, unix.NFTA_SET_ELEM_LIST_TABLE, table)
	data = appendName(data, unix.NFTA_SET_ELEM_LIST_SET, set)
	m := netlink.Message{Data: data}
	m.Header.Type = netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM)
	return dump(conn, m, time.Now().Add(nftAnswer), func(data []byte) {
		if len(data) < 4 {
			return
		}
		for kind, list := range attributes(data[4:]) {
			if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				continue
			}
			for _, element := range attributes(list) {
				var key []byte
				var left uint64 // milliseconds
				ends := false
				for kind, value := range attributes(element) {
					switch {
					case kind == unix.NFTA_SET_ELEM_KEY:
						for _, v := range attributes(value) {
							key = v
						}
					case kind == unix.NFTA_SET_ELEM_EXPIRATION && len(value) == 8:
						left, ends = binary.BigEndian.Uint64(value), true
					}
				}
				each(key, time.Duration(left)*time.Millisecond, ends)
			}
		}
	})
}
