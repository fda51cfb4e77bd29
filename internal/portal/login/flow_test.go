package login_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/oauth2-proxy/mockoidc"

	"regwarden/internal/portal/account"
	"regwarden/internal/portal/login"
	"regwarden/internal/portal/portaltest"
)

var dana = portaltest.Person{ID: 42, Username: "dana", Name: "Dana", Groups: []string{"acme-devs"}}

// house is a portal with nothing but its door: every page says who is there.
type house struct {
	*login.Door
	*portaltest.Provider
	url   string
	serve *httptest.Server
	log   *safeBuffer
	seen  account.User // the last one who came
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func open(t *testing.T, change func(*login.Options)) *house {
	t.Helper()
	h := &house{Provider: portaltest.StartProvider(t), log: &safeBuffer{}}
	mux := http.NewServeMux()
	var inside http.Handler
	h.serve = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inside.ServeHTTP(w, r) }))
	t.Cleanup(h.serve.Close)
	h.url = h.serve.URL
	o := login.Options{Mode: login.GitLab, PublicURL: h.url, Issuer: h.Issuer(), ClientID: h.ClientID, ClientSecret: account.NewSecret(h.ClientSecret),
		Log: slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&o)
	}
	var err error
	if h.Door, err = login.New(o); err != nil {
		t.Fatal(err)
	}
	mux.Handle("/login", h.Routes())
	mux.Handle("/login/", h.Routes())
	mux.Handle("/logout", h.Routes())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		u, ok := h.User(r.Context())
		if ok {
			h.seen = u
		}
		fmt.Fprintf(w, "%s: %v %s %v", r.URL.RequestURI(), ok, u.Username, u)
	})
	inside = h.Wrap(mux)
	return h
}

// browser has cookies and follows redirects; it keeps where it went.
type browser struct {
	*http.Client
	t    *testing.T
	went []*url.URL
	all  bytes.Buffer // every header and body that came from the portal
}

func (h *house) browser(t *testing.T) *browser {
	jar, _ := cookiejar.New(nil)
	b := &browser{t: t, Client: &http.Client{Jar: jar}}
	b.Transport = record{h.serve.Client().Transport, b, h.url}
	return b
}

type record struct {
	next http.RoundTripper
	b    *browser
	url  string
}

func (r record) RoundTrip(q *http.Request) (*http.Response, error) {
	r.b.went = append(r.b.went, q.URL)
	answer, err := r.next.RoundTrip(q)
	if err == nil && strings.HasPrefix(q.URL.String(), r.url) {
		_ = answer.Header.Write(&r.b.all)
		body, _ := io.ReadAll(answer.Body)
		r.b.all.Write(body)
		answer.Body = io.NopCloser(bytes.NewReader(body))
	}
	return answer, err
}

func (b *browser) get(address string) (status int, body string) {
	b.t.Helper()
	return b.read(b.Get(address))
}

