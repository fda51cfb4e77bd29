package e2e_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"regwarden/internal/portal/portaltest"
)

// The pictures of docs/project-page.md are made anew by: go test ./internal/portal/e2e -run EveryPage -pictures ../../../docs/images
var (
	shots    = flag.String("shots", "", "write pictures of all pages into this directory")
	pictures = flag.String("pictures", "", "write the pictures of the manual into this directory")
)

// ofManual are the manual's pictures: which page, on what, how.
var ofManual = map[string]struct {
	on     size
	scheme string
}{"project": {size{"window", 900, 800}, "light"}, "block-failed": {size{"window", 900, 800}, "dark"}, "blocked": {size{"small phone", 390, 600}, "light"}, "admin": {size{"window", 900, 800}, "light"}}

// probes is a client that looks for what other registries and servers have: a block that is no project's at all.
func probes(client string) string {
	var b strings.Builder
	at := time.Now().Add(-5 * time.Minute)
	for i, path := range []string{"/v2/acme/shop/backend/manifests/v1", "/v2/_catalog", "/v1/_ping", "/v1/search", "/.env", "/.git/config", "/metrics", "/debug/pprof/", "/wp-login.php", "/v2/corp/tools/cli/manifests/v1"} {
		b.WriteString(line(at.Add(time.Duration(i)*2*time.Second), client, "-", path, 404, "zgrab/0.x"))
	}
	return b.String()
}

// enumerates is a client that asks for many images that are not there, of more than one project: a block that is no project's alone.
func enumerates(client string) string {
	var b strings.Builder
	at := time.Now().Add(-5 * time.Minute)
	for i := range 240 {
		b.WriteString(line(at.Add(time.Duration(i)*time.Second), client, "-", fmt.Sprintf("/v2/%s/app-%d/manifests/latest", []string{"acme/shop", "corp/tools"}[i%2], i), 404, "curl/8"))
	}
	return b.String()
}

// TestEveryPageForEverybody: axe-core finds nothing, no page is wider than the screen, and none breaks its policy; light and dark, on a phone and on a desk.
func TestEveryPageForEverybody(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	const lifted, again = "203.0.113.52", "2001:db8:7::"
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42") + swarm("203.0.113.53", "acme/web/a-service-with-a-rather-long-name-as-they-are/and-another-part-of-it", strings.Repeat("sha-0123456789", 6)) +
		swarm(lifted, "acme/shop/worker", "v2.3.1") + swarm(again+"1", "acme/web/api", "v9") + probes(shopServer) + enumerates("203.0.113.54")})
	h.untilBlocked(shopServer, lifted, again+"1", "203.0.113.53", "203.0.113.54")
	sam := h.visit("shared")
	link := h.link("acme/shop", lifted)
	h.want("one is lifted before", sam.post(link, sam.form(link)), 200)
	shop := h.link("acme/shop", shopServer)

	stranger, dana, remy, ada := openTab(t, browser, h.url, true), openTab(t, browser, h.url, true), openTab(t, browser, h.url, true), openTab(t, browser, h.url, true)
	from := func(address string) func(*tab) {
		return func(b *tab) {
			call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Forwarded-For": address}})
		}
	}
	fill := func(answer func(string) string) func(*tab) {
		return func(b *tab) {
			b.typed("#reason", "the image is pushed now")
			b.typed("#answer", answer(run(b, "challenge", attribute(`[name="challenge"]`, "value"))))
			b.press("#unblock-submit")
		}
	}
	dana.signIn(h, "developer", "/blocked")
	remy.signIn(h, "reporter", "/blocked")
	ada.signIn(h, "admin", "/blocked")
	for _, p := range []struct {
		name string
		b    *tab
		path string
		then func(*tab)
		want string
	}{
		{"welcome", stranger, "/", nil, "main"},
		{"not-blocked", stranger, "/blocked", nil, `[data-blocked="no"]`},
		{"blocked", stranger, "/blocked", func(b *tab) { from(shopServer)(b); b.open("/blocked") }, `[data-blocked="yes"]`},
		{"sign-in-failed", stranger, "/login/callback?state=x", nil, "#notice"},
		{"home", dana, "/", nil, "#projects"},
		{"project", dana, "/p/acme/shop", nil, "#others"},
		{"project-free", remy, "/p/acme/web", nil, "main"},
		{"project-reporter", remy, "/p/acme/shop", nil, ".who-may"},
		{"block-reporter", remy, shop, nil, "#who-may"},
		{"history", dana, "/p/acme/shop/-/history", nil, "#history"},
		{"block", dana, shop, nil, "#unblock-form"},
		{"block-failed", dana, shop, fill(func(string) string { return "no" }), "#problem"},
		{"done", dana, shop, fill(h.answer), "#done"},
		{"blocked-own", dana, "/blocked", func(b *tab) { from("203.0.113.53")(b); b.open("/blocked") }, "#own-projects"},
		{"not-found", dana, "/p/corp/tools", nil, "#message"},
		{"admin", ada, "/admin", nil, "#chart-time"},
		{"admin-search", ada, "/admin?q=acme%2Fshop", nil, "#found-blocks"},
		{"admin-history", ada, "/p/acme/shop/-/history", nil, "#history"},
		{"away", dana, "", func(b *tab) { h.gitlab.Away(true); b.open("/p/acme/other") }, "#socket"},
	} {
		if p.path != "" {
			p.b.open(p.path)
		}
		if p.then != nil {
			p.then(p.b)
		}
		if !p.b.has(p.want) {
			t.Errorf("%s: no %s: %s", p.name, p.want, p.b.text("main"))
		}
		for _, s := range []size{desktop, phone} {
			for _, scheme := range []string{"light", "dark"} {
				p.b.look(s, scheme)
				for _, barrier := range p.b.barriers() {
					t.Errorf("%s, %s, %s: %s", p.name, s.name, scheme, barrier)
				}
				p.b.shoot(*shots, fmt.Sprintf("%s-%s-%s.png", p.name, s.name, scheme))
			}
			if by := p.b.sideways(); by > 0 {
				t.Errorf("%s, %s: %d pixels are beyond the side", p.name, s.name, by)
			}
		}
		if how, wanted := ofManual[p.name]; wanted && *pictures != "" {
			p.b.look(how.on, how.scheme)
			p.b.shoot(*pictures, p.name+".png")
		}
		p.b.look(desktop, "light")
	}
	h.gitlab.Away(false)
	for _, b := range []*tab{stranger, dana, remy, ada} {
		b.clean()
	}
}

