package portal_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal"
	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
	"regwarden/internal/portal/portaltest"
	"regwarden/internal/store"
)

var noon = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

// door lets in whoever the header names; the real one has its own tests.
type door struct{ people map[string]account.User }

type doorKey struct{}

func (d door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, ok := d.people[r.Header.Get("X-Test-User")]; ok {
			r = r.WithContext(context.WithValue(r.Context(), doorKey{}, u))
		}
		next.ServeHTTP(w, r)
	})
}

func (d door) User(ctx context.Context) (account.User, bool) {
	u, ok := ctx.Value(doorKey{}).(account.User)
	return u, ok
}

func (d door) Routes() http.Handler { return http.NotFoundHandler() }

// backend is a ledger and a database, as the daemon has them.
type backend struct {
	mu     sync.Mutex
	t      testing.TB
	ledger *detector.Ledger
	store  *store.Store
	now    func() time.Time
	err    error
}

func (b *backend) where(wanted func(*detector.Cause) bool) ([]detector.Block, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger.Expire(b.now())
	return b.ledger.Where(wanted), b.err
}

func (b *backend) Blocks(_ context.Context, project string) ([]detector.Block, error) {
	return b.where(func(c *detector.Cause) bool { return c.Share(project) > detector.ShareNone })
}

func (b *backend) Count(ctx context.Context, projects []string) (map[string]int, error) {
	out := map[string]int{}
	for _, p := range projects {
		blocks, err := b.Blocks(ctx, p)
		if err != nil {
			return nil, err
		}
		out[p] = len(blocks)
	}
	return out, nil
}

func (b *backend) ByID(_ context.Context, id string) (detector.Block, error) {
	found, err := b.where(func(c *detector.Cause) bool { return c.ID == id })
	if err == nil && len(found) == 0 {
		err = portal.ErrNotBlocked
	}
	if err != nil {
		return detector.Block{}, err
	}
	return found[0], nil
}

func (b *backend) Search(ctx context.Context, path string) ([]detector.Block, error) {
	return b.Blocks(ctx, path)
}

func (b *backend) BlocksOf(_ context.Context, a netip.Addr) ([]detector.Block, error) {
	if !a.IsValid() {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger.Holding(a), b.err
}

func (b *backend) Paths(ctx context.Context) (active, past []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger.Each(func(_ netip.Prefix, c *detector.Cause) { active = append(active, c.MayConcern()...) })
	past, err = b.store.RecentPaths(ctx, 2000, 500)
	return active, past, err
}

func (b *backend) History(ctx context.Context, q portal.HistoryQuery) (out []portal.Entry, err error) {
	entries, err := b.store.History(ctx, store.HistoryFilter{Within: q.Within, Holds: q.Address, BeforeID: q.BeforeID, Limit: q.Limit})
	for _, e := range entries {
		out = append(out, portal.Entry(e))
	}
	return out, err
}

func (b *backend) Lift(ctx context.Context, l portal.Lift) (portal.Lifted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.ledger.Where(func(c *detector.Cause) bool { return c.ID == l.ID })
	if len(found) == 0 {
		return portal.Lifted{}, portal.ErrNotBlocked
	}
	changes := b.ledger.LiftOnProbation(found[0].Target, l.Project, l.By, l.Reason, b.now(), l.Probation)
	if err := b.store.SaveChanges(ctx, changes); err != nil {
		return portal.Lifted{}, err
	}
	out := portal.Lifted{Target: found[0].Target, Remains: b.ledger.Has(found[0].Target)}
	for _, c := range changes {
		out.Causes = append(out.Causes, c.Cause)
	}
	return out, nil
}

func (b *backend) quota(over *store.Quota, again time.Time, err error) error {
	if err == nil && over != nil {
		return &portal.Full{Quota: portal.Quota(*over), Again: again}
	}
	return err
}

func quotas(list []portal.Quota) (out []store.Quota) {
	for _, q := range list {
		out = append(out, store.Quota(q))
	}
	return out
}

func (b *backend) Room(ctx context.Context, now time.Time, list ...portal.Quota) error {
	return b.quota(b.store.Spent(ctx, now, quotas(list)...))
}

func (b *backend) Use(ctx context.Context, now time.Time, list ...portal.Quota) error {
	return b.quota(b.store.Use(ctx, now, quotas(list)...))
}

func (b *backend) Overview(context.Context, time.Time, time.Duration) (portal.Overview, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return portal.Overview{Targets: b.ledger.Len(), ByRule: b.ledger.ByRule(), Version: "test", Since: noon,
		Storms: []portal.Storm{{Rule: "tag-scan", Why: "too many <b>clients</b>", At: noon}},
		Made:   []portal.Made{{From: noon.Add(-2 * time.Hour), Name: "missing-manifest", N: 4}, {From: noon.Add(-time.Hour), Name: "tag-scan", N: 1}},
		Most:   []portal.Made{{Name: "acme/web", N: 4}}}, nil
}

// block puts a cause on an address, a minute ago, for an hour.
func (b *backend) block(target string, c detector.Cause) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	c.By, c.Since, c.Until = "rule", now.Add(-time.Minute), now.Add(time.Hour)
	if c.Reason == "" {
		c.Reason = "keeps asking for a manifest that does not exist: 45 times in 4m0s"
	}
	if err := b.store.SaveChanges(b.t.Context(), []detector.Change{b.ledger.Add(netip.MustParsePrefix(target), c, now)}); err != nil {
		b.t.Fatal(err)
	}
}

