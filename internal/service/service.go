// Package service is the daemon's side of systemd: it tells how far the daemon is, feeds the watchdog while the core moves, and takes the control socket
// that systemd holds. Where systemd has not started the daemon, all of it does nothing.
package service

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notifier tells systemd how the daemon fares. Its methods may be called from any goroutine.
type Notifier struct {
	logger *slog.Logger
	// rounds are the rounds that the core has made. The core only counts: a systemd that does not read must not hold it up.
	rounds atomic.Uint64
}

// NewNotifier returns a notifier; logger hears what systemd cannot be told.
func NewNotifier(logger *slog.Logger) *Notifier { return &Notifier{logger: logger} }

// Ready tells that the daemon follows its logs and answers, at the start and after a reload.
func (n *Notifier) Ready() { n.tell(daemon.SdNotifyReady) }

// Reloading tells that the configuration is being read again; Ready ends it.
func (n *Notifier) Reloading() {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping tells that the daemon is saving what it knows and will end.
func (n *Notifier) Stopping() { n.tell(daemon.SdNotifyStopping) }

// Alive counts a round of the core.
func (n *Notifier) Alive() { n.rounds.Add(1) }

// Feed keeps systemd's watchdog quiet while the core makes rounds, until ctx ends. A core that stands still is not spoken for: systemd ends it and
// starts another, which goes on from the last checkpoint.
func (n *Notifier) Feed(ctx context.Context) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.logger.Warn("systemd's watchdog cannot be fed", "error", err)
	}
	if limit == 0 {
		return
	}
	tick := time.NewTicker(limit / 4)
	defer tick.Stop()
	var fed uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := n.rounds.Load(); now != fed {
			fed = now
			n.tell(daemon.SdNotifyWatchdog)
		}
	}
}

func (n *Notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.logger.Warn("systemd cannot be told", "state", state, "error", err)
	}
}
