package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Portal is [portal]: the project page.
type Portal struct {
	Listen, Socket, Group string
	CertFile, KeyFile     string
	// URL is where browsers see it.
	URL string
	// Login is gitlab, oidc or header.
	Login string
	// Issuer is GitLab's address, or the OpenID provider's.
	Issuer, ClientID, SecretFile string
	GroupsClaim                  string
	// The headers of a proxy that signs people in, and who such proxies are besides who comes by the socket.
	UserHeader, NameHeader, GroupsHeader string
	TrustedPeers                         []netip.Prefix
	// ClientHeader is where a trusted proxy says the visitor's address.
	ClientHeader string
	// View and Lift are the roles that see blocks and lift them.
	View, Lift          string
	Admins, AdminGroups []string
	Grants              []Grant
	Human               PortalHuman
	Limits              PortalLimits
	// People are whom the demo's login lets in; no file has them. Login is "demo" then.
	People []Person
}

// Person is somebody in the demo.
type Person struct {
	Subject, Username, Name string
	Groups                  []string
}

// Grant is one [[portal.grant]]: people of a group get a role in a namespace.
type Grant struct{ Group, Namespace, Role string }

// PortalHuman is [portal.human].
type PortalHuman struct {
	// Test is image, hcaptcha, recaptcha, turnstile or none.
	Test                string
	SiteKey, SecretFile string
	// Work is how many bits of work a browser must do besides; 0 for none.
	Work int
}

// PortalLimits is [portal.limits].
type PortalLimits struct {
	UserHour, ProjectDay, AddressDay, FailuresHour int
	// Probation is how long an address is watched after it was unblocked; 0 for not at all.
	Probation time.Duration
}

// DefaultPortal is what an otherwise empty [portal] gives.
func DefaultPortal() Portal {
	return Portal{Login: "gitlab", GroupsClaim: "groups", UserHeader: "X-Forwarded-User", View: "reporter", Lift: "developer", Human: PortalHuman{Test: "image"},
		Limits: PortalLimits{UserHour: 3, ProjectDay: 10, AddressDay: 3, FailuresHour: 10, Probation: 24 * time.Hour}}
}

// filePortal is [portal] as TOML has it.
type filePortal struct {
	Listen       string   `toml:"listen"`
	Socket       string   `toml:"socket"`
	Group        string   `toml:"group"`
	CertFile     string   `toml:"cert_file"`
	KeyFile      string   `toml:"key_file"`
	URL          string   `toml:"url"`
	Login        *string  `toml:"login"`
	Issuer       string   `toml:"issuer"`
	ClientID     string   `toml:"client_id"`
	SecretFile   string   `toml:"secret_file"`
	GroupsClaim  *string  `toml:"groups_claim"`
	UserHeader   *string  `toml:"user_header"`
	NameHeader   string   `toml:"name_header"`
	GroupsHeader string   `toml:"groups_header"`
	TrustedPeers []string `toml:"trusted_peers"`
	ClientHeader string   `toml:"client_header"`
	View         *string  `toml:"view"`
	Lift         *string  `toml:"lift"`
	Admins       []string `toml:"admins"`
	AdminGroups  []string `toml:"admin_groups"`
	Grant        []struct {
		Group     string `toml:"group"`
		Namespace string `toml:"namespace"`
		Role      string `toml:"role"`
	} `toml:"grant"`
	Human struct {
		Test       *string `toml:"test"`
		SiteKey    string  `toml:"site_key"`
		SecretFile string  `toml:"secret_file"`
		Work       int     `toml:"work"`
	} `toml:"human"`
	Limits struct {
		UserHour     *int    `toml:"user_hour"`
		ProjectDay   *int    `toml:"project_day"`
		AddressDay   *int    `toml:"address_day"`
		FailuresHour *int    `toml:"failures_hour"`
		Probation    *string `toml:"probation"`
	} `toml:"limits"`
}

// portalRoles may be named; GitLab's own names in small letters.
var portalRoles = []string{"guest", "reporter", "developer", "maintainer", "owner"}

