package access_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/portaltest"
)

var (
	dana = portaltest.Person{ID: 42, Username: "dana", Name: "Dana"}
	root = portaltest.Person{ID: 1, Username: "root", Name: "Root"}
)

// host is a GitLab and the decisions that ask it.
type host struct {
	*portaltest.GitLab
	*access.Access
	url     string
	source  *access.GitLab
	renewed int // how often a token was refreshed
	refuse  bool
	mu      sync.Mutex
}

func start(t *testing.T, p access.Policy) *host {
	t.Helper()
	h := &host{GitLab: portaltest.NewGitLab()}
	h.Add(dana, root)
	s := httptest.NewServer(h.GitLab)
	t.Cleanup(s.Close)
	h.url = s.URL
	var err error
	if h.source, err = access.NewGitLab(access.GitLabOptions{URL: s.URL, Refresh: h.refresh}); err != nil {
		t.Fatal(err)
	}
	if h.Access, err = access.New(h.source, p); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) refresh(_ context.Context, u account.User) (account.User, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse {
		return account.User{}, errors.New("the provider refuses")
	}
	h.renewed++
	u.Token = account.NewSecret(h.Token(42))
	return u, nil
}

func (h *host) as(p portaltest.Person) account.User {
	return account.User{Subject: fmt.Sprint(p.ID), Username: p.Username, Name: p.Name, Token: account.NewSecret(h.Token(p.ID))}
}

func TestRolesAndWhatTheyMay(t *testing.T) {
	shapes := map[portaltest.Shape]string{portaltest.Direct: "direct", portaltest.Group: "by group", portaltest.Shared: "by an invited group"}
	for shape, name := range shapes {
		for _, c := range []struct {
			level      int
			view, lift error
		}{
			{0, access.ErrNotFound, access.ErrNotFound},
			{10, access.ErrNotFound, access.ErrNotFound},
			{15, access.ErrNotFound, access.ErrNotFound},
			{20, nil, access.ErrNotAllowed},
			{25, nil, access.ErrNotAllowed},
			{30, nil, nil},
			{40, nil, nil},
			{50, nil, nil},
		} {
			t.Run(fmt.Sprint(c.level, " ", name), func(t *testing.T) {
				h := start(t, access.Policy{})
				h.Member("acme/web", dana.ID, c.level, shape)
				h.Project("other/app", false)
				u := h.as(dana)
				for _, cached := range []bool{false, true} {
					if l, err := h.View(t.Context(), u, "acme/web"); !errors.Is(err, c.view) || err == nil && int(l) != c.level {
						t.Errorf("view: want %d %v, got %d %v (cached: %v)", c.level, c.view, l, err, cached)
					}
				}
				if l, err := h.Lift(t.Context(), u, "acme/web"); !errors.Is(err, c.lift) || err == nil && int(l) != c.level {
					t.Errorf("lift: want %d %v, got %d %v", c.level, c.lift, l, err)
				}
				mine, whole, err := h.Mine(t.Context(), u, []string{"other/app", "acme/web"})
				if sees := slices.Equal(mine, []string{"acme/web"}); sees != (c.view == nil) || !whole || err != nil {
					t.Errorf("mine: want %v, got %q %v %v", c.view == nil, mine, whole, err)
				}
				for _, other := range []string{"other/app", "no/such"} { // the same for one that is there and one that is not
					_, seen := h.View(t.Context(), u, other)
					_, lifted := h.Lift(t.Context(), u, other)
					if seen != access.ErrNotFound || lifted != access.ErrNotFound {
						t.Errorf("%s: want not found, got %v and %v", other, seen, lifted)
					}
				}
			})
		}
	}
}

