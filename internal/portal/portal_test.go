package portal_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal"
	"regwarden/internal/portal/human"
	"regwarden/internal/portal/portaltest"
)

const blockPath = "/p/" + project + "/-/blocks/b1"

func (s *site) want(what string, got reply, status int, texts ...string) {
	s.t.Helper()
	if got.status != status {
		s.t.Errorf("%s: want %d, got %d: %.300s", what, status, got.status, between(got.body, "<main", "</main>"))
	}
	for _, text := range texts {
		if not, no := strings.CutPrefix(text, "!"); no && strings.Contains(got.body, not) {
			s.t.Errorf("%s: want no %q in the page", what, not)
		} else if !no && !strings.Contains(got.body, text) {
			s.t.Errorf("%s: want %q in the page, got %.1500s", what, text, between(got.body, "<main", "</main>"))
		}
	}
}

// TestAMemberUnblocksAServer is the whole story.
func TestAMemberUnblocksAServer(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web/api"))
	s.want("my projects", s.get("developer", "/"), 200, `data-project="acme/web"`, "1 blocked server")
	s.want("the project", s.get("developer", "/p/acme/web"), 200, "203.0.113.7", "keeps asking for a manifest", "GET /v2/acme/web/api/manifests/v9",
		"5 Oct 2026 11:59 UTC", "in 1 h", "Push acme/web/api:v9", "Also blocked for other reasons: <strong>no", `href="/p/acme/web/-/blocks/b1"`)
	failed := s.post("developer", blockPath, s.form("developer", blockPath, false))
	s.want("a wrong answer", failed, 422, `id="problem"`, `value="pushed the image"`)
	done := s.unblock("developer", "b1")
	s.want("a right answer", done, 200, `id="done"`, `id="free"`, "203.0.113.7", `id="probation"`)
	s.want("the project after it", s.get("developer", "/p/acme/web"), 200, `id="nobody"`)
	s.want("again", s.get("developer", blockPath), 404, "no such block any more")
	s.want("a Maintainer's history", s.get("maintainer", "/p/acme/web/-/history"), 200, "unblocked", "web:developer (gitlab 30)", "pushed the image")
	s.want("a Developer's history", s.get("developer", "/p/acme/web/-/history"), 200, "unblocked", "a member of the project", "!web:developer", "!pushed the image")
	if got := strings.Join(s.tested, ", "); got != "image failed, image passed" {
		t.Errorf("metrics heard %q", got)
	}
	p, on := s.backend.ledger.Probation(netip.MustParsePrefix("203.0.113.7/32"), noon.Add(time.Hour))
	if !on || !p.Until.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("want 24 h of probation, got %+v", p)
	}
}

// TestWhoMayDoWhat is the matrix of roles.
func TestWhoMayDoWhat(t *testing.T) {
	for _, row := range []struct {
		who                 string
		view, history, lift int
	}{
		{"", 303, 303, 401},
		{"none", 404, 404, 404},
		{"guest", 404, 404, 404},
		{"reporter", 200, 200, 403},
		{"developer", 200, 200, 200},
		{"shared", 200, 200, 200},
		{"maintainer", 200, 200, 200},
		{"owner", 200, 200, 200},
		{"admin", 200, 200, 200},
	} {
		t.Run(row.who, func(t *testing.T) {
			s := newSite(t, nil)
			s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
			s.backend.block("203.0.113.8/32", about("b2", "acme/other"))
			s.want("view", s.get(row.who, "/p/acme/web"), row.view)
			s.want("history", s.get(row.who, "/p/acme/web/-/history"), row.history)
			other := 404
			switch row.who {
			case "":
				other = 303
			case "admin":
				other = 200
			}
			s.want("another project", s.get(row.who, "/p/acme/other"), other)
			if row.who != "" {
				s.want("another project's block under this one's path", s.get(row.who, "/p/acme/web/-/blocks/b2"), 404, "!203.0.113.8")
			}
			admin := 404
			switch row.who {
			case "":
				admin = 303
			case "admin":
				admin = 200
			}
			s.want("the admin page", s.get(row.who, "/admin"), admin)
			s.want("lift", s.post(row.who, blockPath, s.form(row.who, blockPath, true)), row.lift)
			if free := !s.backend.ledger.Has(netip.MustParsePrefix("203.0.113.7/32")); free != (row.lift == 200) {
				t.Errorf("is it free: %v", free)
			}
		})
	}
}

