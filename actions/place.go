package actions

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// place is what a firewall action writes in the kernel: a table, or a chain with its sets. Two daemons that wrote the same one would undo each
// other's blocks for ever, so it is held as an abstract unix socket: that belongs to the network namespace, needs no file and ends with the process.
type place struct{ held net.Listener }

// take holds the place, or says that another one has it. In a namespace of a test, which is not the process's own, nothing is held.
func (p *place) take(namespace int, what string) error {
	if p.held != nil || namespace != 0 {
		return nil
	}
	l, err := net.Listen("unix", "@regwarden/"+what)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w (%s)", ErrOwned, what)
	case err != nil:
		return fmt.Errorf("hold %s: %w", what, err)
	}
	p.held = l
	return nil
}

// leave lets another one have the place.
func (p *place) leave() {
	if p.held != nil {
		p.held.Close()
		p.held = nil
	}
}
