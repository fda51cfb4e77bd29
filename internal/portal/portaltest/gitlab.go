// Package portaltest stands in, in tests, for those whom the portal asks: a GitLab with its project API, an OpenID provider that signs real
// tokens, and the siteverify of the human tests' providers. No product code imports it.
package portaltest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Person has an account in GitLab and at the provider.
type Person struct {
	ID             int
	Username, Name string
	Groups         []string // the provider's groups claim
}

// Shape is how GitLab tells a membership.
type Shape int

// The shapes. Shared is access through an invited group, for which GitLab may tell neither of both in the project (its issue 3754).
const (
	Direct Shape = iota // permissions.project_access
	Group               // permissions.group_access
	Shared              // both null; only members/all has it
)

type membership struct {
	level int
	shape Shape
}

type project struct {
	id      int
	path    string
	public  bool
	members map[int]membership
}

// GitLab is a stand-in of the API under /api/v4. It knows a person by a token of Token, or by the subject of the provider's own tokens,
// whose signature it does not look at.
type GitLab struct {
	mu       sync.Mutex
	people   map[int]Person
	projects map[string]*project // by lower-case path
	moved    map[string]string
	tokens   map[string]int
	expired  map[string]bool
	blocked  map[int]bool
	away     bool
	status   int
	slow     time.Duration
	asked    []string
}

// NewGitLab returns an empty GitLab: serve it with httptest.
func NewGitLab() *GitLab {
	return &GitLab{people: map[int]Person{}, projects: map[string]*project{}, moved: map[string]string{}, tokens: map[string]int{}, expired: map[string]bool{}, blocked: map[int]bool{}}
}

// Add makes accounts.
func (g *GitLab) Add(people ...Person) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range people {
		g.people[p.ID] = p
	}
}

// Project makes a project, which only members see unless it is public. Upper case in the path is kept, and looked up without, as GitLab does.
func (g *GitLab) Project(path string, public bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.project(path).public = public
}

// Move renames a project: whoever asks for the old path is redirected.
func (g *GitLab) Move(from, to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.project(from)
	delete(g.projects, strings.ToLower(from))
	p.path = to
	g.projects[strings.ToLower(to)] = p
	g.moved[strings.ToLower(from)] = to
}

// Member gives somebody a level in a project; level -1 takes it away.
func (g *GitLab) Member(path string, id, level int, shape Shape) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.project(path)
	p.members[id] = membership{level, shape}
	if level < 0 {
		delete(p.members, id)
	}
}

func (g *GitLab) project(path string) *project {
	key := strings.ToLower(path)
	if g.projects[key] == nil {
		g.projects[key] = &project{id: 1000 + len(g.projects), path: path, members: map[int]membership{}}
	}
	return g.projects[key]
}

// Token makes a token of somebody.
func (g *GitLab) Token(id int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	token := fmt.Sprintf("glpat-stand-in-%d-%d", id, len(g.tokens))
	g.tokens[token] = id
	return token
}

// Expire ends all tokens of somebody that GitLab made or has seen so far.
func (g *GitLab) Expire(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for token, of := range g.tokens {
		if of == id {
			g.expired[token] = true
		}
	}
}

// Block makes somebody's account a blocked one.
func (g *GitLab) Block(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked[id] = true
}

// Away makes every request fail with 502, or lets them through again.
func (g *GitLab) Away(away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = away
}

// Status makes every request fail with a status; 0 ends it.
func (g *GitLab) Status(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// Slow makes every answer late; a client that goes away is not waited for.
func (g *GitLab) Slow(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow = d
}

// Asked is what was asked for since the last call: method, path as it was sent, and query.
func (g *GitLab) Asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() { g.asked = nil }()
	return g.asked
}

// ServeHTTP answers.
func (g *GitLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.Method+" "+r.URL.RequestURI())
	slow, status := g.slow, g.status
	if g.away {
		status = http.StatusBadGateway
	}
	g.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		http.Error(w, "<html>GitLab is not available</html>", status)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id, known := g.who(r)
	if !known {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Protected by OAuth 2.0", error="invalid_token"`)
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token", "error_description": "Token is expired. You can either do re-authorization or token refresh."})
		return
	}
	g.route(w, r, id)
}