// TestNobodyLearnsWhichProjectsThereAre: what somebody may not see reads the same as what is not there, byte for byte.
func TestNobodyLearnsWhichProjectsThereAre(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.8/32", about("b2", "acme/other"))
	first := s.get("developer", "/p/acme/nothing")
	for _, path := range []string{"/p/acme/other", "/p/acme/other/-/history", "/p/acme/other/-/blocks/b2", "/p/acme/nothing/-/blocks/b2", "/p/acme/other/-/blocks/nothing", "/p/acme", "/p/1001"} {
		got := s.get("developer", path)
		// The page says where one is, for the way back after signing in; nothing else may differ.
		if a, b := between(first.body, "<main", "</main>"), between(got.body, "<main", "</main>"); got.status != 404 || a != b {
			t.Errorf("%s: %d %s", path, got.status, b)
		}
		if len(got.header) != len(first.header) {
			t.Errorf("%s: other headers: %v", path, got.header)
		}
	}
}

func TestTricksWithPaths(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	for _, path := range []string{"/p/acme/web%2f..%2fother", "/p/acme%2Fweb%00", "/p/acme/web/-/", "/p/acme/web/-/blocks/", "/p/acme/web/-/blocks/b1/x", "/p/acme/web%3Fx", "/p/%2e%2e/%2e%2e/etc",
		"/p/acme/web/-/history/x", "/p/acme/web;x", "/p/" + strings.Repeat("a/", 300) + "b", "/p/-/history", "/p/acme/web/-/blocks/b1%0d%0aSet-Cookie:x", "/static/", "/static/../portal.go", "/static/%2e%2e/portal.go"} {
		if got := s.get("developer", path); got.status != 404 && got.status/100 != 3 || got.header.Get("Set-Cookie") != "" || strings.Contains(got.body, "package portal") {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	s.want("capitals", s.get("developer", "/p/Acme/Web"), 200, "203.0.113.7")
	if to := s.get("developer", "/open?project=+Acme%2FWeb%2F+").header.Get("Location"); to != "/p/acme/web" {
		t.Errorf("open leads to %q", to)
	}
	for _, evil := range []string{"//evil.example.org", "https://evil.example.org", `\\evil`, "javascript:x"} {
		if got := s.get("developer", "/open?project="+url.QueryEscape(evil)); strings.Contains(got.header.Get("Location"), ":") || strings.HasPrefix(got.header.Get("Location"), "//") {
			t.Errorf("open leads from %q to %q", evil, got.header.Get("Location"))
		}
	}
}

// TestOnlyTheProjectsOwnReasonsAreLifted, and of the others nobody learns more than that there are some.
func TestOnlyTheProjectsOwnReasonsAreLifted(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	s.backend.block("203.0.113.7/32", about("b2", "acme/web/api"))
	s.backend.block("203.0.113.7/32", about("b3", "corp/secret"))
	s.backend.block("203.0.113.7/32", detector.Cause{ID: "b4", Rule: "registry-scan", Repositories: []string{"acme/web/x", "corp/secret"}, Projects: []string{"acme/web", "corp/secret"},
		Samples: []string{"GET /v2/corp/secret"}, Reason: `probes, repository "corp/secret"`})
	page := s.get("developer", "/p/acme/web")
	s.want("the page", page, 200, "Also blocked for other reasons: <strong>yes", "registry-scan", "acme/web/x", "!corp/secret", `data-cause="b4"`, "!data-cause=\"b3\"")
	s.want("the history", s.get("maintainer", "/p/acme/web/-/history"), 200, "!corp/secret")
	s.want("the shared one's page leads to what is the project's", s.get("developer", "/p/acme/web/-/blocks/b4"), 200, "!corp/secret")
	s.want("another's", s.get("developer", "/p/acme/web/-/blocks/b3"), 404)
	s.want("unblock", s.unblock("developer", "b1"), 200, `id="remains"`, "!corp/secret")
	var left []string
	for _, c := range s.backend.ledger.Find(netip.MustParsePrefix("203.0.113.7/32"))[0].Causes {
		left = append(left, c.ID)
	}
	if strings.Join(left, " ") != "b3 b4" {
		t.Errorf("left are %v", left)
	}
	s.want("what is shared cannot be lifted", s.post("developer", "/p/acme/web/-/blocks/b4", url.Values{"reason": {"x"}}), 403, "Ask an admin")
	s.want("and says so", s.get("developer", "/p/acme/web"), 200, `id="others"`, "!data-unblock")
}

// TestWhenGitLabIsAway nothing can be unblocked, and it is said what can be done.
func TestWhenGitLabIsAway(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	form := s.form("developer", blockPath, true)
	s.gitlab.Away(true)
	s.want("the form", s.post("developer", blockPath, form), 503, "does not answer", "regwarden unblock ADDRESS", `id="block-id">b1<`)
	s.want("a page", s.get("owner", "/p/acme/web"), 503)
	s.gitlab.Away(false)
	s.gitlab.Expire(people["developer"])
	s.want("an expired token", s.post("developer", blockPath, form), 401, `id="sign-in-anew"`)
	if !s.backend.ledger.Has(netip.MustParsePrefix("203.0.113.7/32")) {
		t.Error("it was unblocked")
	}
}

// TestARoleThatIsGoneLiftsNothing, though the form was got with it.
func TestARoleThatIsGoneLiftsNothing(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	form := s.form("developer", blockPath, true)
	s.gitlab.Member(project, people["developer"], 20, portaltest.Direct)
	s.want("a Reporter now", s.post("developer", blockPath, form), 403, "takes a Developer")
	s.gitlab.Member(project, people["developer"], -1, portaltest.Direct)
	s.want("no member now", s.post("developer", blockPath, form), 404)
}

func TestAHumanTestIsGoodForOneOnly(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	s.backend.block("203.0.113.8/32", about("b2", "acme/web"))
	form := s.form("developer", blockPath, true)
	s.want("somebody else's", s.post("maintainer", blockPath, form), 422, "not passed"[:0], `id="problem"`)
	s.want("another address's", s.post("developer", "/p/acme/web/-/blocks/b2", form), 422, `id="problem"`)
	s.want("none", s.post("developer", blockPath, url.Values{"reason": {"x"}}), 422, `id="problem"`)
	s.want("its own", s.post("developer", blockPath, form), 200)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	s.want("a second time", s.post("developer", blockPath, form), 422, `id="problem"`)
	if sound := s.get("developer", html(between(s.get("developer", blockPath).body, `id="challenge-sound" controls preload="none" src="`, `"`))); sound.status != 200 || !strings.HasPrefix(sound.body, "RIFF") {
		t.Errorf("the sound: %d", sound.status)
	}
}

func html(s string) string { return strings.ReplaceAll(s, "&amp;", "&") }

func TestAReasonIsWanted(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	for _, reason := range []string{"", " \t ", "\x00\x1b", strings.Repeat("x", 201)} {
		form := s.form("developer", blockPath, true)
		form.Set("reason", reason)
		s.want(fmt.Sprintf("%q", reason), s.post("developer", blockPath, form), 422, `id="problem"`)
	}
	form := s.form("developer", blockPath, true)
	form.Set("reason", "fixed\x1b[31m\nit")
	s.want("a good one", s.post("developer", blockPath, form), 200)
	s.want("is kept clean", s.get("maintainer", "/p/acme/web/-/history"), 200, "fixed[31m it")
}

// TestQuotas with a clock that the test moves.
func TestQuotas(t *testing.T) {
	again := func(s *site, who, id, target string, want int, texts ...string) {
		t.Helper()
		s.backend.block(target, about(id, "acme/web"))
		s.want(id+" by "+who, s.unblock(who, id), want, texts...)
	}
	t.Run("of a person", func(t *testing.T) {
		s := newSite(t, nil)
		for i := range 3 {
			again(s, "developer", fmt.Sprint("b", i), fmt.Sprintf("203.0.113.%d/32", i), 200)
		}
		again(s, "developer", "b9", "203.0.113.9/32", 429, "unblocked 3 times within an hour", "in 1 h")
		s.want("somebody else", s.unblock("maintainer", "b9"), 200)
		s.pass(time.Hour)
		again(s, "developer", "b10", "203.0.113.10/32", 200)
	})
	t.Run("of an address", func(t *testing.T) {
		s := newSite(t, nil)
		for range 3 {
			again(s, "owner", "b1", "203.0.113.7/32", 200)
			s.pass(2 * time.Hour)
		}
		again(s, "developer", "b1", "203.0.113.7/32", 429, "This address was unblocked 3 times within a day", "in 18 h")
		s.pass(18 * time.Hour)
		again(s, "developer", "b1", "203.0.113.7/32", 200)
	})
	t.Run("of a project", func(t *testing.T) {
		s := newSite(t, nil)
		for i := range 10 {
			again(s, "developer", fmt.Sprint("b", i), fmt.Sprintf("203.0.113.%d/32", i), 200)
			s.pass(30 * time.Minute)
		}
		again(s, "owner", "b20", "203.0.113.20/32", 429, "members of this project have unblocked 10 times")
	})
	t.Run("of failures", func(t *testing.T) {
		s := newSite(t, nil)
		s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
		for range 10 {
			s.want("a failure", s.post("developer", blockPath, s.form("developer", blockPath, false)), 422)
		}
		s.want("even the right answer", s.unblock("developer", "b1"), 429, "failed the human test 10 times")
		s.want("somebody else's", s.unblock("maintainer", "b1"), 200)
	})
}

// TestProbationTakesAHigherRole the second time, and an admin the third.
func TestProbationTakesAHigherRole(t *testing.T) {
	for _, row := range []struct {
		reblock int
		who     string
		want    int
		text    string
	}{
		{1, "developer", 200, ""},
		{2, "developer", 403, "takes a Maintainer"},
		{2, "maintainer", 200, ""},
		{3, "owner", 403, "takes an admin"},
		{3, "admin", 200, ""},
	} {
		s := newSite(t, nil)
		c := about("b1", "acme/web")
		c.Reblock = row.reblock
		s.backend.block("203.0.113.7/32", c)
		if row.want != 200 {
			s.want("the page", s.get(row.who, blockPath), 200, "To unblock it takes", "!unblock-form", `id="ask"`)
		}
		s.want(fmt.Sprintf("block %d by %s", row.reblock, row.who), s.unblock(row.who, "b1"), row.want, row.text)
	}
}

// TestFormsOfOtherSitesAreRefused.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	form := s.form("developer", blockPath, true)
	s.want("Sec-Fetch-Site", s.post("developer", blockPath, form, "Sec-Fetch-Site", "cross-site"), 403)
	s.want("a sister of the host", s.post("developer", blockPath, form, "Sec-Fetch-Site", "same-site"), 403)
	s.want("Origin", s.post("developer", blockPath, form, "Origin", "https://evil.example.org"), 403)
	s.want("our own", s.post("developer", blockPath, form, "Sec-Fetch-Site", "same-origin"), 200)
}

// TestWhatOthersWroteIsOnlyText.
func TestWhatOthersWroteIsOnlyText(t *testing.T) {
	s := newSite(t, nil)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(2)>' javascript:alert(3)`
	c := about("b1", "acme/web/"+evil)
	c.Samples, c.References, c.Reason, c.Rule = []string{evil}, []string{evil}, "asks "+evil, "rule"+evil
	s.backend.block("203.0.113.7/32", c)
	for _, path := range []string{"/", "/p/acme/web", blockPath, "/p/acme/web/-/history", "/blocked"} {
		got := s.get("developer", path, "X-Forwarded-For", "203.0.113.7")
		if got.status != 200 || strings.Contains(got.body, "<script") || strings.Contains(got.body, "<img src=x") || regexp.MustCompile(`(href|src|action)="javascript:`).MatchString(got.body) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	got := s.get("admin", "/admin?q="+url.QueryEscape(evil))
	s.want("a search", got, 200, "!<script", "!<b>clients")
	s.want("what an admin finds", s.get("admin", "/admin?q=203.0.113.7"), 200, "!<script", "203.0.113.7")
	form := s.form("developer", blockPath, false)
	form.Set("reason", evil)
	s.want("a reason", s.post("developer", blockPath, form), 422, "!<script", "!<img src=x")
}

// TestEveryAnswerSaysWhatBrowsersMayDo.
func TestEveryAnswerSaysWhatBrowsersMayDo(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	for _, path := range []string{"/", "/p/acme/web", blockPath, "/p/none", "/blocked", "/static/style.css", "/api/v1/openapi.json", "/api/v1/nothing", "/login"} {
		h := s.get("developer", path).header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "style-src 'self'", "img-src 'self' data:", "media-src 'self' data:", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
			t.Errorf("%s: the policy lets scripts in: %s", path, csp)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" || h.Get("X-Frame-Options") != "DENY" || !strings.Contains(h.Get("Strict-Transport-Security"), "max-age") {
			t.Errorf("%s: headers %v", path, h)
		}
		if want := "no-store"; !strings.HasPrefix(path, "/static") && h.Get("Cache-Control") != want {
			t.Errorf("%s: Cache-Control %q", path, h.Get("Cache-Control"))
		}
	}
	provided := newSite(t, func(o *portal.Options) { o.Provider = "https://gitlab.example.org/x;y" })
	if csp := provided.get("", "/blocked").header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://gitlab.example.org;") {
		t.Errorf("a form may lead to the login: %s", csp)
	}
	page := s.get("developer", blockPath).body
	if regexp.MustCompile(`<script|<style| style=| on[a-z]+=`).MatchString(page) {
		t.Errorf("something inline in %s", page)
	}
}

