package login

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// begun is a browser that has begun a sign-in.
func begun(t *testing.T, p *pending, a attempt) *http.Request {
	t.Helper()
	w := httptest.NewRecorder()
	if err := p.begin(w, a); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/login/callback", nil)
	for _, c := range w.Result().Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %v", c)
		}
		for _, secret := range []string{a.State, a.Nonce, a.Verifier} {
			if secret != "" && strings.Contains(c.Value, secret) {
				t.Errorf("cookie shows %q", secret)
			}
		}
		r.AddCookie(c)
	}
	return r
}

func TestAnAttemptExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPending("__Host-x", true)
		early, late := begun(t, p, attempt{State: "one"}), begun(t, p, attempt{State: "two"})
		time.Sleep(beginTime - time.Second)
		if _, ok := p.finish(httptest.NewRecorder(), early, "one"); !ok {
			t.Error("nine minutes are not too long")
		}
		time.Sleep(time.Second)
		if _, ok := p.finish(httptest.NewRecorder(), late, "two"); ok {
			t.Error("ten minutes are")
		}
	})
}

func TestAnAttemptIsOfOneBrowserAndGoodOnce(t *testing.T) {
	p := newPending("__Host-x", true)
	r, other := begun(t, p, attempt{State: "one", Nonce: "nonce-1", Verifier: "verifier-1", To: "/p/a"}), begun(t, p, attempt{State: "two"})
	for name, c := range map[string]struct {
		r     *http.Request
		state string
	}{"another's state": {r, "two"}, "no state": {r, ""}, "no cookie": {httptest.NewRequest("GET", "/", nil), "one"}, "another browser": {other, "one"}} {
		if _, ok := p.finish(httptest.NewRecorder(), c.r, c.state); ok {
			t.Errorf("%s: want it refused", name)
		}
	}
	forged := httptest.NewRequest("GET", "/", nil)
	c, _ := r.Cookie("__Host-x")
	forged.AddCookie(&http.Cookie{Name: "__Host-x", Value: "A" + c.Value[1:]})
	if _, ok := p.finish(httptest.NewRecorder(), forged, "one"); ok && c.Value[0] != 'A' {
		t.Error("a changed cookie: want it refused")
	}
	if _, ok := newPending("__Host-x", true).finish(httptest.NewRecorder(), r, "one"); ok {
		t.Error("another process's cookie: want it refused")
	}
	w := httptest.NewRecorder()
	if a, ok := p.finish(w, r, "one"); !ok || a.Nonce != "nonce-1" || a.Verifier != "verifier-1" || a.To != "/p/a" {
		t.Errorf("want the attempt, got %+v %v", a, ok)
	}
	if cookies := w.Result().Cookies(); len(cookies) != 1 || cookies[0].MaxAge >= 0 {
		t.Errorf("want the cookie taken away, got %v", cookies)
	}
	if _, ok := p.finish(httptest.NewRecorder(), r, "one"); ok {
		t.Error("again: want it refused")
	}
}

func TestUsedAttemptsAreBounded(t *testing.T) {
	p := newPending("__Host-x", true)
	for i := range maxUsed + 100 {
		p.use(attempt{State: strings.Repeat("x", 1+i%7) + time.Duration(i).String(), Until: time.Now().Add(time.Hour)})
	}
	if len(p.used) != maxUsed || p.order.Len() != maxUsed {
		t.Errorf("want %d, got %d and %d", maxUsed, len(p.used), p.order.Len())
	}
}