func TestRolesAreConfigurable(t *testing.T) {
	h := start(t, access.Policy{View: access.Guest, Lift: access.Maintainer})
	h.Member("acme/web", dana.ID, 10, portaltest.Direct)
	if l, err := h.Lift(t.Context(), h.as(dana), "acme/web"); l != access.Guest || !errors.Is(err, access.ErrNotAllowed) {
		t.Errorf("a guest sees and may not lift: %v %v", l, err)
	}
	h.Member("acme/web", dana.ID, 30, portaltest.Direct)
	if _, err := h.Lift(t.Context(), h.as(dana), "acme/web"); !errors.Is(err, access.ErrNotAllowed) {
		t.Errorf("a developer may not lift: %v", err)
	}
	for _, p := range []access.Policy{{View: access.Owner}, {View: 5}, {Lift: access.Admin}, {Admins: []string{""}}, {Admins: []string{"sub:"}}, {Admins: []string{"dana"}, OnlySubjects: true}, {AdminGroups: []string{""}}} {
		if _, err := access.New(nil, p); err == nil {
			t.Errorf("%+v: want it refused", p)
		}
	}
}

func TestTheHighestOfTwoWaysCounts(t *testing.T) {
	answers := map[string]string{
		"/api/v4/projects/acme%2Fweb":       `{"id":7,"path_with_namespace":"acme/web","permissions":{"project_access":{"access_level":30},"group_access":{"access_level":40}}}`,
		"/api/v4/projects/acme%2Flow":       `{"id":8,"path_with_namespace":"Acme/Low","permissions":{"project_access":{"access_level":10},"group_access":null}}`,
		"/api/v4/projects/8/members/all/42": `{"id":42,"access_level":30,"membership_state":"active"}`,
		"/api/v4/projects/acme%2Fwait":      `{"id":9,"path_with_namespace":"acme/wait","permissions":{"project_access":null,"group_access":null}}`,
		"/api/v4/projects/9/members/all/42": `{"id":42,"access_level":30,"membership_state":"awaiting"}`,
		"/api/v4/projects/acme%2Fswap":      `{"id":7,"path_with_namespace":"acme/web","permissions":{"project_access":{"access_level":50}}}`,
		"/api/v4/projects/acme%2Fhuge":      `{"id":10,"path_with_namespace":"acme/huge","permissions":{"project_access":{"access_level":99}}}`,
		"/api/v4/projects/acme%2Fnull":      `null`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers[r.URL.EscapedPath()] == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, answers[r.URL.EscapedPath()])
	}))
	defer s.Close()
	source, _ := access.NewGitLab(access.GitLabOptions{URL: s.URL + "/"})
	a, _ := access.New(source, access.Policy{})
	u := account.User{Subject: "42", Token: account.NewSecret("x")}
	for path, want := range map[string]access.Level{"acme/web": 40, "acme/low": 30, "acme/wait": 0, "acme/swap": 0, "acme/huge": access.Owner, "acme/null": 0} {
		if l, err := a.View(t.Context(), u, path); l != want || (err == nil) != (want > 0) {
			t.Errorf("%s: want %d, got %d %v", path, want, l, err)
		}
	}
}

func TestAPublicProjectIsNoMembership(t *testing.T) {
	h := start(t, access.Policy{})
	h.Project("acme/open", true)
	if _, err := h.View(t.Context(), h.as(dana), "acme/open"); err != access.ErrNotFound {
		t.Errorf("want not found, got %v", err)
	}
}

func TestNothingIsAskedForABadPath(t *testing.T) {
	h := start(t, access.Policy{Admins: []string{"dana"}})
	h.Member("acme/web", dana.ID, 50, portaltest.Direct)
	for _, path := range []string{"", "..", "acme/../acme/web", "acme%2fweb", "acme/web?x", "acme/web#", "Acme/web", "acme/web/", "acme//web", "acme/web\n", strings.Repeat("a/", 200) + "b"} {
		for _, who := range []account.User{h.as(dana), h.as(root)} {
			if _, err := h.View(t.Context(), who, path); !errors.Is(err, access.ErrPath) {
				t.Errorf("view %q: %v", path, err)
			}
			if _, err := h.Lift(t.Context(), who, path); !errors.Is(err, access.ErrPath) {
				t.Errorf("lift %q: %v", path, err)
			}
			if mine, _, err := h.Mine(t.Context(), who, []string{path}); len(mine) > 0 || err != nil {
				t.Errorf("mine %q: %q %v", path, mine, err)
			}
		}
	}
	if asked := h.Asked(); len(asked) > 0 {
		t.Errorf("GitLab was asked: %q", asked)
	}
}