func (p *parser) portal(f *file) {
	if f.Portal == nil {
		return
	}
	n, out := f.Portal, DefaultPortal()
	out.Listen, out.Socket, out.Group = n.Listen, n.Socket, n.Group
	out.CertFile, out.KeyFile = p.relative(n.CertFile), p.relative(n.KeyFile)
	out.URL, out.Issuer, out.ClientID = strings.TrimRight(n.URL, "/"), n.Issuer, n.ClientID
	out.Login, out.GroupsClaim, out.UserHeader = given(n.Login, out.Login), given(n.GroupsClaim, out.GroupsClaim), given(n.UserHeader, out.UserHeader)
	out.NameHeader, out.GroupsHeader, out.ClientHeader = n.NameHeader, n.GroupsHeader, n.ClientHeader
	out.View, out.Lift = given(n.View, out.View), given(n.Lift, out.Lift)
	out.Admins, out.AdminGroups = n.Admins, n.AdminGroups
	p.portalPlace(&out)
	p.portalLogin(&out, n)
	p.portalRoles(&out, n)
	p.portalHuman(&out, n)
	p.portalLimits(&out, n)
	for _, key := range [][]string{{"portal"}, {"portal", "secret_file"}, {"portal", "cert_file"}, {"portal", "human"}, {"portal", "human", "secret_file"}, {"portal", "human", "work"}} {
		p.out.Lines[strings.Join(key, ".")] = p.doc.Line(key...)
	}
	p.out.Portal = &out
}

func (p *parser) portalPlace(out *Portal) {
	switch at, err := netip.ParseAddrPort(out.Listen); {
	case out.Listen == "" && out.Socket == "":
		p.fail("neither listen nor socket is set", `write listen = "127.0.0.1:9443" or socket = "/run/regwarden/portal.sock", and let a web server with TLS stand before it`, "portal", "listen")
	case out.Listen != "" && out.Socket != "":
		p.fail("cannot stand beside listen", "keep one of them", "portal", "socket")
	case out.Socket != "" && !filepath.IsAbs(out.Socket): // the web server needs it too, and has another directory to begin from
		p.fail(fmt.Sprintf("%q is no full path", out.Socket), `write it like "/run/regwarden/portal.sock", as the web server does`, "portal", "socket")
	case out.Listen != "" && (err != nil || at.Port() == 0):
		p.fail(fmt.Sprintf("%q is no address and port", out.Listen), `write it like "127.0.0.1:9443"; names are not looked up`, "portal", "listen")
	case out.Listen != "" && out.CertFile == "" && !at.Addr().IsLoopback():
		p.fail(fmt.Sprintf("%q is open to the network without TLS: sessions could be read on the way", out.Listen), "set cert_file and key_file, or listen on loopback behind a web server with TLS", "portal", "listen")
	}
	if e := p.out.Actions.AnswerEndpoint; out.Listen != "" && (out.Listen == p.out.MetricsListen || e != nil && e.Listen == out.Listen) {
		p.fail(out.Listen+" is taken by metrics or actions.answer-endpoint", "choose another port", "portal", "listen")
	}
	if len(out.Socket) > 107 {
		p.fail("the path is longer than the 107 bytes that a socket may have", "choose a shorter one", "portal", "socket")
	}
	if what := p.out.owner(out.Socket); out.Socket != "" && what != "" {
		p.fail(fmt.Sprintf("%s is %s", out.Socket, what), "give the page a socket of its own", "portal", "socket")
	}
	if (out.CertFile == "") != (out.KeyFile == "") {
		p.fail("one of cert_file and key_file is missing", "set both, or none", "portal", "cert_file")
	}
	p.portalURL(out.URL, false, "https://blocks.example.org", "portal", "url")
	p.headerName(out.ClientHeader, "portal", "client_header")
}

// portalURL checks an address with https; a provider may have a path, and do without TLS on loopback.
func (p *parser) portalURL(text string, path bool, example string, key ...string) {
	u, err := url.Parse(text)
	hint := "write it like \"" + example + "\""
	switch {
	case text == "":
		p.fail("is missing", hint, key...)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !path && u.Path != "":
		p.fail(fmt.Sprintf("%q is no address of a web server", text), hint, key...)
	case u.Scheme == "http" && (!path || !loopbackName(u.Hostname())):
		p.fail(fmt.Sprintf("%q is without TLS: what signs people in could be read on the way", text), hint, key...)
	}
}

