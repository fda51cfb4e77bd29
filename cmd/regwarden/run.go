package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"regwarden/internal/config"
	"regwarden/internal/daemon"
	"regwarden/internal/service"
)

// defaultConfig is where the packages put the configuration.
const defaultConfig = "/etc/regwarden/regwarden.toml"

func runCommand() *cobra.Command {
	path := defaultConfig
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run the daemon",
		Long: `Run follows the configured logs, blocks who abuses the registry and answers on the control socket until it is told to stop.

SIGTERM stops it: blocks stay, counts and positions are saved. SIGHUP reloads configuration and rules, all or nothing.`,
		GroupID: groupDaemon,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDaemon(cmd.Context(), path, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&path, "config", path, "the configuration `file`")
	return cmd
}

func runDaemon(ctx context.Context, path string, out io.Writer) error {
	load := func() (*config.Config, error) { return config.Load(path) }
	c, err := load()
	if err != nil {
		return configError(err)
	}
	// The collector works harder as the bound comes near; the tables themselves cannot outgrow it.
	debug.SetMemoryLimit(c.Memory / 10 * 8)
	log := logger(c, out)
	socket, err := service.ControlSocket()
	if err != nil {
		return err
	}
	if socket != nil && socket.Addr().String() != c.Socket {
		log.Warn("control.socket is not where systemd listens; the daemon answers where systemd does", "control.socket", c.Socket, "systemd", socket.Addr().String(),
			"hint", "make ListenStream= of regwarden.socket the same, or disable that unit")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	systemd := service.NewNotifier(log)
	feeding, fed := context.WithCancel(context.WithoutCancel(ctx)) // until the daemon has saved all
	var feeder sync.WaitGroup
	feeder.Go(func() { systemd.Feed(feeding) })
	err = daemon.Run(ctx, daemon.Options{Config: c, Version: thisBuild().Version, Logger: log, Load: load, Reloads: hangups(ctx), Socket: socket,
		Ready: systemd.Ready, Reloading: systemd.Reloading, Stopping: systemd.Stopping, Alive: systemd.Alive})
	fed()
	feeder.Wait()
	if err != nil {
		return configError(err)
	}
	return nil
}

// hangups turns SIGHUP into something to read from.
func hangups(ctx context.Context) <-chan struct{} {
	signals, reloads := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case <-ctx.Done():
				return
			case reloads <- struct{}{}:
			}
		}
	}()
	return reloads
}

// logger writes as the configuration says; under systemd the journal adds the time.
func logger(c *config.Config, out io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo // the configuration's check lets no other word through
	}
	o := &slog.HandlerOptions{Level: level}
	journal := os.Getenv("JOURNAL_STREAM") != ""
	if journal {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	if c.LogFormat == "json" || c.LogFormat == "auto" && journal {
		return slog.New(slog.NewJSONHandler(out, o))
	}
	return slog.New(slog.NewTextHandler(out, o))
}

// configError adds what to do to an error of the configuration.
func configError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &exitError{code: 1, err: err, hint: "write one (README.md shows ten lines, reference.toml every key), or try `regwarden demo`"}
	}
	return &exitError{code: 1, err: fmt.Errorf("%w", err), hint: "`regwarden check` tells when all is right"}
}