func TestANumberIsNoPath(t *testing.T) { // GitLab takes it for the ID of any project
	h := start(t, access.Policy{})
	h.Member("acme/web", dana.ID, 50, portaltest.Direct)
	if _, err := h.View(t.Context(), h.as(dana), "1000"); err != access.ErrNotFound {
		t.Errorf("want not found, got %v", err)
	}
	if asked := h.Asked(); len(asked) > 0 {
		t.Errorf("GitLab was asked: %q", asked)
	}
}

func TestALookIsKeptAndALiftingIsNot(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/web", dana.ID, 40, portaltest.Direct)
	u := h.as(dana)
	for range 3 {
		if _, err := h.View(t.Context(), u, "acme/web"); err != nil {
			t.Fatal(err)
		}
	}
	if asked := h.Asked(); len(asked) != 1 {
		t.Errorf("three looks want one request, got %q", asked)
	}
	h.Member("acme/web", dana.ID, -1, portaltest.Direct)
	if _, err := h.Lift(t.Context(), u, "acme/web"); err != access.ErrNotFound {
		t.Errorf("who left may not lift: %v", err)
	}
	if _, err := h.View(t.Context(), u, "acme/web"); err != access.ErrNotFound {
		t.Errorf("and the next look knows it: %v", err)
	}
	h.Asked()
	other := h.as(root)
	if _, err := h.View(t.Context(), other, "acme/web"); err != access.ErrNotFound {
		t.Errorf("nobody has another's answer: %v", err)
	}
	if asked := h.Asked(); len(asked) == 0 {
		t.Error("somebody else must be asked for")
	}
}

func TestAnAnswerIsKeptNoLongerThanItShould(t *testing.T) {
	h := start(t, access.Policy{CacheFor: time.Nanosecond})
	h.Member("acme/web", dana.ID, 20, portaltest.Group)
	u := h.as(dana)
	if _, err := h.View(t.Context(), u, "acme/web"); err != nil {
		t.Fatal(err)
	}
	h.Member("acme/web", dana.ID, -1, portaltest.Group)
	if _, err := h.View(t.Context(), u, "acme/web"); err != access.ErrNotFound {
		t.Errorf("want not found, got %v", err)
	}
}

func TestGitLabAwayLiftsNothing(t *testing.T) {
	for name, trouble := range map[string]func(*host){
		"502":             func(h *host) { h.Away(true) },
		"500":             func(h *host) { h.Status(500) },
		"too many":        func(h *host) { h.Status(429) },
		"redirect":        func(h *host) { h.Status(302) },
		"teapot":          func(h *host) { h.Status(418) },
		"an empty answer": func(h *host) { h.Status(200) }, // with HTML in it
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, access.Policy{Admins: []string{"root"}})
			h.Member("acme/web", dana.ID, 50, portaltest.Direct)
			if _, err := h.View(t.Context(), h.as(dana), "acme/web"); err != nil {
				t.Fatal(err)
			}
			trouble(h)
			if _, err := h.View(t.Context(), h.as(dana), "acme/web"); err != nil {
				t.Errorf("a look goes on for a while: %v", err)
			}
			for _, who := range []portaltest.Person{dana, root} {
				if l, err := h.Lift(t.Context(), h.as(who), "acme/web"); !errors.Is(err, access.ErrAway) || l != access.None {
					t.Errorf("%s: want away, got %v %v", who.Username, l, err)
				}
			}
			if err := h.AdminNow(t.Context(), h.as(root)); !errors.Is(err, access.ErrAway) {
				t.Errorf("admin: want away, got %v", err)
			}
			if _, _, err := h.Mine(t.Context(), h.as(dana), []string{"acme/web"}); !errors.Is(err, access.ErrAway) {
				t.Errorf("mine: want away, got %v", err)
			}
		})
	}
}

