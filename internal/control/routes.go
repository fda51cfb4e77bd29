package control

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"regwarden/detector"
)

// request is what a route's function gets.
type request struct {
	*http.Request
	query  url.Values
	routes []route
	peer   Peer // only of a change
}

// writer writes an answer's body; nil where there is none.
type writer func(io.Writer) error

func object(v any) writer { return func(w io.Writer) error { return WriteJSON(w, v) } }

func list[T any](l []T) writer { return func(w io.Writer) error { return WriteJSONList(w, l) } }

// route is one thing that can be asked for.
type route struct {
	method, path string
	does         string
	changes      bool // only who may change gets it
	query        []string
	serve        func(Backend, request) (writer, error)
	page         http.Handler // instead of serve
}

// routes are all routes.
func routes() []route {
	return []route{
		{method: "GET", path: "/v1", does: "this list", serve: index},
		{method: "GET", path: "/v1/status", does: "how the daemon is", serve: getStatus},
		{method: "GET", path: "/v1/blocks", does: "who is blocked", query: blockQuery, serve: getBlocks},
		{method: "GET", path: "/v1/blocks/{target}", does: "the blocks of an address, a prefix or an ID", serve: getBlock},
		{method: "POST", path: "/v1/blocks", does: "block, or with check only ask whether that could be done", changes: true, serve: postBlock},
		{method: "DELETE", path: "/v1/blocks/{target}", does: "unblock", changes: true, query: unblockQuery, serve: deleteBlock},
		{method: "POST", path: "/v1/unblock", does: "unblock one target or all", changes: true, serve: postUnblock},
		{method: "GET", path: "/v1/history", does: "what happened, newest first", query: historyQuery, serve: getHistory},
		{method: "GET", path: "/v1/allow", does: "who is never blocked, by hand", serve: getAllow},
		{method: "POST", path: "/v1/allow", does: "never block a target", changes: true, serve: postAllow},
		{method: "DELETE", path: "/v1/allow/{target}", does: "let a target be blocked again", changes: true, serve: deleteAllow},
		{method: "POST", path: "/v1/reload", does: "read configuration and rules again", changes: true, serve: postReload},
	}
}

// pattern is the path as net/http has it: a prefix has a slash in it.
func (rt route) pattern() string { return strings.Replace(rt.path, "{target}", "{target...}", 1) }

// Route is one line of GET /v1.
type Route struct {
	Method string   `json:"method"`
	Path   string   `json:"path"`
	Query  []string `json:"query,omitempty"`
	Does   string   `json:"does"`
}

func index(_ Backend, r request) (writer, error) {
	var all []Route
	for _, rt := range r.routes {
		all = append(all, Route{Method: rt.method, Path: rt.path, Query: rt.query, Does: rt.does})
	}
	return list(all), nil
}

// routeNames are all paths, once each.
func routeNames(all []route) string {
	var names []string
	for _, rt := range all {
		if !slices.Contains(names, rt.path) {
			names = append(names, rt.path)
		}
	}
	return strings.Join(names, ", ")
}

func allowedMethods(rts []route) string {
	var methods []string
	for _, rt := range rts {
		methods = append(methods, rt.method)
		if rt.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

func getStatus(b Backend, r request) (writer, error) {
	s, err := b.Status(r.Context())
	if err != nil {
		return nil, err
	}
	s.Rules, s.Sources, s.Actions = some(s.Rules), some(s.Sources), some(s.Actions)
	if s.Counts.RuleHits == nil {
		s.Counts.RuleHits = map[string]uint64{}
	}
	return object(s), nil
}

// some is the list, and an empty one instead of none, which JSON would call null.
func some[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func getBlocks(b Backend, r request) (writer, error) {
	f, err := blockFilter(r.query)
	if err != nil {
		return nil, err
	}
	blocks, err := b.Blocks(r.Context(), f)
	if err != nil {
		return nil, err
	}
	return list(wholeBlocks(blocks)), nil
}

// wholeBlocks are the blocks without a null in them. The list may be the backend's own, so it is left as it is.
func wholeBlocks(blocks []detector.Block) []detector.Block {
	whole := make([]detector.Block, len(blocks))
	for i, b := range blocks {
		b.Causes = some(b.Causes)
		whole[i] = b
	}
	return whole
}

func getBlock(b Backend, r request) (writer, error) {
	text := r.PathValue("target")
	target, id, err := ParseSubject(text)
	if err != nil {
		return nil, err
	}
	blocks, err := b.Blocks(r.Context(), BlockFilter{Client: target})
	if err != nil {
		return nil, err
	}
	if id != "" {
		blocks = withCause(blocks, id)
	}
	if len(blocks) == 0 {
		return nil, notBlocked(text, "")
	}
	return list(wholeBlocks(blocks)), nil
}

// withCause are the blocks, at most one, that have the cause.
func withCause(blocks []detector.Block, id string) []detector.Block {
	for i, b := range blocks {
		if slices.ContainsFunc(b.Causes, func(c detector.Cause) bool { return c.ID == id }) {
			return blocks[i : i+1]
		}
	}
	return nil
}

// notBlocked is the problem of a subject that is not blocked, or not by the rule.
func notBlocked(subject, rule string) *Problem {
	target, id, err := ParseSubject(subject)
	what := fmt.Sprintf("%q is neither an address nor the ID of a block", id)
	if err == nil && id == "" {
		what = TargetText(target) + " is not blocked"
		if rule != "" {
			what += fmt.Sprintf(" by the rule %q", cut(rule))
		}
	}
	return problem(http.StatusNotFound, "GET /v1/blocks lists who is blocked", "%s", what)
}

func getHistory(b Backend, r request) (writer, error) {
	f, err := historyFilter(r.query)
	if err != nil {
		return nil, err
	}
	entries, err := b.History(r.Context(), f)
	if err != nil {
		return nil, err
	}
	return list(entries), nil
}

func getAllow(b Backend, r request) (writer, error) {
	entries, err := b.AllowList(r.Context())
	if err != nil {
		return nil, err
	}
	return list(entries), nil
}
