package answer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tcp listens on the configured address; nil if there is none.
func (e *Endpoint) tcp() (net.Listener, error) {
	if e.options.Listen == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", e.options.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", e.options.Listen, err)
	}
	return l, nil
}

// unix listens on the configured socket; nil if there is none. One that a dead daemon left is replaced, nothing else is.
func (e *Endpoint) unix() (net.Listener, error) {
	path := e.options.Socket
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", path, err)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	// The mode of a socket's descriptor becomes that of its node: nobody else gets in before group and mode are as they should be.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }), err)
	}}
	l, err := private.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := e.admit(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// admit lets the group connect, or our own user alone.
func (e *Endpoint) admit(path string) error {
	if e.options.Group == "" {
		return os.Chmod(path, 0o660)
	}
	g, err := user.LookupGroup(e.options.Group)
	if err != nil {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	gid, _ := strconv.Atoi(g.Gid)
	if err := os.Lchown(path, -1, gid); err != nil {
		return fmt.Errorf("give %s to the group %s: %w; let the daemon's user be a member of it", path, e.options.Group, err)
	}
	return os.Chmod(path, 0o660)
}

func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and no socket; remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("somebody else answers on %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find out whether %s is in use: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket of a daemon that is gone: %w", err)
	}
	return nil
}