func loopbackName(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (p *parser) headerName(name string, key ...string) {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			p.fail(fmt.Sprintf("%q is no header's name", name), `write one that the web server always sets itself, such as "X-Real-IP"`, key...)
			return
		}
	}
}

func (p *parser) portalLogin(out *Portal, n *filePortal) {
	p.choice(out.Login, []string{"gitlab", "oidc", "header"}, "portal", "login")
	out.SecretFile = p.secretFile(n.SecretFile, "portal", "secret_file")
	for _, key := range []struct{ name, value string }{{"user_header", out.UserHeader}, {"name_header", out.NameHeader}, {"groups_header", out.GroupsHeader}} {
		p.headerName(key.value, "portal", key.name)
	}
	if len(n.TrustedPeers) > 0 {
		out.TrustedPeers = p.prefixesAt(n.TrustedPeers, "portal", "trusted_peers")
	}
	p.portalIdle(out, n)
	if out.Login == "header" {
		if (len(n.Grant) > 0 || len(n.AdminGroups) > 0) && out.GroupsHeader == "" {
			p.fail("is missing, so that nobody has a group and [[portal.grant]] gives nobody a role", `write the header with the user's groups that the proxy always sets, such as "X-Forwarded-Groups"`, "portal", "groups_header")
		}
		if out.Socket == "" && len(out.TrustedPeers) == 0 {
			p.fail("login = \"header\" believes whoever connects", "set trusted_peers to the proxy that signs people in, or socket instead of listen", "portal", "login")
		}
		if out.UserHeader == "" {
			p.fail("is empty", `write the header with the user's name that the proxy always sets, such as "X-Forwarded-User"`, "portal", "user_header")
		}
		return
	}
	p.portalURL(out.Issuer, true, "https://gitlab.example.org", "portal", "issuer")
	if out.ClientID == "" {
		p.fail("is missing", "make an application in GitLab or at the provider and write its ID; docs/project-page.md says how", "portal", "client_id")
	}
}

// portalIdle refuses keys that say something to another login only: whoever wrote them believes that they do something. A key at its default is no mistake.
func (p *parser) portalIdle(out *Portal, n *filePortal) {
	standard := DefaultPortal()
	for _, k := range []struct {
		name   string
		set    bool
		logins []string // that read it
	}{
		{"issuer", n.Issuer != "", []string{"gitlab", "oidc"}},
		{"client_id", n.ClientID != "", []string{"gitlab", "oidc"}},
		{"secret_file", n.SecretFile != "", []string{"gitlab", "oidc"}},
		{"groups_claim", out.GroupsClaim != standard.GroupsClaim, []string{"oidc"}},
		{"user_header", out.UserHeader != standard.UserHeader, []string{"header"}},
		{"name_header", n.NameHeader != "", []string{"header"}},
		{"groups_header", n.GroupsHeader != "", []string{"header"}},
		{"trusted_peers", len(n.TrustedPeers) > 0, []string{"header"}},
	} {
		if k.set && slices.Contains([]string{"gitlab", "oidc", "header"}, out.Login) && !slices.Contains(k.logins, out.Login) {
			p.fail(fmt.Sprintf("has no effect with login = %q", out.Login), `remove it, or write login = "`+strings.Join(k.logins, `" or "`)+`"`, "portal", k.name)
		}
	}
}

// secretFile is a path, or the name of one of systemd's credentials.
func (p *parser) secretFile(text string, key ...string) string {
	name, ok := strings.CutPrefix(text, CredentialPrefix)
	if !ok {
		return p.relative(text)
	}
	if name == "" || strings.ContainsAny(name, "/\x00") {
		p.fail(fmt.Sprintf("%q names no credential", text), `write "credential:NAME", with the NAME of the unit's LoadCredential=`, key...)
	}
	return text
}

