package portal

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"regwarden/internal/portal/human"
)

// Bounds of what a visitor can make it hold or do.
const (
	maxBody     = 16 << 10
	maxHeader   = 32 << 10
	maxConns    = 512
	perMinute   = 240   // requests of one address
	maxVisitors = 10000 // addresses that are told apart in a minute; all others share one count
)

// policy is what browsers are told they may do with a page: nothing but our own style, pictures and sound. A human test of a third party adds to it. A form may
// lead to the login provider: where a session is over, browsers hold the way there against form-action too.
func (o *Options) policy(s human.Sources) string {
	var b strings.Builder
	b.WriteString("default-src 'none'; img-src 'self' data:; media-src 'self' data:; form-action 'self'" + sources(o.providers()) + "; frame-ancestors 'none'; base-uri 'none'")
	b.WriteString("; style-src 'self'" + sources(s.Style))
	for _, each := range []struct {
		name string
		list []string
	}{{"script-src", s.Script}, {"frame-src", s.Frame}, {"connect-src", s.Connect}} {
		if len(each.list) > 0 {
			b.WriteString("; " + each.name + sources(each.list))
		}
	}
	return b.String()
}

// providers are where a login leads to.
func (o *Options) providers() []string {
	if u, err := url.Parse(o.Provider); err == nil && u.Host != "" {
		return []string{u.Scheme + "://" + u.Host}
	}
	return nil
}

func sources(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " " + strings.Join(list, " ")
}

// guard stands before everything: who asks too often is sent away, a form of another site too, and every answer says what browsers may do with it.
func (p *Portal) guard(next http.Handler) http.Handler {
	p.origins.SetDenyHandler(http.HandlerFunc(p.otherSite))
	inner := p.origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := p.o.Load()
		h := w.Header()
		h.Set("Content-Security-Policy", o.policy(human.Sources{}))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // nobody else learns a project's name
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if strings.HasPrefix(o.URL, "https://") {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !p.visits.come(o.visitor(r), o.Clock()) {
			h.Set("Retry-After", "60")
			http.Error(w, "Too many requests from your address. Please wait a minute.", http.StatusTooManyRequests)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		inner.ServeHTTP(w, r)
	})
}

// otherSite refuses what another site has sent, or a proxy that passes another host's name on.
func (p *Portal) otherSite(w http.ResponseWriter, r *http.Request) {
	const title = "This came from another site"
	text := "A form is taken from this page itself only, as it is at " + p.o.Load().URL + ". Nothing was changed. Please open it there and send it again."
	if strings.HasPrefix(r.URL.Path, "/api/") {
		write(w, http.StatusForbidden, "application/problem+json", problem{"about:blank", title, http.StatusForbidden, text})
		return
	}
	p.show(w, r, http.StatusForbidden, "message", title, message{Status: http.StatusForbidden, Text: text})
}

// visits count the requests of each address in the running minute. The zero value is ready.
type visits struct {
	mu     sync.Mutex
	minute int64
	of     map[netip.Addr]int
}

// come counts a request and says whether it may pass. An IPv6 customer has at least a /64, so that is what is counted.
func (v *visits) come(a netip.Addr, now time.Time) bool {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if minute := now.Unix() / 60; minute != v.minute || v.of == nil {
		v.minute, v.of = minute, map[netip.Addr]int{}
	}
	if _, known := v.of[a]; !known && len(v.of) >= maxVisitors {
		a = netip.Addr{} // a flood of addresses: who is new shares one count
	}
	v.of[a]++
	limit := perMinute
	if !a.IsValid() {
		limit *= 10 // of all who cannot be told apart
	}
	return v.of[a] <= limit
}

// maxHops is how many addresses of a forwarded header are looked at.
const maxHops = 32

// visitor is where the request comes from; invalid if that cannot be told. A header is believed only of a trusted proxy, or on a unix socket.
func (o *Options) visitor(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	from := peer.Addr().Unmap().WithZone("")
	if err == nil && !o.trusted(from) {
		return from
	}
	name := o.ClientHeader
	if name == "" {
		name = "X-Forwarded-For"
	}
	hops := 0
	lines := r.Header.Values(name)
	for i := len(lines) - 1; i >= 0; i-- {
		list := strings.Split(lines[i], ",")
		for j := len(list) - 1; j >= 0; j-- {
			a, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(list[j]), "[]"))
			if ap, isPair := netip.ParseAddrPort(strings.TrimSpace(list[j])); isPair == nil {
				a, err = ap.Addr(), nil
			}
			if hops++; err != nil || hops > maxHops {
				return netip.Addr{} // what stands further left is not to be believed
			}
			if a = a.Unmap().WithZone(""); !o.trusted(a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

func (o *Options) trusted(a netip.Addr) bool {
	for _, p := range o.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
