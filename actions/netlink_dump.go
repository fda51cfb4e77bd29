package actions

import (
	"encoding/binary"
	"errors"
	"iter"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// dumpBuffer is how much the kernel may answer at once. It fills what it is offered, up to this; with a page at a time, as the libraries read, a large set
// takes it ten times as long.
const dumpBuffer = 32 << 10

var errDumpMoved = errors.New("it changed while it was read")

// dump asks for a listing and hands over the data of each message, which is good until the next one.
func dump(conn *netlink.Conn, m netlink.Message, end time.Time, each func(data []byte)) error {
	if err := conn.SetDeadline(end); err != nil {
		return err
	}
	m.Header.Flags |= netlink.Request | netlink.Dump
	if _, err := conn.Send(m); err != nil {
		return err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	b := make([]byte, dumpBuffer)
	for moved := false; ; {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), b, 0)
			return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		for rest := b[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			length := int(binary.NativeEndian.Uint32(rest))
			if length < unix.SizeofNlMsghdr || length > len(rest) {
				return errors.New("the kernel's answer is cut")
			}
			kind, flags, data := binary.NativeEndian.Uint16(rest[4:]), binary.NativeEndian.Uint16(rest[6:]), rest[unix.SizeofNlMsghdr:length]
			moved = moved || flags&unix.NLM_F_DUMP_INTR != 0
			if kind == unix.NLMSG_ERROR || kind == unix.NLMSG_DONE {
				switch {
				case len(data) >= 4 && int32(binary.NativeEndian.Uint32(data)) < 0:
					return unix.Errno(-int32(binary.NativeEndian.Uint32(data)))
				case moved:
					return errDumpMoved
				}
				return nil
			}
			each(data)
			rest = rest[min(len(rest), (length+3)&^3):]
		}
	}
}

// attributes walks over netlink attributes: kind without its flags, and content. It ends where they are cut.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			length := int(binary.NativeEndian.Uint16(b))
			if length < 4 || length > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:length]) {
				return
			}
			b = b[min(len(b), (length+3)&^3):]
		}
	}
}

// budget lets what is dear be done as often as it takes no more than a small share of the time.
type budget struct{ next time.Time }

// budgetShare is one part in so many.
const budgetShare = 33

func (b *budget) due() bool { return !time.Now().Before(b.next) }

func (b *budget) spent(began time.Time) {
	now := time.Now()
	b.next = now.Add(now.Sub(began) * budgetShare)
}

// endsTolerance is how far the end of an element may be from the block's before somebody else must have moved it: the kernel rounds, and its timers go
// by another clock. It is more than the jump of the clock after which all is written anew.
const endsTolerance = 10 * time.Second

// endsAt says whether what the kernel has left of an element is what is left of its block. It takes no more than most at once; then the element is
// entered again when half of that is left.
func endsAt(left, want, most time.Duration) bool {
	return (left-want).Abs() <= endsTolerance || left <= want && left >= most/2-endsTolerance
}
