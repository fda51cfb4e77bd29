package actions

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// errNoSets is the cause of an error where blocks cannot be elements of sets on this host, but could be rules.
var errNoSets = errors.New("sets cannot be used")

// errNotThere is the cause of an error about a rule or chain that is not there.
var errNotThere = errors.New("not there")

// caused is an error that tells its cause to errors.Is and not to people.
type caused struct {
	error
	cause error
}

func (c caused) Unwrap() []error { return []error{c.error, c.cause} }

// together is one error with one line for several; nil ones do not count.
func together(errs ...error) error {
	var all error
	for _, err := range errs {
		switch {
		case err == nil:
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}

// The errors that only ipset has, from include/uapi/linux/netfilter/ipset/ip_set.h. They stand above all that errno knows.
const (
	ipsetErrFindType     = syscall.Errno(4098)
	ipsetErrBusy         = syscall.Errno(4100)
	ipsetErrTypeMismatch = syscall.Errno(4102)
	ipsetErrExist        = syscall.Errno(4103)
	ipsetErrTimeout      = syscall.Errno(4107)
	ipsetErrReferenced   = syscall.Errno(4108)
	ipsetErrFull         = syscall.Errno(4352)
)

const needsAdmin = "not permitted: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW"

// ipsetError says what was attempted and what the kernel's number means.
func ipsetError(what string, err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch errno {
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("%s: "+needsAdmin, what)
	case unix.EINVAL, unix.EPROTONOSUPPORT:
		return caused{fmt.Errorf("%s: the kernel has no ipset: load its modules ip_set and ip_set_hash_net", what), errNoSets}
	case ipsetErrFindType:
		return caused{fmt.Errorf("%s: the kernel has no sets of type %s: load its module ip_set_hash_net", what, ipsetType), errNoSets}
	case unix.ENOENT:
		return caused{fmt.Errorf("%s: the set is not there", what), errNotThere}
	case ipsetErrBusy, ipsetErrReferenced:
		return fmt.Errorf("%s: a rule that is not ours uses it: remove that rule", what)
	case ipsetErrTypeMismatch, ipsetErrTimeout:
		return fmt.Errorf("%s: somebody else's set has that name and is of another kind: destroy it or choose another set name", what)
	case unix.EEXIST, ipsetErrExist:
		return fmt.Errorf("%s: it is there already", what)
	case ipsetErrFull:
		return fmt.Errorf("%s: it is full, with %d", what, setSize)
	}
	if errno > 4095 {
		return fmt.Errorf("%s: ipset error %d", what, int(errno))
	}
	return fmt.Errorf("%s: %w", what, errno)
}

// xtMeanings are what programs say and what it means, the first that fits. The texts of both variants of iptables 1.8 are here.
var xtMeanings = []struct {
	said, means string
	cause       error
}{
	{said: "holding the xtables lock", means: "another program holds the xtables lock; it is tried again"},
	{said: "Can't open socket to ipset", means: "-m set wants CAP_NET_RAW too: give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW", cause: errNoSets},
	{said: "can't open lock file", means: "the xtables lock file cannot be written: set XTABLES_LOCKFILE to a file in the service's RuntimeDirectory"},
	{said: "iptables-restore: unable to lock", means: "another program holds the xtables lock; it is tried again"},
	{said: "Permission denied", means: needsAdmin},
	{said: "Operation not permitted", means: needsAdmin},
	{said: "Couldn't load match `set'", means: "this iptables has no set match", cause: errNoSets},
	{said: "do you need to insmod", means: "the kernel has no raw table: load its module iptable_raw or ip6table_raw"},
	{said: "is incompatible, use 'nft' tool", means: "the raw table has rules that nft wrote and iptables cannot read: remove them, or use the nftables action"},
	{said: "CHAIN_DEL failed (Device or resource busy)", means: "a rule that is not ours leads there: remove that rule"},
	{said: "Too many links", means: "a rule that is not ours leads there: remove that rule"},
	{said: "Directory not empty", means: "it is not empty"},
	{said: "No chain/target/match by that name", means: "the kernel has no such chain, target or match", cause: errNotThere},
	{said: "does a matching rule exist", means: "no such rule", cause: errNotThere},
	{said: "does not exist", means: "no such chain or set", cause: errNotThere},
	{said: "doesn't exist", means: "no such chain or set", cause: errNotThere},
	{said: "Couldn't load target", means: "no such chain", cause: errNotThere},
	{said: "No such file or directory", means: "no such chain, match or target in the kernel", cause: errNotThere},
}

// xtError says what was attempted with iptables and what its answer means.
func xtError(what string, err error) error {
	var e *iptables.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		_, said, _ := strings.Cut(e.Error(), fmt.Sprintf("exit status %v: ", e.ExitStatus()))
		return xtSaid(what, e.ExitStatus(), said)
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%s: the program is not there: install the package iptables", what)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: the service may not run programs: allow it, or use the nftables action, which runs none", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func xtSaid(what string, status int, said string) error {
	for _, m := range xtMeanings {
		if !strings.Contains(said, m.said) {
			continue
		}
		err := fmt.Errorf("%s: %s", what, m.means)
		if m.cause == nil {
			return err
		}
		return caused{err, m.cause}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	return fmt.Errorf("%s: exit status %d: %s", what, status, clean(line, 300))
}
