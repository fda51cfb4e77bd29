package portaltest_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/login"
	"regwarden/internal/portal/portaltest"
)

// TestFromTheDoorToTheProject is the whole way: the token that the provider gives at the login asks GitLab, is over, is refreshed in the session,
// and asks again.
func TestFromTheDoorToTheProject(t *testing.T) {
	provider, gitlab := portaltest.StartProvider(t), portaltest.NewGitLab()
	dana := portaltest.Person{ID: 42, Username: "dana", Name: "Dana"}
	gitlab.Add(dana)
	gitlab.Member("acme/web", dana.ID, 30, portaltest.Shared)
	api := httptest.NewServer(gitlab)
	defer api.Close()
	var page http.Handler
	portal := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { page.ServeHTTP(w, r) }))
	defer portal.Close()
	door, err := login.New(login.Options{Mode: login.GitLab, PublicURL: portal.URL, Issuer: provider.Issuer(), ClientID: provider.ClientID, ClientSecret: account.NewSecret(provider.ClientSecret)})
	if err != nil {
		t.Fatal(err)
	}
	source, err := access.NewGitLab(access.GitLabOptions{URL: api.URL, Refresh: door.Refresh})
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := access.New(source, access.Policy{Admins: []string{"dana"}})
	if err != nil {
		t.Fatal(err)
	}
	members, err := access.New(source, access.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	var ask func(*http.Request, account.User)
	mux := http.NewServeMux()
	mux.Handle("/login", door.Routes())
	mux.Handle("/login/", door.Routes())
	mux.HandleFunc("/p/", func(_ http.ResponseWriter, r *http.Request) {
		u, ok := door.User(r.Context())
		if !ok {
			t.Error("nobody is signed in")
		}
		ask(r, u)
	})
	page = door.Wrap(mux)
	jar, _ := cookiejar.New(nil)
	browser := portal.Client()
	browser.Jar = jar
	visit := func(path string, do func(*http.Request, account.User)) {
		t.Helper()
		asked := false
		ask = func(r *http.Request, u account.User) { asked = true; do(r, u) }
		answer, err := browser.Get(portal.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if !asked {
			t.Fatalf("%s ended with %s", path, answer.Status)
		}
	}
	provider.Next(dana)
	lifts := func(r *http.Request, u account.User) {
		if l, err := members.Lift(r.Context(), u, "acme/web"); l != access.Developer || err != nil {
			t.Errorf("lift: %v %v", l, err)
		}
		if err := decisions.AdminNow(r.Context(), u); err != nil {
			t.Errorf("admin: %v", err)
		}
	}
	visit("/login?to=/p/acme/web", lifts)
	given := len(provider.Tokens())
	provider.Forward(time.Minute)
	gitlab.Expire(dana.ID)
	visit("/p/acme/web", lifts)
	if more := len(provider.Tokens()) - given; more == 0 {
		t.Error("the token was over: want a new one")
	}
	given = len(provider.Tokens())
	visit("/p/acme/web", lifts)
	if more := len(provider.Tokens()) - given; more > 0 {
		t.Error("the new one is in the session: want no other")
	}
	gitlab.Expire(dana.ID)
	provider.Away(true)
	visit("/p/acme/web", func(r *http.Request, u account.User) {
		if _, err := members.Lift(r.Context(), u, "acme/web"); !errors.Is(err, access.ErrSignIn) {
			t.Errorf("want a new sign-in, got %v", err)
		}
	})
}
