package daemon

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
)

// TestATrustedPeerIsBelievedAboutTheVisitor too, and not only about who it is: else all visitors would share the proxy's address, and its rate limit.
func TestATrustedPeerIsBelievedAboutTheVisitor(t *testing.T) {
	d, stop := portalCore(t, filepath.Join(t.TempDir(), "state.db"))
	defer stop()
	for _, row := range []struct{ top, peer, want string }{
		{"", "127.0.0.1:40000", "203.0.113.7"},
		{"trusted_proxies = [\"192.0.2.0/24\"]\n", "127.0.0.1:40000", "203.0.113.7"},
		{"", "192.0.2.9:40000", "192.0.2.9"}, // no trusted peer
	} {
		c, err := config.Parse("/c/r.toml", []byte(row.top+"[[source]]\npath = \"a.log\"\n[portal]\nlisten = \"127.0.0.1:9443\"\nurl = \"https://blocks.example.org\"\n"+
			"login = \"header\"\ntrusted_peers = [\"127.0.0.1\"]\ngroups_header = \"X-Groups\"\n[[portal.grant]]\ngroup = \"web\"\nnamespace = \"acme\"\nrole = \"developer\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := makePlan(c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		page, err := d.newPage(plan)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/blocked", nil)
		r.RemoteAddr = row.peer
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		w := httptest.NewRecorder()
		page.portal.Handler().ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), row.want) {
			t.Errorf("%q from %s: want %s, got %s", row.top, row.peer, row.want, w.Body)
		}
	}
}