func (b *browser) read(answer *http.Response, err error) (status int, body string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// stopAt makes the browser not go where stop says, and gives where that would have been.
func (b *browser) stopAt(address string, stop func(*url.URL) bool) *url.URL {
	b.t.Helper()
	var there *url.URL
	b.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if stop(r.URL) {
			there = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}
	defer func() { b.CheckRedirect = nil }()
	b.get(address)
	if there == nil {
		b.t.Fatal("the browser went somewhere else")
	}
	return there
}

func isCallback(u *url.URL) bool { return u.Path == "/login/callback" }

func (h *house) cookies(b *browser) map[string]string {
	u, _ := url.Parse(h.url)
	all := map[string]string{}
	for _, c := range b.Jar.Cookies(u) {
		all[c.Name] = c.Value
	}
	return all
}

func TestSigningIn(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	if _, body := b.get(h.url + "/p/acme/web"); !strings.HasPrefix(body, "/p/acme/web: false") || len(h.cookies(b)) > 0 {
		t.Fatalf("nobody is there, and nobody gets a cookie: %s, %v", body, h.cookies(b))
	}
	h.Next(dana)
	status, body := b.get(h.url + "/login?to=" + url.QueryEscape("/p/acme/web?page=2"))
	if status != 200 || !strings.HasPrefix(body, "/p/acme/web?page=2: true dana") {
		t.Fatalf("got %d %s", status, body)
	}
	if u := h.seen; u.Subject != "42" || u.Name != "Dana" || u.Token.Empty() || len(u.Groups) != 0 {
		t.Errorf("want no groups of GitLab, and a token: %+v", u)
	}
	q := b.went[2].Query()
	if b.went[2].Path != mockoidc.AuthorizationEndpoint || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 26 || len(q.Get("state")) < 26 ||
		q.Get("scope") != "openid profile read_api" || q.Get("response_type") != "code" || q.Get("redirect_uri") != h.url+"/login/callback" {
		t.Errorf("asked %v", b.went[2])
	}
	if c := h.cookies(b); len(c) != 1 || c["__Host-regwarden-session"] == "" {
		t.Errorf("want only the session's cookie, got %v", c)
	}
	for _, line := range strings.Split(b.all.String(), "\r\n") {
		if value, is := strings.CutPrefix(line, "Set-Cookie: "); is && (!strings.HasPrefix(value, "__Host-") || !strings.Contains(value, "; Path=/") || !strings.Contains(value, "; Secure") || !strings.Contains(value, "; HttpOnly") || !strings.Contains(value, "; SameSite=Lax") || strings.Contains(value, "Domain")) {
			t.Errorf("cookie %s", value)
		}
	}
}

func TestNoTokenIsEverSeen(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	b.get(h.url + "/login?to=/p/acme/web")
	h.Forward(time.Minute)
	h.seen = account.User{}
	b.get(h.url + "/p/acme/web")
	if _, err := b.PostForm(h.url+"/logout", nil); err != nil {
		t.Fatal(err)
	}
	b.get(h.url + "/login/callback?code=x&state=y") // and one that fails
	h.Next(dana)
	answer := b.stopAt(h.url+"/login", isCallback)
	refused := answer.Query()
	refused.Set("code", "a-code-that-the-provider-says-again") // in the body of its refusal
	answer.RawQuery = refused.Encode()
	b.get(answer.String())
	tokens := append(h.Tokens(), h.ClientSecret)
	if len(tokens) < 4 {
		t.Fatalf("want access, refresh and ID token, got %d", len(tokens))
	}
	for _, u := range b.went {
		if u.Path == "/login/callback" && len(u.Query().Get("code")) > 5 {
			tokens = append(tokens, u.Query().Get("code"), u.Query().Get("state"))
		}
	}
	log := h.log.String()
	for _, token := range tokens {
		if strings.Contains(log, token) {
			t.Errorf("%.40s... is in the log:\n%s", token, log)
		}
	}
	pages := b.all.String()
	for _, token := range h.Tokens() {
		if strings.Contains(pages, token) {
			t.Errorf("%.40s... is in a page or a header", token)
		}
	}
	if strings.Count(log, "sign-in failed") != 1 {
		t.Errorf("want the refused code in the log, and nothing of an answer that anybody can send:\n%s", log)
	}
	if !strings.Contains(log, `"msg":"signed in","user":"dana","subject":"42"`) {
		t.Errorf("the log misses something:\n%s", log)
	}
}

func TestASessionThatWasPlanted(t *testing.T) {
	h := open(t, nil)
	u, _ := url.Parse(h.url)
	attacker := h.browser(t)
	h.Next(portaltest.Person{ID: 7, Username: "mallory"})
	attacker.get(h.url + "/login")
	planted := h.cookies(attacker)["__Host-regwarden-session"]
	for name, value := range map[string]string{"a session of the attacker's": planted, "an invented one": "invented"} {
		b := h.browser(t)
		b.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-regwarden-session", Value: value, Path: "/", Secure: true}})
		h.Next(dana)
		if _, body := b.get(h.url + "/login"); !strings.Contains(body, "true dana") {
			t.Fatalf("%s: %s", name, body)
		}
		if got := h.cookies(b)["__Host-regwarden-session"]; got == value {
			t.Errorf("%s is dana's now", name)
		}
		if _, body := attacker.get(h.url + "/"); strings.Contains(body, "dana") {
			t.Errorf("%s: the attacker is %s", name, body)
		}
	}
}

func TestAnswersThatBelongToNoSignIn(t *testing.T) {
	h := open(t, nil)
	victim, attacker := h.browser(t), h.browser(t)
	h.Next(portaltest.Person{ID: 7, Username: "mallory"})
	mallorys := attacker.stopAt(h.url+"/login", isCallback)
	for name, address := range map[string]string{
		"login with the attacker's account": mallorys.String(),
		"no state":                          h.url + "/login/callback?code=x",
		"no code":                           h.url + "/login/callback",
		"made-up state":                     h.url + "/login/callback?code=x&state=y",
		"an error":                          h.url + "/login/callback?error=access_denied&error_description=<script>",
	} {
		status, body := victim.get(address)
		if status != http.StatusBadRequest || strings.Contains(body, "true") || strings.Contains(body, "script") || len(h.cookies(victim)) > 0 {
			t.Errorf("%s: %d %s %v", name, status, body, h.cookies(victim))
		}
	}
	h.Next(dana)
	danas := victim.stopAt(h.url+"/login?to=/p/acme/web", isCallback)
	pending := h.cookies(victim)
	if status, _ := victim.get(mallorys.String()); status != http.StatusBadRequest {
		t.Errorf("an attacker's answer during a sign-in: %d", status)
	}
	if _, body := victim.get(danas.String()); !strings.HasPrefix(body, "/p/acme/web: true dana") {
		t.Errorf("does not end the victim's own: %s", body)
	}
	u, _ := url.Parse(h.url)
	for name, value := range pending {
		victim.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
	}
	if status, _ := victim.get(danas.String()); status != http.StatusBadRequest {
		t.Errorf("the same answer again, even with the cookie of then: %d", status)
	}
}

func TestForgedIDTokens(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := mockoidc.NewKeypair(key) // without a key of one's own all have the same
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, nil)
	for name, c := range map[string]struct {
		change func(jwt.MapClaims)
		key    *mockoidc.Keypair
		raw    func(string) string
	}{
		"another nonce":       {change: func(c jwt.MapClaims) { c["nonce"] = "another" }},
		"no nonce":            {change: func(c jwt.MapClaims) { delete(c, "nonce") }},
		"another issuer":      {change: func(c jwt.MapClaims) { c["iss"] = "https://evil.example.org" }},
		"another audience":    {change: func(c jwt.MapClaims) { c["aud"] = "another-app" }},
		"for two, not for us": {change: func(c jwt.MapClaims) { c["aud"] = []string{h.ClientID, "another"}; c["azp"] = "another" }},
		"over":                {change: func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() }},
		"nobody":              {change: func(c jwt.MapClaims) { c["sub"] = "" }},
		"odd subject":         {change: func(c jwt.MapClaims) { c["sub"] = "42\n" }},
		"another token's":     {change: func(c jwt.MapClaims) { c["at_hash"] = "AAAAAAAAAAAAAAAAAAAAAA" }},
		"another key":         {change: func(jwt.MapClaims) {}, key: other},
		"no signature":        {raw: func(s string) string { return s[:strings.LastIndex(s, ".")+1] }},
		"no token":            {raw: func(string) string { return "" }},
		"alg none": {raw: func(s string) string {
			parts := strings.Split(s, ".")
			return "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + "."
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h.Rewrite = func(said map[string]any) {
				raw := said["id_token"].(string)
				if c.raw != nil {
					said["id_token"] = c.raw(raw)
					return
				}
				all := jwt.MapClaims{}
				if _, _, err := jwt.NewParser().ParseUnverified(raw, all); err != nil {
					t.Error(err)
				}
				c.change(all)
				key := h.Keypair
				if c.key != nil {
					key = c.key
				}
				said["id_token"], _ = key.SignJWT(all)
			}
			b := h.browser(t)
			h.Next(dana)
			if status, body := b.get(h.url + "/login"); status != http.StatusForbidden || len(h.cookies(b)) > 0 {
				t.Errorf("got %d %s %v", status, body, h.cookies(b))
			}
		})
	}
	h.Rewrite = func(map[string]any) {}
	h.Next(dana)
	if _, body := h.browser(t).get(h.url + "/login"); !strings.Contains(body, "true dana") {
		t.Errorf("an honest one is taken: %s", body)
	}
}

