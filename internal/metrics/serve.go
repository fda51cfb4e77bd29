package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesAtOnce bounds what many who ask at once can make the core do.
const scrapesAtOnce = 4

// Health is whether the daemon can do its work.
type Health struct {
	Ready bool
	// Faults are what does not work, one line each; a daemon that is ready may have some.
	Faults []string
}

// Pages are what can be asked for over HTTP.
type Pages struct {
	Metrics http.Handler
	// Alive answers 200 while the daemon's core answers; Ready while it can read some source and hold a block.
	Alive, Ready http.Handler
}

// NewPages returns the pages. alive says why the core does not answer, or nil.
func NewPages(r *prometheus.Registry, alive func(context.Context) error, ready func(context.Context) Health) Pages {
	return Pages{
		Metrics: promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce, ErrorHandling: promhttp.HTTPErrorOnError}),
		Alive: page(func(ctx context.Context) (bool, string) {
			if err := alive(ctx); err != nil {
				return false, "not alive: " + err.Error()
			}
			return true, "alive"
		}),
		Ready: page(func(ctx context.Context) (bool, string) {
			h := ready(ctx)
			word := "ready"
			if !h.Ready {
				word = "not ready"
			}
			return h.Ready, strings.Join(append([]string{word}, h.Faults...), "\n")
		}),
	}
}

// page answers 200 or 503 with a text.
func page(ask func(context.Context) (bool, string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		ok, text := ask(ctx)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, text+"\n")
	})
}

// Serve answers on the address until ctx ends.
func Serve(ctx context.Context, address string, p Pages, logger *slog.Logger) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%w; choose another address in [metrics] listen", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.Metrics)
	mux.Handle("GET /healthz", p.Alive)
	mux.Handle("GET /readyz", p.Ready)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		last, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if srv.Shutdown(last) != nil {
			srv.Close()
		}
	})
	logger.Info("metrics are served", "url", "http://"+l.Addr().String()+"/metrics")
	err = srv.Serve(l)
	if stop() {
		srv.Close()
		return err
	}
	<-ended
	return nil
}
