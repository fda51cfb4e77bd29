package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestFormsThatAreNotThePersonsOwn: forms of other sites, answers that were used, and other people's.
func TestFormsThatAreNotThePersonsOwn(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42") + swarm(webServer, "acme/web", "v9")})
	h.untilBlocked(shopServer, webServer)
	shop, web := h.link("acme/shop", shopServer), h.link("acme/web", webServer)
	dana, sam := h.visit("developer"), h.visit("shared")
	form := dana.form(shop)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example.org"}, {"Origin", "null"},
		{"Origin", strings.Replace(h.url, "https", "http", 1) + "0"}, {"Sec-Fetch-Site", "cross-site", "Origin", h.url},
	} {
		h.want("a form of another site: "+strings.Join(header, " "), dana.post(shop, form, header...), 403)
		h.want("and it signs nobody out", dana.post("/logout", nil, header...), 403)
	}
	h.want("nobody was signed out", dana.get("/blocked"), 200, `id="user"`)
	h.want("by GET nothing is lifted", dana.get(shop+"?"+form.Encode()), 200, `id="unblock-form"`)
	h.want("another person's challenge", sam.post(shop, form), 422, "!id=\"done\"")
	h.want("the challenge of another block", dana.post(web, form), 422, "!id=\"done\"")
	for range 2 {
		if !h.blocked(shopServer) || !h.blocked(webServer) {
			t.Fatal("something was unblocked")
		}
	}
	form = dana.form(shop)
	h.want("a wrong answer", dana.post(shop, with(form, "answer", "1")), 422)
	h.want("the same challenge with the right one", dana.post(shop, form), 422)
	first := dana.form(web)
	h.want("our own form", dana.post(web, first, "Sec-Fetch-Site", "same-origin", "Origin", h.url), 200, `id="done"`)
	h.want("replayed for the same block", dana.post(web, first), 404)
	h.want("replayed for another", dana.post(shop, first), 422)
	if !h.blocked(shopServer) {
		t.Error("it was unblocked")
	}
}

func with(form url.Values, key, value string) url.Values {
	out := url.Values{}
	for k, v := range form {
		out[k] = v
	}
	out.Set(key, value)
	return out
}

