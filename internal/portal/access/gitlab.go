package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"regwarden/internal/portal/account"
)

const (
	askEach  = 10  // so many projects are asked for one by one; for more, the list of the person's projects is read
	pageSize = 100 // of that list, GitLab's most
	maxPages = 10
	maxToken = 2048 // bytes of a token
)

// GitLabOptions is where GitLab is.
type GitLabOptions struct {
	URL    string       // https://gitlab.example.org, without /api
	Client *http.Client // nil is one of its own; a request never takes longer than 3 s
	// Refresh gets the person of this context a new token in place of one that is over: login.Door.Refresh. nil is never.
	Refresh func(context.Context, account.User) (account.User, error)
	// Heard is told after each request: nil if GitLab answered, whatever it said, or why it did not. nil is nobody.
	Heard func(error)
}

// GitLab is a Source that asks GitLab's API with the person's own token.
type GitLab struct {
	api   api
	owner *cache[account.User] // of tokens, by their digest
}

// NewGitLab returns a source. It connects at each request.
func NewGitLab(o GitLabOptions) (*GitLab, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no address of a GitLab: write it like https://gitlab.example.org", o.URL)
	}
	return &GitLab{newAPI(strings.TrimRight(o.URL, "/"), u, o), newCache[account.User](maxAnswers, time.Minute)}, nil
}

// role is one of the two ways to a project that GitLab tells with it.
type role struct {
	Level Level `json:"access_level"`
}

type project struct {
	ID          int64  `json:"id"`
	Path        string `json:"path_with_namespace"`
	Permissions struct {
		Project *role `json:"project_access"`
		Group   *role `json:"group_access"`
	} `json:"permissions"`
}

// Level is max(project access, group access). GitLab may leave out access by an invited group there (its issue 3754), so whoever has less
// than Developer so far is also looked up among all members.
func (g *GitLab) Level(ctx context.Context, u account.User, path string) (Level, error) {
	if !strings.Contains(path, "/") {
		return None, ErrNotFound // every project has a namespace; GitLab would take a number for a project's ID
	}
	var p project
	moved, err := g.api.get(ctx, &u, "/projects/"+url.PathEscape(path), &p)
	if err != nil {
		return None, err
	}
	if !moved && !strings.EqualFold(p.Path, path) {
		return None, ErrNotFound
	}
	best := None
	for _, r := range []*role{p.Permissions.Project, p.Permissions.Group} {
		if r != nil {
			best = max(best, r.Level)
		}
	}
	if best < Developer {
		l, err := g.member(ctx, &u, p.ID)
		if err != nil {
			return None, err
		}
		best = max(best, l)
	}
	return best, nil
}

// member is the level among all members of a project: inherited and by invited groups too.
func (g *GitLab) member(ctx context.Context, u *account.User, id int64) (Level, error) {
	if _, err := strconv.ParseUint(u.Subject, 10, 63); err != nil {
		return None, fmt.Errorf("%w: GitLab's login gave the subject %q, which is no user's number", ErrSignIn, u.Subject)
	}
	var m struct {
		Level Level  `json:"access_level"`
		State string `json:"membership_state"`
	}
	_, err := g.api.get(ctx, u, fmt.Sprintf("/projects/%d/members/all/%s", id, u.Subject), &m)
	if errors.Is(err, ErrNotFound) || err == nil && m.State == "awaiting" {
		return None, nil
	}
	return m.Level, err
}

// Mine asks for few projects one by one, and for many through the list of the person's projects.
func (g *GitLab) Mine(ctx context.Context, u account.User, among []string, least Level) (mine []string, whole bool, err error) {
	if len(among) <= askEach {
		mine, err = g.each(ctx, u, among, least)
		return mine, err == nil, err
	}
	wanted := make(map[string]bool, len(among))
	for _, p := range among {
		wanted[p] = true
	}
	var after int64
	for range maxPages {
		var page []project
		query := fmt.Sprintf("/projects?membership=true&min_access_level=%d&simple=true&pagination=keyset&order_by=id&sort=asc&per_page=%d&id_after=%d", least, pageSize, after)
		if _, err := g.api.get(ctx, &u, query, &page); err != nil {
			return nil, false, err
		}
		for _, p := range page {
			after = max(after, p.ID)
			if path := strings.ToLower(p.Path); wanted[path] {
				delete(wanted, path)
				mine = append(mine, path)
			}
		}
		if len(page) < pageSize {
			return mine, true, nil
		}
	}
	return mine, len(wanted) == 0, nil // somebody in more than a thousand projects finds the others by their address
}

// each asks for all of them at the same time; api lets only some through at once.
func (g *GitLab) each(ctx context.Context, u account.User, among []string, least Level) (mine []string, err error) {
	levels, errs := make([]Level, len(among)), make([]error, len(among))
	var all sync.WaitGroup
	for i, p := range among {
		all.Go(func() { levels[i], errs[i] = g.Level(ctx, u, p) })
	}
	all.Wait()
	for i, p := range among {
		if errs[i] != nil && !errors.Is(errs[i], ErrNotFound) {
			return nil, errs[i]
		}
		if levels[i] >= least {
			mine = append(mine, p)
		}
	}
	return mine, nil
}

// person is what GitLab says of a token's owner.
type person struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
	State    string `json:"state"`
}

// Confirm asks GitLab whose token it is: the same number, the same username, and not blocked meanwhile.
func (g *GitLab) Confirm(ctx context.Context, u account.User) error {
	var now person
	if _, err := g.api.get(ctx, &u, "/user", &now); err != nil {
		if errors.Is(err, ErrNotFound) {
			return ErrSignIn
		}
		return err
	}
	if strconv.FormatInt(now.ID, 10) != u.Subject || now.Username != u.Username || now.State != "active" {
		return ErrSignIn
	}
	return nil
}

// Whose is the owner of a token that somebody sent with a request of their own, without a session: ErrSignIn if it is nobody's. The answer may be a
// minute old; what the person may do is asked with the token as ever.
func (g *GitLab) Whose(ctx context.Context, token account.Secret) (account.User, error) {
	text := token.Reveal()
	if text == "" || len(text) > maxToken || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return account.User{}, ErrSignIn
	}
	digest := sha256.Sum256([]byte(text))
	q := question{subject: string(digest[:])}
	if u, known := g.owner.get(q); known {
		return u, nil
	}
	var p person
	if _, err := g.api.once(ctx, token, "/user", &p); err != nil {
		if errors.Is(err, errOver) || errors.Is(err, ErrNotFound) {
			err = ErrSignIn
		}
		return account.User{}, err
	}
	if p.ID <= 0 || p.State != "active" {
		return account.User{}, ErrSignIn
	}
	u := account.User{Subject: strconv.FormatInt(p.ID, 10), Username: p.Username, Name: p.Name, Token: token}
	g.owner.put(q, u)
	return u, nil
}
