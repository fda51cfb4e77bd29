// Package demo runs the whole daemon with nothing set up: sample logs grow in a temporary directory, a swarm and a guesser are blocked
// by the shipped rules, the blocklist file shows it, and the socket answers. It needs no root and blocks nobody.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// Options say how the demo runs.
type Options struct {
	Out     io.Writer
	Version string
	// Program is how the user calls regwarden, for the commands that the demo suggests.
	Program string
	// For ends the demo by itself; 0 means that the context does.
	For time.Duration
	// Dir is where its files go; "" means a new temporary directory, removed at the end.
	Dir string
	// Page is the address and port of the project page; "" means the usual one, or a free one where that is taken.
	Page string
	// Peek hears the answers of the human test, for tests and nothing else.
	Peek func(id, answer string)
}

// The scene begins this long ago and is told so much faster than it happened, until it has caught up with the clock: then it goes on as time does.
const (
	begunAgo = 11 * time.Minute
	faster   = 25
)

const configText = `# The demo's configuration. A real one needs no more than this.
[[source]]
name = "registry"
path = "gitlab_registry_access.log"
from = "start"

[[source]]
name = "gitlab"
path = "production_json.log"
from = "start"

[[actions.blocklist]]
path   = "blocklist.txt"
format = "plain"

[state]
path = "state.db"

[control]
socket = "regwarden.sock"
`

// demo is one run.
type demo struct {
	Options
	dir    string
	page   string // address and port of the project page
	client *control.Client
	mu     sync.Mutex // guards Out
}

// Run runs the demo until ctx ends, or For is over.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o, dir: o.Dir}
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "regwarden-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		d.dir = dir
	}
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	if d.page = d.Page; d.page == "" {
		d.page = freePage()
	}
	c, err := d.prepare()
	if err != nil {
		return err
	}
	d.client = control.NewClient(c.Socket)
	d.greet(c)
	return d.run(ctx, c)
}

func (d *demo) prepare() (*config.Config, error) {
	path := filepath.Join(d.dir, "regwarden.toml")
	if err := os.WriteFile(path, []byte(configText), 0o600); err != nil {
		return nil, err
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	c.Actions.Log = false // the screen tells
	c.Portal = d.portal()
	return c, nil
}

// run starts the daemon, and once it answers the writer of the logs and the teller on the screen.
func (d *demo) run(ctx context.Context, c *config.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	ready := make(chan struct{})
	var logs bytes.Buffer
	others.Go(func() {
		select {
		case <-ready:
			others.Go(func() { d.tell(ctx) })
			if err := d.write(ctx); err != nil {
				d.say("the sample logs cannot be written: %v", err)
			}
		case <-ctx.Done():
		}
	})
	err := daemon.Run(ctx, daemon.Options{Config: c, Version: d.Version, Ready: sync.OnceFunc(func() { close(ready) }),
		Load: func() (*config.Config, error) { return d.prepare() }, Peek: d.Peek,
		Logger: slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	cancel()
	others.Wait()
	if err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(logs.String())))
	}
	d.say("the demo has ended; its files are gone")
	return nil
}

// write lets the logs grow: fast through what lies behind, then at the clock's pace.
func (d *demo) write(ctx context.Context) error {
	files := map[string]*os.File{}
	for _, name := range []string{accessLog, railsLog} {
		f, err := os.OpenFile(filepath.Join(d.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		files[name] = f
	}
	begun := time.Now()
	start := begun.Add(-begunAgo)
	told := func(now time.Time) time.Time { // how far the scene is told at a moment
		if at := start.Add(now.Sub(begun) * faster); at.Before(now) {
			return at
		}
		return now
	}
	entries := scene(rand.New(rand.NewPCG(1, 2)), start, begunAgo+2*time.Hour)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for until := told(now); len(entries) > 0 && !entries[0].at.After(until); entries = entries[1:] {
				if _, err := fmt.Fprintln(files[entries[0].log], entries[0].line); err != nil {
					return err
				}
			}
		}
	}
}
