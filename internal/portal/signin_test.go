package portal_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"regwarden/internal/portal"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/login"
	"regwarden/internal/portal/portaltest"
)

// TestSignInWithGitLab goes all the way with the real door: an OpenID provider that signs tokens, GitLab's API, cookies over TLS.
func TestSignInWithGitLab(t *testing.T) {
	provider := portaltest.StartProvider(t)
	var handler http.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var page *portal.Portal
	var logins []string
	door, err := login.New(login.Options{Mode: login.GitLab, PublicURL: server.URL, Issuer: provider.Issuer(), ClientID: provider.ClientID, ClientSecret: account.NewSecret(provider.ClientSecret),
		Show: func(w http.ResponseWriter, r *http.Request, n login.Notice) { page.Show(w, r, n) }})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *portal.Options) {
		o.Door, o.URL, o.SignedIn = door, server.URL, func(result string) { logins = append(logins, result) }
	})
	page, handler = s.portal, s.portal.Handler()
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))

	jar, _ := cookiejar.New(nil)
	browser := server.Client()
	browser.Jar = jar
	read := func(w *http.Response, err error) (string, string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		b, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Request.URL.Path, string(b)
	}
	get := func(path string) (string, string) { t.Helper(); return read(browser.Get(server.URL + path)) }

	provider.Next(portaltest.Person{ID: people["developer"], Username: "developer", Name: "Dana <b>Developer</b>"})
	at, text := get(blockPath)
	if at != blockPath || !strings.Contains(text, "Dana &lt;b&gt;Developer") || !strings.Contains(text, `id="unblock-form"`) {
		t.Fatalf("after signing in: %s\n%s", at, text)
	}
	for _, c := range jar.Cookies(&url.URL{Scheme: "https", Host: strings.TrimPrefix(server.URL, "https://"), Path: "/"}) {
		if !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("a cookie %s", c.Name)
		}
	}
	id := between(text, `name="challenge" value="`, `"`)
	s.mu.Lock()
	answer := s.answers[id]
	s.mu.Unlock()
	_, text = read(browser.PostForm(server.URL+blockPath, url.Values{"challenge": {id}, "answer": {answer}, "reason": {"pushed"}}))
	if !strings.Contains(text, `id="done"`) {
		t.Fatalf("not unblocked: %s", between(text, "<main", "</main>"))
	}
	if entries, err := s.backend.History(t.Context(), portal.HistoryQuery{Within: project, Limit: 1}); err != nil || entries[0].By != "web:developer (gitlab 30)" {
		t.Errorf("the history: %+v, %v", entries, err)
	}
	if _, text = read(browser.PostForm(server.URL+"/logout", nil)); !strings.Contains(text, `id="welcome-sign-in"`) || strings.Contains(text, `id="user"`) {
		t.Errorf("signed out, one reads %s", text)
	}
	provider.Next(portaltest.Person{ID: people["none"], Username: "none"})
	if at, _ = get("/login?to=//evil.example.org/x"); at != "/" {
		t.Errorf("after signing in one is at %s", at)
	}
	if _, text = get("/p/acme/web"); !strings.Contains(text, "There is no such page") {
		t.Errorf("who is no member sees %s", between(text, "<main", "</main>"))
	}
	if _, text = read(browser.PostForm(server.URL+"/logout", nil)); text == "" {
		t.Error("nothing")
	}
	if got := strings.Join(logins, " "); got != "ok ok" {
		t.Errorf("metrics heard of logins: %s", got)
	}
}
