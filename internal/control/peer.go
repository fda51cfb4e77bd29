package control

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// String is the peer as blocks and history name it: "uid 0 (root)".
func (p Peer) String() string {
	if p.Name == "" {
		return fmt.Sprintf("uid %d", p.UID)
	}
	return fmt.Sprintf("uid %d (%s)", p.UID, p.Name)
}

// credentials are what the kernel noted about the peer when it connected. Nothing in them comes from the peer's own mouth.
type credentials struct {
	uid, gid uint32
	pid      int32
	groups   []uint32
}

type credentialsKey struct{}

// withCredentials puts the peer's credentials into the context of its connection. Where the kernel tells none, there are none there:
// zeros would be root's.
func withCredentials(ctx context.Context, c net.Conn) context.Context {
	counted, ok := c.(*slotConn)
	if !ok {
		return ctx
	}
	raw, err := counted.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *credentials
	if err := raw.Control(func(fd uintptr) { cred = peerCredentials(int(fd)) }); err != nil || cred == nil {
		return ctx
	}
	return context.WithValue(ctx, credentialsKey{}, cred)
}

func peerCredentials(fd int) *credentials {
	u, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil
	}
	return &credentials{uid: u.Uid, gid: u.Gid, pid: u.Pid, groups: peerGroups(fd)}
}

// peerGroups are the peer's supplementary groups; none where the kernel (before 4.13) cannot tell.
func peerGroups(fd int) []uint32 {
	buf := make([]byte, 4*64)
	for {
		size := uint32(len(buf))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(unsafe.Pointer(&size)), 0)
		if errno == unix.ERANGE && int(size) > len(buf) {
			buf = make([]byte, size)
			continue
		}
		if errno != 0 || int(size) > len(buf) {
			return nil
		}
		groups := make([]uint32, 0, size/4)
		for b := buf[:size]; len(b) >= 4; b = b[4:] {
			groups = append(groups, binary.NativeEndian.Uint32(b))
		}
		return groups
	}
}

// accounts is what this host knows of users and groups. They are asked at each request, so that who leaves the group loses the right at once.
type accounts struct {
	user   func(uid string) (*user.User, error)
	group  func(name string) (*user.Group, error)
	groups func(*user.User) ([]string, error)
}

var systemAccounts = accounts{user: user.LookupId, group: user.LookupGroup, groups: (*user.User).GroupIds}

// peer says who is at the other end and whether it may change anything: root, the daemon's own user, and the members of the group.
func (a accounts) peer(c *credentials, group string) Peer {
	p := Peer{UID: c.uid, GID: c.gid, PID: c.pid}
	u, err := a.user(strconv.FormatUint(uint64(c.uid), 10))
	if err == nil {
		p.Name = u.Username
	} else {
		u = nil
	}
	p.MayChange = c.uid == 0 || int(c.uid) == os.Geteuid() || a.member(c, u, group)
	return p
}

// member says whether the peer is in the group: by the group it runs with, or because the host's files say so. A user whom the files do not
// name comes from a directory (LDAP, SSSD) that a static binary cannot ask; for it the groups count that the kernel noted.
func (a accounts) member(c *credentials, u *user.User, group string) bool {
	if group == "" {
		return false
	}
	g, err := a.group(group)
	if err != nil {
		return false
	}
	if g.Gid == strconv.FormatUint(uint64(c.gid), 10) {
		return true
	}
	if u == nil {
		return slices.ContainsFunc(c.groups, func(id uint32) bool { return g.Gid == strconv.FormatUint(uint64(id), 10) })
	}
	ids, err := a.groups(u)
	return err == nil && slices.Contains(ids, g.Gid)
}
