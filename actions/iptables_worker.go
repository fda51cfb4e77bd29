package actions

import (
	"context"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// xtWorker runs one job at a time. The iptables library has no way to cancel a command; so whoever waits may give up, but the next job
// starts only when the last one has really ended, which the lock timeout of the commands bounds.
type xtWorker struct {
	busy      chan struct{} // has room for one
	namespace int
}

func newXTWorker(namespace int) xtWorker {
	return xtWorker{busy: make(chan struct{}, 1), namespace: namespace}
}

// do runs the job in a goroutine of its own, in the worker's namespace. The job should look at the context between its steps.
func (w *xtWorker) do(ctx context.Context, what string, job func(context.Context) error) error {
	select {
	case w.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%s: an earlier command still runs: %w", what, ctx.Err())
	}
	result := make(chan error, 1)
	go func() {
		defer func() { <-w.busy }()
		if err := w.enter(); err != nil {
			result <- err
			return
		}
		result <- job(ctx)
	}()
	select {
	case err := <-result:
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// enter moves the goroutine's thread to the namespace, for sockets and child processes. The thread stays locked and so ends with the goroutine.
func (w *xtWorker) enter() error {
	if w.namespace == 0 {
		return nil
	}
	runtime.LockOSThread()
	if err := unix.Setns(w.namespace, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace: %w", err)
	}
	return nil
}
