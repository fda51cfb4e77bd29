package portal

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal/access"
	"regwarden/internal/portal/account"
	"regwarden/internal/portal/human"
	"regwarden/internal/portal/login"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pages are the templates by name, each with the frame around it.
var pages = func() map[string]*template.Template {
	out := map[string]*template.Template{}
	for _, name := range []string{"home", "project", "block", "done", "history", "blocked", "admin", "message", "door", "welcome"} {
		out[name] = template.Must(template.New("frame.html").Funcs(template.FuncMap{"link": projectLink}).
			ParseFS(templateFiles, "templates/frame.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return out
}()

// frame is what every page has around it.
type frame struct {
	Title  string
	User   string // "" for nobody
	Admin  bool
	Demo   bool
	Here   string // the path, for the navigation and for the way back after signing in
	SignIn string
	Body   any
}

// show writes a page. It is made whole before anything is sent, so that no mistake leaves half of one.
func (p *Portal) show(w http.ResponseWriter, r *http.Request, status int, name, title string, body any) {
	o := p.o.Load()
	f := frame{Title: title, Demo: o.Demo, Here: r.URL.Path, SignIn: signIn(r), Body: body}
	if u, ok := o.Door.User(r.Context()); ok {
		f.User, f.Admin = tidy(cmpOr(u.Name, u.Username, "somebody"), 64), o.Rights.Admin(u)
	}
	var b bytes.Buffer
	if err := pages[name].Execute(&b, f); err != nil {
		o.Log.Error("a page cannot be made", "page", name, "error", err)
		http.Error(w, "This page cannot be shown. The operator's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(escaped(b.Bytes()))
}

func cmpOr(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

// signIn is the link to the door, and back here after it.
func signIn(r *http.Request) string {
	to := r.URL.Path
	if r.Method == http.MethodGet && r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	if strings.HasPrefix(to, "/login") || strings.HasPrefix(to, "/logout") {
		to = "/"
	}
	return "/login?to=" + url.QueryEscape(to)
}

// user is who is there; nobody is sent to the door. A form is not: what it wanted must be wanted anew.
func (p *Portal) user(w http.ResponseWriter, r *http.Request) (account.User, bool) {
	u, ok := p.o.Load().Door.User(r.Context())
	switch {
	case ok:
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		http.Redirect(w, r, signIn(r), http.StatusSeeOther)
	default:
		p.fail(w, r, access.ErrSignIn, "")
	}
	return u, ok
}

// message is a page that only says something.
type message struct {
	Status int
	Text   string
	// BlockID is what an admin needs to hear; SignIn is where to sign in anew; Socket is the way out on the host.
	BlockID string
	SignIn  string
	Socket  string
}

// fail shows what is the matter. Who may not see a project reads the same as for one that does not exist.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, err error, blockID string) {
	status, title, m := p.explain(err)
	m.Status, m.BlockID = status, blockID
	if status == http.StatusUnauthorized {
		m.SignIn = signIn(r)
	}
	p.retryAfter(w, status, err)
	p.show(w, r, status, "message", title, m)
}

// retryAfter says when to come again, where that is known: when a quota has room, or when somebody who is away may be back.
func (p *Portal) retryAfter(w http.ResponseWriter, status int, err error) {
	var full *Full
	switch {
	case errors.As(err, &full):
		wait := full.Again.Sub(p.o.Load().Clock())
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second))))
	case status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "30")
	}
}

