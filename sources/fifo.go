package sources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/nxadm/tail"
)

// errPipe says that the path is a named pipe.
var errPipe = errors.New("the path is a named pipe")

// runPipe follows a named pipe. There is no rotation and no position, and the rate of nxadm/tail is enough for one, so it does it.
//
// We keep a writing end open ourselves: the pipe then never ends when a writer leaves (nxadm/tail would stop there), and a byte from us wakes
// the reader when the context ends.
func (f *follower) runPipe(ctx context.Context) error {
	own, err := os.OpenFile(f.path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		f.sayState(err)
		return nil
	}
	defer own.Close()
	startTracker() // for its logger: nxadm/tail must not end the process
	t, err := tail.TailFile(f.path, tail.Config{Pipe: true, Follow: true, CompleteLines: true, Logger: tail.DiscardingLogger})
	if err != nil {
		f.sayState(err)
		return nil
	}
	f.sayState(nil)
	defer func() {
		t.Kill(nil)
		own.WriteString("\n")
		for range t.Lines {
		}
	}()
	return f.pipeLines(ctx, t.Lines)
}

func (f *follower) pipeLines(ctx context.Context, lines <-chan *tail.Line) error {
	buf := make([]byte, 0, MaxLine+readSize)
	for {
		var first *tail.Line
		var ok bool
		select {
		case first, ok = <-lines:
		case <-ctx.Done():
			return nil
		}
		if !ok {
			return nil
		}
		data, cut := appendLine(buf[:0], first.Text)
		data, cut = moreLines(data, cut, lines)
		if err := f.emit(Batch{Source: f.source, Path: f.path, Data: data, Cut: cut, After: Position{Path: f.path}}); err != nil {
			return fmt.Errorf("pipe %s: %w", f.path, err)
		}
	}
}

// moreLines adds the lines that are there at this moment, as many as surely fit.
func moreLines(data []byte, cut int, lines <-chan *tail.Line) ([]byte, int) {
	for len(data) < readSize-1 {
		select {
		case line, ok := <-lines:
			if !ok {
				return data, cut
			}
			var n int
			data, n = appendLine(data, line.Text)
			cut += n
		default:
			return data, cut
		}
	}
	return data, cut
}

func appendLine(data []byte, text string) ([]byte, int) {
	cut := 0
	if len(text) > MaxLine {
		text, cut = text[:MaxLine], 1
	}
	return append(append(data, text...), '\n'), cut
}