func TestAnAnswerOfAnotherProvider(t *testing.T) { // RFC 9207
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	answer := b.stopAt(h.url+"/login", isCallback)
	if status, _ := b.get(answer.String() + "&iss=" + url.QueryEscape("https://evil.example.org")); status != http.StatusBadRequest {
		t.Errorf("got %d", status)
	}
}

func TestTheProviderSaysNo(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	answer := b.stopAt(h.url+"/login?to=/p/a", isCallback)
	q := url.Values{"error": {"access_denied"}, "error_description": {"<script>\x1b[31m"}, "state": {answer.Query().Get("state")}}
	if status, body := b.get(h.url + "/login/callback?" + q.Encode()); status != http.StatusForbidden || strings.Contains(body, "script") {
		t.Errorf("got %d %s", status, body)
	}
}

func TestAProviderThatIsAway(t *testing.T) {
	h := open(t, nil)
	h.Away(true)
	b := h.browser(t)
	status, body := b.get(h.url + "/login?to=/p/acme/web")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "does not answer") {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := b.get(h.url + "/p/acme/web"); status != 200 || !strings.Contains(body, "false") {
		t.Errorf("the other pages are there: %d %s", status, body)
	}
	h.Away(false)
	if status, _ := b.get(h.url + "/login"); status != http.StatusServiceUnavailable {
		t.Errorf("it is not asked again at once: %d", status)
	}
	if times := strings.Count(h.log.String(), "login provider is away"); times != 1 {
		t.Errorf("want one line in the log for an attempt, got %d", times)
	}
	h.ForgetFailure()
	h.Next(dana)
	answer := b.stopAt(h.url+"/login?to=/p/acme/web", isCallback)
	h.Away(true)
	if status, _ := b.get(answer.String()); status != http.StatusServiceUnavailable {
		t.Errorf("away between the two halves: %d", status)
	}
	h.Away(false)
	h.Next(dana)
	if _, body := b.get(h.url + "/login?to=/p/acme/web"); !strings.HasPrefix(body, "/p/acme/web: true dana") {
		t.Errorf("back again: %s", body)
	}
}

