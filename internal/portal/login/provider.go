package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"regwarden/internal/portal/account"
)

const (
	askTime   = 5 * time.Second
	askAgain  = 5 * time.Second // a provider that was away is left alone for so long
	maxAnswer = 1 << 20         // bytes
)

// errAway is a provider that does not answer, or not as one.
var errAway = errors.New("the login provider does not answer")

// provider finds the OpenID provider when somebody wants to sign in, and keeps what it said of itself.
type provider struct {
	o      Options
	client *http.Client

	mu     sync.Mutex // held during discovery, so that many who come at once ask once
	found  *found
	failed error
	at     time.Time // of failed
}

// found is a provider that has said where its endpoints and keys are.
type found struct {
	o      Options
	client *http.Client
	oidc   *oidc.Provider
	oauth  oauth2.Config
}

func newProvider(o Options) (*provider, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		return nil, fmt.Errorf("issuer %q: write it like https://gitlab.example.org", o.Issuer)
	}
	if o.ClientID == "" {
		return nil, errors.New("a client ID is missing: the provider gives one for the application")
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute}}
	if o.Client != nil {
		client = *o.Client
	}
	if client.Timeout == 0 {
		client.Timeout = askTime
	}
	client.Transport = short{client.Transport}
	return &provider{o: o, client: &client}, nil
}

// get is the provider, found at the first time that it answers.
func (p *provider) get(ctx context.Context) (*found, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failed != nil && time.Since(p.at) < askAgain {
		return nil, p.failed
	}
	// A visitor who goes away in the meantime is no reason to stop: the next one wants it too.
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), p.client), askTime)
	defer cancel()
	o, err := oidc.NewProvider(ctx, p.o.Issuer)
	if err == nil {
		err = sameScheme(p.o.Issuer, o.Endpoint())
	}
	if err != nil {
		p.failed, p.at = fmt.Errorf("%w: %s", errAway, tidy(err.Error())), time.Now()
		p.o.Log.Warn("login provider is away", "issuer", p.o.Issuer, "error", p.failed) // once an attempt, however many visitors come
		p.o.hear(p.failed)
		return nil, p.failed
	}
	p.found = &found{o: p.o, client: p.client, oidc: o, oauth: oauth2.Config{ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret.Reveal(),
		Endpoint: o.Endpoint(), RedirectURL: strings.TrimRight(p.o.PublicURL, "/") + "/login/callback", Scopes: scopes(p.o)}}
	if p.o.ClientSecret.Empty() {
		p.found.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	p.failed = nil
	p.o.hear(nil)
	return p.found, nil
}

// hear tells how a request to the provider went. One that was refused has an answer.
func (o *Options) hear(err error) {
	if o.Heard == nil {
		return
	}
	if !errors.Is(err, errAway) {
		err = nil
	}
	o.Heard(err)
}

// sameScheme refuses endpoints without TLS of a provider that has it.
func sameScheme(issuer string, e oauth2.Endpoint) error {
	scheme, _, _ := strings.Cut(issuer, ":")
	for _, endpoint := range []string{e.AuthURL, e.TokenURL} {
		if !strings.HasPrefix(endpoint, scheme+"://") {
			return fmt.Errorf("endpoint %q is not %s as the issuer is", endpoint, scheme)
		}
	}
	return nil
}

func scopes(o Options) []string {
	switch {
	case o.Scopes != nil && slices.Contains(o.Scopes, oidc.ScopeOpenID):
		return o.Scopes
	case o.Scopes != nil:
		return append([]string{oidc.ScopeOpenID}, o.Scopes...)
	case o.Mode == GitLab:
		return []string{oidc.ScopeOpenID, "profile", "read_api"}
	}
	return []string{oidc.ScopeOpenID, "profile"}
}

// authorize is where the browser goes.
func (f *found) authorize(a attempt) string {
	return f.oauth.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier))
}

