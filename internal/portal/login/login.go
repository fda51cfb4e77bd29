// Package login is the portal's door: it finds out who somebody is, by GitLab or another OpenID provider, by a trusted proxy, or, in the
// demo, by asking. It keeps sessions and says nothing about what anybody may do. Tokens stay in this process's memory; a restart signs
// everybody out.
package login

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

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
	PublicURL string // where browsers see the portal: https://blocks.example.org, without a path; http on loopback only in the demo

	// For gitlab and oidc.
	Issuer       string         // https://gitlab.example.org
	ClientID     string         //
	ClientSecret account.Secret // empty for a public client: PKCE is always there
	Scopes       []string       // nil is openid profile read_api for gitlab, openid profile for oidc; openid is always there
	GroupsClaim  string         // oidc only: a claim with a list of texts; default groups
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
	MaxSessions int           // the oldest goes; default 10,000

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

// Door knows who is there. It is safe for concurrent use.
type Door struct{ o Options }

// New returns a door. It asks nobody: a provider that is away is asked again when somebody signs in.
func New(o Options) (*Door, error) { return &Door{o}, nil }

// Wrap puts the person into the context of each request. Everything of the portal is inside, Routes too.
func (d *Door) Wrap(next http.Handler) http.Handler { panic("not yet") }

// User is who sent the request of this context; false is nobody.
func (d *Door) User(ctx context.Context) (account.User, bool) { panic("not yet") }

// Refresh gets the person of this context a new token in place of one that is over; an error means that only a new login helps. Where the
// session has another token by now, that one is the answer.
func (d *Door) Refresh(ctx context.Context, over account.User) (account.User, error) {
	panic("not yet")
}

// Routes serves GET /login?to=/local/path, GET /login/callback, POST /login/demo and POST /logout. In header mode the proxy does the
// login: /login says so. Cross-site POSTs are the caller's to refuse (http.CrossOriginProtection).
func (d *Door) Routes() http.Handler { panic("not yet") }

// LocalPath is a text if it is the path of a page here, else "/". It never leads to another host, whatever a browser makes of it.
func LocalPath(to string) string { panic("not yet") }
