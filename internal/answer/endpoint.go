package answer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/detector"
	"regwarden/internal/httpserve"
)

// EndpointOptions say where an Endpoint answers and whom it believes.
type EndpointOptions struct {
	Name string
	Text *Text
	// Socket is the path of a unix socket, Group who may connect to it besides us; Listen is a TCP address on loopback. Each may be "".
	Socket, Group, Listen string
	// ClientHeader is where front ends put the client's address; "" means X-Real-IP for nginx and X-Forwarded-For for the others. Of several addresses the last
	// one counts that is no trusted proxy: what stands before it, a client may have written.
	ClientHeader   string
	TrustedProxies []netip.Prefix
	// FailClosed refuses with 503 where it cannot be told who the client is, or who is blocked. Otherwise such requests pass.
	FailClosed bool
	Logger     *slog.Logger
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Endpoint lets front ends ask about each request: nginx by auth_request, Traefik and Caddy by forward auth, Envoy by ext_authz over HTTP.
//
//	/auth      nginx: 204, or 403 with the answer in headers (X-Regwarden-…), from X-Original-Method and X-Original-URI
//	/answer    nginx: the whole answer, for the error_page of such a 403
//	/forward   Traefik, Caddy: 200, or the whole answer, from X-Forwarded-Method and X-Forwarded-Uri
//	/envoy/…   Envoy with this path_prefix: 200, or the whole answer
//
// Every front end has its own path, so that a header which one of them does not set is not read where a client could have sent it.
type Endpoint struct {
	*Held
	options EndpointOptions
	trouble atomic.Pointer[error] // why it does not listen
	warned  atomic.Int64          // unix seconds
}

// Bounds of what a front end, or who gets at the socket, can make it hold.
const (
	maxConns  = 512
	maxHeader = 32 << 10
	maxHops   = 32 // addresses in a forwarded header
)

// NewEndpoint returns the action. It listens from Serve on.
func NewEndpoint(o EndpointOptions) *Endpoint {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Endpoint{Held: NewHeld(o.Name), options: o}
}

// Sync swaps the table; the error says that nobody can ask about it.
func (e *Endpoint) Sync(ctx context.Context, blocks []detector.Block) error {
	return errors.Join(e.Held.Sync(ctx, blocks), e.listens())
}

// Apply changes the table; the error says that nobody can ask about it.
func (e *Endpoint) Apply(ctx context.Context, changes []detector.Change) error {
	return errors.Join(e.Held.Apply(ctx, changes), e.listens())
}

func (e *Endpoint) listens() error {
	if err := e.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// ServeHTTP decides on one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { // a request of an odd front end must not end the daemon, nor be let in by an empty answer
		if p := recover(); p != nil {
			e.options.Logger.Error("a request could not be decided on", "error", p)
			panic(http.ErrAbortHandler)
		}
	}()
	path, _, _ := strings.Cut(r.RequestURI, "?")
	switch {
	case path == "/auth":
		e.decide(w, r, e.asked(r, "X-Original-Method", "X-Original-Uri", "X-Real-Ip"), authRequest)
	case path == "/answer":
		e.decide(w, r, e.asked(r, "X-Original-Method", "X-Original-Uri", "X-Real-Ip"), wholeAnswer)
	case path == "/forward":
		e.decide(w, r, e.asked(r, "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-For"), forwardAuth)
	case strings.HasPrefix(path, "/envoy/"):
		a := e.asked(r, "", "", "X-Forwarded-For")
		a.Request = e.with(r, r.Method, strings.TrimPrefix(r.RequestURI, "/envoy"))
		e.decide(w, r, a, forwardAuth)
	default:
		http.Error(w, "regwarden answers on /auth, /answer, /forward and /envoy/", http.StatusNotFound)
	}
}

// question is what a front end asks about.
type question struct {
	Request
	client netip.Addr
}

func (e *Endpoint) asked(r *http.Request, method, uri, client string) question {
	if e.options.ClientHeader != "" {
		client = e.options.ClientHeader
	}
	return question{e.with(r, last(r.Header, method), last(r.Header, uri)), e.client(r.Header, client)}
}

func (e *Endpoint) with(r *http.Request, method, uri string) Request {
	q := ReadRequest(method, uri)
	q.Accept, q.UserAgent = strings.Join(r.Header["Accept"], ","), r.Header.Get("User-Agent")
	return q
}

