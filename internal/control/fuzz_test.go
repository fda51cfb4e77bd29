package control

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
)

// FuzzRequest sends requests of every shape past the router as root: none may panic, and each answer is JSON that a terminal bears.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, path, query, body string }{
		{"GET", "/v1/blocks", "client=192.0.2.1&rule=x", ""},
		{"GET", "/v1/blocks/203.0.113.0/24", "", ""},
		{"GET", "/v1/history", "since=2026-10-05T08:00:00+02:00&limit=5&before_id=9", ""},
		{"POST", "/v1/blocks", "", `{"target":"192.0.2.1","for":"1h","reason":"x"}`},
		{"POST", "/v1/unblock", "", `{"all":true}`},
		{"POST", "/v1/unblock", "", `{"target":"abc","rule":"\u001b"}`},
		{"POST", "/v1/allow", "", `{"target":"2001:db8::/64","comment":"c","for":"7d"}`},
		{"POST", "/v1/allow", "", `{"since":"2026-10-05T08:00:00Z"}`},
		{"DELETE", "/v1/allow/192.0.2.0/24", "", ""},
		{"POST", "/v1/reload", "", `{}`},
		{"PUT", "/v1/../v1//status/.", "", ""},
		{"GET", "/\x1b\u009b\u202e\U000e0001", "", ""},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.body)
	}
	s := newServer(ServerOptions{Backend: echo{}})
	s.log = slog.New(slog.DiscardHandler)
	ctx := context.WithValue(f.Context(), credentialsKey{}, &credentials{})
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r := (&http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Host: "localhost",
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody}).WithContext(ctx)
		if body != "" {
			r = httptest.NewRequest("POST", "/", strings.NewReader(body)).WithContext(ctx)
			r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		checkAnswer(t, w)
	})
}

func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	text := w.Body.String()
	if w.Code == http.StatusNoContent {
		return
	}
	if !json.Valid([]byte(text)) || !strings.HasSuffix(text, "\n") {
		t.Fatalf("%d: want a line of JSON, got %q", w.Code, text)
	}
	if strings.ContainsFunc(text, unprintable) {
		t.Fatalf("want nothing that moves a cursor, got %q", text)
	}
	var p Problem
	if w.Code >= 400 && (json.Unmarshal([]byte(text), &p) != nil || p.Title == "" || p.Status != w.Code) {
		t.Fatalf("%d: want a whole problem, got %s", w.Code, text)
	}
	if w.Code >= 500 {
		t.Fatalf("want no fault of ours, got %s", text)
	}
}

// echo repeats what it is told, so that whatever gets past the server is seen in its answers.
type echo struct{}

func (echo) Status(context.Context) (Status, error) { return Status{}, nil }

func (echo) Blocks(_ context.Context, f BlockFilter) ([]detector.Block, error) {
	return []detector.Block{{Target: f.Client, Causes: []detector.Cause{{ID: "abc", Rule: f.Rule, Repositories: []string{f.Repository, f.Project}}}}}, nil
}

func (echo) History(_ context.Context, f HistoryFilter) ([]HistoryEntry, error) {
	return []HistoryEntry{{ID: f.BeforeID, Target: f.Client, Note: f.Rule}}, nil
}

func (echo) Block(_ context.Context, r BlockRequest, by Peer) (Changed, error) {
	return said(r.Target, r.Reason+r.For, by), nil
}

func (echo) Unblock(_ context.Context, r UnblockRequest, by Peer) (Changed, error) {
	return said(r.Target, r.Reason+r.Rule, by), nil
}

func (echo) AllowList(context.Context) ([]AllowEntry, error) { return nil, nil }

func (echo) Allow(_ context.Context, e AllowEntry, by Peer) (Changed, error) {
	return said(e.Target, e.Comment+e.For, by), nil
}

func (echo) Disallow(context.Context, string, Peer) error { return nil }

func (echo) Reload(context.Context, Peer) (ReloadResult, error) { return ReloadResult{}, nil }

func said(target, note string, by Peer) Changed {
	p, _ := ParseTarget(target)
	return Changed{Changes: []detector.Change{{Time: time.Unix(0, 0), Block: detector.Block{Target: p}, Note: note, By: by.String()}}}
}
