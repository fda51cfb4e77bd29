package actions

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"regwarden/detector"
)

// WebhookOptions say where a Webhook posts.
type WebhookOptions struct {
	Name string
	URL  string
	// Header is sent with each request.
	Header map[string]string
	// Timeout is what one request may take, 10 s if zero.
	Timeout time.Duration
	// Secret, unless empty, signs the body: X-Regwarden-Signature is "sha256=" and the HMAC-SHA256 of the body in hex.
	Secret string
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// Webhook posts changes as JSON, {"changes":[…]}, up to 100 at once. It tells of blocks and holds none.
type Webhook struct {
	options WebhookOptions
	host    string // for errors: the rest of the URL may be secret
	client  *http.Client
}

// NewWebhook returns the action, or an error if the URL cannot be posted to.
func NewWebhook(options WebhookOptions) (*Webhook, error) {
	if options.Name == "" {
		options.Name = "webhook"
	}
	u, err := url.Parse(options.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("action %s: url: want http://host/path or https://host/path", options.Name)
	}
	options.Timeout = positive(options.Timeout, 10*time.Second)
	if options.Clock == nil {
		options.Clock = time.Now
	}
	return &Webhook{options: options, host: u.Host, client: &http.Client{CheckRedirect: sameHost}}, nil
}

// sameHost follows redirects that keep the body and go to the same place; the headers may carry a password.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) >= 5 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// Name is the configured name.
func (w *Webhook) Name() string { return w.options.Name }

// Kind is "webhook".
func (w *Webhook) Kind() string { return "webhook" }

// Holds is false for every scope.
func (w *Webhook) Holds(detector.Scope) bool { return false }

// Reports is true: would-block and spared are posted too.
func (w *Webhook) Reports() bool { return true }

// BatchLimit is how many changes one request carries.
func (w *Webhook) BatchLimit() int { return 100 }

// Apply posts the changes.
func (w *Webhook) Apply(ctx context.Context, changes []detector.Change) error {
	for len(changes) > 0 {
		n := min(len(changes), w.BatchLimit())
		if err := w.post(ctx, changes[:n]); err != nil {
			return err
		}
		changes = changes[n:]
	}
	return nil
}

func (w *Webhook) post(ctx context.Context, changes []detector.Change) error {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	request, err := w.request(ctx, changes)
	if err != nil {
		return permanent{fmt.Errorf("post to %s: %w", w.host, err)}
	}
	response, err := w.client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // without the URL
		}
		return fmt.Errorf("post to %s: %w", w.host, err)
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, outputLimit))
	return w.verdict(response, said)
}

func (w *Webhook) request(ctx context.Context, changes []detector.Change) (*http.Request, error) {
	body, err := json.Marshal(struct {
		Changes []detector.Change `json:"changes"`
	}{changes})
	if err != nil {
		return nil, fmt.Errorf("write the changes as JSON: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.options.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the url cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "regwarden")
	for name, value := range w.options.Header {
		request.Header.Set(name, value)
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
		}
	}
	if w.options.Secret != "" {
		sum := hmac.New(sha256.New, []byte(w.options.Secret))
		sum.Write(body)
		request.Header.Set("X-Regwarden-Signature", "sha256="+hex.EncodeToString(sum.Sum(nil)))
	}
	return request, nil
}

// verdict says what an answer means: done, never, or again later.
func (w *Webhook) verdict(response *http.Response, said []byte) error {
	status := response.StatusCode
	if status/100 == 2 {
		return nil
	}
	err := fmt.Errorf("post to %s: answered %d %s%s", w.host, status, http.StatusText(status), &cut{kept: said[:min(len(said), 300)]})
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return postponed{err, retryAfter(response.Header.Get("Retry-After"), w.options.Clock())}
	case status/100 == 4 && status != http.StatusRequestTimeout:
		return permanent{err}
	}
	return err
}

// retryAfter reads seconds or a date; zero if it is neither. The Runner waits a minute at most.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(0, seconds), 3600)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
