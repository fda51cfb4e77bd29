package portal

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
)

// apiRoute is one thing that the JSON API does. openapi.json describes the same, which a test holds.
type apiRoute struct {
	Method, Pattern string
	do              func(*Portal, *http.Request, account.User, string) (any, error)
}

// apiRoutes are all of it. A project is written as GitLab's API has it, acme%2Fweb. To unblock takes the human test here too: a token alone proves no person.
var apiRoutes = []apiRoute{
	{"GET", "/api/v1/projects/{project}/blocks", (*Portal).apiBlocks},
	{"GET", "/api/v1/projects/{project}/history", (*Portal).apiHistory},
	{"POST", "/api/v1/projects/{project}/blocks/{id}/challenge", (*Portal).apiChallenge},
	{"POST", "/api/v1/projects/{project}/blocks/{id}/unblock", (*Portal).apiUnblock},
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func (p *Portal) api(w http.ResponseWriter, r *http.Request, do func(*Portal, *http.Request, account.User, string) (any, error)) {
	body, err := p.apiAnswer(r, do)
	if err != nil {
		status, title, m := p.explain(err)
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="regwarden"`)
			m.Text = "Send a token of GitLab with the scope read_api, as Authorization: Bearer or PRIVATE-TOKEN."
		}
		p.retryAfter(w, status, err)
		write(w, status, "application/problem+json", problem{"about:blank", title, status, m.Text})
		return
	}
	write(w, http.StatusOK, "application/json; charset=utf-8", body)
}

type badRequest struct{ text string }

func (b *badRequest) Error() string { return b.text }

func (p *Portal) apiAnswer(r *http.Request, do func(*Portal, *http.Request, account.User, string) (any, error)) (any, error) {
	o := p.o.Load()
	if o.Token == nil {
		return nil, access.ErrNotFound
	}
	token := r.Header.Get("PRIVATE-TOKEN")
	if scheme, rest, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		token = rest
	}
	if token = strings.TrimSpace(token); token == "" {
		return nil, access.ErrSignIn
	}
	u, err := o.Token(r.Context(), account.NewSecret(token))
	if err != nil {
		return nil, err
	}
	return do(p, r, u, strings.ToLower(r.PathValue("project")))
}

func write(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (p *Portal) apiNotFound(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusNotFound, "application/problem+json", problem{"about:blank", "There is no such route", http.StatusNotFound, "/api/v1/openapi.json lists them; a project is written as acme%2Fweb"})
}

type apiBlock struct {
	ID        string     `json:"id"`
	Address   string     `json:"address"`
	Since     time.Time  `json:"since"`
	Until     time.Time  `json:"until"`
	Elsewhere bool       `json:"elsewhere"`
	Liftable  bool       `json:"liftable"`
	May       bool       `json:"may_lift"`
	Takes     string     `json:"takes,omitempty"`
	URL       string     `json:"url"`
	Causes    []apiCause `json:"causes"`
}

type apiCause struct {
	ID           string    `json:"id"`
	Rule         string    `json:"rule"`
	Why          string    `json:"why"`
	Fix          string    `json:"fix"`
	Since        time.Time `json:"since"`
	Until        time.Time `json:"until"`
	Count        int       `json:"count,omitempty"`
	Repositories []string  `json:"repositories,omitempty"`
	References   []string  `json:"references,omitempty"`
	Evidence     []string  `json:"evidence,omitempty"`
	Whole        bool      `json:"whole"`
}

func (o *Options) apiBlock(v blockView) apiBlock {
	out := apiBlock{ID: v.ID, Address: v.Address, Since: v.Since.At.UTC(), Until: v.Until.At.UTC(), Elsewhere: v.Elsewhere, Liftable: v.Liftable, May: v.May, URL: strings.TrimRight(o.URL, "/") + v.Link}
	if v.Liftable && !v.May {
		out.Takes = v.Who
	}
	for _, c := range v.Causes {
		out.Causes = append(out.Causes, apiCause{ID: c.ID, Rule: c.Rule, Why: c.Why, Fix: c.Fix, Since: c.Since.At.UTC(), Until: c.Until.At.UTC(), Count: c.Count,
			Repositories: c.Repositories, References: c.References, Evidence: c.Evidence, Whole: c.Whole})
	}
	return out
}

// apiBlocks are a project's blocked servers.
func (p *Portal) apiBlocks(r *http.Request, u account.User, project string) (any, error) {
	o := p.o.Load()
	level, err := o.Rights.View(r.Context(), u, project)
	if err != nil {
		return nil, err
	}
	blocks, err := o.Backend.Blocks(r.Context(), project)
	if err != nil {
		return nil, err
	}
	out := struct {
		Project string     `json:"project"`
		Blocks  []apiBlock `json:"blocks"`
		More    int        `json:"more"`
	}{project, []apiBlock{}, max(0, len(blocks)-mostBlocks)}
	for _, b := range blocks[:len(blocks)-out.More] {
		if v, ok := viewBlock(b, project, level, o, o.Clock()); ok {
			out.Blocks = append(out.Blocks, o.apiBlock(v))
		}
	}
	return out, nil
}

type apiEntry struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"`
	Address string    `json:"address"`
	What    string    `json:"what"`
	Why     string    `json:"why"`
	By      string    `json:"by"`
	Note    string    `json:"note,omitempty"`
	BlockID string    `json:"block_id"`
}

// apiHistory is a page of a project's history.
func (p *Portal) apiHistory(r *http.Request, u account.User, project string) (any, error) {
	level, err := p.o.Load().Rights.View(r.Context(), u, project)
	if err != nil {
		return nil, err
	}
	views, next, err := p.entries(r, project, level, beforeID(r), pageOfHistory)
	if err != nil {
		return nil, err
	}
	out := struct {
		Project string     `json:"project"`
		Entries []apiEntry `json:"entries"`
		Next    int64      `json:"next_before,omitempty"`
	}{project, []apiEntry{}, next}
	for _, v := range views {
		out.Entries = append(out.Entries, apiEntry{v.ID, v.At.At.UTC(), v.Address, v.What, v.Why, v.Who, v.Note, v.BlockID})
	}
	return out, nil
}

// apiChallenge makes a human test for a block, for whoever may lift it.
func (p *Portal) apiChallenge(r *http.Request, u account.User, project string) (any, error) {
	o := p.o.Load()
	level, err := o.Rights.Lift(r.Context(), u, project)
	if err != nil {
		return nil, err
	}
	b, err := p.find(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	v, _ := viewBlock(b, project, level, o, o.Clock())
	switch {
	case !v.Liftable:
		return nil, ErrNotYours
	case !v.May:
		return nil, &ErrReblocked{v.Reblock}
	case o.Test == nil:
		return nil, errNoTest
	}
	if err := o.room(r.Context(), u, level, project, v.Address); err != nil {
		return nil, err
	}
	binding := o.binding(u, project, v.Address)
	c, err := o.Test.Challenge(r.Context(), binding)
	if err != nil {
		return nil, err
	}
	out := struct {
		Challenge string `json:"challenge"`
		Kind      string `json:"kind"`
		Image     string `json:"image,omitempty"`
		Sound     string `json:"sound,omitempty"`
		SiteKey   string `json:"site_key,omitempty"`
		WorkID    string `json:"work_id,omitempty"`
		WorkSeed  string `json:"work_seed,omitempty"`
		WorkBits  int    `json:"work_bits,omitempty"`
	}{Challenge: c.ID, Kind: c.Kind, SiteKey: c.SiteKey}
	if len(c.Image) > 0 {
		out.Image = string(c.ImageURI())
	}
	if s, ok := o.Test.(human.Speaker); ok {
		wav, err := s.Sound(r.Context(), binding, c.ID)
		if err != nil {
			return nil, err
		}
		out.Sound = "data:audio/wav;base64," + base64.StdEncoding.EncodeToString(wav)
	}
	if o.Work != nil {
		puzzle, err := o.Work.Puzzle(binding)
		if err != nil {
			return nil, err
		}
		out.WorkID, out.WorkSeed, out.WorkBits = puzzle.ID, puzzle.Seed, puzzle.Bits
	}
	return out, nil
}

// apiUnblock lifts, like the form.
func (p *Portal) apiUnblock(r *http.Request, u account.User, project string) (any, error) {
	var in struct {
		Reason    string `json:"reason"`
		Challenge string `json:"challenge"`
		Answer    string `json:"answer"`
		WorkID    string `json:"work_id"`
		Work      string `json:"work"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, &badRequest{fmt.Sprintf(`want {"reason": "…", "challenge": "…", "answer": "…"}: %v`, err)}
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &badRequest{"there is more than one value"}
	}
	o := p.o.Load()
	form := url.Values{human.FieldID: {in.Challenge}, human.FieldAnswer: {in.Answer}, human.FieldWorkID: {in.WorkID}, human.FieldWork: {in.Work}}
	for _, widget := range []string{"h-captcha-response", "g-recaptcha-response", "cf-turnstile-response"} {
		form.Set(widget, in.Answer)
	}
	done, err := p.lift(human.WithVisitor(r.Context(), o.visitor(r)), wanted{user: u, project: project, id: r.PathValue("id"), reason: in.Reason, form: form})
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for _, c := range done.Causes {
		ids = append(ids, c.ID)
	}
	return struct {
		Address   string   `json:"address"`
		Lifted    []string `json:"lifted"`
		Remains   bool     `json:"remains"`
		Probation int      `json:"probation_seconds"`
	}{addressText(done.Target), ids, done.Remains, int(o.Limits.Probation.Seconds())}, nil
}

// APIRoutes are the methods and paths of the JSON API.
func APIRoutes() []string {
	var out []string
	for _, r := range apiRoutes {
		out = append(out, r.Method+" "+r.Pattern)
	}
	return out
}
