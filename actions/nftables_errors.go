package actions

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

var (
	// ErrOwned means that another process that lives has this place in the kernel.
	ErrOwned = errors.New("another regwarden owns it")
	// ErrForeign means that somebody else, who is no regwarden, has made what has the name that we should use.
	ErrForeign = errors.New("it is there already and is not regwarden's")
	// errChanged means that the table is not as it was made; writing it anew heals that.
	errChanged = errors.New("another program has changed or removed it")

	errCapability = errors.New("this process lacks CAP_NET_ADMIN: run it as root, or set AmbientCapabilities=CAP_NET_ADMIN in its unit")
	errFamily     = errors.New("netlink sockets are forbidden here: add AF_NETLINK to RestrictAddressFamilies in the unit")
	errKernel     = errors.New("the kernel is too old or lacks a module: Linux 5.10 or later with nf_tables, nft_reject_inet and nft_ct is needed (modprobe nf_tables)")
	errMemory     = errors.New("the kernel has no memory for it")
	errTooMuch    = errors.New("the kernel takes no more at once")
)

// lonelyProblem is why a namespace without a network is refused.
const lonelyProblem = "this network namespace has no interface but lo, so blocks would stop nobody: " +
	"remove PrivateNetwork= from the unit, or run it in the host's namespace"

// explain says in words what the kernel's answer to an attempt on the table means.
func (n *NFTables) explain(attempt string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("action %s: %s table inet %s: %w", n.options.Name, attempt, n.options.Table, n.cause(err))
}

// cause turns an errno of netlink into what an operator can act on.
func (n *NFTables) cause(err error) error {
	is := func(codes ...error) bool {
		for _, c := range codes {
			if errors.Is(err, c) {
				return true
			}
		}
		return false
	}
	switch {
	case is(ErrOwned):
		return fmt.Errorf("%w: end that one, or give this one a table of another name (table in [actions.nftables])", ErrOwned)
	case is(ErrForeign):
		return fmt.Errorf("%w: nothing of it is touched; choose a table of another name (table in [actions.nftables]), or remove that one", ErrForeign)
	case is(unix.EPERM, unix.EACCES):
		return n.denial()
	case is(unix.ENOENT, unix.EEXIST, unix.EBUSY, unix.ERESTART):
		return fmt.Errorf("%w (%v)", errChanged, err)
	case is(unix.EAFNOSUPPORT):
		return fmt.Errorf("%w (%v)", errFamily, err)
	case is(unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL):
		return fmt.Errorf("%w (%v)", errKernel, err)
	case is(unix.ENOMEM):
		return fmt.Errorf("%w (%v)", errMemory, err)
	case is(unix.ENOBUFS, unix.EMSGSIZE, unix.ENFILE):
		return fmt.Errorf("%w (%v)", errTooMuch, err)
	}
	return err
}

// denial tells the two meanings of EPERM apart: without the capability even listing is denied.
func (n *NFTables) denial() error {
	t, err := n.conn.ListTableOfFamily(n.options.Table, nftables.TableFamilyINet)
	if errors.Is(err, unix.EPERM) {
		return errCapability
	}
	if err == nil && n.foreign(t) != nil {
		return n.cause(ErrOwned)
	}
	return fmt.Errorf("the kernel denies it (%w)", unix.EPERM)
}
