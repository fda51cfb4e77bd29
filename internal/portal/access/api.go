package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"regwarden/internal/portal/account"
)

const (
	askTime   = 3 * time.Second
	maxAnswer = 4 << 20 // bytes; a page of 100 projects is about 0.1 MB
	atOnce    = 16      // requests to GitLab at a time, so that a slow one does not gather thousands of them
)

// api is GitLab's, version 4, read only.
type api struct {
	base    string // without a slash at the end
	client  *http.Client
	refresh func(context.Context, account.User) (account.User, error)
	heard   func(error)
	free    chan struct{}
}

func newAPI(base string, u *url.URL, o GitLabOptions) api {
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}}
	if o.Client != nil {
		client = *o.Client
	}
	// GitLab redirects from the old path of a project that moved. Anything else that redirects (a login page, another host) is no answer,
	// and gets no token.
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || r.URL.Scheme != u.Scheme || r.URL.Host != u.Host || !strings.HasPrefix(r.URL.Path, u.Path+"/api/v4/projects/") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return api{base: base + "/api/v4", client: &client, refresh: o.Refresh, heard: o.Heard, free: make(chan struct{}, atOnce)}
}

// errOver is a token that GitLab no longer takes.
var errOver = errors.New("the token is over")

// get asks as a person. With a token that is over it asks once more with a new one, which u has then. moved says that a redirect was followed.
func (a *api) get(ctx context.Context, u *account.User, path string, into any) (moved bool, err error) {
	if u.Token.Empty() {
		return false, ErrSignIn
	}
	moved, err = a.once(ctx, u.Token, path, into)
	if !errors.Is(err, errOver) {
		return moved, err
	}
	if a.refresh == nil {
		return false, ErrSignIn
	}
	renewed, err := a.refresh(ctx, *u)
	if err != nil || renewed.Subject != u.Subject {
		return false, ErrSignIn
	}
	*u = renewed
	if moved, err = a.once(ctx, u.Token, path, into); errors.Is(err, errOver) {
		return false, ErrSignIn
	}
	return moved, err
}

// once asks, and tells whether there was an answer. A visitor who went away in the meantime says nothing about GitLab.
func (a *api) once(ctx context.Context, token account.Secret, path string, into any) (moved bool, err error) {
	moved, err = a.ask(ctx, token, path, into)
	switch {
	case a.heard == nil || ctx.Err() != nil:
	case errors.Is(err, ErrAway):
		a.heard(err)
	default:
		a.heard(nil)
	}
	return moved, err
}

func (a *api) ask(ctx context.Context, token account.Secret, path string, into any) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	select {
	case a.free <- struct{}{}:
		defer func() { <-a.free }()
	case <-ctx.Done():
		return false, fmt.Errorf("%w: too many requests wait for GitLab", ErrAway)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return false, fmt.Errorf("%w: %v", ErrAway, err)
	}
	r.Header.Set("Authorization", "Bearer "+token.Reveal())
	r.Header.Set("Accept", "application/json")
	answer, err := a.client.Do(r)
	if err != nil {
		return false, fmt.Errorf("%w: %v", ErrAway, err)
	}
	defer answer.Body.Close()
	if err := statusError(answer); err != nil {
		return false, err
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		return false, fmt.Errorf("%w: %s: answer is not JSON: %v", ErrAway, r.URL, err)
	}
	return answer.Request.URL.String() != r.URL.String(), nil
}

// statusError says what a status means for the person. 403 is no access, unless the token was made for something else.
func statusError(answer *http.Response) error {
	switch s := answer.StatusCode; {
	case s == http.StatusOK:
		return nil
	case s == http.StatusUnauthorized:
		return errOver
	case s == http.StatusForbidden && strings.Contains(answer.Header.Get("WWW-Authenticate"), "insufficient_scope"):
		return fmt.Errorf("%w: the token may not read the API: give GitLab's application the scope read_api", ErrAway)
	case s == http.StatusForbidden, s == http.StatusNotFound:
		return ErrNotFound
	default:
		return fmt.Errorf("%w: %s answers %s", ErrAway, answer.Request.URL, answer.Status)
	}
}
