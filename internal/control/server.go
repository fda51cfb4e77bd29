package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path"
	"time"
)

// Times that the server gives its clients and itself.
const (
	headerTime   = 5 * time.Second
	readTime     = 10 * time.Second
	writeTime    = time.Minute // a long list, or a reload that reads many rules
	idleTime     = 10 * time.Second
	shutdownTime = 5 * time.Second
	// lastRequestTime is how long one who was let in before the end may take to say what it wants and to read the answer.
	lastRequestTime = time.Second
	maxHeader       = 16 << 10 // bytes
)

// DefaultMode lets the socket's owner and group in, and nobody else.
const DefaultMode fs.FileMode = 0o660

// ServerOptions say where the socket is, whom it lets in and who answers on it.
type ServerOptions struct {
	Path string
	// Listener, if there is one, is served instead of a new socket at Path. Whoever made it has given it owner and mode, and keeps it: it is not taken away.
	Listener *net.UnixListener
	// Group owns the socket; its members may change blocks. "" and a group that does not exist leave that to root and the daemon's user.
	Group   string
	Backend Backend
	Logger  *slog.Logger
	// Mode is the socket's; 0 means DefaultMode.
	Mode fs.FileMode
	// Pages can be asked for besides the routes of this package.
	Pages []Page
	// Ready, if set, is called once the socket answers.
	Ready func()
}

// Page is something to GET that another room makes, such as metrics.
type Page struct {
	Path string
	Does string // for the list that GET /v1 gives
	http.Handler
}

// Serve answers on the socket until ctx ends, lets requests that are under way finish, and takes the socket away. It returns an
// error when the socket cannot be had, as when another daemon answers on it.
func Serve(ctx context.Context, o ServerOptions) error {
	if o.Mode == 0 {
		o.Mode = DefaultMode
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := listen(o)
	if err != nil {
		return err
	}
	defer l.remove()
	h := newServer(o)
	srv := &http.Server{Handler: h, ConnContext: withCredentials,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		shutDown(srv, l)
		close(ended)
	})
	if o.Ready != nil {
		o.Ready()
	}
	err = srv.Serve(l)
	if stop() {
		srv.Close()
		return fmt.Errorf("serve the control socket: %w", err)
	}
	<-ended
	return nil
}

// shutDown answers whom the listener let in before it closed; others wait for the next daemon, where systemd holds the socket. http.Server's own Shutdown would
// hang up on those whose request it has not read yet, so that it comes after them.
func shutDown(srv *http.Server, l *listener) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	l.Close()
	srv.SetKeepAlivesEnabled(false)
	l.drain(lastRequestTime)
	if err := srv.Shutdown(ctx); err != nil {
		srv.Close()
	}
}

// server answers requests. It keeps no state of its own.
type server struct {
	backend  Backend
	accounts accounts
	group    string
	log      *slog.Logger
	mux      *http.ServeMux
	routes   []route
}

func newServer(o ServerOptions) *server {
	s := &server{backend: o.Backend, accounts: systemAccounts, group: o.Group, log: o.Logger, mux: http.NewServeMux()}
	byPath := map[string][]route{}
	s.routes = routes()
	for _, p := range o.Pages {
		s.routes = append(s.routes, route{method: http.MethodGet, path: p.Path, does: p.Does, page: p.Handler})
	}
	for _, rt := range s.routes {
		byPath[rt.pattern()] = append(byPath[rt.pattern()], rt)
	}
	for pattern, rts := range byPath {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.dispatch(w, r, rts) })
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, problem(http.StatusNotFound, "the routes: "+routeNames(s.routes), "there is no route %s", cut(r.URL.Path)))
	})
	return s
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, cleaned(r))
}

// cleaned is the request with the path that it means. net/http would send a client elsewhere for a slash too many.
func cleaned(r *http.Request) *http.Request {
	clean := path.Clean("/" + r.URL.Path)
	if clean == r.URL.Path {
		return r
	}
	c := *r
	u := *r.URL
	u.Path, u.RawPath = clean, ""
	c.URL = &u
	return &c
}

// dispatch picks the route of the request's method.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request, rts []route) {
	for _, rt := range rts {
		if rt.method == r.Method || rt.method == http.MethodGet && r.Method == http.MethodHead {
			s.answer(w, r, rt)
			return
		}
	}
	allowed := allowedMethods(rts)
	w.Header().Set("Allow", allowed)
	s.fail(w, r, problem(http.StatusMethodNotAllowed, "it takes "+allowed, "%s does not take %s", cut(r.URL.Path), cut(r.Method)))
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, rt route) {
	if rt.page != nil {
		rt.page.ServeHTTP(w, r)
		return
	}
	q := request{Request: r, query: r.URL.Query(), routes: s.routes}
	if rt.changes {
		p, err := s.changer(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		q.peer = p
	}
	if err := checkQuery(q.query, rt.query); err != nil {
		s.fail(w, r, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	write, err := rt.serve(s.backend, q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if write == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := write(w); err != nil {
		s.log.Warn("control answer broke off", "path", r.URL.Path, "error", err)
	}
}

// changer is the peer of a request that changes something, or why it may not.
func (s *server) changer(r *http.Request) (Peer, error) {
	c, ok := r.Context().Value(credentialsKey{}).(*credentials)
	if !ok {
		return Peer{}, problem(http.StatusForbidden, "", "the kernel does not say who asks")
	}
	p := s.accounts.peer(c, s.group)
	if p.MayChange {
		return p, nil
	}
	s.log.Warn("change refused", "peer", p.String(), "pid", p.PID, "method", r.Method, "path", r.URL.Path)
	hint := "run it as root"
	if s.group != "" {
		hint = fmt.Sprintf("run it as root, or have an administrator add you to the group %s", s.group)
	}
	return p, problem(http.StatusForbidden, hint, "%v may look but not change anything", p)
}

// fail answers with the problem. A fault of ours is logged too, since whoever asked cannot mend it.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(err)
	if p.Status == http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		s.log.Error("control request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	if err := WriteJSON(w, p); err != nil {
		s.log.Debug("control client went away", "path", r.URL.Path, "error", err)
	}
}
