package login_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"regwarden/internal/portal/account"
	"regwarden/internal/portal/login"
)

var (
	people    = []account.User{{Subject: "1", Username: "dana", Name: "Dana"}, {Subject: "2", Username: "sam", Name: "Sam"}}
	everybody = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
)

const here = "http://127.0.0.1:8080"

// demo is the demo's door with a page that says who is there; notice is the last that it showed.
type demo struct {
	http.Handler
	notice login.Notice
}

func openDemo(t *testing.T, o login.Options) *demo {
	t.Helper()
	d := &demo{}
	o.Mode, o.People, o.PublicURL = login.Demo, people, here
	o.Show = func(w http.ResponseWriter, _ *http.Request, n login.Notice) { d.notice = n; w.WriteHeader(n.Status) }
	door, err := login.New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/login", door.Routes())
	mux.Handle("/login/", door.Routes())
	mux.Handle("/logout", door.Routes())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		u, _ := door.User(r.Context())
		fmt.Fprint(w, u.Username)
	})
	d.Handler = door.Wrap(mux)
	return d
}

func (d *demo) do(method, path string, form url.Values, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, here+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "127.0.0.1:40000"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// enter signs in and gives the cookie.
func (d *demo) enter(t *testing.T, subject string) *http.Cookie {
	t.Helper()
	w := d.do("POST", "/login/demo", url.Values{"user": {subject}, "to": {"/p/acme/web"}}, nil)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/p/acme/web" || len(w.Result().Cookies()) != 1 {
		t.Fatalf("got %d to %q, %v", w.Code, w.Header().Get("Location"), w.Result().Cookies())
	}
	return w.Result().Cookies()[0]
}

// who is there with a cookie.
func (d *demo) who(c *http.Cookie) string {
	return d.do("GET", "/", nil, func(r *http.Request) { r.AddCookie(c) }).Body.String()
}

func TestTheDemosLogin(t *testing.T) {
	d := openDemo(t, login.Options{})
	if w := d.do("GET", "/login?to=/p/acme/web", nil, nil); w.Code != http.StatusOK || len(d.notice.People) != 2 || d.notice.To != "/p/acme/web" {
		t.Errorf("got %d %+v", w.Code, d.notice)
	}
	if d.do("GET", "/login?to=//evil.example.org", nil, nil); d.notice.To != "/" {
		t.Errorf("got %q", d.notice.To)
	}
	c := d.enter(t, "2")
	if c.Name != "regwarden-demo-session" || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("a browser would not keep a Secure cookie of plain http: %v", c)
	}
	if d.who(c) != "sam" {
		t.Errorf("got %q", d.who(c))
	}
	for _, form := range []url.Values{nil, {"user": {"3"}}, {"user": {""}}, {"user": {strings.Repeat("x", 1<<20)}}} {
		if w := d.do("POST", "/login/demo", form, nil); w.Code != http.StatusBadRequest || len(w.Result().Cookies()) > 0 {
			t.Errorf("%.40v: got %d", form, w.Code)
		}
	}
	if w := d.do("POST", "/login/demo", url.Values{"user": {"1"}, "to": {"//evil.example.org"}}, nil); w.Header().Get("Location") != "/" {
		t.Errorf("got %q", w.Header().Get("Location"))
	}
	if w := d.do("GET", "/login/demo?user=1", nil, nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a link must not sign in: %d", w.Code)
	}
}

func TestTheDemoIsForThisMachine(t *testing.T) {
	d := openDemo(t, login.Options{})
	for name, change := range map[string]func(*http.Request){
		"from the network":         func(r *http.Request) { r.RemoteAddr = "192.0.2.1:40000" },
		"from nowhere":             func(r *http.Request) { r.RemoteAddr = "" },
		"a name that leads here":   func(r *http.Request) { r.Host = "evil.example.org:8080" },
		"another port's page":      func(r *http.Request) { r.Host = "127.0.0.1:9999" },
		"a proxy says it is local": func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1"; r.Header.Set("X-Forwarded-For", "127.0.0.1") },
	} {
		if w := d.do("POST", "/login/demo", url.Values{"user": {"1"}}, change); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: got %d", name, w.Code)
		}
	}
	if w := d.do("GET", "/login", nil, func(r *http.Request) { r.RemoteAddr = "[::1]:40000" }); w.Code != http.StatusOK {
		t.Errorf("the other loopback: %d", w.Code)
	}
}