// shoot takes a picture of the whole page, if pictures are wanted.
func (b *tab) shoot(directory, name string) {
	b.t.Helper()
	if directory == "" {
		return
	}
	picture, err := png.Decode(bytes.NewReader(run(b, "picture", chromedp.FullScreenshot(100))))
	if err != nil {
		b.t.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, fewColours(picture)); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, name), small.Bytes(), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// fewColours is a picture with 256 colours at most, which takes a quarter of the room: neighbouring shades become one until there are so few.
func fewColours(from image.Image) image.Image {
	for mask := uint8(0xff); mask > 0xe0; mask <<= 1 {
		if to := paletted(from, mask); to != nil {
			return to
		}
	}
	return from
}

// paletted takes colours that differ only in bits outside of the mask for one; nil if there are more than 256.
func paletted(from image.Image, mask uint8) image.Image {
	to := image.NewPaletted(from.Bounds(), nil)
	index := map[color.RGBA]uint8{}
	for y := to.Rect.Min.Y; y < to.Rect.Max.Y; y++ {
		for x := to.Rect.Min.X; x < to.Rect.Max.X; x++ {
			c := color.RGBAModel.Convert(from.At(x, y)).(color.RGBA)
			key := color.RGBA{c.R & mask, c.G & mask, c.B & mask, 255}
			i, known := index[key]
			if !known {
				if len(to.Palette) == 256 {
					return nil
				}
				i = uint8(len(to.Palette))
				index[key], to.Palette = i, append(to.Palette, c)
			}
			to.SetColorIndex(x, y, i)
		}
	}
	return to
}

// What attackers write where it is shown later.
const (
	evilAgent      = `<script>alert('agent')</script><img/src=x/onerror=alert('agent')>`
	evilUser       = `<img/src=x/onerror=alert('user')>`
	evilReference  = `<svg/onload=alert('reference')>`
	evilRepository = `<script>alert('repository')</script>`
	evilReason     = `"><script>alert('reason')</script><img src=x onerror=alert('reason')>`
)