// explain is an error as a status, a title and what to do.
func (p *Portal) explain(err error) (int, string, message) {
	o := p.o.Load()
	var full *Full
	var reblocked *ErrReblocked
	var bad *badRequest
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest, "The request cannot be read", message{Text: bad.text}
	case errors.Is(err, access.ErrPath), errors.Is(err, access.ErrNotFound):
		return http.StatusNotFound, "There is no such page", message{Text: "There is no such page, or you may not see it. If you are a member of the project, look at its path: it is written as in its address, such as acme/web."}
	case errors.Is(err, access.ErrSignIn):
		return http.StatusUnauthorized, "Please sign in anew", message{Text: "Your sign-in is no longer valid. Nothing was changed."}
	case errors.Is(err, access.ErrAway):
		return http.StatusServiceUnavailable, "Your role cannot be checked now", message{Text: "The service that knows the projects' members does not answer. Until it does, nothing is shown and nobody can be unblocked here. An operator can do it on the host:", Socket: "regwarden unblock ADDRESS"}
	case errors.Is(err, access.ErrNotAllowed):
		return http.StatusForbidden, "Your role does not allow it", message{Text: "You may see this project's blocked servers. To unblock one takes " + levelWords(o.LiftFrom) + "."}
	case errors.As(err, &reblocked):
		return http.StatusForbidden, "Your role does not allow it", message{Text: "The server was unblocked and blocked again " + times(reblocked.Reblock) + " since. To unblock it now takes " + levelWords(o.needs(reblocked.Reblock)) + "."}
	case errors.As(err, &full):
		return http.StatusTooManyRequests, "Too often", message{Text: o.quotaWords(full) + " There is room again " + moment{full.Again, o.Clock()}.Relative() + ". If it cannot wait, ask an admin."}
	case errors.Is(err, ErrNotBlocked):
		return http.StatusNotFound, "There is no such block any more", message{Text: "It has ended, or somebody has lifted it."}
	case errors.Is(err, ErrNotYours):
		return http.StatusForbidden, "This block is not the project's to lift", message{Text: "The rule counts requests over the whole registry, not for one project. Ask an admin."}
	case errors.Is(err, human.ErrAway):
		return http.StatusServiceUnavailable, "The human test does not answer", message{Text: "Nobody can be unblocked here until it does. Ask an admin."}
	case errors.Is(err, errNoTest), errors.Is(err, errNoReason), errors.Is(err, errLongReason):
		return http.StatusUnprocessableEntity, "It was not unblocked", message{Text: upper(err.Error()) + "."}
	case errors.Is(err, human.ErrWrong), errors.Is(err, human.ErrExpired), errors.Is(err, human.ErrSpent), errors.Is(err, human.ErrNotYours):
		return http.StatusUnprocessableEntity, "The human test was not passed", message{Text: upper(err.Error()) + "." + tryAgain}
	}
	o.Log.Error("the project page cannot answer", "error", err)
	return http.StatusInternalServerError, "This cannot be shown now", message{Text: "The operator's log says why."}
}

// tryAgain follows a failed test where there is a new one.
const tryAgain = " Please try the new one."

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (p *Portal) notFound(w http.ResponseWriter, r *http.Request) {
	p.fail(w, r, access.ErrNotFound, "")
}

// projectRow is a project on the first page.
type projectRow struct {
	Path, Link string
	Servers    int
}

// homeBody is the first page.
type homeBody struct {
	Mine []projectRow
	// Some says that not all projects could be asked for.
	Some bool
}

// home shows somebody's projects, those with blocks first. Nobody is greeted and not sent to the door: who has just signed out would come back signed in.
func (p *Portal) home(w http.ResponseWriter, r *http.Request) {
	o := p.o.Load()
	u, ok := o.Door.User(r.Context())
	if !ok {
		p.show(w, r, http.StatusOK, "welcome", "Blocked servers", nil)
		return
	}
	active, past, err := o.Backend.Paths(r.Context())
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	mine, whole, err := o.Rights.Mine(r.Context(), u, append(active, past...))
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	mine = topmost(mine)
	body := homeBody{Some: !whole}
	servers, err := o.Backend.Count(r.Context(), mine)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	for _, path := range mine {
		body.Mine = append(body.Mine, projectRow{Path: path, Link: projectLink(path), Servers: servers[path]})
	}
	if o.Rights.Admin(u) { // for whom every name that anybody asked for would be a project
		body.Mine = slices.DeleteFunc(body.Mine, func(row projectRow) bool { return row.Servers == 0 })
	}
	slices.SortStableFunc(body.Mine, func(a, b projectRow) int { return b.Servers - a.Servers })
	p.show(w, r, http.StatusOK, "home", "My projects", body)
}

