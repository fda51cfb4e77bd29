// Package httpserve serves HTTP on a listener until a context ends, and bounds how many connections that takes. What is served it does not know.
package httpserve

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Until serves the listener until it fails or ctx ends; requests that are under way then have a second to finish.
func Until(ctx context.Context, server *http.Server, l net.Listener) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = server.Shutdown(end)
	})
	err := server.Serve(l)
	if !stop() {
		<-ended // Serve returns when the shutdown begins
	}
	server.Close()
	return err
}

// Cap returns a listener that closes connections beyond so many at once: whoever waits in a queue instead holds others up.
func Cap(l net.Listener, most int) net.Listener {
	return &capped{Listener: l, slots: make(chan struct{}, most)}
}

type capped struct {
	net.Listener
	slots chan struct{}
}

func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			_ = c.Close()
		}
	}
}

// slot gives its place back when it is closed.
type slot struct {
	net.Conn
	free func()
}

func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}