// about is a cause of one repository.
func about(id, repository string) detector.Cause {
	return detector.Cause{ID: id, Rule: "missing-manifest", About: repository, Repositories: []string{repository}, References: []string{"v9"}, Scope: detector.ScopeRepository,
		Count: 45, Projects: detector.ProjectCandidates(repository), Samples: []string{`203.0.113.7 - - "GET /v2/` + repository + `/manifests/v9" 404 "docker"`}}
}

// site is the page over a stand-in of GitLab, and its visitors.
type site struct {
	t       *testing.T
	server  *httptest.Server
	gitlab  *portaltest.GitLab
	backend *backend
	portal  *portal.Portal
	options portal.Options
	clock   time.Time
	mu      sync.Mutex
	answers map[string]string // of human tests
	tested  []string
}

// The people of the tests: their number is their subject.
var people = map[string]int{"none": 1, "guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50, "shared": 31, "admin": 99}

const project = "acme/web"

func newSite(t *testing.T, change func(*portal.Options)) *site {
	t.Helper()
	s := &site{t: t, gitlab: portaltest.NewGitLab(), clock: noon, answers: map[string]string{}}
	api := httptest.NewServer(s.gitlab)
	t.Cleanup(api.Close)
	s.gitlab.Project(project, false)
	s.gitlab.Project("acme/other", false)
	d := door{map[string]account.User{}}
	for name, id := range people {
		s.gitlab.Add(portaltest.Person{ID: id, Username: name, Name: name})
		d.people[name] = account.User{Subject: itoa(id), Username: name, Token: account.NewSecret(s.gitlab.Token(id))}
		switch {
		case name == "shared":
			s.gitlab.Member(project, id, 30, portaltest.Shared)
		case id >= 10 && id <= 50:
			s.gitlab.Member(project, id, id, portaltest.Direct)
		}
	}
	st, err := store.Open(filepath.Join(t.TempDir(), "state.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	now := func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.clock }
	s.backend = &backend{t: t, ledger: detector.NewLedger(nil, nil), store: st, now: now}
	source, err := access.NewGitLab(access.GitLabOptions{URL: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	rights, err := access.New(source, access.Policy{Admins: []string{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	s.options = portal.Options{URL: "https://blocks.example.org", Door: d, Rights: rights, Backend: s.backend, Realm: "gitlab", Limits: portal.DefaultLimits,
		LiftFrom: access.Developer, Token: source.Whose, TestName: "image", Clock: now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Tested: func(provider, result string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tested = append(s.tested, provider+" "+result)
		},
		Test: human.NewImage(human.ImageOptions{PerUser: 100, Peek: func(id, answer string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.answers[id] = answer
		}})}
	if change != nil {
		change(&s.options)
	}
	s.portal = portal.New(s.options)
	s.server = httptest.NewServer(s.portal.Handler())
	t.Cleanup(s.server.Close)
	return s
}

func itoa(n int) string {
	return strings.TrimSpace(strings.Join([]string{string(rune('0' + n/10)), string(rune('0' + n%10))}, ""))
}

func (s *site) pass(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.clock = s.clock.Add(d) }

// reply is what came back.
type reply struct {
	status int
	body   string
	header http.Header
}

// send sends a request as somebody; "" is nobody. Redirects are not followed.
func (s *site) send(who, method, path string, body io.Reader, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Test-User", who)
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{w.StatusCode, string(text), w.Header}
}

func (s *site) get(who, path string, header ...string) reply {
	s.t.Helper()
	return s.send(who, "GET", path, nil, header...)
}

func (s *site) post(who, path string, form url.Values, header ...string) reply {
	s.t.Helper()
	return s.send(who, "POST", path, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

// between is the text between two others, for the fields of a form.
func between(text, from, to string) string {
	_, rest, ok := strings.Cut(text, from)
	if !ok {
		return ""
	}
	out, _, _ := strings.Cut(rest, to)
	return out
}

// form is the filled-in form of a block's page, right or wrong.
func (s *site) form(who, path string, right bool) url.Values {
	s.t.Helper()
	page := s.get(who, path)
	id := between(page.body, `name="challenge" value="`, `"`)
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := s.answers[id]
	if !right {
		answer = "x"
	}
	return url.Values{"challenge": {id}, "answer": {answer}, "reason": {"pushed the image"}}
}

// unblock does what a person does: opens the block, passes the test, sends the form.
func (s *site) unblock(who, id string) reply {
	s.t.Helper()
	path := "/p/" + project + "/-/blocks/" + id
	return s.post(who, path, s.form(who, path, true))
}

var errBroken = errors.New("broken")