// last is a header's last value: a front end that adds one instead of replacing what the client sent adds it at the end.
func last(h http.Header, name string) string {
	if values := h.Values(name); len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// client is the address that the front end saw; invalid if it names none.
func (e *Endpoint) client(h http.Header, name string) netip.Addr {
	hops := 0
	lines := h.Values(name)
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; ; {
			comma := strings.LastIndexByte(rest, ',')
			addr, err := hop(strings.TrimSpace(rest[comma+1:]))
			if hops++; err != nil || hops > maxHops {
				return netip.Addr{} // what stands further left is not to be believed
			}
			if !e.trusted(addr) {
				return addr
			}
			if comma < 0 {
				break
			}
			rest = rest[:comma]
		}
	}
	return netip.Addr{}
}

// hop reads an address, with a port or without.
func hop(text string) (netip.Addr, error) {
	if p, err := netip.ParseAddrPort(text); err == nil {
		return p.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a.Unmap().WithZone(""), err
}

func (e *Endpoint) trusted(a netip.Addr) bool {
	for _, p := range e.options.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// How a front end wants to be told.
type manner int

const (
	authRequest manner = iota // 204 or 403, the answer in headers
	forwardAuth               // 200, or what the client shall get
	wholeAnswer               // what the client shall get; it is known to be refused
)

func (e *Endpoint) decide(w http.ResponseWriter, r *http.Request, q question, m manner) {
	if !q.client.IsValid() || !e.Ready() {
		e.unknown(w, q, m)
		return
	}
	now := e.options.Clock()
	n, refused := e.Find(e.options.Text, q.client, q.Request, now)
	switch {
	case !refused:
		pass(w, m)
		return
	case m == forwardAuth && q.Operation == detector.OpPing:
		// A 200 of ours would let the request pass, not answer it, and any other would hide the text from some clients.
		pass(w, m)
		return
	}
	a := e.options.Text.Answer(n, q.Request, now)
	if m == authRequest {
		for name, value := range map[string]string{"X-Regwarden-Status": strconv.Itoa(a.Status), "X-Regwarden-Message": e.options.Text.Message(n),
			"X-Regwarden-Block": tidy(n.Cause.ID, roomID), "X-Regwarden-Expires": n.Cause.Until.UTC().Format(time.RFC3339), "Retry-After": a.Header.Get("Retry-After")} {
			if value != "" {
				w.Header().Set(name, value)
			}
		}
		w.WriteHeader(http.StatusForbidden)
		return
	}
	write(w, a)
}

func write(w http.ResponseWriter, a Answer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // nothing of it is sent for HEAD
}

// pass lets a request go to the registry.
func pass(w http.ResponseWriter, m manner) {
	switch m {
	case authRequest:
		w.WriteHeader(http.StatusNoContent)
	case forwardAuth:
		w.WriteHeader(http.StatusOK)
	case wholeAnswer: // the block ended between the front end's two questions
		h := http.Header{}
		h.Set("Content-Type", "application/json; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		write(w, Answer{http.StatusForbidden, h, encode(ociError{Code: "DENIED", Message: "The block has ended this moment. Try again"})})
	}
}

// unknown decides on a request of which the client is not known, or before the first blocks are.
func (e *Endpoint) unknown(w http.ResponseWriter, q question, m manner) {
	if now := e.options.Clock().Unix(); !q.client.IsValid() && now-e.warned.Swap(now) > 60 {
		e.options.Logger.Warn("a front end asks without the client's address in the header where it is looked for; such requests cannot be decided on",
			"action", e.Name(), "header", e.options.ClientHeader, "fail_closed", e.options.FailClosed)
	}
	if e.options.FailClosed {
		write(w, Unavailable())
		return
	}
	pass(w, m)
}

// Serve answers until ctx ends. What it cannot listen on it tries again: the socket of a daemon that is just ending, or an address that comes later.
func (e *Endpoint) Serve(ctx context.Context) error {
	var servers sync.WaitGroup
	defer servers.Wait()
	for _, where := range []func() (net.Listener, error){e.unix, e.tcp} {
		servers.Go(func() { e.serve(ctx, where) })
	}
	<-ctx.Done()
	return ctx.Err()
}

// listenAgain is the pause before it is tried again to listen.
const listenAgain = time.Second

func (e *Endpoint) serve(ctx context.Context, listen func() (net.Listener, error)) {
	for said := ""; ctx.Err() == nil; {
		l, err := listen()
		if l == nil && err == nil {
			return // not configured
		}
		if err == nil {
			e.trouble.Store(nil)
			said = ""
			err = e.answer(ctx, l)
		}
		if ctx.Err() != nil {
			return
		}
		e.trouble.Store(&err)
		if said != err.Error() {
			said = err.Error()
			e.options.Logger.Error("front ends cannot ask; it is tried again", "action", e.Name(), "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// answer serves one listener until it fails or ctx ends. Connections beyond the cap are closed at once: a front end that waits would hold its client up, and one
// that is sent away lets it in.
func (e *Endpoint) answer(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	return httpserve.Until(ctx, server, httpserve.Cap(l, maxConns))
}
