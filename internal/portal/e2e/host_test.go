// Package e2e tries the project page as its users and its enemies do: the whole daemon with a GitLab that stands in and an OpenID provider that signs real
// tokens, over TLS, seen by real headless Chromium and by plain HTTP. It has nothing but tests.
package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
	"regwarden/internal/portal/portaltest"
)

// inside says that this process is in a network namespace of its own, with a firewall that it may change.
const inside = "REGWARDEN_TEST_NAMESPACE"

// TestMain goes on in a network namespace of its own, if root: there the daemon has a firewall, and nothing that is sent leaves this test.
func TestMain(m *testing.M) {
	if inNamespace() {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "the network namespace:", err)
			os.Exit(1)
		}
	}
	if inNamespace() || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	self := exec.Command("/proc/self/exe", os.Args[1:]...)
	self.Env = append(os.Environ(), inside+"=1")
	self.Stdout, self.Stderr = os.Stdout, os.Stderr
	self.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := self.Run()
	if self.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "SKIPPED: the firewall, no network namespace can be made here:", err)
		os.Exit(m.Run())
	}
	os.Exit(self.ProcessState.ExitCode())
}

// furnish gives the namespace what the daemon wants of one: loopback, and an interface over which somebody could come.
func furnish() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	out := netlink.NewLinkAttrs()
	out.Name = "out"
	return errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(&netlink.Veth{LinkAttrs: out, PeerName: "in"}))
}

// inNamespace says whether it is so.
func inNamespace() bool { return os.Getenv(inside) != "" }

// The people: their numbers are their subjects at the provider. All but the admin have that level in acme/shop and acme/web, and none elsewhere.
var people = map[string]portaltest.Person{
	"nobody":     {ID: 100, Username: "nobody", Name: "Nobody"},
	"guest":      {ID: 10, Username: "guest", Name: "Gwen Guest"},
	"reporter":   {ID: 20, Username: "reporter", Name: "Remy Reporter"},
	"developer":  {ID: 30, Username: "dana", Name: "Dana Developer"},
	"shared":     {ID: 31, Username: "sam", Name: "Sam Shared"},
	"maintainer": {ID: 40, Username: "mona", Name: "Mona Maintainer"},
	"owner":      {ID: 50, Username: "olga", Name: "Olga Owner"},
	"other":      {ID: 60, Username: "otis", Name: "Otis Other"},
	"admin":      {ID: 99, Username: "ada", Name: "Ada Admin"},
}

// host is a machine with a registry's logs, the daemon on it, and the GitLab that it asks.
type host struct {
	t        *testing.T
	dir, url string
	provider *portaltest.Provider
	gitlab   *portaltest.GitLab
	client   *control.Client

	mu      sync.Mutex
	answers map[string]string // of human tests, as the provider tells them to a test
	visitor byte              // the last of the visitors' addresses
}

// options change a host.
type options struct {
	lines     string // of the access log, from before the daemon started
	rails     string // of production_json.log
	untrusted bool   // no proxy is believed about visitors
	firewall  bool   // nftables too, where there is a namespace for it
	limits    string // of [portal.limits]
	human     string // of [portal.human]
}

// newHost starts all of it and waits until the page answers.
func newHost(t *testing.T, o options) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), answers: map[string]string{}, provider: portaltest.StartProvider(t), gitlab: portaltest.NewGitLab()}
	oidc := h.provider.Server.Handler
	api := http.StripPrefix("/oidc", h.gitlab) // GitLab is both; its address is the issuer's
	h.provider.Server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/oidc/api/") {
			api.ServeHTTP(w, r)
			return
		}
		oidc.ServeHTTP(w, r)
	})
	h.populate()
	at := freePort(t)
	h.url = "https://localhost:" + at[strings.LastIndexByte(at, ':')+1:]
	h.certificate()
	h.write("client.secret", h.provider.ClientSecret+"\n")
	h.write("access.log", o.lines)
	h.write("rails.log", o.rails)
	trusted, firewall := `trusted_proxies = ["127.0.0.1"]`, ""
	if o.untrusted {
		trusted = ""
	}
	if o.firewall {
		firewall = "[actions.nftables]\n"
	}
	h.write("regwarden.toml", fmt.Sprintf(`%s
[[source]]
name = "access"
path = "access.log"
from = "start"
[[source]]
name = "rails"
path = "rails.log"
from = "start"
[[actions.blocklist]]
path = "blocklist.txt"
%s
[state]
path = "state.db"
[control]
socket = "s"
group = ""
[portal]
listen = %q
cert_file = "tls.crt"
key_file = "tls.key"
url = %q
issuer = %q
client_id = %q
secret_file = "client.secret"
admins = ["sub:99"]
[portal.limits]
%s
[portal.human]
%s
`, trusted, firewall, at, h.url, h.provider.Issuer(), h.provider.ClientID, o.limits, o.human))
	h.run()
	return h
}