func TestTooManyRequestsOfOneAddress(t *testing.T) {
	s := newSite(t, nil)
	for i := range 240 {
		if got := s.get("", "/blocked"); got.status != 200 {
			t.Fatalf("request %d: %d", i+1, got.status)
		}
	}
	s.want("one more", s.get("", "/blocked"), 429)
	s.want("another address", s.get("", "/blocked", "X-Forwarded-For", "192.0.2.2"), 200)
	s.want("one that a client wrote before the proxy's own", s.get("", "/blocked", "X-Forwarded-For", "192.0.2.3, 192.0.2.1"), 429)
	s.pass(time.Minute)
	s.want("a minute later", s.get("", "/blocked"), 200)
}

func TestAFormThatIsTooLong(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	s.want("a long form", s.post("developer", blockPath, url.Values{"reason": {strings.Repeat("x", 20000)}}), 400)
}

// TestAmIBlocked says so to anybody, and names projects only to their members.
func TestAmIBlocked(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web/api"))
	s.backend.block("2001:db8:1::/64", about("b2", "acme/other"))
	blocked := []string{"X-Forwarded-For", "203.0.113.7"}
	s.want("nobody", s.get("", "/blocked", blocked...), 200, `data-blocked="yes"`, "missing-manifest", "in 1 h", "/login?to=%2Fblocked", "!acme")
	s.want("a member", s.get("reporter", "/blocked", blocked...), 200, `data-blocked="yes"`, `href="/p/acme/web"`)
	s.want("somebody else", s.get("none", "/blocked", blocked...), 200, `id="no-own"`, "!acme")
	s.want("behind two proxies", s.get("", "/blocked", "X-Forwarded-For", "198.51.100.1, 203.0.113.7, 127.0.0.9"), 200, "203.0.113.7", `data-blocked="yes"`)
	s.want("a free address", s.get("", "/blocked"), 200, `data-blocked="no"`)
	s.want("IPv6, in its network", s.get("", "/blocked", "X-Forwarded-For", "2001:db8:1::77"), 200, `data-blocked="yes"`)
	s.want("a header that says nothing", s.get("", "/blocked", "X-Forwarded-For", "unknown"), 200, `id="unknown"`)
	s = newSite(t, func(o *portal.Options) { o.TrustedProxies = nil })
	s.backend.block("203.0.113.7/32", about("b1", "acme/web/api"))
	s.want("a header of somebody who is no proxy", s.get("", "/blocked", blocked...), 200, "127.0.0.1", `data-blocked="no"`)
}

