package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"regwarden/detector"
)

// DefaultPath is where the daemon's socket is unless somebody says otherwise.
const DefaultPath = "/run/regwarden/regwarden.sock"

// answerTime is how long a client waits for the whole of an answer: longer than the server takes at most.
const answerTime = writeTime + 10*time.Second

// Client asks a running daemon. Its errors are ErrNoDaemon or ErrNotAllowed where the socket itself turned it away, and the daemon's
// *Problem where the daemon did.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client for the socket. It connects at each request.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{Timeout: answerTime,
		Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Path is the socket's path.
func (c *Client) Path() string { return c.path }

// Status asks how the daemon is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.call(ctx, "GET", "/v1/status", nil, &s)
}

// Blocks asks who is blocked.
func (c *Client) Blocks(ctx context.Context, f BlockFilter) (b []detector.Block, err error) {
	return b, c.call(ctx, "GET", "/v1/blocks"+query(f.values()), nil, &b)
}

// Find asks for the blocks of an address, a prefix or an ID; ErrNotFound if there is none.
func (c *Client) Find(ctx context.Context, subject string) (b []detector.Block, err error) {
	return b, c.call(ctx, "GET", "/v1/blocks/"+escapePath(subject), nil, &b)
}

// History asks what happened, newest first.
func (c *Client) History(ctx context.Context, f HistoryFilter) (h []HistoryEntry, err error) {
	return h, c.call(ctx, "GET", "/v1/history"+query(f.values()), nil, &h)
}

// Block blocks a target.
func (c *Client) Block(ctx context.Context, r BlockRequest) (done Changed, err error) {
	return done, c.call(ctx, "POST", "/v1/blocks", r, &done)
}

// Unblock lifts causes; ErrNotFound if the target has none.
func (c *Client) Unblock(ctx context.Context, r UnblockRequest) (done Changed, err error) {
	return done, c.call(ctx, "POST", "/v1/unblock", r, &done)
}

// AllowList asks who is never blocked, by hand.
func (c *Client) AllowList(ctx context.Context) (l []AllowEntry, err error) {
	return l, c.call(ctx, "GET", "/v1/allow", nil, &l)
}

// Allow has a target never blocked.
func (c *Client) Allow(ctx context.Context, e AllowEntry) (done Changed, err error) {
	return done, c.call(ctx, "POST", "/v1/allow", e, &done)
}

// Disallow lets a target be blocked again; ErrNotFound if it is not on the list.
func (c *Client) Disallow(ctx context.Context, target string) error {
	return c.call(ctx, "DELETE", "/v1/allow/"+escapePath(target), nil, nil)
}

// Reload has the daemon read its configuration and rules again.
func (c *Client) Reload(ctx context.Context) (r ReloadResult, err error) {
	return r, c.call(ctx, "POST", "/v1/reload", nil, &r)
}

func query(q url.Values) string {
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// escapePath keeps the slash of a prefix, so that the daemon's log reads well.
func escapePath(subject string) string {
	return strings.ReplaceAll(url.PathEscape(subject), "%2F", "/")
}

// call sends the request and reads the answer into out. in and out may be nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://regwarden"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		return c.problem(answer)
	}
	if out == nil || answer.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.path, err)
	}
	return nil
}

// unreachable says in one line why nobody could be asked.
func (c *Client) unreachable(err error) error {
	var wrapped *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case c.path == "":
		return fmt.Errorf("%w: the socket has no name", ErrNoDaemon)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w on %s: there is no such socket", ErrNoDaemon, c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: connection refused", ErrNoDaemon, c.path)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.EPROTOTYPE), errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w on %s: it is no socket that can be asked", ErrNoDaemon, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w to open %s", ErrNotAllowed, c.path)
	case os.IsTimeout(err):
		return fmt.Errorf("the daemon on %s does not answer", c.path)
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("ask the daemon on %s: %w", c.path, err)
}

// problem is the problem that the daemon answered with.
func (c *Client) problem(answer *http.Response) error {
	p := &Problem{}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.path, err)
	}
	if err := json.Unmarshal(text, p); err != nil || p.Title == "" {
		return fmt.Errorf("%s answers %q, but not as regwarden does", c.path, answer.Status)
	}
	p.Status = answer.StatusCode
	return p
}
