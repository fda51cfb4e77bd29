package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// stdin is a finite source: one reader, until its end.
type stdin struct {
	name string
	r    io.Reader
}

// NewStdin returns a source that gives out the lines of r and then ends without error. Its position cannot be remembered.
//
// When the context ends during a Read that does not return, Run returns all the same and leaves that one Read behind.
func NewStdin(name string, r io.Reader) Source { return stdin{name: name, r: r} }

// Name is the configured name.
func (s stdin) Name() string { return s.name }

// Run gives out all lines.
func (s stdin) Run(ctx context.Context, _ map[string]Position, emit Emit) error {
	p := patient{ctx: ctx, turns: make(chan turn), ask: make(chan struct{})}
	go p.serve(s.r)
	defer close(p.ask)
	err := ReadAll("stdin", p, func(b Batch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.Source = s.name
		return emit(b)
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("source %s: %w", s.name, err)
	}
	return nil
}

// patient is a Reader whose Read returns when its context ends, although the Read below it cannot be ended.
type patient struct {
	ctx   context.Context
	ask   chan struct{}
	turns chan turn
}

// turn is what one Read returned. Its bytes are valid until the next is asked for.
type turn struct {
	read []byte
	err  error
}

// serve reads once for each time that it is asked, into a buffer of its own: whoever asked may be gone when the Read returns.
func (p patient) serve(r io.Reader) {
	own := make([]byte, readSize)
	for range p.ask {
		n, err := r.Read(own)
		select {
		case p.turns <- turn{own[:n], err}:
		case <-p.ctx.Done():
			return
		}
	}
}

// Read asks the serving goroutine and waits for it or for the context's end. It must be called with room for readSize bytes.
func (p patient) Read(into []byte) (int, error) {
	select {
	case p.ask <- struct{}{}:
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
	select {
	case t := <-p.turns:
		return copy(into, t.read), t.err
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
}