func TestSigningOut(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	b.get(h.url + "/login")
	old := h.cookies(b)["__Host-regwarden-session"]
	if status, _ := b.get(h.url + "/logout"); status != http.StatusMethodNotAllowed {
		t.Errorf("a link must not sign out: %d", status)
	}
	if _, body := b.read(b.PostForm(h.url+"/logout", nil)); !strings.HasPrefix(body, "/: false") {
		t.Errorf("got %s", body)
	}
	if c := h.cookies(b); len(c) > 0 {
		t.Errorf("want no cookie, got %v", c)
	}
	u, _ := url.Parse(h.url)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-regwarden-session", Value: old, Path: "/", Secure: true}})
	if _, body := b.get(h.url + "/"); !strings.HasPrefix(body, "/: false") {
		t.Errorf("the old cookie: %s", body)
	}
}

// TestSigningOutDuringARequest holds what scs alone does not: the request commits its session again after the logout has deleted it.
func TestSigningOutDuringARequest(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	b.get(h.url + "/login")
	old := h.cookies(b)["__Host-regwarden-session"]
	entered, leave, left := make(chan bool), make(chan bool), make(chan bool)
	slow := h.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- true
		<-leave
		w.WriteHeader(http.StatusOK)
	}))
	go func() {
		r := httptest.NewRequest("GET", h.url+"/slow", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-regwarden-session", Value: old})
		slow.ServeHTTP(httptest.NewRecorder(), r)
		close(left)
	}()
	<-entered
	b.read(b.PostForm(h.url+"/logout", nil))
	leave <- true
	<-left
	u, _ := url.Parse(h.url)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-regwarden-session", Value: old, Path: "/", Secure: true}})
	if _, body := b.get(h.url + "/"); !strings.HasPrefix(body, "/: false") {
		t.Errorf("the session is back: %s", body)
	}
}

