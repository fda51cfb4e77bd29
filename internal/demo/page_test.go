package demo_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/internal/control"
	"regwarden/internal/demo"
	"regwarden/internal/store"
)

// TestAMemberUnblocksTheSwarm on the demo's project page: signs in, sees why, fails the human test once, passes it; then the swarm is gone from the page, the
// socket and the blocklist file, the history says who did it and why, and the probation outlives the daemon.
func TestAMemberUnblocksTheSwarm(t *testing.T) {
	t.Parallel()
	dir, at := t.TempDir(), freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out screen
	var mu sync.Mutex
	answers := map[string]string{}
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Out: &out, Program: "regwarden", Dir: dir, Page: at, Peek: func(id, answer string) {
			mu.Lock()
			defer mu.Unlock()
			answers[id] = answer
		}})
	}()
	await(t, filepath.Join(dir, "blocklist.txt"), demo.Swarm, true, time.Minute)

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	page := func(w *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		text, err := io.ReadAll(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	has := func(what, text string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Fatalf("%s: want %q in\n%s", what, want, text)
			}
		}
	}
	base := "http://" + at
	has("the door", page(browser.Get(base+"/p/acme/shop")), `data-user="dana"`)
	has("the project", page(browser.PostForm(base+"/login/demo", url.Values{"user": {"1"}, "to": {"/p/acme/shop"}})),
		demo.Swarm, "missing-manifest", "/v2/acme/shop/backend/manifests/release-42", "Push acme/shop/backend:release-42", "Also blocked for other reasons: <strong>no")
	project := page(browser.Get(base + "/p/acme/shop"))
	link := base + field(project, `href="`, `" data-unblock`)
	send := func(right bool) string {
		t.Helper()
		id := field(page(browser.Get(link)), `name="challenge" value="`, `"`)
		mu.Lock()
		answer := answers[id]
		mu.Unlock()
		if !right {
			answer = "not it"
		}
		return page(browser.PostForm(link, url.Values{"challenge": {id}, "answer": {answer}, "reason": {"the image is pushed now"}}))
	}
	has("a wrong answer", send(false), `id="problem"`)
	has("a right answer", send(true), `id="done"`, `id="free"`)
	await(t, filepath.Join(dir, "blocklist.txt"), demo.Swarm, false, 2*time.Second)
	client := control.NewClient(filepath.Join(dir, "regwarden.sock"))
	swarm := netip.MustParsePrefix(demo.Swarm + "/32")
	if blocks, err := client.Blocks(ctx, control.BlockFilter{Client: swarm}); err != nil || len(blocks) != 0 {
		t.Errorf("on the socket: %v, %v", blocks, err)
	}
	entries, err := client.History(ctx, control.HistoryFilter{BlockFilter: control.BlockFilter{Client: swarm}, Limit: 1})
	if err != nil || len(entries) != 1 || entries[0].Verb != "unblock" || entries[0].By != "web:dana (demo 1)" || entries[0].Note != "the image is pushed now" {
		t.Errorf("the history: %+v, %v", entries, err)
	}
	has("metrics", strings.Join(strings.Fields(page(socketClient(dir).Get("http://regwarden/v1/metrics"))), " "), `regwarden_human_test_total{provider="image",result="passed"} 1`,
		`regwarden_human_test_total{provider="image",result="failed"} 1`, `regwarden_portal_logins_total{result="ok"} 1`, `regwarden_unblocks_total{via="web"} 1`)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenExisting(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	probations, err := st.Probations(t.Context())
	if err != nil || len(probations) != 1 || probations[0].Target != swarm || probations[0].Until.Sub(probations[0].Since) != 24*time.Hour {
		t.Errorf("want a probation of 24 h, got %v, %v", probations, err)
	}
}

// field is the last text between two others before the second one.
func field(text, from, to string) string {
	end := strings.Index(text, to)
	if i := strings.Index(text, from); from != `href="` && i >= 0 {
		text = text[i+len(from):]
		return text[:max(0, strings.Index(text, to))]
	}
	if end < 0 {
		return ""
	}
	return text[strings.LastIndex(text[:end], from)+len(from) : end]
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func socketClient(dir string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "regwarden.sock"))
	}}}
}