func TestTheAdminPage(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web/api"))
	s.want("the page", s.get("admin", "/admin"), 200, `id="targets">1<`, "<svg", `id="table-time"`, `id="chart-rule"`, "missing-manifest", `id="chart-repository"`, "too many &lt;b&gt;clients")
	for _, q := range []string{"203.0.113.7", "203.0.113.0/24", "acme/web", "acme/web/api", "Acme/Web/"} {
		texts := []string{`class="address">203.0.113.7<`, "History of"}
		if q == "203.0.113.0/24" {
			texts = nil
		}
		s.want("a search for "+q, s.get("admin", "/admin?q="+url.QueryEscape(q)), 200, texts...)
	}
	s.want("a search in vain", s.get("admin", "/admin?q=198.51.100.1"), 200, `id="found-none"`)
}

// TestTheLinkOfABlockedClient leads whoever may see the block to it, and nobody else anywhere.
func TestTheLinkOfABlockedClient(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web/api"))
	s.backend.block("203.0.113.8/32", about("b2", "acme/other"))
	for _, row := range []struct {
		who, id string
		status  int
		to      string
	}{
		{"developer", "b1", 303, "/p/acme/web/-/blocks/b1"},
		{"admin", "b1", 303, "/p/acme/web/-/blocks/b1"},
		{"", "b1", 303, "/login?to=%2Funblock%2Fb1"},
		{"none", "b1", 404, ""},
		{"developer", "b2", 404, ""},
		{"developer", "nothing", 404, ""},
	} {
		if got := s.get(row.who, "/unblock/"+row.id); got.status != row.status || got.header.Get("Location") != row.to {
			t.Errorf("%s by %q: want %d %s, got %d %s", row.id, row.who, row.status, row.to, got.status, got.header.Get("Location"))
		}
	}
}

