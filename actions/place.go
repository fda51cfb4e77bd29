package actions

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// place is what a firewall action writes in the kernel: a table, or a chain and its sets. Two daemons that wrote the same one would undo each
// other's blocks for ever, so each part is held as an abstract unix socket: that belongs to the network namespace, needs no file and ends with the process.
type place struct{ held []net.Listener }

// take holds all parts of the place, or says which of them another one has. In a namespace of a test, which is not the process's own, nothing is held.
func (p *place) take(namespace int, parts ...string) error {
	if p.held != nil || namespace != 0 {
		return nil
	}
	for _, part := range parts {
		l, err := net.Listen("unix", "@regwarden/"+part)
		if err == nil {
			p.held = append(p.held, l)
			continue
		}
		p.leave()
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w (%s)", ErrOwned, part)
		}
		return fmt.Errorf("hold %s: %w", part, err)
	}
	return nil
}

// leave lets another one have the place.
func (p *place) leave() {
	for _, l := range p.held {
		l.Close()
	}
	p.held = nil
}
