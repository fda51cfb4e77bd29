package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"regwarden/internal/unixsocket"
)

// maxConns is how many connections are served at once; others wait in the kernel's queue.
const maxConns = 64

// listener is the bound socket. It serves at most maxConns connections at once and takes the socket away when it ends, if it made it.
type listener struct {
	*net.UnixListener
	path  string
	node  fs.FileInfo // the socket as it was made; nil for one that somebody else made and keeps
	lock  *os.File
	slots chan struct{}
	ended chan struct{}
	end   sync.Once
}

// listen binds the socket. Of two daemons on one path the second gets an error; a socket that a dead daemon left is replaced.
func listen(o ServerOptions) (*listener, error) {
	if o.Listener != nil {
		o.Path = o.Listener.Addr().String()
	}
	if err := makeParent(o.Path); err != nil {
		return nil, err
	}
	lock, err := takeLock(o.Path)
	if err != nil {
		return nil, err
	}
	l := &listener{UnixListener: o.Listener, path: o.Path, slots: make(chan struct{}, maxConns), ended: make(chan struct{})}
	if o.Listener == nil {
		l.UnixListener, l.node, err = bind(o)
	}
	if err != nil {
		dropLock(lock)
		return nil, err
	}
	l.lock = lock
	return l, nil
}

func makeParent(path string) error {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the control socket: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask says: the group must get through
		return fmt.Errorf("make the directory of the control socket: %w", err)
	}
	return nil
}

// takeLock holds path.lock for as long as the socket is ours. Looking whether a socket is dead and replacing it are two steps; without the
// lock two daemons that start together could both take them. The kernel drops the lock of a daemon that dies.
func takeLock(path string) (*os.File, error) {
	name := path + ".lock"
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the control socket: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("another regwarden answers on %s", path)
			}
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if isAt(f, name) {
			return f, nil
		}
		f.Close() // the one who held it removed it in between: the lock is on a file that nobody else will find
	}
}

// dropLock removes the file while the lock is still held, so that nobody finds it who could hold it too.
func dropLock(f *os.File) {
	os.Remove(f.Name())
	f.Close()
}

// isAt says whether the open file is the one that has the name.
func isAt(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && os.SameFile(open, there)
}

func bind(o ServerOptions) (*net.UnixListener, fs.FileInfo, error) {
	unixListener, err := unixsocket.Listen(o.Path)
	switch {
	case errors.Is(err, unixsocket.ErrInUse):
		return nil, nil, fmt.Errorf("another regwarden answers on %s", o.Path)
	case err != nil:
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	unixListener.SetUnlinkOnClose(false) // see remove
	node, err := admit(o)
	if err != nil {
		unixListener.Close()
		os.Remove(o.Path)
		return nil, nil, err
	}
	return unixListener, node, nil
}

// admit gives the socket its group and mode. Without the group it works all the same, for fewer people.
func admit(o ServerOptions) (fs.FileInfo, error) {
	if o.Group != "" {
		if err := unixsocket.GiveGroup(o.Path, o.Group); err != nil {
			o.Logger.Warn("control socket does not belong to its group", "socket", o.Path, "group", o.Group, "error", err)
		}
	}
	if err := os.Chmod(o.Path, o.Mode); err != nil {
		return nil, fmt.Errorf("set the mode of the control socket: %w", err)
	}
	info, err := os.Lstat(o.Path)
	if err != nil {
		return nil, fmt.Errorf("look at the control socket: %w", err)
	}
	return info, nil
}

// Accept waits for a free slot, then for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.ended:
		return nil, net.ErrClosed
	}
	c, err := l.AcceptUnix()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{UnixConn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends accepting. It may be called again.
func (l *listener) Close() (err error) {
	l.end.Do(func() {
		close(l.ended)
		err = l.UnixListener.Close()
	})
	return err
}

// drain waits until no connection is open, but not longer than this. Nothing is accepted afterwards.
func (l *listener) drain(most time.Duration) {
	end := time.After(most)
	for range maxConns {
		select {
		case l.slots <- struct{}{}:
		case <-end:
			return
		}
	}
}

// remove takes the socket away if it still is the one that was made here, and drops the lock.
func (l *listener) remove() {
	if now, err := os.Lstat(l.path); err == nil && l.node != nil && os.SameFile(now, l.node) {
		os.Remove(l.path)
	}
	dropLock(l.lock)
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	*net.UnixConn
	free func()
}

// Close closes the connection and gives its slot back.
func (c *slotConn) Close() error {
	defer c.free()
	return c.UnixConn.Close()
}