// topmost leaves out what lies below another one of the list: where groups give namespaces and not projects, all below them is somebody's too.
func topmost(paths []string) []string {
	all := make(map[string]bool, len(paths))
	for _, p := range paths {
		all[p] = true
	}
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		for i := strings.LastIndexByte(p, '/'); i > 0; i = strings.LastIndexByte(p[:i], '/') {
			if all[p[:i]] {
				return true
			}
		}
		return false
	})
}

// open leads to the project that somebody typed.
func (p *Portal) open(w http.ResponseWriter, r *http.Request) {
	project := strings.ToLower(strings.Trim(strings.TrimSpace(r.URL.Query().Get("project")), "/"))
	if access.CheckPath(project) != nil {
		p.notFound(w, r)
		return
	}
	http.Redirect(w, r, projectLink(project), http.StatusSeeOther)
}

// byID leads from the link that a blocked client has read to the block's own page, whoever sees its project; for everybody else there is no such page, as there
// is none for a block that does not exist.
func (p *Portal) byID(w http.ResponseWriter, r *http.Request) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	id := r.PathValue("id")
	b, err := o.Backend.ByID(r.Context(), id)
	if errors.Is(err, ErrNotBlocked) {
		err = access.ErrNotFound
	}
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	var among []string
	for _, c := range b.Causes {
		if c.ID == id {
			among = c.MayConcern()
		}
	}
	mine, _, err := o.Rights.Mine(r.Context(), u, among)
	switch mine = topmost(mine); {
	case err != nil:
		p.fail(w, r, err, "")
	case len(mine) == 0:
		p.notFound(w, r)
	default:
		http.Redirect(w, r, projectLink(mine[0])+"/-/blocks/"+url.PathEscape(id), http.StatusSeeOther)
	}
}

// projectBody is a project's page.
type projectBody struct {
	Path, Link string
	Role       string
	Yours      []blockView // of which something is the project's alone
	Others     []blockView
	History    []entryView
	MayLift    bool
	LiftWho    string
	More       int
}

// mostBlocks is how many blocks one page shows.
const mostBlocks = 200

// project shows a project's blocked servers.
func (p *Portal) project(w http.ResponseWriter, r *http.Request, path string) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	level, err := o.Rights.View(r.Context(), u, path)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	blocks, err := o.Backend.Blocks(r.Context(), path)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	body := projectBody{Path: path, Link: projectLink(path), Role: upper(level.String()), MayLift: level >= o.LiftFrom, LiftWho: levelWords(o.LiftFrom)}
	body.More = max(0, len(blocks)-mostBlocks)
	now := o.Clock()
	for _, b := range blocks[:len(blocks)-body.More] {
		v, yes := viewBlock(b, path, level, o, now)
		switch {
		case !yes:
		case v.Liftable:
			body.Yours = append(body.Yours, v)
		default:
			body.Others = append(body.Others, v)
		}
	}
	if body.History, _, err = p.entries(r, path, level, 0, 5); err != nil {
		p.fail(w, r, err, "")
		return
	}
	p.show(w, r, http.StatusOK, "project", "Blocked servers of "+path, body)
}

// pageOfHistory is how many entries one page of the history has.
const pageOfHistory = 50

// entries are a page of a project's history and where the next one begins, 0 if there is none.
func (p *Portal) entries(r *http.Request, path string, level access.Level, before int64, limit int) (views []entryView, next int64, err error) {
	o := p.o.Load()
	entries, err := o.Backend.History(r.Context(), HistoryQuery{Within: path, BeforeID: before, Limit: limit})
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if v, ok := viewEntry(e, path, level, o.Clock()); ok {
			views = append(views, v)
		}
	}
	if len(entries) == limit {
		next = entries[len(entries)-1].ID
	}
	return views, next, nil
}

// historyBody is a page of the history.
type historyBody struct {
	Path, Link string
	Entries    []entryView
	Next       int64
	Paged      bool
	Who        bool // names are shown
}

