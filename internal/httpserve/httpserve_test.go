package httpserve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"regwarden/internal/httpserve"
)

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestWhoIsOneTooManyIsSentAway, until somebody goes.
func TestWhoIsOneTooManyIsSentAway(t *testing.T) {
	l := httpserve.Cap(listen(t), 1)
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	if _, err := dial().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		var reset *net.OpError
		if !errors.As(err, &reset) {
			t.Errorf("the second: want it closed, got %v", err)
		}
	}
	first.Close()
	first.Close() // gives its place back once
	dial()
	second := <-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("two places were given back for one")
	}
	second.Close()
}

// TestARequestThatIsUnderWayIsAnswered when the context ends.
func TestARequestThatIsUnderWayIsAnswered(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		_, _ = w.Write([]byte("done"))
	})}
	ended := make(chan error, 1)
	go func() { ended <- httpserve.Until(ctx, server, l) }()
	r, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, err := io.ReadAll(r.Body); string(text) != "done" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("it ended with %v", err)
	}
}
