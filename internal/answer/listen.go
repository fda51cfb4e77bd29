package answer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"

	"regwarden/internal/unixsocket"
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

// unix listens on the configured socket; nil if there is none.
func (e *Endpoint) unix() (net.Listener, error) {
	path := e.options.Socket
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", path, err)
	}
	l, err := unixsocket.Listen(path)
	if err != nil {
		return nil, err
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
	if err := unixsocket.GiveGroup(path, e.options.Group); errors.As(err, new(user.UnknownGroupError)) {
		return fmt.Errorf("socket %s: %w", path, err)
	} else if err != nil {
		return fmt.Errorf("give %s to the group %s: %w; let the daemon's user be a member of it", path, e.options.Group, err)
	}
	return os.Chmod(path, 0o660)
}