func TestRefreshingAToken(t *testing.T) {
	h := open(t, nil)
	b := h.browser(t)
	h.Next(dana)
	b.get(h.url + "/login")
	old := h.seen
	given := len(h.Tokens())
	h.Forward(time.Minute)
	inside := func(do func(*http.Request)) {
		r := httptest.NewRequest("GET", h.url+"/", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-regwarden-session", Value: h.cookies(b)["__Host-regwarden-session"]})
		h.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { do(r) })).ServeHTTP(httptest.NewRecorder(), r)
	}
	var all sync.WaitGroup
	renewed := make([]account.User, 20)
	for i := range renewed {
		all.Go(func() {
			inside(func(r *http.Request) {
				var err error
				if renewed[i], err = h.Refresh(r.Context(), old); err != nil {
					t.Error(err)
				}
			})
		})
	}
	all.Wait()
	for _, u := range renewed {
		if u.Token.Reveal() == old.Token.Reveal() || u.Token.Reveal() != renewed[0].Token.Reveal() || u.Subject != "42" {
			t.Errorf("want the same new token for all")
		}
	}
	if more := len(h.Tokens()) - given; more > 3 {
		t.Errorf("want one refresh, got %d tokens", more)
	}
	inside(func(r *http.Request) {
		if _, err := h.Refresh(r.Context(), account.User{Subject: "7"}); err == nil {
			t.Error("somebody else gets no token of dana's")
		}
		h.Away(true)
		if _, err := h.Refresh(r.Context(), renewed[0]); err == nil {
			t.Error("away: want an error")
		}
		h.Away(false)
		h.QueueError(&mockoidc.ServerError{Code: 400, Error: "invalid_grant"})
		h.QueueError(&mockoidc.ServerError{Code: 400, Error: "invalid_grant"}) // oauth2 tries both ways to send the secret
		if _, err := h.Refresh(r.Context(), renewed[0]); err == nil {
			t.Error("refused: want an error")
		}
		if _, err := h.Refresh(r.Context(), renewed[0]); err == nil || !strings.Contains(err.Error(), "no refresh token") {
			t.Errorf("a refused refresh token is not tried again: %v", err)
		}
	})
	if _, err := h.Refresh(t.Context(), old); err == nil {
		t.Error("outside of a request: want an error")
	}
}

func TestGroupsOfAnyProvider(t *testing.T) {
	for claim, c := range map[string]struct {
		id   map[string]any
		want []string
	}{
		"":                   {map[string]any{"groups": []string{"acme-devs", "ops"}}, []string{"acme-devs", "ops"}},
		"groups":             {map[string]any{"groups": "only-one"}, []string{"only-one"}},
		"realm_access.roles": {map[string]any{"realm_access": map[string]any{"roles": []any{"dev", 7, "", "ops"}}}, []string{"dev", "ops"}},
		"a.b":                {map[string]any{"a.b": []string{"as it is"}}, []string{"as it is"}},
		"https://x/y":        {map[string]any{}, nil},
		"no.such.claim":      {map[string]any{"no": "text"}, nil},
	} {
		t.Run(claim, func(t *testing.T) {
			h := open(t, func(o *login.Options) { o.Mode, o.GroupsClaim = login.OIDC, claim })
			h.Rewrite = func(said map[string]any) {
				all := jwt.MapClaims{}
				if _, _, err := jwt.NewParser().ParseUnverified(said["id_token"].(string), all); err != nil {
					t.Error(err)
				}
				delete(all, "groups")
				for name, value := range c.id {
					all[name] = value
				}
				said["id_token"], _ = h.Keypair.SignJWT(all)
			}
			h.Next(portaltest.Person{ID: 42, Username: "dana\u202e\n", Name: "<b>Dana</b>\x1b[31m" + strings.Repeat("x", 500)})
			b := h.browser(t)
			b.get(h.url + "/login")
			if diff := cmp.Diff(c.want, h.seen.Groups); diff != "" {
				t.Errorf("groups: %s", diff)
			}
			if !h.seen.Token.Empty() {
				t.Error("nobody would ask anything with the token: want it forgotten")
			}
			if h.seen.Username != "dana" || len(h.seen.Name) > 200 || strings.ContainsAny(h.seen.Name, "\x1b\n") {
				t.Errorf("names that can be shown and logged: %q %q", h.seen.Username, h.seen.Name)
			}
			if q := b.went[1].Query(); q.Get("scope") != "openid profile" {
				t.Errorf("scope %q", q.Get("scope"))
			}
		})
	}
}