// TestThePagesOfTheHistory show each entry once.
func TestThePagesOfTheHistory(t *testing.T) {
	s := newSite(t, nil)
	for i := range 120 {
		s.backend.block(fmt.Sprintf("203.0.113.%d/32", i), about(fmt.Sprint("h", i), "acme/web"))
	}
	seen, path := map[string]int{}, "/p/acme/web/-/history"
	for pages := 0; path != "" && pages < 5; pages++ {
		got := s.get("reporter", path)
		for _, m := range regexp.MustCompile(`data-entry="(\d+)"`).FindAllStringSubmatch(got.body, -1) {
			seen[m[1]]++
		}
		path = html(between(got.body, `id="older" href="`, `"`))
	}
	if len(seen) != 120 {
		t.Errorf("want 120 entries, got %d", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("entry %s came %d times", id, n)
		}
	}
}

// TestTheAPI says the same as the pages.
func TestTheAPI(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	const base = "/api/v1/projects/acme%2Fweb"
	token := func(who string) string { return s.gitlab.Token(people[who]) }
	call := func(method, path, token, body string) (reply, map[string]any) {
		t.Helper()
		got := s.send("", method, path, strings.NewReader(body), "Authorization", "Bearer "+token)
		var out map[string]any
		if err := json.Unmarshal([]byte(got.body), &out); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
		}
		if got.status >= 400 && (got.header.Get("Content-Type") != "application/problem+json" || out["title"] == "" || out["status"] != float64(got.status)) {
			t.Errorf("%s %s: no problem: %v", method, path, out)
		}
		return got, out
	}
	status := func(want int, method, path, token, body string) map[string]any {
		t.Helper()
		got, out := call(method, path, token, body)
		if got.status != want {
			t.Errorf("%s %s: want %d, got %d: %s", method, path, want, got.status, got.body)
		}
		return out
	}
	status(401, "GET", base+"/blocks", "", "")
	status(401, "GET", base+"/blocks", "wrong", "")
	status(404, "GET", base+"/blocks", token("guest"), "")
	status(404, "GET", "/api/v1/projects/acme%2Fother/blocks", token("developer"), "")
	status(404, "GET", "/api/v1/projects/acme/web/blocks", token("developer"), "")
	blocks := status(200, "GET", base+"/blocks", token("reporter"), "")["blocks"].([]any)
	if len(blocks) != 1 {
		t.Fatalf("want one block, got %v", blocks)
	}
	one := blocks[0].(map[string]any)
	if one["id"] != "b1" || one["address"] != "203.0.113.7" || one["may_lift"] != false || one["takes"] != "a Developer of the project" || one["url"] != "https://blocks.example.org"+blockPath {
		t.Errorf("got %v", one)
	}
	if got := s.send("", "GET", base+"/history", nil, "PRIVATE-TOKEN", token("reporter")); got.status != 200 || !strings.Contains(got.body, `"block_id":"b1"`) {
		t.Errorf("history: %d %s", got.status, got.body)
	}
	status(403, "POST", base+"/blocks/b1/challenge", token("reporter"), "")
	challenge := status(200, "POST", base+"/blocks/b1/challenge", token("developer"), "")
	id, _ := challenge["challenge"].(string)
	if !strings.HasPrefix(challenge["image"].(string), "data:image/png") || !strings.HasPrefix(challenge["sound"].(string), "data:audio/wav") {
		t.Errorf("got %v", challenge["kind"])
	}
	status(422, "POST", base+"/blocks/b1/unblock", token("developer"), `{"reason": "x", "challenge": "", "answer": ""}`)
	status(400, "POST", base+"/blocks/b1/unblock", token("developer"), `{"raeson": "x"}`)
	status(403, "POST", base+"/blocks/b1/unblock", token("reporter"), fmt.Sprintf(`{"reason": "x", "challenge": %q, "answer": %q}`, id, s.answers[id]))
	done := status(200, "POST", base+"/blocks/b1/unblock", token("developer"), fmt.Sprintf(`{"reason": "x", "challenge": %q, "answer": %q}`, id, s.answers[id]))
	if done["address"] != "203.0.113.7" || done["remains"] != false || done["probation_seconds"] != float64(86400) {
		t.Errorf("got %v", done)
	}
	s.gitlab.Away(true)
	status(503, "GET", base+"/blocks", token("developer"), "")
}

