package human

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"regwarden/internal/portal/account"
)

// WidgetOptions is an account with a provider.
type WidgetOptions struct {
	Kind      string // hcaptcha, recaptcha or turnstile
	SiteKey   string
	Secret    account.Secret
	Hostname  string        // the portal's host name, which the provider must have seen
	VerifyURL string        // default is the provider's own
	Client    *http.Client  // nil is one with a limit of 3 s
	Expires   time.Duration // default 5 minutes; what the provider says to be older is refused
	Log       *slog.Logger  // nil is silent
}

// Widget is a test of a third party, which sees the visitors. What came back is asked of it (siteverify).
type Widget struct{ o WidgetOptions }

// NewWidget returns the test of a third party. It connects at each Verify.
func NewWidget(o WidgetOptions) (*Widget, error) { return &Widget{o}, nil }

// Challenge says what the page shows.
func (w *Widget) Challenge(ctx context.Context, b Binding) (Challenge, error) { panic("not yet") }

// Verify asks the provider, with the visitor's address if the context has it (WithVisitor).
func (w *Widget) Verify(ctx context.Context, b Binding, form url.Values) error { panic("not yet") }

type visitor struct{}

// WithVisitor tells a widget's provider where the visitor comes from (remoteip). Without it no address is sent.
func WithVisitor(ctx context.Context, a netip.Addr) context.Context {
	return context.WithValue(ctx, visitor{}, a)
}