func TestASlowGitLabIsAway(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/web", dana.ID, 50, portaltest.Direct)
	h.Slow(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond) // the same way as the 3 s of its own
	defer cancel()
	if _, err := h.Lift(ctx, h.as(dana), "acme/web"); !errors.Is(err, access.ErrAway) {
		t.Errorf("want away, got %v", err)
	}
}

func TestATokenThatIsOver(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/web", dana.ID, 30, portaltest.Shared)
	u := h.as(dana)
	h.Expire(dana.ID)
	if l, err := h.Lift(t.Context(), u, "acme/web"); l != access.Developer || err != nil {
		t.Errorf("a refreshed token lifts: %v %v", l, err)
	}
	if h.renewed != 1 {
		t.Errorf("both requests of one question want one refresh, got %d", h.renewed)
	}
	h.Expire(dana.ID)
	h.refuse = true
	if _, err := h.Lift(t.Context(), u, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("want a new sign-in, got %v", err)
	}
	if _, err := h.Lift(t.Context(), account.User{Subject: "42"}, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("without a token: want a new sign-in, got %v", err)
	}
	if _, err := h.Lift(t.Context(), account.User{}, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("nobody: want a new sign-in, got %v", err)
	}
}

func TestARefreshThatComesBackAsSomebodyElse(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/web", root.ID, 50, portaltest.Direct)
	source, _ := access.NewGitLab(access.GitLabOptions{URL: h.url, Refresh: func(context.Context, account.User) (account.User, error) { return h.as(root), nil }})
	u := h.as(dana)
	h.Expire(dana.ID)
	if _, err := source.Level(t.Context(), u, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("want a new sign-in, got %v", err)
	}
}