func (p *Portal) history(w http.ResponseWriter, r *http.Request, path string) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	level, err := p.o.Load().Rights.View(r.Context(), u, path)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	before := beforeID(r)
	body := historyBody{Path: path, Link: projectLink(path), Paged: before > 0, Who: level >= access.Maintainer}
	if body.Entries, body.Next, err = p.entries(r, path, level, before, pageOfHistory); err != nil {
		p.fail(w, r, err, "")
		return
	}
	p.show(w, r, http.StatusOK, "history", "History of "+path, body)
}

func beforeID(r *http.Request) int64 {
	n, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// blockBody is a block's own page, with the form.
type blockBody struct {
	Path, Link string
	Block      blockView
	// Action is where the form goes; Challenge the human test, nil where this person cannot lift it.
	Action    string
	Challenge *human.Challenge
	Puzzle    *human.Puzzle
	Sound     string
	Reason    string
	MaxReason int
	// Problem says why it was not lifted.
	Problem string
	// TestAway says that there is no human test now.
	TestAway bool
	// Full says which quota has no room, and when it has again.
	Full string
}

func (p *Portal) block(w http.ResponseWriter, r *http.Request, path, id string) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	level, err := o.Rights.View(r.Context(), u, path)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	p.showBlock(w, r, http.StatusOK, u, level, wanted{user: u, project: path, id: id}, "")
}

// showBlock shows a block, with a new human test for whoever may lift it.
func (p *Portal) showBlock(w http.ResponseWriter, r *http.Request, status int, u account.User, level access.Level, x wanted, problem string) {
	o := p.o.Load()
	b, err := p.find(r.Context(), x.project, x.id)
	if err != nil {
		p.fail(w, r, err, x.id)
		return
	}
	v, _ := viewBlock(b, x.project, level, o, o.Clock())
	body := blockBody{Path: x.project, Link: projectLink(x.project), Block: v, Action: v.Link, Reason: x.reason, MaxReason: maxReason, Problem: problem}
	err = nil
	if v.May {
		err = o.room(r.Context(), u, level, x.project, v.Address)
	}
	var full *Full
	switch {
	case errors.As(err, &full): // before anybody writes a reason and reads digits for nothing
		_, _, m := p.explain(err)
		body.Full, body.Problem = m.Text, strings.TrimSuffix(problem, tryAgain)
	case err != nil:
		p.fail(w, r, err, x.id)
		return
	case v.May && o.Test != nil:
		c, err := o.Test.Challenge(r.Context(), o.binding(u, x.project, v.Address))
		if err != nil {
			o.Log.Warn("there is no human test now", "provider", o.TestName, "error", err)
			body.TestAway = true
		} else {
			body.Challenge = &c
			sources := c.Sources
			if o.Work != nil {
				puzzle, err := o.Work.Puzzle(o.binding(u, x.project, v.Address))
				if err != nil {
					p.fail(w, r, err, x.id)
					return
				}
				body.Puzzle = &puzzle
				sources.Script = append(slices.Clone(sources.Script), "'self'")
			}
			w.Header().Set("Content-Security-Policy", o.policy(sources))
			if _, speaks := o.Test.(human.Speaker); speaks {
				body.Sound = v.Link + "/sound?challenge=" + url.QueryEscape(c.ID)
			}
		}
	default:
		body.TestAway = v.May
	}
	p.show(w, r, status, "block", "Blocked server "+v.Address, body)
}

// doneBody tells what was lifted.
type doneBody struct {
	Path, Link, Address string
	Remains             bool
	Doubts              bool
	Probation           string
}

