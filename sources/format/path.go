package format

import (
	"strings"

	"regwarden/detector"
)

// Longer names and references are refused by every registry before they are looked up, so they are no keys.
const (
	maxRepository = 255
	maxReference  = 255
)

// route is what a request wants.
type route struct {
	operation  detector.Operation
	path       string // as logged, without the query
	repository string
	reference  string
}

// set puts the route into the event.
func (p route) set(e *detector.Event) {
	e.Operation, e.Path, e.Repository, e.Reference = p.operation, p.path, p.repository, p.reference
}

// classify says what a request wants. The path is decoded once, as registries do, so that a%2Fb and a/b are one key.
func classify(method, uri string, s *scratch) route {
	path, query := uri, ""
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		path, query = uri[:i], uri[i+1:]
	}
	r := route{path: path}
	p := s.unescape(originForm(path), false)
	if strings.HasPrefix(p, "/v2/") {
		r.registry(p, query, s)
		return r
	}
	if mount, inside, ok := mounted(p); ok {
		r.registry(inside, query, s)
		if r.repository != "" {
			r.repository = s.join(mount, "/", r.repository)
		}
		return r
	}
	switch {
	case p == "/v2":
		r.registry(p, query, s)
	case p == "/jwt/auth", p == "/service/token", p == "/token" && hasParameter(query, "service"):
		r.token(query, s)
	case strings.HasPrefix(p, "/gitlab/v1/"):
	case isGit(p):
		r.operation = detector.OpGit
	case strings.HasPrefix(p, "/api/"):
		r.operation = detector.OpAPI
	case method == "POST" && isLogin(p):
		r.operation = detector.OpLogin
	}
	return r
}

// originForm strips scheme and host of a request in absolute form.
func originForm(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	for _, scheme := range [...]string{"http://", "https://"} {
		if rest, ok := strings.CutPrefix(path, scheme); ok {
			if i := strings.IndexByte(rest, '/'); i >= 0 {
				return rest[i:]
			}
		}
	}
	return path
}

// mounts are where Artifactory and Nexus keep a registry under a repository's own path.
var mounts = [...]string{"/artifactory/api/docker/", "/api/docker/", "/repository/"}

// mounted takes "/api/docker/<mount>/v2/…" apart.
func mounted(p string) (mount, inside string, ok bool) {
	for _, prefix := range mounts {
		rest, found := strings.CutPrefix(p, prefix)
		if !found {
			continue
		}
		i := strings.IndexByte(rest, '/')
		if i > 0 && (rest[i:] == "/v2" || strings.HasPrefix(rest[i:], "/v2/")) {
			return rest[:i], rest[i:], true
		}
	}
	return "", "", false
}

// registry reads a path of the registry's API, decoded and beginning with /v2.
func (r *route) registry(p, query string, s *scratch) {
	rest := p[min(len("/v2/"), len(p)):]
	switch rest {
	case "":
		r.operation = detector.OpPing
	case "_catalog":
		r.operation = detector.OpCatalog
	case "token", "auth":
		r.token(query, s)
	default:
		r.object(rest)
	}
}

// object reads "<name>/manifests/<reference>" and its like. A name may have any of the words in it, so it is read from the end.
func (r *route) object(rest string) {
	parent, last := cutLast(rest)
	name, word := cutLast(parent)
	switch {
	case word == "manifests" && last != "":
		r.name(detector.OpManifest, name, last)
	case word == "blobs" && last == "uploads":
		r.name(detector.OpUpload, name, "")
	case word == "blobs" && last != "":
		r.name(detector.OpBlob, name, last)
	case word == "tags" && last == "list":
		r.name(detector.OpTags, name, "")
	case word == "referrers" && last != "":
		r.name(detector.OpTags, name, last)
	case word == "uploads" && strings.HasSuffix(name, "/blobs"):
		r.name(detector.OpUpload, strings.TrimSuffix(name, "/blobs"), "")
	default:
		// A reference with a slash in it: no registry has it, but that is what was asked for.
		if i := strings.LastIndex(rest, "/manifests/"); i > 0 && i+len("/manifests/") < len(rest) {
			r.name(detector.OpManifest, rest[:i], rest[i+len("/manifests/"):])
		}
	}
}

func (r *route) name(operation detector.Operation, name, reference string) {
	if name == "" || len(name) > maxRepository || len(reference) > maxReference {
		return
	}
	r.operation, r.repository, r.reference = operation, name, reference
}

func cutLast(path string) (parent, last string) {
	i := lastSlash(path)
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// lastSlash is where the last slash stands, -1 if there is none. It looks at a digest's length at once, since most paths end with one.
func lastSlash(path string) int {
	const hex = 64
	if n := len(path) - hex; n > 0 && path[n-1] == ':' && strings.IndexByte(path[n:], '/') < 0 {
		path = path[:n]
	}
	return strings.LastIndexByte(path, '/')
}

// token reads a request for a bearer token.
func (r *route) token(query string, s *scratch) {
	r.operation = detector.OpToken
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if value, ok := strings.CutPrefix(pair, "scope="); ok {
			if name := scopeRepository(s.unescape(value, true)); name != "" {
				r.repository = name
			}
		}
	}
}

// scopeRepository returns the name of the last "repository:<name>:<actions>" of a scope, which may list several with blanks between.
func scopeRepository(scope string) string {
	for scope != "" {
		var last string
		if i := strings.LastIndexByte(scope, ' '); i >= 0 {
			scope, last = scope[:i], scope[i+1:]
		} else {
			scope, last = "", scope
		}
		name, ok := strings.CutPrefix(last, "repository:")
		if !ok {
			continue
		}
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			name = name[:i]
		}
		if name != "" && len(name) <= maxRepository {
			return name
		}
	}
	return ""
}

func hasParameter(query, name string) bool {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, _, ok := strings.Cut(pair, "="); ok && key == name {
			return true
		}
	}
	return false
}

// isGit knows git over HTTP and LFS.
func isGit(p string) bool {
	i := strings.LastIndex(p, ".git/")
	if i < 0 {
		return false
	}
	switch inside := p[i+len(".git/"):]; inside {
	case "info/refs", "git-upload-pack", "git-receive-pack":
		return true
	default:
		return strings.HasPrefix(inside, "info/lfs/") || strings.HasPrefix(inside, "gitlab-lfs/")
	}
}

// isLogin knows where GitLab, Gitea, Harbor and Nexus take a password.
func isLogin(p string) bool {
	switch p {
	case "/users/sign_in", "/users/password", "/user/login", "/c/login", "/service/rapture/session":
		return true
	}
	return strings.HasPrefix(p, "/users/auth/") && strings.HasSuffix(p, "/callback")
}
