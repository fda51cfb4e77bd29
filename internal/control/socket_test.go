package control_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/internal/control"
)

func TestSocketHasItsModeAndGoesAway(t *testing.T) {
	path := filepath.Join(socketDir(t), "new", "s.sock")
	s := start(t, control.ServerOptions{Path: path, Backend: backend()})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := fs.ModeSocket|0o660, info.Mode(); want != got {
		t.Errorf("want mode %v, got %v", want, got)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode().Perm() != 0o755 {
		t.Errorf("want a directory of mode 0755, got %v, %v", dir.Mode(), err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 0 {
		t.Errorf("want an empty directory, got %v, %v", left, err)
	}
}

func TestSocketOfADeadDaemonIsReplaced(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil { // it left this too
		t.Fatal(err)
	}
	s := start(t, control.ServerOptions{Path: path, Backend: backend()})
	if _, err := control.NewClient(s.path).Status(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSecondDaemonIsTurnedAway(t *testing.T) {
	s := start(t, control.ServerOptions{Backend: backend()})
	err := control.Serve(t.Context(), control.ServerOptions{Path: s.path, Backend: backend()})
	if err == nil || !strings.Contains(err.Error(), "another regwarden answers on "+s.path) {
		t.Errorf("want another regwarden, got %v", err)
	}
	if _, err := control.NewClient(s.path).Status(t.Context()); err != nil {
		t.Errorf("the first daemon no longer answers: %v", err)
	}
}

// A program without our lock, such as an older version, is found by asking.
func TestSocketThatSomebodyAnswersOnIsLeftAlone(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = control.Serve(t.Context(), control.ServerOptions{Path: path, Backend: backend()})
	if err == nil || !strings.Contains(err.Error(), "another regwarden answers on "+path) {
		t.Errorf("want another regwarden, got %v", err)
	}
	if _, err := os.Stat(path + ".lock"); err == nil {
		t.Error("want no lock left behind")
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := control.Serve(t.Context(), control.ServerOptions{Path: path, Backend: backend()})
	if err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("want an error about what is there, got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("want the file as it was, got %q", text)
	}
}

func TestOfDaemonsThatStartTogetherOneWins(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const daemons = 8
	outcomes := make(chan bool, daemons)
	var all sync.WaitGroup
	for range daemons {
		all.Go(func() {
			err := control.Serve(ctx, control.ServerOptions{Path: path, Backend: backend(), Ready: func() { outcomes <- true }})
			if err != nil {
				outcomes <- false
			}
		})
	}
	won := 0
	for range daemons {
		select {
		case ok := <-outcomes:
			if ok {
				won++
			}
		case <-time.After(10 * time.Second):
			t.Fatal("not all have won or lost after 10 s")
		}
	}
	if won != 1 {
		t.Errorf("want one daemon on the socket, got %d", won)
	}
	if _, err := control.NewClient(path).Status(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	all.Wait()
}

func TestSocketOfASuccessorStays(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	s := start(t, control.ServerOptions{Path: path, Backend: backend()})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the other's socket was taken away: %v", err)
	}
}

func TestMissingGroupIsAWarning(t *testing.T) {
	var log bytes.Buffer
	s := start(t, control.ServerOptions{Backend: backend(), Group: "no-such-group-here", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "no-such-group-here") {
		t.Errorf("want a warning that names the group, got %s", &log)
	}
}

func TestMoreConnectionsThanServedWait(t *testing.T) {
	s := start(t, control.ServerOptions{Backend: backend()})
	var idle []net.Conn
	for range 64 {
		c, err := net.Dial("unix", s.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	done := make(chan error, 1)
	go func() {
		_, err := control.NewClient(s.path).Status(t.Context())
		done <- err
	}()
	idle[0].Close() // whether or not the client has asked yet: it gets this slot, or waits for it
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("no answer 10 s after a connection ended")
	}
}

func TestRequestUnderWayIsFinished(t *testing.T) {
	slow := &slowBackend{Backend: backend(), entered: make(chan struct{}), leave: make(chan struct{})}
	s := start(t, control.ServerOptions{Backend: slow})
	got := make(chan error, 1)
	go func() {
		_, err := control.NewClient(s.path).Status(context.Background())
		got <- err
	}()
	<-slow.entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for { // the socket refuses newcomers once it shuts down
		c, err := net.Dial("unix", s.path)
		if err != nil {
			break
		}
		c.Close()
	}
	close(slow.leave)
	if err := <-got; err != nil {
		t.Errorf("want the answer of a request under way, got %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

type slowBackend struct {
	control.Backend
	entered, leave chan struct{}
}

func (s *slowBackend) Status(ctx context.Context) (control.Status, error) {
	close(s.entered)
	select {
	case <-s.leave:
		return control.Status{}, nil
	case <-ctx.Done():
		return control.Status{}, ctx.Err()
	}
}

// Systemd makes the socket and keeps it: whoever connects between two daemons waits for the next one.
func TestClientThatConnectsBetweenTwoDaemonsIsServedByTheNext(t *testing.T) {
	path := filepath.Join(socketDir(t), "s.sock")
	kept, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	handOver := func() *net.UnixListener { // as a process gets it: a descriptor of the same socket
		f, err := kept.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		l, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		return l.(*net.UnixListener)
	}
	first := start(t, control.ServerOptions{Path: path, Listener: handOver(), Backend: backend()})
	if _, err := control.NewClient(path).Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the socket went away with the daemon: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/status HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	second := start(t, control.ServerOptions{Path: path, Listener: handOver(), Backend: backend()})
	answer := make([]byte, 64)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(answer); err != nil || !strings.Contains(string(answer[:n]), " 200 ") {
		t.Errorf("want it served, got %q, %v", answer[:n], err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 || left[0].Name() != "s.sock" {
		t.Errorf("want the socket alone, got %v, %v", left, err)
	}
}

// Who was let in is answered, although the daemon is told to end before it has read the request: with systemd's socket nobody notices a restart.
func TestWhoWasLetInIsAnsweredAtTheEnd(t *testing.T) {
	r := start(t, control.ServerOptions{Backend: backend()})
	c, err := net.Dial("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a := send(t, r.path, "GET", "/v1/status", ""); a.status != 200 { // connections are taken in their order: the first one is in, too
		t.Fatal(a)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	for began := time.Now(); time.Since(began) < 10*time.Second; { // until it ends, which nothing else tells
		other, err := net.Dial("unix", r.path)
		if err != nil {
			break
		}
		other.Close()
	}
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != 200 {
		t.Errorf("want an answer, got %v, %v", answer, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