// who is the owner of the request's token.
func (g *GitLab) who(r *http.Request) (int, bool) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || token == "" {
		return 0, false
	}
	id, known := g.tokens[token]
	if parts := strings.Split(token, "."); !known && len(parts) == 3 {
		var claims struct {
			Subject string `json:"sub"`
		}
		if raw, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(raw, &claims) == nil {
			id, _ = strconv.Atoi(claims.Subject)
			g.tokens[token] = id
		}
	}
	_, exists := g.people[id]
	return id, exists && !g.expired[token]
}

func (g *GitLab) route(w http.ResponseWriter, r *http.Request, id int) {
	path := r.URL.EscapedPath()
	rest, isProject := strings.CutPrefix(path, "/api/v4/projects/")
	switch {
	case r.Method != http.MethodGet:
		answer(w, http.StatusMethodNotAllowed, nil)
	case path == "/api/v4/user":
		p := g.people[id]
		state := "active"
		if g.blocked[id] {
			state = "blocked"
		}
		answer(w, http.StatusOK, map[string]any{"id": p.ID, "username": p.Username, "name": p.Name, "state": state})
	case path == "/api/v4/projects":
		g.list(w, r.URL.Query(), id)
	case isProject:
		parts := strings.Split(rest, "/")
		p := g.find(w, r, parts[0], id)
		switch {
		case p == nil:
		case len(parts) == 1:
			answer(w, http.StatusOK, g.told(p, id))
		case len(parts) == 4 && parts[1] == "members" && parts[2] == "all":
			g.member(w, p, parts[3])
		default:
			answer(w, http.StatusNotFound, map[string]any{"error": "404 Not Found"})
		}
	default:
		answer(w, http.StatusNotFound, map[string]any{"error": "404 Not Found"})
	}
}

// find is a project by number or escaped path, if this person sees it; else it has answered.
func (g *GitLab) find(w http.ResponseWriter, r *http.Request, escaped string, id int) *project {
	path, _ := url.PathUnescape(escaped)
	path = strings.ToLower(path)
	p := g.projects[path]
	if to, moved := g.moved[path]; moved {
		u := *r.URL
		u.RawPath = strings.Replace(u.EscapedPath(), escaped, url.PathEscape(to), 1)
		u.Path, _ = url.PathUnescape(u.RawPath)
		w.Header().Set("Location", "http://"+r.Host+u.RequestURI())
		w.WriteHeader(http.StatusMovedPermanently)
		return nil
	}
	if number, err := strconv.Atoi(path); err == nil {
		for _, each := range g.projects {
			if each.id == number {
				p = each
			}
		}
	}
	if p == nil || !p.public && p.members[id] == (membership{}) {
		answer(w, http.StatusNotFound, map[string]any{"message": "404 Project Not Found"})
		return nil
	}
	return p
}

// told is a project as GitLab tells it to a person.
func (g *GitLab) told(p *project, id int) map[string]any {
	permissions := map[string]any{"project_access": nil, "group_access": nil}
	if m, member := p.members[id]; member && m.shape != Shared {
		permissions[[]string{"project_access", "group_access"}[m.shape]] = map[string]any{"access_level": m.level, "notification_level": 3}
	}
	return map[string]any{"id": p.id, "path_with_namespace": p.path, "permissions": permissions}
}

func (g *GitLab) member(w http.ResponseWriter, p *project, user string) {
	id, err := strconv.Atoi(user)
	m, is := p.members[id]
	if err != nil || !is {
		answer(w, http.StatusNotFound, map[string]any{"message": "404 Not found"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"id": id, "username": g.people[id].Username, "access_level": m.level, "state": "active", "membership_state": "active"})
}

// list is the person's projects by number, a page after id_after.
func (g *GitLab) list(w http.ResponseWriter, q url.Values, id int) {
	least, _ := strconv.Atoi(q.Get("min_access_level"))
	after, _ := strconv.Atoi(q.Get("id_after"))
	size, _ := strconv.Atoi(q.Get("per_page"))
	page := []map[string]any{}
	all := make([]*project, 0, len(g.projects))
	for _, p := range g.projects {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *project) int { return cmp.Compare(a.id, b.id) })
	for _, p := range all {
		m, member := p.members[id]
		mine := member && m.level >= least || p.public && q.Get("membership") != "true"
		if mine && p.id > after && len(page) < max(1, min(size, 100)) {
			page = append(page, map[string]any{"id": p.id, "path_with_namespace": p.path})
		}
	}
	answer(w, http.StatusOK, page)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
