// Package daemon wires the rooms and runs them: sources read and match lines, each in its own goroutine; one goroutine, the core, counts,
// decides, keeps the ledger and the database; and each action has its own. Whoever wants something of the core sends it a message.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/store"
)

// Options are what a daemon needs besides its configuration.
type Options struct {
	Config  *config.Config
	Version string
	Logger  *slog.Logger
	// Load reads the configuration again, for reload; nil means that there is nothing to read again.
	Load func() (*config.Config, error)
	// Socket is the control socket, if somebody holds it for the daemon; nil means that it makes its own.
	Socket *net.UnixListener
	// Ready is called once the daemon reads its sources and answers on its socket, and again after each reload.
	Ready func()
	// Reloading and Stopping are called when that begins.
	Reloading, Stopping func()
	// Alive is called by the core several times a second, for as long as it makes progress. It must not wait for anything.
	Alive func()
	// Peek hears the answers of the project page's own human test, for tests and nothing else.
	Peek func(id, answer string)
	// Reloads asks for a reload each time it can be read; SIGHUP, for one.
	Reloads <-chan struct{}
}

// Daemon is a running regwarden.
type Daemon struct {
	options Options
	logger  *slog.Logger
	core    *core
	page    *page // nil where no project page is configured
	rules   int   // at the start, for the log
	since   time.Time
}

// Run runs the daemon until ctx ends, and then saves what it knows. It returns an error only if it could not begin or keep its state.
func Run(ctx context.Context, o Options) error {
	for _, told := range []*func(){&o.Ready, &o.Reloading, &o.Stopping, &o.Alive} {
		if *told == nil {
			*told = func() {}
		}
	}
	d := &Daemon{options: o, logger: o.Logger, since: time.Now()}
	plan, err := startPlan(o.Config, o.Logger)
	if err != nil {
		return err
	}
	st, err := store.Open(o.Config.StateFile, o.Logger)
	if err != nil {
		return err
	}
	defer st.Close()
	d.rules = len(plan.set.Rules)
	if d.core, err = newCore(ctx, plan, st, o.Logger); err != nil {
		return err
	}
	d.core.alive = o.Alive
	if d.page, err = d.newPage(plan); err != nil {
		return err
	}
	return d.run(ctx)
}

// run starts the goroutines and waits for them. They end in the order of the path: sources, core, actions.
func (d *Daemon) run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	failed, answering := make(chan error, 1), make(chan struct{})
	var server sync.WaitGroup
	pages := d.pages()
	server.Go(func() { d.serveMetrics(serving, pages) })
	server.Go(func() { d.servePage(serving) })
	server.Go(func() {
		err := control.Serve(serving, control.ServerOptions{Path: d.options.Config.Socket, Group: d.options.Config.Group,
			Listener: d.options.Socket, Backend: d, Pages: socketPages(pages), Logger: d.logger, Ready: func() { close(answering) }})
		if err != nil && serving.Err() == nil {
			failed <- fmt.Errorf("control socket: %w", err)
		}
	})
	coreDone := make(chan error, 1)
	go func() { coreDone <- d.core.run() }()
	d.core.do(func(c *core) { c.start() })
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		watchHosts(watching, d.logger, func() { d.core.do(func(c *core) { c.hostsMoved() }) })
	})
	d.logger.Info("regwarden runs", "version", d.options.Version, "config", d.options.Config.Path,
		"rules", d.rules, "sources", len(d.options.Config.Sources), "dry_run", d.options.Config.DryRun)
	err := d.wait(ctx, answering, failed)
	d.options.Stopping()
	if d.options.Socket != nil {
		// Whoever connects now waits for the next daemon: this one's core could only say that it has ended.
		stopServing()
		server.Wait()
	}
	stopWatching()
	d.core.stop()
	err = errors.Join(err, <-coreDone)
	stopServing()
	server.Wait()
	watch.Wait()
	d.logger.Info("regwarden has stopped")
	return err
}

// wait tells when the socket answers, and answers reloads, until the daemon shall stop.
func (d *Daemon) wait(ctx context.Context, answering <-chan struct{}, failed <-chan error) error {
	for {
		select {
		case <-answering:
			answering = nil
			d.options.Ready()
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-d.core.broken:
			return nil // the core's own error says why
		case <-d.options.Reloads:
			_, _ = d.Reload(ctx, control.Peer{Name: "signal", MayChange: true}) // which has logged what is wrong
		}
	}
}

// ReplayOptions are the detector's options for old logs: the configuration's, or the defaults. This host's own addresses are not
// added, since the logs may be another's.
func ReplayOptions(c *config.Config) detector.Options {
	if c == nil {
		d := config.Default()
		c = &d
	}
	return detectorOptions(c, nil)
}

// detectorOptions turns the configuration into what the detector wants.
func detectorOptions(c *config.Config, extra []detector.Never) detector.Options {
	return detector.Options{
		Guards: detector.Guards{Never: append(c.Never(), extra...), BlockPrivate: c.BlockPrivate, Storm: c.Guards.Storm, StormLimit: c.Guards.StormLimit,
			StormWindow: c.Guards.StormWindow, ProxyShare: c.Guards.ProxyShare},
		Mask:   c.Mask,
		Memory: int(c.Memory * 3 / 8),
	}
}