// TestWhatAttackersWroteIsShownAsText in the real browser, through the real daemon: in the log's lines, as a name, as a reason.
func TestWhatAttackersWroteIsShownAsText(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	const byAgent, byReference, byEscaped, byRepository, byToken = "203.0.113.80", "203.0.113.81", "203.0.113.82", "203.0.113.83", "203.0.113.84"
	var rails strings.Builder
	for at := time.Now().Add(-11 * time.Minute); at.Before(time.Now()); at = at.Add(4900 * time.Millisecond) {
		fmt.Fprintf(&rails, `{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":403,"time":%q,"params":[{"key":"account","value":%q},{"key":"scope","value":"repository:acme/shop/api:pull"},{"key":"service","value":"container_registry"}],"remote_ip":%q,"username":%q,"ua":%q}`+"\n",
			at.UTC().Format("2006-01-02T15:04:05.000Z"), evilUser, byToken, evilUser, evilAgent)
	}
	h := newHost(t, options{rails: rails.String(), lines: loop(byAgent, evilUser, "/v2/acme/shop/backend/manifests/v1", evilAgent) +
		loop(byReference, "-", "/v2/acme/shop/backend/manifests/"+evilReference, "docker/27.5.1") +
		loop(byEscaped, "-", "/v2/acme/shop/backend/manifests/"+url.PathEscape(evilReference), "docker/27.5.1") +
		loop(byRepository, "-", "/v2/acme/shop/"+url.PathEscape(evilRepository)+"/manifests/v1", "docker/27.5.1")})
	h.untilBlocked(byAgent, byToken)
	mallory := portaltest.Person{ID: 77, Username: evilUser, Name: evilAgent}
	h.gitlab.Add(mallory)
	h.gitlab.Member("acme/shop", mallory.ID, 40, portaltest.Direct)
	people := map[string]*tab{}
	for name, who := range map[string]portaltest.Person{"mallory": mallory, "ada": {ID: 99, Username: "ada", Name: "Ada"}} {
		b := openTab(t, browser, h.url, true)
		h.provider.Next(who)
		b.open("/login?to=%2Fblocked")
		people[name] = b
	}
	b := people["mallory"]
	b.open("/p/acme/shop")
	b.reads("#user", "<script>alert('agent')</script>")
	b.reads("main", "<script>alert('agent')</script>", evilUser, byAgent, byToken)
	for _, other := range []string{byReference, byEscaped, byRepository} {
		if h.blocked(other) {
			b.reads("main", other)
			t.Logf("%s is blocked too", other)
		}
	}
	link := h.link("acme/shop", byAgent)
	for _, right := range []bool{false, true} {
		b.open(link)
		b.typed("#reason", evilReason)
		answer := "no"
		if right {
			answer = h.answer(run(b, "challenge", attribute(`[name="challenge"]`, "value")))
		}
		b.typed("#answer", answer)
		b.press("#unblock-submit")
	}
	if !b.has("#done") {
		t.Fatalf("it is not lifted: %s", b.text("main"))
	}
	for _, page := range []struct {
		b    *tab
		path string
		text string
	}{
		{b, "/p/acme/shop/-/history", evilReason},
		{b, "/p/acme/shop/-/history", "web:" + evilUser},
		{b, "/", "acme/shop"},
		{people["ada"], "/p/acme/shop/-/history", evilReason},
		{people["ada"], "/admin?q=acme%2Fshop", evilReason},
		{people["ada"], "/admin?q=" + byToken, "token-denied"},
		{people["ada"], "/admin?q=" + url.QueryEscape(evilReason), evilReason},
		{people["ada"], "/admin", "missing-manifest"},
		{b, "/p/" + url.PathEscape(evilRepository), "no such page"},
		{b, "/open?project=" + url.QueryEscape(evilReason), "no such page"},
	} {
		page.b.open(page.path)
		page.b.reads("main", strings.Join(strings.Fields(page.text), " "))
		// What is shown is text: nothing of it became an element.
		if n := run(page.b, "count", evaluate[int](`document.querySelectorAll("script, main img:not(#challenge-image), main svg[onload], [onerror], [onload], a[href^='javascript']").length`)); n > 0 {
			t.Errorf("%s: %d elements that are not ours", page.path, n)
		}
	}
	for _, b := range people {
		b.clean()
	}
}
