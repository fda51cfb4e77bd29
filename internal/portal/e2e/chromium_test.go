package e2e_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axe is axe-core, which looks for what keeps people from using a page.
//
//go:embed testdata/axe/axe.min.js
var axe string

// patience is how long one step in the browser may take on a machine that has much else to do.
const patience = 30 * time.Second

// startBrowser starts headless Chromium, once for a test. It ends with the test, and its profile with it.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("SKIPPED: needs Chromium (apt-get install chromium)")
	}
	profile, err := os.MkdirTemp("", "regwarden-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.Env("HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile), chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("lang", "en"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
		await(t, "the browser's profile is removed", patience, func() bool { return os.RemoveAll(profile) == nil }) // its last children may write a little longer
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	return ctx
}

// tab is a window of somebody's own: its cookies are nobody else's.
type tab struct {
	t    *testing.T
	base string
	ctx  context.Context

	mu         sync.Mutex
	violations []string // of the page's policy, as the browser reports them
	dialogs    []string // that a script opened
}

// openTab opens one for a page at base. Without JavaScript no script of a page runs in it.
func openTab(t *testing.T, browser context.Context, base string, javascript bool) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, base: base, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil { // without a time limit, which would be the tab's
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, audits.Enable, cdp.Empty{})
	call(b, cdplog.Enable, cdp.Empty{})
	call(b, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"X-Forwarded-For": "198.51.100.250"}})
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !javascript})
	b.look(desktop, "light")
	return b
}

// hear notes what must not be.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *audits.EventIssueAdded:
		if d := e.Issue.Details; d != nil && d.ContentSecurityPolicyIssueDetails != nil {
			text, _ := json.Marshal(d.ContentSecurityPolicyIssueDetails)
			b.violations = append(b.violations, string(text))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.violations = append(b.violations, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		b.dialogs = append(b.dialogs, e.Message)
		go func() { // a dialog stops the page until it is answered
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	}
}

// clean fails the test for each violation of the policy and for each script of a stranger that ran.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, v := range b.violations {
		b.t.Errorf("the page breaks its own policy: %s", v)
	}
	for _, d := range b.dialogs {
		b.t.Errorf("a script ran and said %q", d)
	}
}

// seen is how many violations were heard.
func (b *tab) seen() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.violations)
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	r, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return r
}

func run[T any](b *tab, what string, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	r, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return r
}

// open goes to a path and is the status of the answer.
func (b *tab) open(path string) int64 {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.base + path
	}
	return run(b, "open "+path, chromedp.NavigateResponse(path)).Status
}

// press clicks on something that leads to another page, and is the status of that.
func (b *tab) press(selector string) int64 {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	w, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatalf("press %s at %s: %v", selector, b.where(), err)
	}
	return w.Status
}

// where is the path of the page that is shown.
func (b *tab) where() string {
	b.t.Helper()
	return strings.TrimPrefix(run(b, "where", chromedp.Location()), b.base)
}

// typed fills a field.
func (b *tab) typed(selector, text string) {
	b.t.Helper()
	run(b, "clear "+selector, chromedp.Clear(chromedp.CSS(selector)))
	run(b, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// has says whether the page has something.
func (b *tab) has(selector string) bool {
	b.t.Helper()
	return run(b, "look for "+selector, chromedp.Evaluate[bool](fmt.Sprintf("document.querySelector(%q) !== null", selector)))
}

// text is what a person reads in the first of something; all of its text, whether it is folded or not.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(run(b, "read "+selector, chromedp.Evaluate[string](fmt.Sprintf("(document.querySelector(%q) || {textContent: ''}).textContent", selector)))), " ")
}

// reads fails the test unless the first of something has all of these texts.
func (b *tab) reads(selector string, texts ...string) {
	b.t.Helper()
	got := b.text(selector)
	for _, text := range texts {
		if !strings.Contains(got, text) {
			b.t.Errorf("%s, %s: want %q in %q", b.where(), selector, text, got)
		}
	}
}

// signIn goes to the provider as somebody and comes back to a path.
func (b *tab) signIn(h *host, who, to string) {
	b.t.Helper()
	h.provider.Next(people[who])
	if status := b.open("/login?to=" + url.QueryEscape(to)); status != http.StatusOK || b.where() != to {
		b.t.Fatalf("%s signs in: %d at %s: %s", who, status, b.where(), b.text("main"))
	}
}

// size is a screen's.
type size struct {
	name          string
	width, height int64
}

var (
	desktop = size{"desktop", 1280, 900}
	phone   = size{"phone", 390, 844}
)

// look changes the screen: its size, light or dark.
func (b *tab) look(s size, scheme string) {
	b.t.Helper()
	var how []chromedp.EmulateViewportOption
	if s == phone {
		how = append(how, chromedp.EmulateMobile)
	}
	run(b, "look", chromedp.EmulateViewport(s.width, s.height, how...))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// barriers is what axe-core finds on the page that is shown: by rule, what is wrong and where.
func (b *tab) barriers() []string {
	b.t.Helper()
	if !run(b, "axe", chromedp.Evaluate[bool]("typeof axe === 'object'")) {
		run(b, "axe", chromedp.Evaluate[chromedp.Void](axe+";undefined"))
	}
	return run(b, "axe", chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
		.then(r => r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target + " " + n.failureSummary).join("; ")))`, chromedp.EvalAwaitPromise))
}

// sideways is by how much the page is wider than the screen.
func (b *tab) sideways() int {
	b.t.Helper()
	return run(b, "measure", chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
}

// evaluate asks the page, in JavaScript, which the browser's protocol runs even where pages may run none.
func evaluate[T any](expression string) chromedp.Action[T] { return chromedp.Evaluate[T](expression) }

// attribute is what a field holds.
func attribute(selector, name string) chromedp.Action[string] {
	return evaluate[string](fmt.Sprintf("document.querySelector(%q).getAttribute(%q)", selector, name))
}

// TestTheBrowserTellsWhatIsWrong: were this not so, the other tests would find nothing for that reason.
func TestTheBrowserTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	browser := startBrowser(t)
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!DOCTYPE html><title></title><p style="color: #ccc">faint<img src=x><script>alert(1)</script><div style="width: 3000px">wide</div>`))
	}))
	defer bad.Close()
	b := openTab(t, browser, bad.URL, true)
	b.open("/")
	await(t, "the browser tells of the style, the picture and the script", patience, func() bool { return b.seen() >= 3 })
	if got := strings.Join(b.barriers(), "\n"); !strings.Contains(got, "image-alt") || !strings.Contains(got, "html-has-lang") {
		t.Errorf("axe-core says only %s", got)
	}
	off := openTab(t, browser, bad.URL, false)
	off.open("data:text/html,<p id=p>off</p><script>document.getElementById('p').textContent='on'</script>")
	off.reads("#p", "off")
	on := openTab(t, browser, bad.URL, true)
	on.open("data:text/html,<p id=p>off</p><script>document.getElementById('p').textContent='on';alert(1)</script>")
	on.reads("#p", "on")
	on.mu.Lock()
	defer on.mu.Unlock()
	if len(on.dialogs) != 1 {
		t.Errorf("want one dialog, got %v", on.dialogs)
	}
}
