// Package portal is the project page: a project's members see the servers that are blocked because of requests to their project, and lift such a block after a
// human test. Who somebody is, login says; what somebody may do, access says, and for each lifting it is asked anew; whether there is a person, human says. What
// is blocked, the daemon says, behind Backend. All pages are made here on the server and work without JavaScript.
//
// Whatever a log or a client wrote (repositories, tags, user agents, lines) reaches a page only through html/template.
package portal

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
)

// Door says who is there: login.Door.
type Door interface {
	Wrap(http.Handler) http.Handler
	User(context.Context) (account.User, bool)
	Routes() http.Handler
}

// Rights say what somebody may do: access.Access.
type Rights interface {
	View(ctx context.Context, u account.User, project string) (access.Level, error)
	Lift(ctx context.Context, u account.User, project string) (access.Level, error)
	Mine(ctx context.Context, u account.User, among []string) (mine []string, whole bool, err error)
	Admin(u account.User) bool
	AdminNow(ctx context.Context, u account.User) error
}

// Limits are how often things may be done, and what a lift brings with it.
type Limits struct {
	UserHour     int           // unblocks of one person in an hour
	ProjectDay   int           // of one project in a day
	AddressDay   int           // of one address in a day
	FailuresHour int           // failed human tests of one person in an hour
	Probation    time.Duration // after an unblock; 0 for none
}

// DefaultLimits are those of the reference configuration.
var DefaultLimits = Limits{UserHour: 3, ProjectDay: 10, AddressDay: 3, FailuresHour: 10, Probation: 24 * time.Hour}

// Options are what the pages need. Door, Rights, Backend and URL are always wanted.
type Options struct {
	// URL is where browsers see it.
	URL     string
	Door    Door
	Rights  Rights
	Backend Backend
	// Test and its Name, for metrics, are the human test; nil means that nobody can lift anything here.
	Test     human.Provider
	TestName string
	// Work is what a browser must compute before the human test is looked at; nil for nothing.
	Work *human.Work
	// Token says whose a token of the JSON API is; nil means that there is no JSON API.
	Token func(ctx context.Context, token account.Secret) (account.User, error)
	// Provider is the address of the login provider, if one leads away from here.
	Provider string
	// Realm is what the login calls itself in the history: "gitlab".
	Realm  string
	Limits Limits
	// LiftFrom is the level from which somebody lifts blocks, for pages that show who may.
	LiftFrom access.Level
	// Socket is the control socket's path, for admins to be told what to do when GitLab does not answer.
	Socket string
	// ClientHeader and TrustedProxies say whom to believe about the visitor's address. Who comes by a unix socket is believed.
	ClientHeader   string
	TrustedProxies []netip.Prefix
	// Demo says on every page that nothing is real.
	Demo bool
	// Tested is told of human tests and SignedIn of logins, for metrics.
	Tested   func(provider, result string)
	SignedIn func(result string)
	// Clock is time.Now if nil.
	Clock func() time.Time
	Log   *slog.Logger
}

// Portal serves the pages. It is safe for concurrent use.
type Portal struct {
	o       atomic.Pointer[Options]
	origins *http.CrossOriginProtection
	handler http.Handler
	visits  visits
	charts  charts
	turns   turns
}

// New returns the pages. They are served by Serve, or by whoever has the Handler.
func New(o Options) *Portal {
	p := &Portal{origins: http.NewCrossOriginProtection()}
	p.Set(o)
	p.handler = p.routes()
	return p
}

// Set replaces the options, for a reload. The door stays, and with it who is signed in.
func (p *Portal) Set(o Options) {
	if before := p.o.Load(); before != nil {
		o.Door = before.Door
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tested == nil {
		o.Tested = func(string, string) {}
	}
	if o.SignedIn == nil {
		o.SignedIn = func(string) {}
	}
	p.o.Store(&o)
}

// Test is the human test in force, and the work before it.
func (p *Portal) Test() (human.Provider, *human.Work) { o := p.o.Load(); return o.Test, o.Work }

// Handler is all of it.
func (p *Portal) Handler() http.Handler { return p.handler }
