package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os/user"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/internal/config"
	"regwarden/internal/metrics"
	"regwarden/internal/portal"
	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
	"regwarden/internal/portal/login"
	"regwarden/internal/strict"
)

// portalParts are what the project page is made of by a configuration, but for the door, which outlives a reload with all who are signed in.
type portalParts struct {
	rights *access.Access
	test   human.Provider
	work   *human.Work
	token  func(context.Context, account.Secret) (account.User, error)
	login  login.Options
}

// refresher gets somebody a new token: the door's Refresh.
type refresher func(context.Context, account.User) (account.User, error)

// makePortal makes the parts; an error is a problem with the key that is wrong.
func makePortal(c *config.Config, refresh refresher, heard func(error), peek func(id, answer string), logger *slog.Logger) (portalParts, error) {
	p := c.Portal
	var out portalParts
	secret, err := secretOf("", p.SecretFile)
	if err != nil {
		return out, portalProblem(c, "portal.secret_file", err, secretHint)
	}
	if out.rights, out.token, err = makeRights(p, refresh, heard); err != nil {
		return out, portalProblem(c, "portal", err, "")
	}
	if out.test, err = makeTest(c, peek); err != nil {
		return out, err
	}
	if p.Human.Work > 0 {
		if out.work, err = human.NewWork(p.Human.Work, 0); err != nil {
			return out, portalProblem(c, "portal.human.work", err, "")
		}
	}
	out.login = login.Options{Mode: login.Mode(p.Login), PublicURL: p.URL, Issuer: p.Issuer, ClientID: p.ClientID, ClientSecret: account.NewSecret(secret),
		GroupsClaim: p.GroupsClaim, UserHeader: p.UserHeader, NameHeader: p.NameHeader, GroupsHeader: p.GroupsHeader, TrustedPeers: p.TrustedPeers, Heard: heard, Log: logger}
	for _, who := range p.People {
		out.login.People = append(out.login.People, account.User{Subject: who.Subject, Username: who.Username, Name: who.Name, Groups: who.Groups})
	}
	if _, err := login.New(out.login); err != nil {
		return out, portalProblem(c, "portal", err, "")
	}
	return out, nil
}

func portalProblem(c *config.Config, key string, err error, hint string) error {
	return strict.Problems{{File: c.Path, Line: c.Lines[key], Key: key, Text: err.Error(), Hint: hint}}
}

// secretHint is what to do about a secret's file.
const secretHint = "write a file that the daemon's user can read and that holds the secret, or \"credential:NAME\" with the NAME of the unit's LoadCredential="

// makeRights makes who says what somebody may do, and, for GitLab, whose an API token is.
func makeRights(p *config.Portal, refresh refresher, heard func(error)) (*access.Access, func(context.Context, account.Secret) (account.User, error), error) {
	view, err := access.ParseLevel(p.View)
	if err != nil {
		return nil, nil, err
	}
	lift, err := access.ParseLevel(p.Lift)
	if err != nil {
		return nil, nil, err
	}
	policy := access.Policy{View: view, Lift: lift, Admins: p.Admins, AdminGroups: p.AdminGroups, OnlySubjects: p.Login == "oidc", FoldNames: p.Login == "gitlab"}
	if p.Login == "gitlab" {
		source, err := access.NewGitLab(access.GitLabOptions{URL: p.Issuer, Refresh: refresh, Heard: heard})
		if err != nil {
			return nil, nil, err
		}
		rights, err := access.New(source, policy)
		return rights, source.Whose, err
	}
	var grants []access.Grant
	for _, g := range p.Grants {
		level, err := access.ParseLevel(g.Role)
		if err != nil {
			return nil, nil, err
		}
		grants = append(grants, access.Grant{Group: g.Group, Namespace: g.Namespace, Level: level})
	}
	source, err := access.NewGroups(grants)
	if err != nil {
		return nil, nil, err
	}
	rights, err := access.New(source, policy)
	return rights, nil, err
}

// makeTest makes the human test; nil for none.
func makeTest(c *config.Config, peek func(id, answer string)) (human.Provider, error) {
	p := c.Portal
	switch p.Human.Test {
	case "none":
		return nil, nil
	case "image":
		return human.NewImage(human.ImageOptions{Peek: peek}), nil
	}
	secret, err := secretOf("", p.Human.SecretFile)
	if err != nil {
		return nil, portalProblem(c, "portal.human.secret_file", err, secretHint)
	}
	host := strings.TrimPrefix(p.URL, "https://")
	host, _, _ = strings.Cut(host, ":")
	test, err := human.NewWidget(human.WidgetOptions{Kind: p.Human.Test, SiteKey: p.Human.SiteKey, Secret: account.NewSecret(secret), Hostname: host})
	if err != nil {
		return nil, portalProblem(c, "portal.human", err, "")
	}
	return test, nil
}

