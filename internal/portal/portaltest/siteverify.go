package portaltest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Siteverify stands in for hCaptcha, reCAPTCHA and Turnstile: each Pass it was told of is good once.
type Siteverify struct {
	Secret string

	mu     sync.Mutex
	passes map[string]Pass
	status int
	slow   time.Duration
	asked  []url.Values
}

// Pass is what the provider says of a response that a widget gave.
type Pass struct {
	Hostname, Action, CData string
	At                      time.Time
}

// Allow makes a response good, once.
func (s *Siteverify) Allow(response string, p Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passes == nil {
		s.passes = map[string]Pass{}
	}
	s.passes[response] = p
}

// Status makes every request fail with a status; 0 ends it.
func (s *Siteverify) Status(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Slow makes every answer late; a client that goes away is not waited for.
func (s *Siteverify) Slow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// Asked is the forms that came since the last call.
func (s *Siteverify) Asked() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.asked = nil }()
	return s.asked
}

// ServeHTTP answers as the providers do: 200 with success or error-codes.
func (s *Siteverify) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.asked = append(s.asked, r.PostForm)
	slow, status := s.slow, s.status
	pass, good := s.passes[r.PostForm.Get("response")]
	delete(s.passes, r.PostForm.Get("response"))
	s.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		http.Error(w, "<html>away</html>", status)
		return
	}
	said := map[string]any{"success": true, "challenge_ts": pass.At.UTC().Format(time.RFC3339), "hostname": pass.Hostname, "action": pass.Action, "cdata": pass.CData}
	switch {
	case r.PostForm.Get("secret") != s.Secret:
		said = map[string]any{"success": false, "error-codes": []string{"invalid-input-secret"}}
	case !good:
		said = map[string]any{"success": false, "error-codes": []string{"invalid-input-response"}}
	}
	_ = json.NewEncoder(w).Encode(said)
}