// unblock is the form.
func (p *Portal) unblock(w http.ResponseWriter, r *http.Request, path, id string) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	if err := r.ParseForm(); err != nil {
		p.fail(w, r, &badRequest{"The form is too long or broken. Please go back and send it again."}, "")
		return
	}
	x := wanted{user: u, project: path, id: id, reason: r.PostForm.Get("reason"), form: r.PostForm}
	done, err := p.lift(human.WithVisitor(r.Context(), o.visitor(r)), x)
	if err == nil {
		body := doneBody{Path: path, Link: projectLink(path), Address: addressText(done.Target), Remains: done.Remains, Doubts: len(done.Doubts) > 0}
		if o.Limits.Probation > 0 {
			body.Probation = span(o.Limits.Probation)
		}
		title := "Unblocked " + body.Address
		if body.Remains {
			title = body.Address + " is still blocked"
		}
		p.show(w, r, http.StatusOK, "done", title, body)
		return
	}
	status, _, m := p.explain(err)
	if status != http.StatusUnprocessableEntity {
		p.fail(w, r, err, id)
		return
	}
	level, viewErr := o.Rights.View(r.Context(), u, path)
	if viewErr != nil {
		p.fail(w, r, viewErr, "")
		return
	}
	p.showBlock(w, r, status, u, level, x, m.Text)
}

// sound is the human test, to be heard.
func (p *Portal) sound(w http.ResponseWriter, r *http.Request, path, id string) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	speaker, speaks := o.Test.(human.Speaker)
	_, err := o.Rights.View(r.Context(), u, path)
	if err != nil || !speaks {
		p.fail(w, r, cmpErr(err, access.ErrNotFound), "")
		return
	}
	b, err := p.find(r.Context(), path, id)
	if err != nil {
		p.fail(w, r, err, id)
		return
	}
	wav, err := speaker.Sound(r.Context(), o.binding(u, path, addressText(b.Target)), r.URL.Query().Get("challenge"))
	if err != nil {
		p.fail(w, r, err, id)
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(wav))
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// blockedBody tells a visitor how his own address fares.
type blockedBody struct {
	Address  string // "" if it is not known
	Blocks   []ownBlock
	SignedIn bool
	Projects []projectRow // those of the visitor's own that have to do with it
}

// ownBlock is a reason without names: whoever sits behind the same address may read it.
type ownBlock struct {
	Rule, Scope  string
	Since, Until moment
}

// blocked says whether the visitor's own address is blocked.
func (p *Portal) blocked(w http.ResponseWriter, r *http.Request) {
	o := p.o.Load()
	address := o.visitor(r)
	body := blockedBody{}
	if address.IsValid() {
		body.Address = address.String()
	}
	blocks, err := o.Backend.BlocksOf(r.Context(), address)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	var among []string
	now := o.Clock()
	for _, b := range blocks {
		for _, c := range b.Causes {
			if !now.Before(c.Until) {
				continue
			}
			scope := "the whole registry"
			if c.Closes() == detector.ScopeRepository {
				scope = "some repositories"
			}
			body.Blocks = append(body.Blocks, ownBlock{Rule: c.Rule, Scope: scope, Since: moment{c.Since, now}, Until: moment{c.Until, now}})
			among = append(among, c.MayConcern()...)
		}
	}
	if u, ok := o.Door.User(r.Context()); ok {
		body.SignedIn = true
		if len(among) > 0 && !o.Rights.Admin(u) { // for an admin every name would be a project; he has the admin page
			if mine, _, err := o.Rights.Mine(r.Context(), u, among); err == nil {
				for _, path := range mine {
					body.Projects = append(body.Projects, projectRow{Path: path, Link: projectLink(path)})
				}
			}
		}
	}
	p.show(w, r, http.StatusOK, "blocked", "Am I blocked?", body)
}

// doorBody is what the login says.
type doorBody struct {
	login.Notice
}

// Show makes a page of what the door has to say: it is login.Options.Show.
func (p *Portal) Show(w http.ResponseWriter, r *http.Request, n login.Notice) {
	p.show(w, r, n.Status, "door", n.Title, doorBody{n})
}

// parseSearch is what an admin looks for: an address, or a path.
func parseSearch(text string) (address netip.Addr, path string) {
	text = strings.TrimSpace(text)
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Addr().Unmap(), ""
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone(""), ""
	}
	return netip.Addr{}, strings.ToLower(strings.Trim(text, "/"))
}