func (p *parser) portalRoles(out *Portal, n *filePortal) {
	view, lift := slices.Index(portalRoles, out.View), slices.Index(portalRoles, out.Lift)
	p.choice(out.View, portalRoles, "portal", "view")
	p.choice(out.Lift, portalRoles, "portal", "lift")
	if view >= 0 && lift >= 0 && lift < view {
		p.fail(fmt.Sprintf("a %s may lift but only a %s may view", out.Lift, out.View), "who lifts a block must see it", "portal", "lift")
	}
	for _, a := range out.Admins {
		if strings.TrimSpace(strings.TrimPrefix(a, "sub:")) == "" {
			p.fail(fmt.Sprintf("%q names nobody", a), `write a username, or "sub:17" for the user's number`, "portal", "admins")
		} else if out.Login == "oidc" && !strings.HasPrefix(a, "sub:") {
			p.fail(fmt.Sprintf("%q is a username, which people may choose at an OpenID provider", a), `write "sub:…" with the subject, or name a group in admin_groups`, "portal", "admins")
		}
	}
	if out.Login == "gitlab" && len(out.AdminGroups) > 0 {
		p.fail("GitLab's login tells no groups here", "name the admins in admins", "portal", "admin_groups")
	}
	if out.Login == "gitlab" && len(n.Grant) > 0 {
		p.failAt(0, "GitLab itself says who is in a project", `remove it, or choose login = "oidc" or "header"`, "portal", "grant")
	}
	for i, g := range n.Grant {
		for _, k := range []struct{ name, value string }{{"group", g.Group}, {"namespace", g.Namespace}} {
			if k.value == "" {
				p.failAt(i, "is missing", `as in group = "web-team", namespace = "acme/web", role = "developer"`, "portal", "grant", k.name)
			}
		}
		if !slices.Contains(portalRoles, g.Role) {
			p.failAt(i, fmt.Sprintf("unknown role %q", g.Role), "known are "+strings.Join(portalRoles, ", "), "portal", "grant", "role")
		}
		out.Grants = append(out.Grants, Grant(g))
	}
	if (out.Login == "oidc" || out.Login == "header") && len(n.Grant) == 0 {
		p.fail("nobody would see anything: there is no [[portal.grant]]", `add [[portal.grant]] and below it group = "web-team", namespace = "acme/web", role = "developer"`, "portal", "grant")
	}
}

func (p *parser) portalHuman(out *Portal, n *filePortal) {
	h := &out.Human
	h.Test, h.SiteKey = given(n.Human.Test, h.Test), n.Human.SiteKey
	h.SecretFile = p.secretFile(n.Human.SecretFile, "portal", "human", "secret_file")
	if h.Work = n.Human.Work; h.Work < 0 || h.Work > 24 {
		p.fail(fmt.Sprintf("%d is out of range", h.Work), "0 to 24; 16 is about a second in a browser", "portal", "human", "work")
	}
	p.choice(h.Test, []string{"image", "hcaptcha", "recaptcha", "turnstile", "none"}, "portal", "human", "test")
	if !slices.Contains([]string{"hcaptcha", "recaptcha", "turnstile"}, h.Test) {
		return
	}
	if h.SiteKey == "" {
		p.fail("is missing", "the provider shows it beside the secret", "portal", "human", "site_key")
	}
	if h.SecretFile == "" {
		p.fail("is missing", `write the path of a file with the provider's secret, or "credential:NAME"`, "portal", "human", "secret_file")
	}
}

func (p *parser) portalLimits(out *Portal, n *filePortal) {
	l := &out.Limits
	for _, k := range []struct {
		name string
		from *int
		to   *int
	}{{"user_hour", n.Limits.UserHour, &l.UserHour}, {"project_day", n.Limits.ProjectDay, &l.ProjectDay},
		{"address_day", n.Limits.AddressDay, &l.AddressDay}, {"failures_hour", n.Limits.FailuresHour, &l.FailuresHour}} {
		if k.from == nil {
			continue
		}
		if *k.to = *k.from; *k.from < 1 || *k.from > 10000 {
			p.fail(fmt.Sprintf("%d is out of range", *k.from), `1 to 10000; human.test = "none" lets nobody unblock`, "portal", "limits", k.name)
		}
	}
	if t := n.Limits.Probation; t != nil && *t == "0s" {
		l.Probation = 0
	} else if t != nil {
		if l.Probation = p.duration(*t, "portal", "limits", "probation"); l.Probation > 7*24*time.Hour {
			p.fail(fmt.Sprintf("%q is longer than 7 days", *t), `write "24h", or "0s" for no probation`, "portal", "limits", "probation")
		}
	}
}