// page is the project page that runs.
type page struct {
	portal  *portal.Portal
	door    *login.Door
	place   portal.Place
	tally   *portalTally
	human   config.PortalHuman     // that the test in force was made of
	trouble atomic.Pointer[string] // why it is not served
	away    atomic.Pointer[string] // when and why GitLab, or the login provider, did not answer its last request
}

// portalTally counts human tests and logins for metrics.
type portalTally struct {
	mu    sync.Mutex
	tests map[metrics.HumanTest]uint64
	seen  map[string]uint64
}

func (t *portalTally) tested(provider, result string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tests[metrics.HumanTest{Provider: provider, Result: result}]++
}

func (t *portalTally) signedIn(result string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen[result]++
}

func (t *portalTally) snapshot() (map[metrics.HumanTest]uint64, map[string]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.tests), maps.Clone(t.seen)
}

// newPage makes the project page of the plan in force; nil if none is configured.
func (d *Daemon) newPage(p *plan) (*page, error) {
	c := p.config
	if c.Portal == nil {
		return nil, nil
	}
	out := &page{place: portal.Place{Listen: c.Portal.Listen, Socket: c.Portal.Socket, Group: c.Portal.Group, Cert: c.Portal.CertFile, Key: c.Portal.KeyFile},
		tally: &portalTally{tests: map[metrics.HumanTest]uint64{}, seen: map[string]uint64{}}}
	parts, err := makePortal(c, out.refresh, out.heard, d.options.Peek, d.logger)
	if err != nil {
		return nil, err
	}
	parts.login.Show = out.show
	if out.door, err = login.New(parts.login); err != nil {
		return nil, portalProblem(c, "portal", err, "")
	}
	out.human = c.Portal.Human
	for _, result := range []string{"passed", "failed", "away"} { // each has its series from the start
		out.tally.tests[metrics.HumanTest{Provider: c.Portal.Human.Test, Result: result}] = 0
	}
	out.tally.seen["ok"], out.tally.seen["failed"] = 0, 0
	out.portal = portal.New(d.portalOptions(out, c, parts))
	return out, nil
}

// refresh and show are the door's and the pages', which are made after those who want them.
func (p *page) refresh(ctx context.Context, u account.User) (account.User, error) {
	return p.door.Refresh(ctx, u)
}

func (p *page) show(w http.ResponseWriter, r *http.Request, n login.Notice) { p.portal.Show(w, r, n) }

// heard keeps how the last request to GitLab, or to the login provider, went.
func (p *page) heard(err error) {
	text := ""
	if err != nil {
		text = fmt.Sprintf("at %s: %v", time.Now().Format(time.TimeOnly), err)
	}
	p.away.Store(&text)
}

// portalOptions are the pages' by a configuration.
func (d *Daemon) portalOptions(p *page, c *config.Config, parts portalParts) portal.Options {
	lift, _ := access.ParseLevel(c.Portal.Lift)
	l := c.Portal.Limits
	return portal.Options{URL: c.Portal.URL, Door: p.door, Rights: parts.rights, Backend: portalBackend{d}, Test: parts.test, Work: parts.work, TestName: c.Portal.Human.Test,
		Token: parts.token, Provider: c.Portal.Issuer, Realm: c.Portal.Login, LiftFrom: lift, ClientHeader: c.Portal.ClientHeader, TrustedProxies: believed(c),
		Limits: portal.Limits{UserHour: l.UserHour, ProjectDay: l.ProjectDay, AddressDay: l.AddressDay, FailuresHour: l.FailuresHour, Probation: l.Probation},
		Demo:   c.Portal.Login == "demo", Tested: p.tally.tested, SignedIn: p.tally.signedIn, Log: d.logger}
}

// believed are the proxies that say the visitor's address. Who may say who somebody is may say from where, too.
func believed(c *config.Config) []netip.Prefix {
	if c.Portal.Login != "header" {
		return c.TrustedProxies
	}
	return slices.Concat(c.TrustedProxies, c.Portal.TrustedPeers)
}

