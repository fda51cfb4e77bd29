package human

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"regwarden/internal/portal/account"
)

const (
	askTime     = 3 * time.Second
	maxResponse = 16 << 10 // bytes of what a widget gives; they are 2 kB or so
	clockSkew   = time.Minute
)

// WidgetOptions is an account with a provider.
type WidgetOptions struct {
	Kind      string // hcaptcha, recaptcha or turnstile
	SiteKey   string
	Secret    account.Secret
	Hostname  string        // the portal's host name, which the provider must have seen
	VerifyURL string        // default is the provider's own
	Client    *http.Client  // nil is one of its own; a request never takes longer than 3 s
	Expires   time.Duration // default 5 minutes; what the provider says to be older is refused
}

// kind is what differs between the providers.
type kind struct {
	verify, script, class, field string
	sources                      Sources
	binds                        bool // gives action and cdata back
}

// kinds as their manuals have them. reCAPTCHA is version 2, the checkbox.
var kinds = map[string]kind{
	"hcaptcha": {"https://api.hcaptcha.com/siteverify", "https://js.hcaptcha.com/1/api.js", "h-captcha", "h-captcha-response",
		Sources{Script: hcaptchaHosts, Frame: hcaptchaHosts, Style: hcaptchaHosts, Connect: hcaptchaHosts}, false},
	"recaptcha": {"https://www.google.com/recaptcha/api/siteverify", "https://www.google.com/recaptcha/api.js", "g-recaptcha", "g-recaptcha-response",
		Sources{Script: []string{"https://www.google.com/recaptcha/", "https://www.gstatic.com/recaptcha/"},
			Frame: []string{"https://www.google.com/recaptcha/", "https://recaptcha.google.com/recaptcha/"}}, false},
	"turnstile": {"https://challenges.cloudflare.com/turnstile/v0/siteverify", "https://challenges.cloudflare.com/turnstile/v0/api.js", "cf-turnstile", "cf-turnstile-response",
		Sources{Script: []string{"https://challenges.cloudflare.com"}, Frame: []string{"https://challenges.cloudflare.com"}}, true},
}

var hcaptchaHosts = []string{"https://hcaptcha.com", "https://*.hcaptcha.com"}

// Widget is a test of a third party, which sees the visitors. What came back is asked of it (siteverify).
type Widget struct {
	o      WidgetOptions
	kind   kind
	client http.Client
	ledger *ledger[struct{}]
}

// NewWidget returns the test of a third party. It connects at each Verify.
func NewWidget(o WidgetOptions) (*Widget, error) {
	k, known := kinds[o.Kind]
	switch {
	case !known:
		return nil, fmt.Errorf("%q is no human test: write image, hcaptcha, recaptcha or turnstile", o.Kind)
	case o.SiteKey == "":
		return nil, fmt.Errorf("%s wants a site key", o.Kind)
	case o.Secret.Empty():
		return nil, fmt.Errorf("%s wants a secret", o.Kind)
	case o.Hostname == "":
		return nil, fmt.Errorf("%s wants the portal's host name: a response for another page would be good here", o.Kind)
	}
	k.verify = cmp.Or(o.VerifyURL, k.verify)
	w := &Widget{o: o, kind: k, ledger: newLedger[struct{}](o.Expires, 0, 0)}
	if o.Client != nil {
		w.client = *o.Client
	}
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the secret is for nobody else
	return w, nil
}

// Challenge says what the page shows.
func (w *Widget) Challenge(_ context.Context, b Binding) (Challenge, error) {
	id, err := w.ledger.issue(b, struct{}{})
	if err != nil {
		return Challenge{}, err
	}
	return Challenge{ID: id, Kind: w.o.Kind, Script: w.kind.script, Class: w.kind.class, SiteKey: w.o.SiteKey, Action: b.Purpose, Sources: w.kind.sources}, nil
}

// Verify asks the provider, with the visitor's address if the context has it (WithVisitor).
func (w *Widget) Verify(ctx context.Context, b Binding, form url.Values) error {
	id := form.Get(FieldID)
	if _, err := w.ledger.take(b, id); err != nil {
		return err
	}
	response := form.Get(w.kind.field)
	if response == "" || len(response) > maxResponse {
		return ErrWrong
	}
	v, err := w.ask(ctx, response)
	if err != nil {
		return err
	}
	return w.judge(v, b, id)
}

// verdict is what siteverify says.
type verdict struct {
	Success  bool      `json:"success"`
	At       time.Time `json:"challenge_ts"`
	Hostname string    `json:"hostname"`
	Action   string    `json:"action"`
	CData    string    `json:"cdata"`
	Errors   []string  `json:"error-codes"`
}

func (w *Widget) ask(ctx context.Context, response string) (v verdict, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	form := url.Values{"secret": {w.o.Secret.Reveal()}, "response": {response}}
	if a, ok := ctx.Value(visitor{}).(netip.Addr); ok && a.IsValid() {
		form.Set("remoteip", a.String())
	}
	if w.o.Kind == "hcaptcha" {
		form.Set("sitekey", w.o.SiteKey)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.kind.verify, strings.NewReader(form.Encode()))
	if err != nil {
		return v, fmt.Errorf("%w: %v", ErrAway, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := w.client.Do(r)
	if err != nil {
		return v, fmt.Errorf("%w: %v", ErrAway, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return v, fmt.Errorf("%w: %s answers %s", ErrAway, w.kind.verify, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %s: answer is not what siteverify says: %v", ErrAway, w.kind.verify, err)
	}
	return v, nil
}

// judge looks at more than success: the response must be from our page, recent, and, where the provider tells it, for this challenge.
func (w *Widget) judge(v verdict, b Binding, id string) error {
	if !v.Success {
		return w.refusal(v.Errors)
	}
	age := time.Since(v.At)
	switch {
	case !strings.EqualFold(v.Hostname, w.o.Hostname):
		return fmt.Errorf("%w: it was solved on the page of %.100q, not of %q", ErrWrong, v.Hostname, w.o.Hostname)
	case age > w.ledger.keep || age < -clockSkew:
		return ErrExpired
	case w.kind.binds && (v.Action != b.Purpose || v.CData != id):
		return ErrNotYours
	}
	return nil
}

// refusal says what the providers' error codes mean. What is the operator's fault is not the visitor's.
func (w *Widget) refusal(codes []string) error {
	for _, c := range codes {
		switch c {
		case "missing-input-secret", "invalid-input-secret", "sitekey-secret-mismatch", "bad-request", "internal-error", "not-using-dummy-passcode", "not-using-dummy-secret":
			return fmt.Errorf("%w: %s refuses our request: %s; see to its site key and secret", ErrAway, w.o.Kind, c)
		}
	}
	if slices.ContainsFunc(codes, func(c string) bool {
		return c == "timeout-or-duplicate" || c == "already-seen-response" || c == "invalid-or-already-seen-response"
	}) {
		return ErrSpent
	}
	if slices.Contains(codes, "expired-input-response") {
		return ErrExpired
	}
	return ErrWrong
}

type visitor struct{}

// WithVisitor tells a widget's provider where the visitor comes from (remoteip). Without it no address is sent.
func WithVisitor(ctx context.Context, a netip.Addr) context.Context {
	return context.WithValue(ctx, visitor{}, a)
}
