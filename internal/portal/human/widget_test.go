package human_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
	"regwarden/internal/portal/portaltest"
)

var fields = map[string]string{"hcaptcha": "h-captcha-response", "recaptcha": "g-recaptcha-response", "turnstile": "cf-turnstile-response"}

// party is a third party's test, with a stand-in of its siteverify.
type party struct {
	*human.Widget
	*portaltest.Siteverify
	kind string
}

func startParty(t *testing.T, kind string) *party {
	t.Helper()
	p := &party{Siteverify: &portaltest.Siteverify{Secret: "the-secret"}, kind: kind}
	s := httptest.NewServer(p.Siteverify)
	t.Cleanup(s.Close)
	var err error
	p.Widget, err = human.NewWidget(human.WidgetOptions{Kind: kind, SiteKey: "site-key", Secret: account.NewSecret("the-secret"), Hostname: "blocks.example.org", VerifyURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// solved is the form of somebody who solved a challenge; as can say something else than the truth.
func (p *party) solved(t *testing.T, response string, as func(*portaltest.Pass)) url.Values {
	t.Helper()
	c, err := p.Challenge(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	pass := portaltest.Pass{Hostname: "blocks.example.org", Action: c.Action, CData: c.ID, At: time.Now()}
	if as != nil {
		as(&pass)
	}
	p.Allow(response, pass)
	return url.Values{human.FieldID: {c.ID}, fields[p.kind]: {response}}
}

func eachKind(t *testing.T, do func(*testing.T, *party)) {
	for kind := range fields {
		t.Run(kind, func(t *testing.T) { do(t, startParty(t, kind)) })
	}
}

func TestAThirdPartySaysYes(t *testing.T) {
	eachKind(t, func(t *testing.T, p *party) {
		f := p.solved(t, "response-1", nil)
		if err := p.Verify(human.WithVisitor(t.Context(), netip.MustParseAddr("198.51.100.9")), mine, f); err != nil {
			t.Fatalf("want it taken, got %v", err)
		}
		asked := p.Asked()
		if len(asked) != 1 || asked[0].Get("secret") != "the-secret" || asked[0].Get("response") != "response-1" || asked[0].Get("remoteip") != "198.51.100.9" {
			t.Errorf("asked %v", asked)
		}
		if err := p.Verify(t.Context(), mine, f); !errors.Is(err, human.ErrSpent) {
			t.Errorf("replayed: want spent, got %v", err)
		}
		if asked := p.Asked(); len(asked) > 0 {
			t.Errorf("a replay is not even asked: %v", asked)
		}
		f = p.solved(t, "response-2", nil)
		if err := p.Verify(t.Context(), mine, f); err != nil || p.Asked()[0].Has("remoteip") {
			t.Errorf("without a visitor no address is sent: %v", err)
		}
	})
}

func TestAThirdPartysChallengeForSomethingElse(t *testing.T) {
	eachKind(t, func(t *testing.T, p *party) {
		for name, other := range others() {
			f := p.solved(t, "response "+name, nil)
			if err := p.Verify(t.Context(), other, f); !errors.Is(err, human.ErrNotYours) {
				t.Errorf("%s: want not yours, got %v", name, err)
			}
		}
		if asked := p.Asked(); len(asked) > 0 {
			t.Errorf("none is even asked: %v", asked)
		}
	})
}

func TestWhatAThirdPartySaysIsLookedAt(t *testing.T) {
	eachKind(t, func(t *testing.T, p *party) {
		for name, c := range map[string]struct {
			as   func(*portaltest.Pass)
			want error
			kind string
		}{
			"another page":     {func(p *portaltest.Pass) { p.Hostname = "evil.example.org" }, human.ErrWrong, ""},
			"no page":          {func(p *portaltest.Pass) { p.Hostname = "" }, human.ErrWrong, ""},
			"old":              {func(p *portaltest.Pass) { p.At = time.Now().Add(-6 * time.Minute) }, human.ErrExpired, ""},
			"from the future":  {func(p *portaltest.Pass) { p.At = time.Now().Add(5 * time.Minute) }, human.ErrExpired, ""},
			"no time":          {func(p *portaltest.Pass) { p.At = time.Time{} }, human.ErrExpired, ""},
			"another action":   {func(p *portaltest.Pass) { p.Action = "signup" }, human.ErrNotYours, "turnstile"},
			"another's cdata":  {func(p *portaltest.Pass) { p.CData = "SOMEBODYELSES" }, human.ErrNotYours, "turnstile"},
			"without an extra": {func(p *portaltest.Pass) { p.Action, p.CData = "", "" }, human.ErrNotYours, "turnstile"},
		} {
			want := c.want
			if c.kind != "" && c.kind != p.kind {
				want = nil // the others do not tell it
			}
			if err := p.Verify(t.Context(), mine, p.solved(t, "response "+name, c.as)); !errors.Is(err, want) {
				t.Errorf("%s: want %v, got %v", name, want, err)
			}
		}
	})
}

func TestResponsesThatAreNone(t *testing.T) {
	eachKind(t, func(t *testing.T, p *party) {
		for name, response := range map[string]string{"missing": "", "invented": "made-up", "huge": strings.Repeat("x", 1<<20)} {
			f := p.solved(t, "a real one", nil)
			f.Set(fields[p.kind], response)
			if err := p.Verify(t.Context(), mine, f); !errors.Is(err, human.ErrWrong) {
				t.Errorf("%s: want wrong, got %v", name, err)
			}
		}
		f := p.solved(t, "used", nil)
		if err := p.Verify(t.Context(), mine, f); err != nil {
			t.Fatal(err)
		}
		again, _ := p.Challenge(t.Context(), mine)
		f.Set(human.FieldID, again.ID) // our challenge is new, the response is not
		if err := p.Verify(t.Context(), mine, f); !errors.Is(err, human.ErrWrong) {
			t.Errorf("used response: want wrong, got %v", err)
		}
	})
}

func TestAThirdPartyAwayRefuses(t *testing.T) {
	eachKind(t, func(t *testing.T, p *party) {
		for _, status := range []int{500, 502, 403, 204, 302} {
			p.Status(status)
			if err := p.Verify(t.Context(), mine, p.solved(t, "r", nil)); !errors.Is(err, human.ErrAway) {
				t.Errorf("%d: want away, got %v", status, err)
			}
		}
		p.Status(0)
		p.Slow(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // the same way as the 3 s of its own
		defer cancel()
		err := p.Verify(ctx, mine, p.solved(t, "r", nil))
		if !errors.Is(err, human.ErrAway) || strings.Contains(err.Error(), "the-secret") {
			t.Errorf("slow: want away, got %v", err)
		}
	})
}

func TestAnswersThatSiteverifyMayGive(t *testing.T) {
	for body, want := range map[string]error{
		`{"success":false,"error-codes":["invalid-input-secret"]}`:   human.ErrAway,
		`{"success":false,"error-codes":["internal-error"]}`:         human.ErrAway,
		`{"success":false,"error-codes":["timeout-or-duplicate"]}`:   human.ErrSpent,
		`{"success":false,"error-codes":["already-seen-response"]}`:  human.ErrSpent,
		`{"success":false,"error-codes":["expired-input-response"]}`: human.ErrExpired,
		`{"success":false,"error-codes":["invalid-input-response"]}`: human.ErrWrong,
		`{"success":false}`: human.ErrWrong,
		`{}`:                human.ErrWrong,
		`null`:              human.ErrWrong,
		`[]`:                human.ErrAway,
		`<html>`:            human.ErrAway,
		``:                  human.ErrAway,
		`{"success":"yes"}`: human.ErrAway,
		`{"success":true,"hostname":"blocks.example.org","challenge_ts":"soon"}`: human.ErrAway,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		w, err := human.NewWidget(human.WidgetOptions{Kind: "hcaptcha", SiteKey: "k", Secret: account.NewSecret("s"), Hostname: "blocks.example.org", VerifyURL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := w.Challenge(t.Context(), mine)
		if err := w.Verify(t.Context(), mine, url.Values{human.FieldID: {c.ID}, "h-captcha-response": {"r"}}); !errors.Is(err, want) {
			t.Errorf("%s: want %v, got %v", body, want, err)
		}
		s.Close()
	}
}

func TestWidgetsThatAreRefused(t *testing.T) {
	good := human.WidgetOptions{Kind: "turnstile", SiteKey: "k", Secret: account.NewSecret("s"), Hostname: "h"}
	for name, spoil := range map[string]func(*human.WidgetOptions){
		"kind": func(o *human.WidgetOptions) { o.Kind = "altcha" }, "site key": func(o *human.WidgetOptions) { o.SiteKey = "" },
		"secret": func(o *human.WidgetOptions) { o.Secret = account.Secret{} }, "host name": func(o *human.WidgetOptions) { o.Hostname = "" },
	} {
		o := good
		spoil(&o)
		if _, err := human.NewWidget(o); err == nil {
			t.Errorf("%s: want it refused", name)
		}
	}
	w, err := human.NewWidget(good)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := w.Challenge(t.Context(), mine)
	if len(c.Sources.Script) == 0 || len(c.Sources.Frame) == 0 || !strings.HasPrefix(c.Script, c.Sources.Script[0]) || c.Class != "cf-turnstile" || c.SiteKey != "k" || c.Action != "lift" {
		t.Errorf("the page cannot show it: %+v", c)
	}
}
