package service

import (
	"errors"
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"
)

// ControlSocket returns the socket that systemd holds for the daemon, so that clients wait through a restart instead of being refused; nil if there is none.
func ControlSocket() (*net.UnixListener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take the socket that systemd holds: %w", err)
	}
	switch len(listeners) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, errors.New("systemd hands over several sockets, and only the control socket is wanted; leave one ListenStream= in regwarden.socket")
	}
	l, ok := listeners[0].(*net.UnixListener)
	if !ok {
		return nil, errors.New("systemd hands over something that is no unix stream socket; put the control socket's path into ListenStream= of regwarden.socket")
	}
	return l, nil
}
