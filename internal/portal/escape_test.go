package portal_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"regwarden/internal/portal"
)

// TestWhatCannotBeSeenIsWrittenOut on the pages, as the verbs do it: marks that turn text round would let a log line say something else than it does.
func TestWhatCannotBeSeenIsWrittenOut(t *testing.T) {
	s := newSite(t, nil)
	c := about("b1", "acme/web/\u202egnp")
	c.Samples, c.References, c.Reason = []string{"GET \u202e\u2066/x\x1b[31m \u0085 \u200b \xff é ü"}, []string{"v\u202e1"}, "asks \u202e for it"
	s.backend.block("203.0.113.7/32", c)
	for _, path := range []string{"/p/acme/web", blockPath, "/p/acme/web/-/history", "/admin?q=acme/web", "/admin?q=\u202e"} {
		got := s.get("admin", strings.ReplaceAll(path, "\u202e", "%E2%80%AE"))
		s.want(path, got, 200)
		if i := strings.IndexAny(got.body, "\u202e\u2066\x1b\u0085\u200b\r\x00"); i >= 0 || strings.Contains(got.body, "\xff") {
			t.Errorf("%s: there is what cannot be seen: %q", path, got.body[max(0, i-40):min(len(got.body), i+40)])
		}
	}
	s.want("the block", s.get("admin", blockPath), 200, `GET \u202e\u2066/x\x1b[31m \u0085 \u200b \xff é ü`, `<code>v\u202e1</code>`, `asks \u202e for it`)
	form := s.form("developer", blockPath, false)
	form.Set("reason", "a\u202eb")
	s.want("a reason that comes back", s.post("developer", blockPath, form), 422, "!\u202e")
}

// TestABadRequestIsNoErrorOfOurs and the client's words do not stand in the log.
func TestABadRequestIsNoErrorOfOurs(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(o *portal.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	s.backend.block("203.0.113.7/32", about("b1", project))
	for _, body := range []string{`{"reason": "x", "mine-own-field": 1}`, `{`, `{} {}`} {
		got := s.send("", "POST", "/api/v1/projects/acme%2Fweb/blocks/b1/unblock", strings.NewReader(body), "PRIVATE-TOKEN", s.gitlab.Token(people["developer"]))
		s.want(body, got, 400, "The request cannot be read")
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", log.String())
	}
}

// TestAFormOfAnotherSiteGetsAPage that says what to do, and the API a problem.
func TestAFormOfAnotherSiteGetsAPage(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", project))
	got := s.post("developer", blockPath, nil, "Origin", "https://evil.example.org")
	s.want("a form", got, http.StatusForbidden, `id="message"`, "https://blocks.example.org", "Nothing was changed")
	if kind := got.header.Get("Content-Type"); kind != "text/html; charset=utf-8" || got.header.Get("Content-Security-Policy") == "" {
		t.Errorf("got %v", got.header)
	}
	api := s.send("", "POST", "/api/v1/projects/acme%2Fweb/blocks/b1/unblock", strings.NewReader("{}"), "Origin", "https://evil.example.org")
	s.want("the API", api, http.StatusForbidden, `"status":403`)
	if kind := api.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("the API: got %q", kind)
	}
}
