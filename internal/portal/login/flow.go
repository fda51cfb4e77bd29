package login

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// begin sends the browser to the provider.
func (d *Door) begin(w http.ResponseWriter, r *http.Request) {
	to := LocalPath(r.URL.Query().Get("to"))
	p, err := d.provider.get(r.Context())
	if err != nil {
		d.away(w, r, to)
		return
	}
	a := attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: to}
	if err := d.pending.begin(w, a); err != nil {
		d.failed(w, r, http.StatusBadRequest, err)
		return
	}
	http.Redirect(w, r, p.authorize(a), http.StatusSeeOther)
}

// callback is where the provider sends the browser back to.
func (d *Door) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	a, ok := d.pending.finish(w, r, q.Get("state"))
	if !ok { // anybody can send one: nothing for the log
		d.unsigned(w, r, http.StatusBadRequest)
		return
	}
	if iss := q.Get("iss"); iss != "" && iss != d.o.Issuer {
		d.failed(w, r, http.StatusBadRequest, errors.New("the answer is another provider's"))
		return
	}
	if code := q.Get("error"); code != "" {
		d.o.Log.Info("sign-in refused by the provider", "error", tidy(code))
		d.o.Show(w, r, Notice{Status: http.StatusForbidden, Title: "You are not signed in", Text: "The provider did not let you in, or you did not want to.", Again: again(a.To)})
		return
	}
	p, err := d.provider.get(r.Context())
	if err != nil {
		d.away(w, r, a.To)
		return
	}
	v, err := p.exchange(r.Context(), q.Get("code"), a)
	if r.Context().Err() == nil { // else the visitor went away, not the provider
		d.o.hear(err)
	}
	if errors.Is(err, errAway) {
		d.o.Log.Warn("login provider is away", "issuer", d.o.Issuer, "error", err)
		d.away(w, r, a.To)
		return
	}
	if err != nil {
		d.failed(w, r, http.StatusForbidden, err)
		return
	}
	d.enter(w, r, v, a.To)
}

func (d *Door) failed(w http.ResponseWriter, r *http.Request, status int, err error) {
	d.o.Log.Warn("sign-in failed", "error", err)
	d.unsigned(w, r, status)
}

func (d *Door) unsigned(w http.ResponseWriter, r *http.Request, status int) {
	d.o.Show(w, r, Notice{Status: status, Title: "You could not be signed in",
		Text: "The sign-in was not begun in this browser, took too long, was used before, or was not confirmed by the provider. Please try again.", Again: "/login"})
}

func (d *Door) away(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Retry-After", "30")
	d.o.Show(w, r, Notice{Status: http.StatusServiceUnavailable, Title: "Signing in does not work at the moment",
		Text: "The login provider at " + d.o.Issuer + " does not answer. Please try again in a minute. An administrator can always lift blocks on the host itself.", Again: again(to)})
}

// again is the link that begins anew and leads to the same page.
func again(to string) string {
	if to == "/" {
		return "/login"
	}
	return "/login?" + url.Values{"to": {to}}.Encode()
}