func TestATokenWithoutReadAPI(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="x", error="insufficient_scope"`)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer s.Close()
	source, _ := access.NewGitLab(access.GitLabOptions{URL: s.URL})
	_, err := source.Level(t.Context(), account.User{Subject: "42", Token: account.NewSecret("x")}, "acme/web")
	if !errors.Is(err, access.ErrAway) || !strings.Contains(err.Error(), "read_api") {
		t.Errorf("want it said, got %v", err)
	}
}

func TestAMovedProjectIsFollowedAndAnotherHostIsNot(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/old", dana.ID, 30, portaltest.Direct)
	h.Move("acme/old", "acme/new")
	if l, err := h.Lift(t.Context(), h.as(dana), "acme/old"); l != access.Developer || err != nil {
		t.Errorf("the old path is the new project's: %v %v", l, err)
	}
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stolen = append(stolen, r.Header.Get("Authorization")) }))
	defer thief.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.RequestURI(), http.StatusFound)
	}))
	defer s.Close()
	source, _ := access.NewGitLab(access.GitLabOptions{URL: s.URL})
	if _, err := source.Level(t.Context(), h.as(dana), "acme/web"); !errors.Is(err, access.ErrAway) || len(stolen) > 0 {
		t.Errorf("want nothing sent elsewhere: %v, %q", err, stolen)
	}
}

func TestMineOfMany(t *testing.T) {
	h := start(t, access.Policy{})
	var all, want []string
	for i := range 250 {
		path := fmt.Sprintf("acme/app%03d", i)
		all = append(all, path)
		level, shape := []int{0, 10, 20, 30, 50}[i%5], portaltest.Shape(i%3)
		h.Member(strings.Replace(path, "acme", "Acme", 1), dana.ID, level, shape)
		if level >= 20 {
			want = append(want, path)
		}
	}
	all = append(all, all[7], "no/such", "../x")
	for range 2 {
		mine, whole, err := h.Mine(t.Context(), h.as(dana), all)
		if diff := cmp.Diff(want, mine); diff != "" || !whole || err != nil {
			t.Errorf("whole %v, %v:\n%s", whole, err, diff)
		}
	}
	if asked := h.Asked(); len(asked) != 2 {
		t.Errorf("150 projects want two pages, once: %q", asked)
	}
	if mine, whole, err := h.Mine(t.Context(), h.as(root), all); len(mine) > 0 || !whole || err != nil {
		t.Errorf("a stranger has none: %q %v %v", mine, whole, err)
	}
}

func TestMineIsBounded(t *testing.T) {
	h := start(t, access.Policy{})
	for i := range 1100 {
		h.Member(fmt.Sprintf("acme/app%04d", i), dana.ID, 40, portaltest.Direct)
	}
	wanted := []string{"acme/app1099", "acme/app0003"}
	for i := range 20 {
		wanted = append(wanted, fmt.Sprintf("other/app%d", i))
	}
	mine, whole, err := h.Mine(t.Context(), h.as(dana), wanted)
	if diff := cmp.Diff([]string{"acme/app0003"}, mine); diff != "" || whole || err != nil {
		t.Errorf("whole %v, %v:\n%s", whole, err, diff)
	}
	if asked := h.Asked(); len(asked) != 10 {
		t.Errorf("want ten pages, got %d", len(asked))
	}
	var many []string
	for i := range 1500 {
		many = append(many, fmt.Sprintf("acme/app%04d", i))
	}
	if mine, whole, err := h.Mine(t.Context(), h.as(dana), many); len(mine) != 1000 || whole || err != nil {
		t.Errorf("want the first thousand, got %d %v %v", len(mine), whole, err)
	}
}

func TestAdmins(t *testing.T) {
	h := start(t, access.Policy{Admins: []string{"Root", "sub:7"}, FoldNames: true})
	h.Project("acme/web", false)
	admin := h.as(root)
	if l, err := h.View(t.Context(), admin, "acme/web"); l != access.Admin || err != nil {
		t.Errorf("view: %v %v", l, err)
	}
	if l, err := h.Lift(t.Context(), admin, "acme/web"); l != access.Admin || err != nil {
		t.Errorf("lift: %v %v", l, err)
	}
	if mine, whole, err := h.Mine(t.Context(), admin, []string{"acme/web", "b/c"}); len(mine) != 2 || !whole || err != nil {
		t.Errorf("mine: %q %v %v", mine, whole, err)
	}
	if err := h.AdminNow(t.Context(), admin); err != nil {
		t.Errorf("now: %v", err)
	}
	if !h.Admin(account.User{Subject: "7", Username: "renamed"}) || h.Admin(account.User{Subject: "8", Username: "sub:7"}) || h.Admin(account.User{Username: "root"}) || h.Admin(account.User{}) {
		t.Error("an admin is who the configuration names, and signed in")
	}
	if err := h.AdminNow(t.Context(), h.as(dana)); err != access.ErrNotFound {
		t.Errorf("others: %v", err)
	}
	h.Add(portaltest.Person{ID: 1, Username: "formerly-root"}) // the name is free for others now
	if _, err := h.Lift(t.Context(), admin, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("renamed: want a new sign-in, got %v", err)
	}
	thief := h.as(dana)
	thief.Username = "root" // as an old session of somebody else would have it
	if _, err := h.Lift(t.Context(), thief, "acme/web"); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("another's name: want a new sign-in, got %v", err)
	}
}

func TestNoErrorShowsAToken(t *testing.T) {
	h := start(t, access.Policy{})
	u := h.as(dana)
	for _, trouble := range []func(){func() { h.Status(500) }, func() { h.Status(0); h.Expire(dana.ID); h.refuse = true }} {
		trouble()
		_, err := h.Lift(t.Context(), u, "acme/web")
		if err == nil || strings.Contains(err.Error(), u.Token.Reveal()) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAddressesOfGitLab(t *testing.T) {
	for _, bad := range []string{"", "gitlab.example.org", "ftp://gitlab.example.org", "https://", "https://user:pass@gitlab.example.org", "https://gitlab.example.org?x=y", "https://gitlab.example.org/#x", "%"} {
		if _, err := access.NewGitLab(access.GitLabOptions{URL: bad}); err == nil {
			t.Errorf("%q: want it refused", bad)
		}
	}
}

func TestWhoseTokenItIs(t *testing.T) {
	h := start(t, access.Policy{})
	h.Member("acme/web", dana.ID, 30, portaltest.Direct)
	token := account.NewSecret(h.Token(dana.ID))
	for range 3 {
		u, err := h.source.Whose(t.Context(), token)
		if err != nil || u.Subject != "42" || u.Username != "dana" || u.Token.Reveal() != token.Reveal() {
			t.Fatalf("got %+v %v", u, err)
		}
	}
	if asked := h.Asked(); len(asked) != 1 {
		t.Errorf("three times want one request: %q", asked)
	}
	u, _ := h.source.Whose(t.Context(), token)
	if l, err := h.Lift(t.Context(), u, "acme/web"); l != access.Developer || err != nil {
		t.Errorf("got %v %v", l, err)
	}
	h.Asked()
	for name, bad := range map[string]string{"empty": "", "line end": "x\r\nX-Admin: 1", "space": "a b", "no ASCII": "tökén", "huge": strings.Repeat("x", 3000)} {
		if _, err := h.source.Whose(t.Context(), account.NewSecret(bad)); !errors.Is(err, access.ErrSignIn) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := h.Asked(); len(asked) > 0 {
		t.Errorf("none of these is asked for: %q", asked)
	}
	if _, err := h.source.Whose(t.Context(), account.NewSecret("invented")); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("invented: %v", err)
	}
	h.Block(dana.ID)
	if _, err := h.source.Whose(t.Context(), account.NewSecret(h.Token(dana.ID))); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("blocked: %v", err)
	}
	if err := h.source.Confirm(t.Context(), u); !errors.Is(err, access.ErrSignIn) {
		t.Errorf("blocked: %v", err)
	}
	h.Away(true)
	if _, err := h.source.Whose(t.Context(), account.NewSecret("another")); !errors.Is(err, access.ErrAway) {
		t.Errorf("away: %v", err)
	}
	if h.renewed > 0 {
		t.Error("a token without a session is never refreshed")
	}
}

// TestWhetherGitLabAnswersIsTold for the operator. What it says of a person is an answer; a visitor who goes away is none.
func TestWhetherGitLabAnswersIsTold(t *testing.T) {
	gitlab := portaltest.NewGitLab()
	gitlab.Add(dana)
	server := httptest.NewServer(gitlab)
	defer server.Close()
	var heard []string
	source, err := access.NewGitLab(access.GitLabOptions{URL: server.URL, Heard: func(err error) { heard = append(heard, fmt.Sprint(errors.Is(err, access.ErrAway))) }})
	if err != nil {
		t.Fatal(err)
	}
	u := account.User{Subject: fmt.Sprint(dana.ID), Username: dana.Username, Token: account.NewSecret(gitlab.Token(dana.ID))}
	ask := func(ctx context.Context) { _, _ = source.Level(ctx, u, "acme/none") }
	ask(t.Context())
	gitlab.Away(true)
	ask(t.Context())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ask(gone)
	gitlab.Away(false)
	ask(t.Context())
	if got := strings.Join(heard, " "); got != "false true false" {
		t.Errorf("want an answer, none, an answer; got away: %s", got)
	}
}