// TestAnotherSiteInTheSameBrowser: what it sends in the name of somebody who is signed in is refused, and it cannot hold the page in a frame.
func TestAnotherSiteInTheSameBrowser(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42")})
	h.untilBlocked(shopServer)
	link := h.link("acme/shop", shopServer)
	b := openTab(t, browser, h.url, true)
	b.signIn(h, "developer", link)
	challenge := run(b, "challenge", attribute(`[name="challenge"]`, "value"))
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!DOCTYPE html><form method="post" action="%s%s"><input name="challenge" value="%s"><input name="answer" value="%s"><input name="reason" value="x"><button id="win">Win</button></form>
			<iframe src="%s%s" onload="this.dataset.loaded=1"></iframe>`, h.url, link, challenge, h.answer(challenge), h.url, link)
	}))
	t.Cleanup(evil.Close)
	b.open(evil.URL)
	await(t, "the browser refuses the frame", patience, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return strings.Contains(strings.Join(b.violations, " "), "frame-ancestors")
	})
	if status := b.press("#win"); status != http.StatusForbidden {
		t.Errorf("a form of another site: %d: %s", status, b.text("body"))
	}
	if !h.blocked(shopServer) {
		t.Fatal("it was unblocked")
	}
	b.open(link) // the person is still signed in, so the form was refused for where it came from
	if !b.has("#unblock-form") {
		t.Errorf("got %s", b.text("main"))
	}
}

// TestASessionThatWasPlantedIsWorthNothing: the person who signs in gets another one.
func TestASessionThatWasPlantedIsWorthNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{})
	home, _ := url.Parse(h.url)
	cookie := func(v *visitor) *http.Cookie {
		for _, c := range v.client.Jar.Cookies(home) {
			if strings.HasSuffix(c.Name, "-session") {
				return c
			}
		}
		return nil
	}
	thief, dana := h.visit("nobody"), h.visit("")
	planted := cookie(thief)
	if planted == nil || !strings.HasPrefix(planted.Name, "__Host-") {
		t.Fatalf("the session's cookie is %v", planted)
	}
	for _, value := range []string{planted.Value, "chosen-by-the-thief", strings.Repeat("x", 5000)} {
		dana.client.Jar.SetCookies(home, []*http.Cookie{{Name: planted.Name, Value: value, Path: "/", Secure: true}})
		h.provider.Next(people["developer"])
		dana.get("/login?to=%2Fblocked")
		now := cookie(dana)
		if now == nil || now.Value == value {
			t.Fatalf("the session is still the one that was planted: %v", now)
		}
	}
	h.provider.Next(people["nobody"]) // the session that was planted is over: he signs in again
	h.want("the thief", thief.get("/p/acme/shop"), 404, "!Dana")
	if answer := dana.get("/blocked"); !strings.Contains(answer.body, "Dana") {
		t.Errorf("the person is not signed in: %s", main(answer.body))
	}
	for _, c := range []string{"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} {
		h.provider.Next(people["developer"])
		v := h.visit("")
		v.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), h.url) && r.URL.Path == "/blocked" {
				return http.ErrUseLastResponse
			}
			return nil
		}
		if set := strings.Join(v.get("/login?to=%2Fblocked").header.Values("Set-Cookie"), "\n"); !strings.Contains(set, "__Host-") || !strings.Contains(set, c) || strings.Contains(set, "Domain") {
			t.Errorf("want %s in %q", c, set)
		}
	}
	before := *cookie(dana)
	h.want("signing out", dana.post("/logout", nil), 200)
	dana.client.Jar.SetCookies(home, []*http.Cookie{{Name: before.Name, Value: before.Value, Path: "/", Secure: true}})
	h.want("the session after it", dana.get("/blocked"), 200, `id="sign-in"`, "!Dana")
}

// TestTheWayBackLeadsNowhereElse: after signing in the browser is on this host, whatever was asked for.
func TestTheWayBackLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{})
	evil := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(evil.Close)
	there := strings.TrimPrefix(evil.URL, "http:")
	for _, to := range []string{evil.URL, there, "/" + there, "/\\" + there[2:], "\\\\" + there[2:], "/%2f" + there[2:], "/\t/" + there[2:], "/\n/" + there[2:], "https:" + there, " " + there,
		"javascript:alert(1)", "data:text/html,x", "/login?to=" + url.QueryEscape(evil.URL), "//localhost@" + there[2:], "/..//" + there[2:], "/./" + there, "/p/..//" + there, "///" + there[2:], "\u2028" + there, "/\x00" + there} {
		v := h.visit("")
		h.provider.Next(people["developer"])
		got, err := v.try("GET", "/login?to="+url.QueryEscape(to), nil)
		if err != nil || "https://"+got.url.Host != h.url {
			t.Errorf("%q leads to %v, %v", to, got.url, err)
		}
		if strings.Contains(got.body, "data-status=\"5") || got.status >= 500 {
			t.Errorf("%q: %d", to, got.status)
		}
	}
}

// TestNoFrameHoldsThePages, on any page nor on any error.
func TestNoFrameHoldsThePages(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42")})
	h.untilBlocked(shopServer)
	link := h.link("acme/shop", shopServer)
	dana := h.visit("developer")
	for _, path := range []string{"/", "/p/acme/shop", "/p/acme/shop/-/history", link, link + "/sound?challenge=x", "/blocked", "/admin", "/p/none", "/open", "/login/callback?state=x", "/api/v1/openapi.json", "/api/v1/x", "/static/style.css", "/nothing", "/healthz"} {
		got := dana.get(path)
		if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		if got.header.Get("X-Frame-Options") != "DENY" || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got.header)
		}
	}
	for what, got := range map[string]reply{"a form of another site": dana.post(link, nil, "Origin", "https://evil.example.org"), "a method": dana.send("DELETE", link, nil)} {
		if !strings.Contains(got.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: %v", what, got.header)
		}
	}
}

// TestTricksWithPaths lead to no other project, and to no file.
func TestTricksWithPaths(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(toolsServer, "corp/tools/cli", "v9") + swarm(shopServer, "acme/shop/backend", "release-42")})
	h.untilBlocked(toolsServer, shopServer)
	others := h.link("corp/tools", toolsServer)
	id := others[strings.LastIndexByte(others, '/')+1:]
	dana := h.visit("developer")
	for _, path := range []string{
		"/p/acme/shop/../../corp/tools", "/p/acme/shop/%2e%2e/%2e%2e/corp/tools", "/p/acme/shop%2f..%2f..%2fcorp%2ftools", "/p/acme/shop/..%2f..%2fcorp/tools", "/p/acme%2fshop%2f%2e%2e%2f%2e%2e%2fcorp%2ftools",
		"/p/acme/shop;/../../corp/tools", "/p/acme/shop;x=corp/tools", "/p//corp/tools", "/p/corp//tools", "//p/corp/tools", "/p/corp%2ftools", "/p/corp%2Ftools%2F", "/p/corp/tools/", "/p/Corp/Tools", "/p/corp/tools%00",
		"/p/corp/tools%0a", "/p/corp/tools%20", "/p/corp/tools.", "/p/corp/tools/.", "/p/./corp/tools", "/p/corp/tools?x=/acme/shop", "/p/corp%255ctools", "/p/corp\\tools", "/p/corp%5ctools", "/p/acme/shop/-/../../../corp/tools",
		"/p/acme/shop/-/blocks/" + id, "/p/acme/shop/-/blocks/..%2f..%2f..%2f..%2fcorp%2ftools%2f-%2fblocks%2f" + id, "/p/acme/shop/-/blocks/" + id + "%2f", "/p/acme/shop/-/blocks/" + id + "/sound", "/p/corp/tools/-/history",
		"/p/acme/shop/-/blocks/" + id + ";", "/p/acme%2Fshop/../../corp/tools/-/history", "/p/corp", "/p/corp/", "/p/%63orp/tools", "/p/corp/tools%EF%BC%8F", "/static/../state.db", "/static/..%2f..%2fstate.db", "/static/%2e%2e/%2e%2e/state.db",
		"/p/*", "/p/%25", "/p/acme/shop/-/blocks/%25", "/open?project=..%2F..%2Fcorp%2Ftools", "/open?project=corp%2Ftools", "/open?project=%2F%2Fevil.example.org", "/open?project=https%3A%2F%2Fevil.example.org",
	} {
		got, err := dana.try("GET", path, nil)
		if err != nil { // what Go's own client does not send is sent raw below
			continue
		}
		if got.status < 400 || got.status >= 500 || strings.Contains(got.body, toolsServer) || strings.Contains(got.body, "root:") || "https://"+got.url.Host != h.url {
			t.Errorf("%s: %d at %s: %.300s", path, got.status, got.url, main(got.body))
		}
	}
	for _, path := range []string{"/p/acme/shop/../../corp/tools", "//corp/tools", "/p/corp\\tools", "https://evil.example.org/p/corp/tools", "/p/acme/shop/..;/..;/corp/tools", "*", "/p/\x01", "/p/acme/shop/..%c0%af..%c0%afcorp/tools"} {
		answer := h.raw("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + dana.cookies() + "Connection: close\r\n\r\n")
		if strings.HasPrefix(answer, "HTTP/1.1 200") && strings.Contains(answer, toolsServer) || strings.Contains(answer, "\nLocation: //") || strings.Contains(answer, "\nLocation: http") {
			t.Errorf("%q: %.300s", path, answer)
		}
	}
	h.want("one's own, written as GitLab may", dana.get("/p/Acme/Shop/"), 200, shopServer)
}

// TestWhatAVisitorSaysOfHisAddress is believed of no stranger, and of a proxy only what it wrote itself.
func TestWhatAVisitorSaysOfHisAddress(t *testing.T) {
	t.Parallel()
	lines := swarm(shopServer, "acme/shop/backend", "release-42")
	lie := [][]string{{"X-Forwarded-For", shopServer}, {"X-Real-IP", shopServer}, {"Forwarded", "for=" + shopServer}, {"True-Client-IP", shopServer}, {"CF-Connecting-IP", shopServer},
		{"X-Forwarded-For", shopServer + ", 127.0.0.1"}, {"X-Client-IP", shopServer}}
	h := newHost(t, options{lines: lines, untrusted: true})
	h.untilBlocked(shopServer)
	for _, header := range lie {
		h.want("no proxy, "+strings.Join(header, ": "), h.visit("").get("/blocked", header...), 200, `data-blocked="no"`, "127.0.0.1", "!"+shopServer)
	}
	h = newHost(t, options{lines: lines})
	h.untilBlocked(shopServer)
	v := h.visit("")
	h.want("what the proxy says", v.get("/blocked", "X-Forwarded-For", shopServer), 200, `data-blocked="yes"`, "!acme")
	h.want("what stands before what the proxy says", v.get("/blocked", "X-Forwarded-For", shopServer+", 192.0.2.1"), 200, `data-blocked="no"`, "192.0.2.1")
	for _, header := range lie[1:5] {
		h.want("another header: "+header[0], v.get("/blocked", header...), 200, `data-blocked="no"`, v.address)
	}
	for _, odd := range []string{"<script>alert(1)</script>", strings.Repeat("192.0.2.1,", 400), "unknown", "203.0.113.50\x7f", "::ffff:203.0.113.50%eth0"} {
		if got, err := v.try("GET", "/blocked", nil, "X-Forwarded-For", odd); err == nil && (got.status >= 500 || strings.Contains(got.body, "<script")) {
			t.Errorf("%.60q: %d %s", odd, got.status, main(got.body))
		}
	}
}
