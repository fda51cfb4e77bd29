package daemon

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
)

// TestStatusTellsThatGitLabIsAway and no more once it answers.
func TestStatusTellsThatGitLabIsAway(t *testing.T) {
	d, stop := portalCore(t, filepath.Join(t.TempDir(), "state.db"))
	defer stop()
	gitlab := httptest.NewServer(http.NotFoundHandler())
	gitlab.Close() // nobody answers there now
	c, err := config.Parse("/c/r.toml", []byte("[[source]]\npath = \"a.log\"\n[portal]\nlisten = \"127.0.0.1:9443\"\nurl = \"https://blocks.example.org\"\nissuer = \""+gitlab.URL+"\"\nclient_id = \"x\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := makePlan(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if d.page, err = d.newPage(plan); err != nil {
		t.Fatal(err)
	}
	told := func() bool {
		t.Helper()
		s, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(strings.Join(s.Warnings, "\n"), "the project page had no answer from GitLab")
	}
	if told() {
		t.Error("nobody has asked yet, and status says that GitLab is away")
	}
	d.page.portal.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/login", nil))
	if !told() {
		t.Error("somebody could not sign in, and status does not say why")
	}
	d.page.heard(nil)
	if told() {
		t.Error("GitLab has answered since")
	}
	d.page.heard(errors.New("x"))
	if !told() {
		t.Error("it is away again")
	}
}
