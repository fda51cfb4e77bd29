package portaltest

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
)

// Provider is a real OpenID provider in this process: discovery, keys, signed tokens, PKCE. It asks nobody for a password: who comes next is
// who Next named. Its access tokens are known to GitLab.
type Provider struct {
	*mockoidc.MockOIDC
	// Rewrite changes the token endpoint's good answers, to forge them; nil leaves them.
	Rewrite func(answer map[string]any)

	away   atomic.Bool
	mu     sync.Mutex
	tokens []string
}

// StartProvider starts one on loopback. It ends with the test.
func StartProvider(t testing.TB) *Provider {
	t.Helper()
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(mockoidc.ScopesSupported, "read_api") {
		mockoidc.ScopesSupported = append(mockoidc.ScopesSupported, "read_api")
	}
	p := &Provider{MockOIDC: m}
	if err := m.AddMiddleware(p.gate); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	return p
}

func (p *Provider) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(w, "<html>away</html>", http.StatusBadGateway)
			return
		}
		if r.URL.Path != mockoidc.TokenEndpoint {
			next.ServeHTTP(w, r)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		var said map[string]any
		if answer.Code == http.StatusOK && json.Unmarshal(body, &said) == nil {
			said["expires_in"] = 600 // mockoidc gives nanoseconds
			if p.Rewrite != nil {
				p.Rewrite(said)
			}
			for _, name := range []string{"access_token", "refresh_token", "id_token"} {
				if token, ok := said[name].(string); ok {
					p.tokens = append(p.tokens, token)
				}
			}
			body, _ = json.Marshal(said)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	})
}

// Tokens is every token that was given out: none may ever be seen elsewhere.
func (p *Provider) Tokens() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tokens)
}

// Away makes every request fail with 502, or lets them through again.
func (p *Provider) Away(away bool) { p.away.Store(away) }

// Next is who signs in next.
func (p *Provider) Next(who Person) { p.QueueUser(oidcUser{who}) }

// Forward lets the provider's clock go on: tokens expire, and a refreshed one differs from the one before.
func (p *Provider) Forward(d time.Duration) { p.FastForward(d) }

// oidcUser is a person as the provider's tokens tell it.
type oidcUser struct{ Person }

type claims struct {
	*mockoidc.IDTokenClaims
	Username string   `json:"preferred_username,omitempty"`
	Name     string   `json:"name,omitempty"`
	Groups   []string `json:"groups,omitempty"`
}

func (u oidcUser) ID() string { return strconv.Itoa(u.Person.ID) }

func (u oidcUser) Userinfo([]string) ([]byte, error) {
	return json.Marshal(map[string]any{"sub": u.ID(), "preferred_username": u.Username, "name": u.Name, "groups": u.Groups})
}

func (u oidcUser) Claims(_ []string, base *mockoidc.IDTokenClaims) (jwt.Claims, error) {
	return claims{base, u.Username, u.Name, u.Groups}, nil
}