// TestTheAPIIsAsItIsWritten holds openapi.json against the routes.
func TestTheAPIIsAsItIsWritten(t *testing.T) {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, methods := range doc.Paths {
		for method := range methods {
			got = append(got, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(got)
	want := portal.APIRoutes()
	slices.Sort(want)
	if !slices.Equal(want, got) {
		t.Errorf("the routes are\n%v\nand openapi.json has\n%v", want, got)
	}
	s := newSite(t, nil)
	if served := s.get("", "/api/v1/openapi.json"); served.body != string(text) || !strings.HasPrefix(served.header.Get("Content-Type"), "application/json") {
		t.Error("it is not served as it is")
	}
}

// TestWithoutAHumanTestNobodyUnblocks.
func TestWithoutAHumanTestNobodyUnblocks(t *testing.T) {
	s := newSite(t, func(o *portal.Options) { o.Test = nil })
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	s.want("the page", s.get("owner", blockPath), 200, `id="test-away"`, `id="ask"`, "!unblock-form")
	s.want("the form", s.post("owner", blockPath, url.Values{"reason": {"x"}}), 422)
}

// TestWorkBeforeTheTest: where it is wanted, the right answer alone is not enough.
func TestWorkBeforeTheTest(t *testing.T) {
	work, err := human.NewWork(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(o *portal.Options) { o.Work = work })
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	page := s.get("developer", blockPath)
	s.want("the page", page, 200, `<script src="/static/work.js" defer>`, `data-work-bits="4"`, "<noscript>")
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %s", csp)
	}
	if script := s.get("", "/static/work.js"); script.status != 200 || !strings.Contains(script.header.Get("Content-Type"), "javascript") {
		t.Errorf("the script: %d %s", script.status, script.header.Get("Content-Type"))
	}
	s.want("without it", s.post("developer", blockPath, s.form("developer", blockPath, true)), 422, `id="problem"`)
	page = s.get("developer", blockPath)
	id, seed := between(page.body, `name="challenge" value="`, `"`), between(page.body, `data-work-seed="`, `"`)
	form := url.Values{"challenge": {id}, "answer": {s.answers[id]}, "reason": {"x"}, human.FieldWorkID: {seed}, human.FieldWork: {solve(seed, 4)}}
	s.want("with it", s.post("developer", blockPath, form), 200)
}

// solve does the browser's work.
func solve(seed string, bits int) string {
	for n := 0; ; n++ {
		if sum := sha256.Sum256([]byte(seed + strconv.Itoa(n))); sum[0]>>(8-bits) == 0 {
			return strconv.Itoa(n)
		}
	}
}

// TestMethods: what changes something is a POST.
func TestMethods(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		if got := s.send("developer", method, blockPath, nil); got.status/100 == 2 || got.status/100 == 5 {
			t.Errorf("%s: %d", method, got.status)
		}
	}
	s.want("HEAD", s.send("developer", "HEAD", blockPath, nil), 200)
	if !s.backend.ledger.Has(netip.MustParsePrefix("203.0.113.7/32")) {
		t.Error("it was unblocked")
	}
}

// TestAReloadKeepsTheDoor and takes the rest over.
func TestAReloadKeepsTheDoor(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", "acme/web"))
	now := s.options
	now.Door, now.Test = nil, nil
	s.portal.Set(now)
	s.want("who was signed in", s.get("owner", blockPath), 200, `id="user"`, `id="test-away"`)
}

func TestAFaultOfTheDaemonIsNoPage(t *testing.T) {
	s := newSite(t, nil)
	s.backend.err = errBroken
	s.want("a fault", s.get("owner", "/p/acme/web"), http.StatusInternalServerError, "!broken", "operator")
}
