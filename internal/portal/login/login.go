// Package login is the portal's door: it finds out who somebody is, by GitLab or another OpenID provider, by a trusted proxy, or, in the
// demo, by asking. It keeps sessions and says nothing about what anybody may do. Tokens stay in this process's memory; a restart signs
// everybody out.
package login

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"regwarden/internal/portal/account"
)

// Mode is who says who somebody is.
type Mode string

// The modes.
const (
	GitLab Mode = "gitlab" // OpenID Connect with GitLab's scopes; the token asks GitLab's API
	OIDC   Mode = "oidc"   // any OpenID provider; the groups claim says what somebody may
	Header Mode = "header" // a proxy in front says it in headers
	Demo   Mode = "demo"   // whoever comes chooses; on loopback only
)

// Options is how people come in. PublicURL and Mode are always wanted.
type Options struct {
	Mode      Mode
	PublicURL string // where browsers see the portal: https://blocks.example.org, without a path; http on loopback, and only in the demo

	// For gitlab and oidc.
	Issuer       string         // https://gitlab.example.org
	ClientID     string         // of the application; its redirect URI is PublicURL/login/callback
	ClientSecret account.Secret // empty for a public client: PKCE is always there
	Scopes       []string       // nil is openid profile read_api for gitlab, openid profile for oidc; openid is always there
	GroupsClaim  string         // oidc only: a claim with a list of texts, or the way to it with dots; default groups
	Client       *http.Client   // nil is one with limits of its own

	// For header.
	UserHeader   string         // X-Forwarded-User; must come exactly once
	NameHeader   string         // optional
	GroupsHeader string         // optional; values between commas
	TrustedPeers []netip.Prefix // whose headers are believed; those who come by a unix socket are always trusted

	// For the demo.
	People []account.User

	Idle        time.Duration // signed out after so long without a request; default 30 minutes
	Lifetime    time.Duration // signed out after so long; default 8 hours
	MaxSessions int           // the one unused longest goes; default 10,000

	Heard func(error) // told after each request to the provider: nil if it answered, or why it did not; nil is nobody

	Show func(http.ResponseWriter, *http.Request, Notice) // makes a page of what the door has to say; nil is plain text
	Log  *slog.Logger                                     // nil is silent
}

// Notice is a page of the door's own.
type Notice struct {
	Status int            // the HTTP status, not yet written
	Title  string         // "GitLab does not answer"
	Text   string         // what to do now; plain text
	Again  string         // a local link that tries again, or ""
	People []account.User // the demo: whom to choose, by POST of user=<Subject> and to=<To> to /login/demo
	To     string         // where the demo's form leads after the login; a local path
}

// maxOfOne is how many sessions one person has at a time: whoever signs in often signs out themselves, not others.
const maxOfOne = 20

// Door knows who is there. It is safe for concurrent use.
type Door struct {
	o        Options
	host     string // of PublicURL as browsers send it: with the port, unless it is the scheme's own
	secure   bool   // cookies are Secure and __Host-; false only in the demo on plain http
	provider *provider
	sessions *scs.SessionManager
	visits   *visits
	pending  *pending
}

// New returns a door. It asks nobody: a provider that is away is asked again when somebody signs in.
func New(o Options) (*Door, error) {
	o.Idle, o.Lifetime = cmp.Or(o.Idle, 30*time.Minute), cmp.Or(o.Lifetime, 8*time.Hour)
	o.MaxSessions = cmp.Or(o.MaxSessions, 10_000)
	if o.Mode == GitLab {
		o.Issuer = strings.TrimRight(o.Issuer, "/") // as GitLab writes it; with other providers a slash may belong to it
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Show == nil {
		o.Show = plain
	}
	u, err := publicURL(o)
	if err != nil {
		return nil, err
	}
	d := &Door{o: o, host: sentHost(u), secure: u.Scheme == "https", visits: newVisits(o.MaxSessions, maxOfOne, o.Idle)}
	d.pending = newPending(d.cookieName("login"), d.secure)
	d.sessions = d.newSessions()
	switch o.Mode {
	case GitLab, OIDC:
		d.provider, err = newProvider(o)
	case Header:
		err = checkHeaders(o)
	case Demo:
		err = checkPeople(o.People)
	default:
		err = fmt.Errorf("login %q: write gitlab, oidc or header", o.Mode)
	}
	return d, err
}

// publicURL is where browsers see us. A cookie that is for this host alone needs https; the demo, which has no secret, may do without on loopback.
func publicURL(o Options) (*url.URL, error) {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("public URL %q: write it like https://blocks.example.org, without a path", o.PublicURL)
	}
	if o.Mode == Demo && !loopbackHost(u.Hostname()) {
		return nil, fmt.Errorf("public URL %q: the demo lets everybody in and is for this machine alone: write 127.0.0.1", o.PublicURL)
	}
	if u.Scheme != "https" && (o.Mode != Demo || u.Scheme != "http") {
		return nil, fmt.Errorf("public URL %q: a login wants https", o.PublicURL)
	}
	return u, nil
}

// sentHost is what a browser sends as Host.
func sentHost(u *url.URL) string {
	return strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
}

func loopbackHost(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

// cookieName has the prefix with which a browser takes the cookie from this host, this scheme and the path / only.
func (d *Door) cookieName(what string) string {
	if d.secure {
		return "__Host-regwarden-" + what
	}
	return "regwarden-demo-" + what
}

// newSessions is scs over the visits. It is made by hand, because scs.New starts a goroutine for a store of its own that cannot be stopped for
// sure; without New its context key is the empty one, which nobody else here has.
func (d *Door) newSessions() *scs.SessionManager {
	s := &scs.SessionManager{Store: d.visits, Codec: scs.GobCodec{}, IdleTimeout: d.o.Idle, Lifetime: d.o.Lifetime,
		Cookie: scs.SessionCookie{Name: d.cookieName("session"), Path: "/", HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode, Persist: false}}
	s.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) {
		d.o.Log.Error("session cannot be read", "error", err)
		d.o.Show(w, r, Notice{Status: http.StatusInternalServerError, Title: "This did not work", Text: "Your session cannot be read. Please sign in anew.", Again: "/login"})
	}
	return s
}

func checkHeaders(o Options) error {
	if o.UserHeader == "" {
		return errors.New("login by header wants the name of the user's header")
	}
	for _, name := range []string{o.UserHeader, o.NameHeader, o.GroupsHeader} {
		if strings.EqualFold(name, "Cookie") || strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Host") {
			return fmt.Errorf("header %s is not the proxy's: browsers send it", name)
		}
	}
	for _, p := range o.TrustedPeers {
		if !p.IsValid() || p.Bits() == 0 {
			return fmt.Errorf("trusted peer %s is everybody: anybody could say who they are", p)
		}
	}
	return nil
}

func checkPeople(people []account.User) error {
	if len(people) == 0 || slices.ContainsFunc(people, func(u account.User) bool { return u.Subject == "" }) {
		return errors.New("the demo wants people to choose, each with a subject")
	}
	return nil
}

// plain is a notice where there are no pages.
func plain(w http.ResponseWriter, _ *http.Request, n Notice) {
	http.Error(w, n.Title+"\n\n"+n.Text, n.Status)
}

// peer is the address that a request came from; ok is false for a unix socket.
func peer(r *http.Request) (a netip.Addr, ok bool) {
	if local, is := r.Context().Value(http.LocalAddrContextKey).(net.Addr); is && local.Network() == "unix" {
		return a, false
	}
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return a, true // nobody's: trusted by no prefix
	}
	return p.Addr().Unmap().WithZone(""), true
}
