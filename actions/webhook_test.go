package actions_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/actions"
	"regwarden/detector"
)

// receiver is a server that answers with the given statuses, then 204, and remembers what it was sent.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	header   http.Header // of the answers
	requests []*http.Request
	bodies   []string
}

func receive(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{statuses: statuses, header: http.Header{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.bodies = append(r.requests, request), append(r.bodies, string(body))
	status := http.StatusNoContent
	if len(r.statuses) > 0 {
		status, r.statuses = r.statuses[0], r.statuses[1:]
		for name := range r.header {
			w.Header().Set(name, r.header.Get(name))
		}
	}
	w.WriteHeader(status)
	if status >= 400 {
		fmt.Fprint(w, "token\nis wrong")
	}
}

func (r *receiver) received() (int, []detector.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []detector.Change
	for _, text := range r.bodies {
		var body struct{ Changes []detector.Change }
		_ = json.Unmarshal([]byte(text), &body)
		all = append(all, body.Changes...)
	}
	return len(r.bodies), all
}

func webhook(t *testing.T, options actions.WebhookOptions) *actions.Webhook {
	t.Helper()
	w, err := actions.NewWebhook(options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWebhookPostsSignedChanges(t *testing.T) {
	server := receive(t)
	w := webhook(t, actions.WebhookOptions{URL: server.URL + "/hook", Header: map[string]string{"Authorization": "Bearer x"}, Secret: "s3"})
	c := blocked("203.0.113.7/32")
	apply(t, w, c)
	sum := hmac.New(sha256.New, []byte("s3"))
	sum.Write([]byte(server.bodies[0]))
	got := server.requests[0]
	for name, want := range map[string]string{
		"Content-Type":          "application/json",
		"Authorization":         "Bearer x",
		"X-Regwarden-Signature": "sha256=" + hex.EncodeToString(sum.Sum(nil)),
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: want %q, got %q", name, want, got.Header.Get(name))
		}
	}
	if got.Method != http.MethodPost || got.URL.Path != "/hook" {
		t.Errorf("want POST /hook, got %s %s", got.Method, got.URL.Path)
	}
	if want := `{"changes":[{"time":"2026-10-05T12:00:00Z","verb":"block",`; !strings.HasPrefix(server.bodies[0], want) {
		t.Errorf("want %s…, got %s", want, server.bodies[0])
	}
	if _, all := server.received(); told(all) != "block 203.0.113.7/32" {
		t.Errorf("want the change, got %v", all)
	}
}

func TestAWebhookTakesAHundredAtOnce(t *testing.T) {
	server := receive(t)
	r := actions.NewRunner(webhook(t, actions.WebhookOptions{URL: server.URL}), actions.RunnerOptions{})
	var changes []detector.Change
	for i := range 250 {
		changes = append(changes, blocked(fmt.Sprintf("203.0.113.%d/32", i)))
	}
	r.Enqueue(changes)
	start(t, r)
	flush(t, r)
	posts, all := server.received()
	if posts != 3 || told(all) != told(changes) {
		t.Errorf("want all in order in 3 posts, got %d posts of %s", posts, told(all))
	}
}

func TestWhatAWebhookDoesWithAnswers(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		posts  int
		want   actions.Status
	}{
		{"accepted", 202, 1, actions.Status{Healthy: true, Applied: 1}},
		{"unauthorized is for ever", 401, 1, actions.Status{Failed: 1, Dropped: 1, LastError: `post to HOST: answered 401 Unauthorized: token\nis wrong`}},
		{"too many requests", 429, 2, actions.Status{Healthy: true, Applied: 1, Failed: 1, LastError: `post to HOST: answered 429 Too Many Requests: token\nis wrong`}},
		{"timeout", 408, 2, actions.Status{Healthy: true, Applied: 1, Failed: 1, LastError: `post to HOST: answered 408 Request Timeout: token\nis wrong`}},
		{"broken", 502, 2, actions.Status{Healthy: true, Applied: 1, Failed: 1, LastError: `post to HOST: answered 502 Bad Gateway: token\nis wrong`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := receive(t, row.status)
			r := actions.NewRunner(webhook(t, actions.WebhookOptions{Name: "hook", URL: server.URL + "/T000/secret"}), actions.RunnerOptions{})
			start(t, r)
			r.Enqueue([]detector.Change{change(detector.ChangeDryRun, "203.0.113.7/32", cause("a"))})
			flush(t, r)
			got := r.Status()
			got.LastErrorTime, got.LastSuccess = time.Time{}, time.Time{}
			row.want.Name, row.want.Kind = "hook", "webhook"
			row.want.LastError = strings.ReplaceAll(row.want.LastError, "HOST", strings.TrimPrefix(server.URL, "http://"))
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			if posts, _ := server.received(); posts != row.posts {
				t.Errorf("want %d posts, got %d", row.posts, posts)
			}
		})
	}
}

func TestAWebhookWaitsAsLongAsItIsTold(t *testing.T) {
	server := receive(t, 429)
	server.header.Set("Retry-After", "1")
	r := actions.NewRunner(webhook(t, actions.WebhookOptions{URL: server.URL}), actions.RunnerOptions{})
	start(t, r)
	before := time.Now()
	r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
	flush(t, r)
	if took := time.Since(before); took < time.Second {
		t.Errorf("want a second's pause, got %v", took)
	}
}

func TestAWebhookFollowsNoRedirectElsewhere(t *testing.T) {
	elsewhere := receive(t)
	server := receive(t, 307, 307, 204, 302)
	w := webhook(t, actions.WebhookOptions{URL: server.URL})
	post := func() error { return w.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")}) }

	server.header.Set("Location", elsewhere.URL)
	if err := post(); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("want the redirect to be an error, got %v", err)
	}
	if posts, _ := elsewhere.received(); posts != 0 {
		t.Error("want nothing sent elsewhere")
	}
	server.header.Set("Location", "/moved")
	if err := post(); err != nil {
		t.Errorf("want a redirect within the host followed, got %v", err)
	}
	if _, all := server.received(); len(all) != 3 {
		t.Errorf("want the body sent again, got %d changes", len(all))
	}
	if err := post(); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("want a redirect that drops the body to be an error, got %v", err)
	}
}

func TestAWebhookKeepsItsURLSecret(t *testing.T) {
	server := receive(t)
	server.Close()
	w := webhook(t, actions.WebhookOptions{URL: server.URL + "/T000/secret?key=secret"})
	err := w.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("want an error that keeps the path to itself, got %v", err)
	}
	for _, url := range []string{"", "ftp://example.org", "http://", "https://exa mple.org/secret", "/secret"} {
		if _, err := actions.NewWebhook(actions.WebhookOptions{Name: "x", URL: url}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: want an error that keeps it to itself, got %v", url, err)
		}
	}
}
