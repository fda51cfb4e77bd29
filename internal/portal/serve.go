package portal

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"regwarden/internal/httpserve"
	"regwarden/internal/unixsocket"
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
		return httpserve.Cap(l, maxConns), nil
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
	l = httpserve.Cap(l, maxConns)
	if p.Cert == "" {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: keep.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// unix makes the socket, for the group and nobody else: whoever connects may say who the visitor is.
func (p Place) unix() (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(p.Socket), 0o755); err != nil {
		return nil, err
	}
	l, err := unixsocket.Listen(p.Socket)
	if err != nil {
		return nil, err
	}
	if p.Group != "" {
		err = unixsocket.GiveGroup(p.Socket, p.Group)
	}
	if err = errors.Join(err, os.Chmod(p.Socket, 0o660)); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
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
	return httpserve.Until(ctx, server, l)
}
