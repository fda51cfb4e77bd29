package portal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Place is where the pages are served: at a TCP address, with TLS if there is a certificate, or on a unix socket for a proxy.
type Place struct {
	Listen, Socket, Group string
	Cert, Key             string
}

// open listens at the place. Connections beyond a cap are closed at once.
func (p Place) open() (net.Listener, error) {
	if p.Socket != "" {
		l, err := p.unix()
		if err != nil {
			return nil, err
		}
		return &capped{Listener: l, slots: make(chan struct{}, maxConns)}, nil
	}
	keep := &certificate{cert: p.Cert, key: p.Key}
	if p.Cert != "" {
		if _, err := keep.get(nil); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return nil, err
	}
	l = &capped{Listener: l, slots: make(chan struct{}, maxConns)}
	if p.Cert == "" {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: keep.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// unix makes the socket anew: what lies there from a process that ended is removed, one that answers is not.
func (p Place) unix() (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(p.Socket), 0o755); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", p.Socket); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s: somebody answers there already", p.Socket)
	}
	if info, err := os.Lstat(p.Socket); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s: is there and no socket", p.Socket)
	}
	_ = os.Remove(p.Socket)
	l, err := net.Listen("unix", p.Socket)
	if err != nil {
		return nil, err
	}
	if err := p.share(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// share lets the group connect, and nobody else: whoever does may say who the visitor is.
func (p Place) share() error {
	if err := os.Chmod(p.Socket, 0o660); err != nil || p.Group == "" {
		return err
	}
	g, err := user.LookupGroup(p.Group)
	if err != nil {
		return err
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	return os.Chown(p.Socket, -1, id)
}

// certificate reads its files again when they change.
type certificate struct {
	cert, key string
	mu        sync.Mutex
	at        time.Time
	pair      *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.cert)
	if err == nil && c.pair != nil && info.ModTime().Equal(c.at) {
		return c.pair, nil
	}
	pair, loadErr := tls.LoadX509KeyPair(c.cert, c.key)
	if err = errors.Join(err, loadErr); err != nil {
		if c.pair != nil {
			return c.pair, nil // while it is being replaced
		}
		return nil, err
	}
	c.pair, c.at = &pair, info.ModTime()
	return c.pair, nil
}

// listenAgain is the pause before it is tried again to listen.
const listenAgain = time.Second

// Serve answers at the place until ctx ends. What it cannot listen on it tries again, and tells trouble why, nil when it works.
func (p *Portal) Serve(ctx context.Context, at Place, trouble func(error)) {
	for ctx.Err() == nil {
		l, err := at.open()
		if err == nil {
			trouble(nil)
			err = p.answer(ctx, l)
		}
		if ctx.Err() != nil {
			return
		}
		trouble(err)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// answer serves one listener until it fails or ctx ends.
func (p *Portal) answer(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: p.handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			server.Close()
		}
	})
	defer stop()
	err := server.Serve(l)
	server.Close()
	return err
}

// capped closes connections beyond the cap at once.
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

type slot struct {
	net.Conn
	free func()
}

func (s *slot) Close() error {
	defer s.free()
	return s.Conn.Close()
}