// exchange gives the code back for tokens, and looks at each thing that the ID token says.
func (f *found) exchange(ctx context.Context, code string, a attempt) (*visit, error) {
	if code == "" {
		return nil, errors.New("the answer has no code")
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, f.client), 2*askTime)
	defer cancel()
	token, err := f.oauth.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return nil, plainError(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("the provider gave no ID token: has the application the scope openid?")
	}
	id, err := f.oidc.VerifierContext(ctx, &oidc.Config{ClientID: f.o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the ID token is not good: %s", tidy(err.Error()))
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return nil, errors.New("the ID token cannot be read")
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(a.Nonce)) != 1:
		return nil, errors.New("the ID token was made for another sign-in")
	case len(id.Audience) > 1 && c.party() != f.o.ClientID:
		return nil, errors.New("the ID token was made for another application")
	case id.Subject == "" || len(id.Subject) > maxName || id.Subject != tidy(id.Subject):
		return nil, errors.New("the ID token names nobody")
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return nil, errors.New("the ID token belongs to another access token")
	}
	if f.wantsMore(c) {
		if err := f.userinfo(ctx, token, id.Subject, c); err != nil {
			return nil, err
		}
	}
	return f.visitOf(id.Subject, c, token), nil
}

// wantsMore says that the ID token leaves out what the userinfo endpoint may tell, as older GitLabs do.
func (f *found) wantsMore(c claims) bool {
	return f.oidc.UserInfoEndpoint() != "" && (c.text("preferred_username") == "" || f.o.Mode == OIDC && c.list(f.o.groupsClaim()) == nil)
}

// userinfo adds what the ID token does not say. What it does say stays.
func (f *found) userinfo(ctx context.Context, token *oauth2.Token, subject string, c claims) error {
	info, err := f.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return plainError(err)
	}
	more := claims{}
	if info.Subject != subject || info.Claims(&more) != nil {
		return errors.New("the provider's userinfo is of somebody else")
	}
	for name, value := range more {
		if _, known := c[name]; !known {
			c[name] = value
		}
	}
	return nil
}

// visitOf is the person as the claims say. With GitLab no group is taken over, and with others no token is kept: nobody would ask with it.
func (f *found) visitOf(subject string, c claims, token *oauth2.Token) *visit {
	u := account.User{Subject: subject, Username: tidy(c.text("preferred_username")), Name: tidy(c.text("name"))}
	if u.Username == "" {
		u.Username = tidy(c.text("nickname"))
	}
	if u.Name == "" {
		u.Name = u.Username
	}
	v := &visit{}
	if f.o.Mode == GitLab {
		u.Token = account.NewSecret(token.AccessToken)
		v.refresh = account.NewSecret(token.RefreshToken)
	} else {
		u.Groups = someGroups(c.list(f.o.groupsClaim()))
	}
	v.user = u
	return v
}

// renew gets a visit, whose mutex is held, a new token. It goes on when the visitor goes away: the old refresh token is worth nothing from then on.
func (p *provider) renew(ctx context.Context, v *visit) error {
	f, err := p.get(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(context.WithoutCancel(ctx), f.client), askTime)
	defer cancel()
	token, err := f.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: v.refresh.Reveal()}).Token()
	if err != nil {
		err = plainError(err)
	}
	p.o.hear(err)
	if err != nil {
		if !errors.Is(err, errAway) {
			v.refresh = account.Secret{} // it will not become good again
		}
		return err
	}
	v.user.Token = account.NewSecret(token.AccessToken)
	if token.RefreshToken != "" {
		v.refresh = account.NewSecret(token.RefreshToken)
	}
	return nil
}

// plainError is an error without the provider's whole answer, in which there may be a code or a token.
func plainError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		if refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests {
			return fmt.Errorf("%w: it answers %s", errAway, refused.Response.Status)
		}
		return fmt.Errorf("the provider refuses: %s %q", refused.Response.Status, tidy(refused.ErrorCode))
	}
	var network *url.Error
	if errors.As(err, &network) {
		return fmt.Errorf("%w: %v", errAway, network.Err)
	}
	return errors.New("the provider's answer cannot be read")
}

// short cuts answers: a provider may be trusted and still be broken.
type short struct{ next http.RoundTripper }

// RoundTrip is http.RoundTripper's.
func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	answer, err := next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}