func TestGroupsFromUserinfo(t *testing.T) {
	h := open(t, func(o *login.Options) { o.Mode = login.OIDC })
	strip := func(said map[string]any) {
		all := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(said["id_token"].(string), all); err != nil {
			t.Error(err)
		}
		delete(all, "groups")
		delete(all, "preferred_username")
		said["id_token"], _ = h.Keypair.SignJWT(all)
	}
	h.Rewrite = strip
	h.Next(dana)
	h.browser(t).get(h.url + "/login")
	if u := h.seen; u.Username != "dana" || len(u.Groups) != 1 || u.Groups[0] != "acme-devs" {
		t.Errorf("got %+v", u)
	}
	stolen := ""
	h.Rewrite = func(said map[string]any) { // userinfo of somebody else
		if stolen == "" {
			stolen = said["access_token"].(string)
		}
		said["access_token"] = stolen
		strip(said)
	}
	h.Next(portaltest.Person{ID: 7, Username: "mallory"})
	h.browser(t).get(h.url + "/login")
	h.Next(dana)
	if status, _ := h.browser(t).get(h.url + "/login"); status != http.StatusForbidden {
		t.Errorf("want it refused, got %d", status)
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	good := login.Options{Mode: login.GitLab, PublicURL: "https://blocks.example.org", Issuer: "https://gitlab.example.org", ClientID: "x"}
	if _, err := login.New(good); err != nil {
		t.Fatalf("a provider that is away is no reason not to start: %v", err)
	}
	for name, spoil := range map[string]func(*login.Options){
		"no mode":                 func(o *login.Options) { o.Mode = "" },
		"another mode":            func(o *login.Options) { o.Mode = "ldap" },
		"http":                    func(o *login.Options) { o.PublicURL = "http://blocks.example.org" },
		"http on loopback":        func(o *login.Options) { o.PublicURL = "http://127.0.0.1:8080" },
		"with a path":             func(o *login.Options) { o.PublicURL = "https://blocks.example.org/portal" },
		"no URL":                  func(o *login.Options) { o.PublicURL = "blocks.example.org" },
		"issuer without TLS":      func(o *login.Options) { o.Issuer = "http://gitlab.example.org" },
		"no issuer":               func(o *login.Options) { o.Issuer = "" },
		"no client":               func(o *login.Options) { o.ClientID = "" },
		"no header":               func(o *login.Options) { o.Mode = login.Header },
		"a browser's header":      func(o *login.Options) { o.Mode, o.UserHeader = login.Header, "Authorization" },
		"everybody is trusted":    func(o *login.Options) { o.Mode, o.UserHeader, o.TrustedPeers = login.Header, "X-User", everybody },
		"a demo for everybody":    func(o *login.Options) { o.Mode, o.People = login.Demo, people },
		"a demo for the network":  func(o *login.Options) { o.Mode, o.People, o.PublicURL = login.Demo, people, "http://192.0.2.1:80" },
		"a demo without people":   func(o *login.Options) { o.Mode, o.PublicURL = login.Demo, "http://127.0.0.1:80" },
		"a demo on a strange URL": func(o *login.Options) { o.Mode, o.People, o.PublicURL = login.Demo, people, "ftp://127.0.0.1" },
	} {
		o := good
		spoil(&o)
		if _, err := login.New(o); err == nil {
			t.Errorf("%s: want it refused", name)
		}
	}
	if j, _ := json.Marshal(login.Options{ClientSecret: account.NewSecret("s3cret")}.ClientSecret); strings.Contains(string(j), "s3cret") {
		t.Error("the client's secret is shown")
	}
}

func TestGitLabsAddressWithASlash(t *testing.T) {
	h := open(t, func(o *login.Options) { o.Issuer += "/" })
	h.Next(dana)
	if _, body := h.browser(t).get(h.url + "/login"); !strings.Contains(body, "true dana") {
		t.Errorf("got %s\n%s", body, h.log)
	}
}