func TestTheDemoOnTheSchemesOwnPort(t *testing.T) { // which no browser sends
	d, err := login.New(login.Options{Mode: login.Demo, People: people, PublicURL: "http://localhost:80/"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://localhost/login", nil)
	r.RemoteAddr = "[::1]:40000"
	w := httptest.NewRecorder()
	if d.Wrap(d.Routes()).ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDemo(t, login.Options{Idle: 30 * time.Minute, Lifetime: 2 * time.Hour})
		idle, busy := d.enter(t, "1"), d.enter(t, "2")
		for range 5 {
			time.Sleep(20 * time.Minute)
			if d.who(busy) != "sam" {
				t.Fatal("who comes often stays")
			}
		}
		if d.who(idle) != "" {
			t.Error("who did not come for an hour is signed out")
		}
		time.Sleep(20*time.Minute + time.Second)
		if d.who(busy) != "" {
			t.Error("after two hours everybody is")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	d := openDemo(t, login.Options{MaxSessions: 3})
	first, second, third := d.enter(t, "1"), d.enter(t, "2"), d.enter(t, "2")
	if d.who(first) != "dana" { // used last now
		t.Fatal("all three are there")
	}
	d.enter(t, "1")
	if d.who(first) != "dana" || d.who(second) != "" || d.who(third) != "sam" {
		t.Errorf("want the longest unused gone, got %q %q %q", d.who(first), d.who(second), d.who(third))
	}
}

func TestOnePersonPushesNobodyOut(t *testing.T) {
	d := openDemo(t, login.Options{MaxSessions: 30})
	sam, oldest := d.enter(t, "2"), d.enter(t, "1")
	for range 100 {
		d.enter(t, "1")
	}
	if d.who(sam) != "sam" || d.who(oldest) != "" {
		t.Errorf("want sam there and dana's oldest gone, got %q %q", d.who(sam), d.who(oldest))
	}
}

// behind is a door that believes a proxy.
func behind(t *testing.T) (*login.Door, http.Handler) {
	t.Helper()
	d, err := login.New(login.Options{Mode: login.Header, PublicURL: "https://blocks.example.org", UserHeader: "X-Forwarded-User", NameHeader: "X-Name", GroupsHeader: "X-Groups",
		TrustedPeers: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8::/64")}})
	if err != nil {
		t.Fatal(err)
	}
	return d, d.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, ok := d.User(r.Context())
		fmt.Fprintf(w, "%v %s/%s/%s/%q %q", ok, u.Subject, u.Username, u.Name, u.Groups, r.Header.Values("X-Forwarded-User"))
	}))
}

func TestAProxysHeader(t *testing.T) {
	_, h := behind(t)
	for name, c := range map[string]struct {
		from   string
		header http.Header
		want   string
	}{
		"the proxy":          {"192.0.2.10:1", http.Header{"X-Forwarded-User": {"dana"}, "X-Name": {"Dana\n"}, "X-Groups": {"devs, ops", "x"}}, `true dana/dana/Dana/["devs" "ops" "x"] ["dana"]`},
		"the proxy, IPv6":    {"[2001:db8::1%eth0]:1", http.Header{"X-Forwarded-User": {"dana"}}, `true dana/dana/dana/[] ["dana"]`},
		"mapped":             {"[::ffff:192.0.2.10]:1", http.Header{"X-Forwarded-User": {"dana"}}, `true dana/dana/dana/[] ["dana"]`},
		"somebody else":      {"192.0.2.11:1", http.Header{"X-Forwarded-User": {"dana"}}, `false ///[] []`},
		"loopback":           {"127.0.0.1:1", http.Header{"X-Forwarded-User": {"root"}}, `false ///[] []`},
		"no address":         {"", http.Header{"X-Forwarded-User": {"root"}}, `false ///[] []`},
		"no header":          {"192.0.2.10:1", nil, `false ///[] []`},
		"an empty one":       {"192.0.2.10:1", http.Header{"X-Forwarded-User": {""}}, `false ///[] [""]`},
		"two":                {"192.0.2.10:1", http.Header{"X-Forwarded-User": {"root", "dana"}}, `false ///[] ["root" "dana"]`},
		"with control codes": {"192.0.2.10:1", http.Header{"X-Forwarded-User": {"ro\x1bot"}}, `false ///[] ["ro\x1bot"]`},
	} {
		r := httptest.NewRequest("GET", "https://blocks.example.org/", nil)
		r.RemoteAddr = c.from
		for name, values := range c.header {
			r.Header[name] = values
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Body.String() != c.want {
			t.Errorf("%s: want %s, got %s", name, c.want, w.Body)
		}
		if len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: no session is wanted", name)
		}
	}
}

func TestAProxyOnASocket(t *testing.T) {
	_, h := behind(t)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener = l
	s.Start()
	defer s.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.0\r\nHost: blocks.example.org\r\nX-Forwarded-User: dana\r\n\r\n")
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(c); err != nil || !strings.Contains(answer.String(), "true dana/dana") {
		t.Errorf("got %s %v", answer.String(), err)
	}
}

func TestTheProxyDoesTheLogin(t *testing.T) {
	d, _ := behind(t)
	for _, c := range []struct {
		method, path, user string
		status             int
		to                 string
	}{{"GET", "/login?to=/p/a", "dana", 303, "/p/a"}, {"GET", "/login?to=//evil", "dana", 303, "/"}, {"GET", "/login?to=/p/a", "", 401, ""}, {"POST", "/logout", "dana", 401, ""}} {
		r := httptest.NewRequest(c.method, "https://blocks.example.org"+c.path, nil)
		r.RemoteAddr = "192.0.2.10:1"
		if c.user != "" {
			r.Header.Set("X-Forwarded-User", c.user)
		}
		w := httptest.NewRecorder()
		d.Wrap(d.Routes()).ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Location") != c.to {
			t.Errorf("%s %s as %q: got %d %q", c.method, c.path, c.user, w.Code, w.Header().Get("Location"))
		}
	}
}
