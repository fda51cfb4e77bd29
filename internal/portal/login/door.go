package login

import (
	"context"
	"errors"
	"net/http"

	"regwarden/internal/portal/account"
)

// inside is the context's key that says that Wrap was there.
type inside struct{}

// Wrap puts the person into the context of each request. Everything of the portal is inside, Routes too.
func (d *Door) Wrap(next http.Handler) http.Handler {
	switch d.o.Mode {
	case Header:
		return d.believe(next)
	case Demo:
		return d.onlyHere(d.session(next))
	}
	return d.session(next)
}

func (d *Door) session(next http.Handler) http.Handler {
	return d.sessions.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), inside{}, true)))
	}))
}

// User is who sent the request of this context; false is nobody.
func (d *Door) User(ctx context.Context) (account.User, bool) {
	if d.o.Mode == Header {
		u, ok := ctx.Value(proxied{}).(account.User)
		return u, ok
	}
	v := d.visit(ctx)
	if v == nil {
		return account.User{}, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.user, true
}

// visit is the visit of a request; nil if nobody is signed in.
func (d *Door) visit(ctx context.Context) *visit {
	if ctx.Value(inside{}) == nil {
		return nil
	}
	return d.visits.get(d.sessions.Token(ctx))
}

// Refresh gets the person of this context a new token in place of one that is over; an error means that only a new login helps. Where the
// session has another token by now, that one is the answer.
func (d *Door) Refresh(ctx context.Context, over account.User) (account.User, error) {
	v := d.visit(ctx)
	if v == nil || d.provider == nil {
		return account.User{}, errors.New("nobody is signed in")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.user.Subject != over.Subject {
		return account.User{}, errors.New("somebody else is signed in by now")
	}
	if v.user.Token.Reveal() != over.Token.Reveal() {
		return v.user, nil
	}
	if v.refresh.Empty() {
		return account.User{}, errors.New("the provider gave no refresh token")
	}
	if err := d.provider.renew(ctx, v); err != nil {
		d.o.Log.Warn("token cannot be refreshed", "user", v.user.Username, "subject", v.user.Subject, "error", err)
		return account.User{}, err
	}
	return v.user, nil
}

// Routes serves GET /login?to=/local/path, GET /login/callback, POST /login/demo and POST /logout. In header mode the proxy does the
// login: /login says so. Cross-site POSTs are the caller's to refuse (http.CrossOriginProtection).
func (d *Door) Routes() http.Handler {
	mux := http.NewServeMux()
	switch d.o.Mode {
	case GitLab, OIDC:
		mux.HandleFunc("GET /login", d.begin)
		mux.HandleFunc("GET /login/callback", d.callback)
		mux.HandleFunc("POST /logout", d.leave)
	case Demo:
		mux.HandleFunc("GET /login", d.choose)
		mux.HandleFunc("POST /login/demo", d.chosen)
		mux.HandleFunc("POST /logout", d.leave)
	case Header:
		mux.HandleFunc("GET /login", d.proxyDoes)
		mux.HandleFunc("POST /logout", d.proxyDoes)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address of the callback has the code in it
		mux.ServeHTTP(w, r)
	})
}

// proxyDoes says who signs people in and out.
func (d *Door) proxyDoes(w http.ResponseWriter, r *http.Request) {
	if _, ok := d.User(r.Context()); ok && r.Method == http.MethodGet {
		http.Redirect(w, r, LocalPath(r.FormValue("to")), http.StatusSeeOther)
		return
	}
	d.o.Show(w, r, Notice{Status: http.StatusUnauthorized, Title: "The proxy in front signs you in and out",
		Text: "Your request came without the name of a user. Ask whoever runs this page if you see this after signing in."})
}

// enter begins a session: under a new token, so that one that somebody planted before is worth nothing.
func (d *Door) enter(w http.ResponseWriter, r *http.Request, v *visit, to string) {
	ctx := r.Context()
	if err := d.sessions.RenewToken(ctx); err != nil {
		d.sessions.ErrorFunc(w, r, err)
		return
	}
	d.visits.add(d.sessions.Token(ctx), v)
	d.o.Log.Info("signed in", "user", v.user.Username, "subject", v.user.Subject, "login", string(d.o.Mode))
	http.Redirect(w, r, LocalPath(to), http.StatusSeeOther)
}

// leave ends the session and forgets the tokens.
func (d *Door) leave(w http.ResponseWriter, r *http.Request) {
	if u, ok := d.User(r.Context()); ok {
		d.o.Log.Info("signed out", "user", u.Username, "subject", u.Subject)
	}
	if err := d.sessions.Destroy(r.Context()); err != nil {
		d.sessions.ErrorFunc(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
