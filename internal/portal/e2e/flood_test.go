package e2e_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// dial opens a connection as a client that writes its own HTTP.
func (h *host) dial() (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", strings.TrimPrefix(strings.Replace(h.url, "localhost", "127.0.0.1", 1), "https://"), &tls.Config{InsecureSkipVerify: true})
}

// raw sends a text and is all that comes back.
func (h *host) raw(text string) string {
	h.t.Helper()
	c, err := h.dial()
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(c, text) }() // the host may answer and close before it has read all
	b, _ := io.ReadAll(c)
	return string(b)
}

// cookies is the header that a browser would send.
func (v *visitor) cookies() string {
	home, _ := url.Parse(v.h.url)
	var out []string
	for _, c := range v.client.Jar.Cookies(home) {
		out = append(out, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(out, "; ") + "\r\n"
}

// TestRequestsThatAreTooLarge are refused, and cost next to nothing.
func TestRequestsThatAreTooLarge(t *testing.T) {
	t.Parallel()
	h := newHost(t, options{lines: swarm(shopServer, "acme/shop/backend", "release-42")})
	h.untilBlocked(shopServer)
	link := h.link("acme/shop", shopServer)
	dana := h.visit("developer")
	if got := h.raw("GET /blocked HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431") {
		t.Errorf("a header of 1 MB: %.200q", got)
	}
	if got := h.raw("GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 4") {
		t.Errorf("an address of 1 MB: %.200q", got)
	}
	form := dana.form(link)
	h.want("a reason of 32 kB", dana.post(link, with(form, "reason", strings.Repeat("x", 32<<10))), 400)
	var many strings.Builder
	for range 100_000 {
		many.WriteString("a=1&")
	}
	h.want("100,000 fields", dana.send("POST", link, strings.NewReader(many.String()), "Content-Type", "application/x-www-form-urlencoded"), 400)
	h.want("a multipart form", dana.send("POST", link, strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"reason\"\r\n\r\nx\r\n--x--"), "Content-Type", "multipart/form-data; boundary=x"), 422)
	// 64 MB that never end are not read: the answer comes and the connection is closed.
	endless, _ := dana.try("POST", link, io.LimitReader(zeros{}, 64<<20), "Content-Type", "application/x-www-form-urlencoded")
	if endless.status == http.StatusOK {
		t.Error("64 MB were taken for a form")
	}
	h.want("and the page is there for others", dana.get("/p/acme/shop"), 200, shopServer)
	if !h.blocked(shopServer) {
		t.Error("it was unblocked")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// TestClientsThatHoldConnections: of 1,000 at once no more than the cap are kept, and slow ones are let go, so that others come in again.
func TestClientsThatHoldConnections(t *testing.T) {
	h := newHost(t, options{})
	before := runtime.NumGoroutine()
	at := strings.TrimPrefix(strings.Replace(h.url, "localhost", "127.0.0.1", 1), "https://")
	var idle []net.Conn
	for range 1000 {
		c, err := net.DialTimeout("tcp", at, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	// Those beyond the cap are closed at once: that is what is waited for. The others wait in vain for a handshake.
	var mu sync.Mutex
	closed := 0
	for _, c := range idle {
		go func() {
			_, _ = c.Read(make([]byte, 1))
			mu.Lock()
			closed++
			mu.Unlock()
		}()
	}
	await(t, "those beyond the cap are closed", 20*time.Second, func() bool { mu.Lock(); defer mu.Unlock(); return closed >= 1000-512 })
	if held := runtime.NumGoroutine() - before - 1000; held > 2*512+50 {
		t.Errorf("%d goroutines for them", held)
	}
	h.until("they are let go and others come in", func() bool {
		c, err := h.dial()
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return strings.Contains(line, "200")
	})
	await(t, "all are closed by the host", 30*time.Second, func() bool { mu.Lock(); defer mu.Unlock(); return closed == 1000 })
	for _, c := range idle {
		c.Close()
	}
	slow, err := h.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_, _ = io.WriteString(slow, "POST /logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\na=")
	_ = slow.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadAll(slow); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("a form that never ends is waited for")
	}
}
