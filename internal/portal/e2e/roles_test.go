package e2e_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"regwarden/internal/portal/portaltest"
)

func (h *host) want(what string, got reply, status int, texts ...string) {
	h.t.Helper()
	if got.status != status {
		h.t.Errorf("%s: want %d, got %d at %s: %.600s", what, status, got.status, got.url, main(got.body))
	}
	for _, text := range texts {
		if not, no := strings.CutPrefix(text, "!"); no && strings.Contains(got.body, not) {
			h.t.Errorf("%s: want no %q in the page", what, not)
		} else if !no && !strings.Contains(got.body, text) {
			h.t.Errorf("%s: want %q in the page, got %.1500s", what, text, main(got.body))
		}
	}
}

// main is a page without what is on every page.
func main(page string) string {
	if _, rest, ok := strings.Cut(page, "<main"); ok {
		page, _, _ = strings.Cut(rest, "</main>")
	}
	return page
}

// The blocked servers of these tests.
const (
	shopServer  = "203.0.113.50"
	webServer   = "203.0.113.51"
	toolsServer = "203.0.113.60"
)

// TestWhoMayDoWhat is the matrix of roles, each signed in at the provider, asked for at GitLab and seen from outside.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42") + swarm(toolsServer, "corp/tools/cli", "v9"), limits: "user_hour = 50\nproject_day = 50\naddress_day = 50"})
	h.untilBlocked(shopServer, toolsServer)
	link, others := h.link("acme/shop", shopServer), h.link("corp/tools", toolsServer)
	mixed := strings.Replace(others, "/p/corp/tools/", "/p/acme/shop/", 1)
	for _, row := range []struct {
		who                 string
		view, lift, another int
	}{
		{"nobody", 404, 404, 404},
		{"guest", 404, 404, 404},
		{"reporter", 200, 403, 404},
		{"other", 404, 404, 200},
		// Those who may: each but the last is asked with a wrong answer, so that something is left for the next.
		{"developer", 200, 422, 404},
		{"shared", 200, 422, 404},
		{"maintainer", 200, 422, 404},
		{"owner", 200, 422, 404},
		{"admin", 200, 200, 200},
	} {
		v := h.visit(row.who)
		h.want(row.who+": view", v.get("/p/acme/shop"), row.view)
		h.want(row.who+": history", v.get("/p/acme/shop/-/history"), row.view)
		h.want(row.who+": another project", v.get("/p/corp/tools"), row.another)
		h.want(row.who+": another project's block", v.get(others), row.another)
		h.want(row.who+": the link that a blocked client reads", v.get("/unblock/"+link[strings.LastIndexByte(link, '/')+1:]), row.view)
		h.want(row.who+": another project's block under this one's path", v.get(mixed), 404, "!"+toolsServer)
		there := 404
		if row.who == "reporter" {
			there = 403 // who may lift nothing is told so before anything is looked for
		}
		h.want(row.who+": and to lift it there", v.post(mixed, v.form(mixed)), there, "!"+toolsServer)
		form := v.form(link)
		if row.lift == 422 {
			form.Set("answer", "wrong")
		}
		h.want(row.who+": lift", v.post(link, form), row.lift)
		if free := !h.blocked(shopServer); free != (row.lift == 200) {
			t.Errorf("%s: is the server free? %v", row.who, free)
		}
	}
	v := h.visit("")
	got := v.get("/p/acme/shop")
	if !strings.HasPrefix(got.url.Path, "/login") && !strings.Contains(got.body, "<main") {
		t.Errorf("a stranger: %d at %s", got.status, got.url)
	}
	if !h.blocked(toolsServer) {
		t.Error("another project's server was unblocked")
	}
}

// TestEachRoleThatMayLiftsOne: a Developer, one by a shared group, a Maintainer and an Owner.
func TestEachRoleThatMayLiftsOne(t *testing.T) {
	t.Parallel()
	who := []string{"developer", "shared", "maintainer", "owner"}
	servers := []string{"203.0.113.70", "203.0.113.71", "203.0.113.72", "203.0.113.73"}
	var lines strings.Builder
	for _, s := range servers {
		lines.WriteString(swarm(s, "acme/web", "v9"))
	}
	h := newHost(t, options{lines: lines.String()})
	h.untilBlocked(servers...)
	for i, name := range who {
		v, link := h.visit(name), h.link("acme/web", servers[i])
		h.want(name, v.post(link, v.form(link)), 200, `id="done"`, `id="free"`)
		if h.blocked(servers[i]) {
			t.Errorf("%s: still blocked", name)
		}
	}
}

// TestWhenTheRoleCannotBeChecked nothing is lifted: a token that is over, GitLab away, a role that is gone since the form was made.
func TestWhenTheRoleCannotBeChecked(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42")})
	h.untilBlocked(shopServer)
	link := h.link("acme/shop", shopServer)
	dana := h.visit("developer")
	form := dana.form(link)
	for _, status := range []int{500, 502, 503, 429} {
		h.gitlab.Status(status)
		h.want("GitLab says "+http.StatusText(status), dana.post(link, form), 503, "does not answer", "regwarden unblock")
	}
	h.gitlab.Status(0)
	h.gitlab.Away(true)
	h.want("GitLab away", dana.post(link, form), 503, "does not answer", "regwarden unblock")
	h.gitlab.Away(false)
	h.gitlab.Member("acme/shop", people["developer"].ID, 20, portaltest.Direct)
	h.want("a Reporter since", dana.post(link, form), 403)
	h.gitlab.Member("acme/shop", people["developer"].ID, 30, portaltest.Direct)
	h.gitlab.Expire(people["developer"].ID)
	h.provider.Away(true) // so that it cannot be refreshed
	h.want("a token that is over", dana.post(link, form), 401, "sign-in is no longer valid")
	h.provider.Away(false)
	if !h.blocked(shopServer) {
		t.Fatal("it was unblocked")
	}
	again := h.visit("maintainer") // a role is known for up to a minute where somebody only looks, so the Developer's page may still show the one before
	h.want("signed in anew", again.post(link, again.form(link)), 200, `id="free"`)
	h.want("nothing is left", again.post(link, url.Values{"reason": {"x"}}), 404)
}
