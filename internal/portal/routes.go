package portal

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"regwarden/internal/portal/human"
)

//go:embed static openapi.json
var files embed.FS

// routes are the paths of the portal. A project's path may have any number of steps, and any of them may be called history: so what is done with a project
// stands behind /-/, which no project's path has in it, as in GitLab.
//
//	/p/acme/web                        its blocked servers
//	/p/acme/web/-/history
//	/p/acme/web/-/blocks/ID            one of them, with the form
//	/p/acme/web/-/blocks/ID/sound      the human test, to be heard
func (p *Portal) routes() http.Handler {
	static, _ := fs.Sub(files, "static") // it is embedded
	doors := p.counted(p.o.Load().Door.Routes())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /open", p.open)
	mux.HandleFunc("GET /unblock/{id}", p.byID)
	mux.HandleFunc("GET /p/{rest...}", p.ofProject)
	mux.HandleFunc("POST /p/{rest...}", p.ofProject)
	mux.HandleFunc("GET /blocked", p.blocked)
	mux.HandleFunc("GET /admin", p.admin)
	mux.Handle("/login", doors)
	mux.Handle("/login/", doors)
	mux.Handle("/logout", doors)
	for _, r := range apiRoutes {
		mux.HandleFunc(r.Method+" "+r.Pattern, func(w http.ResponseWriter, q *http.Request) { p.api(w, q, r.do) })
	}
	mux.HandleFunc("/api/", p.apiNotFound)
	mux.HandleFunc("GET /api/v1/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		http.ServeFileFS(w, r, files, "openapi.json")
	})
	mux.HandleFunc("GET /static/work.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(human.WorkScript)
	})
	mux.Handle("GET /static/", cached(http.StripPrefix("/static/", http.FileServerFS(static))))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("/", p.notFound)
	return p.guard(p.o.Load().Door.Wrap(mux))
}

// counted tells of each login that came to its end.
func (p *Portal) counted(doors http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/login/callback" && r.URL.Path != "/login/demo" {
			doors.ServeHTTP(w, r)
			return
		}
		s := &statusWriter{ResponseWriter: w}
		doors.ServeHTTP(s, r)
		result := "failed"
		if _, in := p.o.Load().Door.User(r.Context()); in && s.status == http.StatusSeeOther {
			result = "ok"
		}
		p.o.Load().SignedIn(result)
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// cached lets browsers keep what is the same for everybody.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=300")
		next.ServeHTTP(w, r)
	})
}

// ofProject takes /p/<project>, /p/<project>/-/history and /p/<project>/-/blocks/<id>[/sound] apart.
func (p *Portal) ofProject(w http.ResponseWriter, r *http.Request) {
	project, rest, deeper := strings.Cut(r.PathValue("rest"), "/-/")
	project = strings.ToLower(strings.TrimSuffix(project, "/"))
	steps := strings.Split(rest, "/")
	get := r.Method != http.MethodPost
	switch {
	case !deeper && get:
		p.project(w, r, project)
	case rest == "history" && get:
		p.history(w, r, project)
	case len(steps) == 2 && steps[0] == "blocks" && get:
		p.block(w, r, project, steps[1])
	case len(steps) == 2 && steps[0] == "blocks":
		p.unblock(w, r, project, steps[1])
	case len(steps) == 3 && steps[0] == "blocks" && steps[2] == "sound" && get:
		p.sound(w, r, project, steps[1])
	default:
		p.notFound(w, r)
	}
}