// servePage answers until ctx ends. An address that is taken keeps nobody from being blocked.
func (d *Daemon) servePage(ctx context.Context) {
	if d.page == nil {
		return
	}
	said := ""
	d.page.portal.Serve(ctx, d.page.place, func(err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		d.page.trouble.Store(&text)
		if text != "" && text != said {
			d.logger.Error("the project page is not served; it is tried again", "at", cmp.Or(d.page.place.Socket, d.page.place.Listen), "error", text)
		} else if text == "" {
			d.logger.Info("the project page is served", "at", cmp.Or(d.page.place.Socket, d.page.place.Listen), "url", d.options.Config.Portal.URL)
		}
		said = text
	})
}

// reloadPage makes the page follow the configuration, which has the old [portal] where the new one takes a restart. Who is signed in stays so, and so do human tests that are under way.
func (d *Daemon) reloadPage(now *config.Config) error {
	if d.page == nil || now.Portal == nil {
		return nil
	}
	parts, err := makePortal(now, d.page.refresh, d.page.heard, d.options.Peek, d.logger)
	if err != nil {
		return err
	}
	if now.Portal.Human == d.page.human {
		parts.test, parts.work = d.page.portal.Test()
	}
	d.page.human = now.Portal.Human
	d.page.portal.Set(d.portalOptions(d.page, now, parts))
	return nil
}

// checkPortal makes all of the page and keeps nothing.
func checkPortal(c *config.Config, logger *slog.Logger) error {
	if c.Portal == nil {
		return nil
	}
	_, err := makePortal(c, nil, nil, nil, logger)
	return err
}

// portalRestarts lists the keys of [portal] that differ and are read only at the start.
func portalRestarts(a, b *config.Portal) []string {
	if a == nil || b == nil {
		if a == b {
			return nil
		}
		return []string{"portal"}
	}
	var out []string
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"portal.listen, portal.socket", a.Listen == b.Listen && a.Socket == b.Socket && a.Group == b.Group}, {"portal.cert_file", a.CertFile == b.CertFile && a.KeyFile == b.KeyFile},
		{"portal.url", a.URL == b.URL}, {"portal.login", a.Login == b.Login && a.Issuer == b.Issuer && a.ClientID == b.ClientID && a.SecretFile == b.SecretFile && a.GroupsClaim == b.GroupsClaim},
		{"portal's headers", a.UserHeader == b.UserHeader && a.NameHeader == b.NameHeader && a.GroupsHeader == b.GroupsHeader && slices.Equal(a.TrustedPeers, b.TrustedPeers)},
	} {
		if !k.same {
			out = append(out, k.key)
		}
	}
	return out
}

// pageTroubles are why the page is not served, and why nobody can sign in or unblock there.
func (d *Daemon) pageTroubles() (out []string) {
	if d.page == nil {
		return nil
	}
	for _, t := range []struct {
		what string
		why  *atomic.Pointer[string]
	}{{"the project page is not served: ", &d.page.trouble}, {"the project page had no answer from GitLab or its login provider ", &d.page.away}} {
		if text := t.why.Load(); text != nil && *text != "" {
			out = append(out, t.what+*text)
		}
	}
	return out
}

// checkCertificate looks whether the page could be served with its certificate. The daemon itself starts without and tries again: it has more to do. What this
// user may not read is no mistake.
func checkCertificate(c *config.Config) error {
	if c.Portal == nil {
		return nil
	}
	if err := certificate(c.Portal); err != nil && !errors.Is(err, fs.ErrPermission) {
		return portalProblem(c, "portal.cert_file", fmt.Errorf("cannot be used with key_file, so that the page would not be served: %w", err),
			"write the paths of a PEM certificate and of its key, or remove both and let a web server with TLS stand before it")
	}
	return nil
}

func certificate(p *config.Portal) error {
	if p.CertFile == "" {
		return nil
	}
	_, err := tls.LoadX509KeyPair(p.CertFile, p.KeyFile)
	return err
}

// checkPage looks whether this host has what the project page names.
func checkPage(c *config.Config) []string {
	p := c.Portal
	if p == nil {
		return nil
	}
	var out []string
	for _, path := range []string{p.SecretFile, p.Human.SecretFile} {
		if forService(path) {
			out = append(out, fmt.Sprintf("portal: %s is given to the service only; whether it is there was not looked at", path))
		}
	}
	if err := certificate(p); errors.Is(err, fs.ErrPermission) {
		out = append(out, fmt.Sprintf("portal: cert_file and key_file may not be read by this user; run the check as the daemon's user, or give it the right: %v", err))
	}
	if p.Group != "" {
		if _, err := user.LookupGroup(p.Group); err != nil {
			out = append(out, fmt.Sprintf("portal: the group %s is not there; name the web server's", p.Group))
		}
	}
	return out
}