func (h *host) populate() {
	for name, p := range people {
		h.gitlab.Add(p)
		for _, project := range []string{"acme/shop", "acme/web"} {
			switch {
			case name == "shared":
				h.gitlab.Member(project, p.ID, 30, portaltest.Shared)
			case p.ID >= 10 && p.ID <= 50:
				h.gitlab.Member(project, p.ID, p.ID, portaltest.Direct)
			}
		}
	}
	h.gitlab.Member("corp/tools", people["other"].ID, 40, portaltest.Group)
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// certificate writes one for localhost, which its own key signed.
func (h *host) certificate() {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		h.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	h.write("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// run starts the daemon in this process, so that the human test tells its answers. It ends with the test.
func (h *host) run() {
	h.t.Helper()
	load := func() (*config.Config, error) { return config.Load(h.path("regwarden.toml")) }
	c, err := load()
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var logs writer
	go func() {
		ended <- daemon.Run(ctx, daemon.Options{Config: c, Version: "test", Load: load, Peek: func(id, answer string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.answers[id] = answer
		}, Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	}()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
		said := logs.String()
		for _, token := range h.provider.Tokens() {
			if strings.Contains(said, token) {
				h.t.Error("a token is in the daemon's log")
			}
		}
		if h.t.Failed() {
			h.t.Log(said)
		}
	})
	h.client = control.NewClient(h.path("s"))
	probe := h.visit("")
	h.until("the page is served", func() bool {
		w, err := probe.client.Get(h.url + "/healthz")
		if err != nil {
			return false
		}
		w.Body.Close()
		return w.StatusCode == http.StatusOK
	})
}

// writer is a buffer that may be read while it is written.
type writer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// until waits for something that another goroutine or process does.
func (h *host) until(what string, done func() bool) {
	h.t.Helper()
	await(h.t, what, time.Minute, done)
}

func await(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", within, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// blocked says whether the daemon blocks an address, as the socket tells it.
func (h *host) blocked(address string) bool {
	h.t.Helper()
	a := netip.MustParseAddr(address)
	blocks, err := h.client.Blocks(context.Background(), control.BlockFilter{Client: netip.PrefixFrom(a, a.BitLen())})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(blocks) > 0
}

// listed says whether the blocklist file has an address.
func (h *host) listed(address string) bool {
	b, _ := os.ReadFile(h.path("blocklist.txt"))
	return strings.Contains("\n"+string(b), "\n"+address+"\n")
}

// untilBlocked waits for the blocks of all addresses.
func (h *host) untilBlocked(addresses ...string) {
	h.t.Helper()
	for _, a := range addresses {
		h.until(a+" is blocked", func() bool { return h.blocked(a) })
	}
}

// line is one of nginx's.
func line(at time.Time, client, user, path string, status int, agent string) string {
	return fmt.Sprintf("%s - %s [%s] \"GET %s HTTP/1.1\" %d 96 \"\" \"%s\" -\n", client, user, at.UTC().Format("02/Jan/2006:15:04:05 -0700"), path, status, agent)
}

// swarm is the last eleven minutes of a client that never stops asking for a tag which was never pushed.
func swarm(client, repository, reference string) string {
	return loop(client, "-", "/v2/"+repository+"/manifests/"+reference, "docker/27.5.1")
}

func loop(client, user, path, agent string) string {
	var b strings.Builder
	now := time.Now()
	for at := now.Add(-11 * time.Minute); at.Before(now); at = at.Add(4900 * time.Millisecond) {
		b.WriteString(line(at, client, user, path, http.StatusNotFound, agent))
	}
	return b.String()
}

// visitor is a browser without a screen: cookies, redirects, and an address of its own.
type visitor struct {
	h       *host
	client  *http.Client
	address string
}

// reply is what came back at last.
type reply struct {
	status int
	body   string
	header http.Header
	url    *url.URL
}

// visit is a new visitor, who signs in as somebody if one is named.
func (h *host) visit(who string) *visitor {
	h.t.Helper()
	h.mu.Lock()
	h.visitor++
	n := h.visitor
	h.mu.Unlock()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	v := &visitor{h: h, address: fmt.Sprintf("198.51.100.%d", n), client: &http.Client{Jar: jar, Timeout: 10 * time.Second}}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // it is our own, made a moment ago
	h.t.Cleanup(transport.CloseIdleConnections)
	v.client.Transport = transport
	if who != "" {
		h.provider.Next(people[who])
		if got := v.get("/login?to=%2Fblocked"); got.status != http.StatusOK || !strings.Contains(got.body, `id="user"`) {
			h.t.Fatalf("%s cannot sign in: %d %s", who, got.status, got.body)
		}
	}
	return v
}

func (v *visitor) send(method, path string, body io.Reader, header ...string) reply {
	v.h.t.Helper()
	got, err := v.try(method, path, body, header...)
	if err != nil {
		v.h.t.Fatal(err)
	}
	return got
}

func (v *visitor) try(method, path string, body io.Reader, header ...string) (reply, error) {
	r, err := http.NewRequest(method, v.h.url+path, body)
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("X-Forwarded-For", v.address)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w, err := v.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return reply{w.StatusCode, string(text), w.Header, w.Request.URL}, err
}

func (v *visitor) get(path string, header ...string) reply {
	v.h.t.Helper()
	return v.send("GET", path, nil, header...)
}

func (v *visitor) post(path string, form url.Values, header ...string) reply {
	v.h.t.Helper()
	return v.send("POST", path, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

var challengeField = regexp.MustCompile(`name="challenge" value="([^"]*)"`)

// form is the filled-in form of a block's page; without one nothing is known.
func (v *visitor) form(link string) url.Values {
	v.h.t.Helper()
	out := url.Values{"reason": {"the image is pushed now"}}
	if m := challengeField.FindStringSubmatch(v.get(link).body); m != nil {
		out.Set("challenge", m[1])
		out.Set("answer", v.h.answer(m[1]))
	}
	return out
}

// answer is that of a human test, by the provider's interface for tests.
func (h *host) answer(challenge string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answers[challenge]
}

// link is the path of the page of an address's block in a project.
func (h *host) link(project, address string) string {
	h.t.Helper()
	a := netip.MustParseAddr(address)
	blocks, err := h.client.Blocks(context.Background(), control.BlockFilter{Client: netip.PrefixFrom(a, a.BitLen())})
	if err != nil || len(blocks) != 1 {
		h.t.Fatalf("%s is blocked %d times: %v", address, len(blocks), err)
	}
	return "/p/" + project + "/-/blocks/" + blocks[0].Causes[0].ID
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
