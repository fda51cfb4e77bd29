package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/internal/control"
	"regwarden/internal/demo"
)

// screen is a writer that may be read while it is written.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestTheDemoDoesTheMainJob: within a minute the abusers are blocked and nobody else, the blocklist shows it, and an unblock lifts one.
func TestTheDemoDoesTheMainJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out screen
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Options{Out: &out, Program: "regwarden", Dir: dir, Page: freePort(t)})
	}()

	client := control.NewClient(filepath.Join(dir, "regwarden.sock"))
	want := map[string]bool{demo.Swarm: true, demo.Guesser: true, "2001:db8:10::": true}
	var got map[string]bool
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		blocks, err := client.Blocks(ctx, control.BlockFilter{})
		got = map[string]bool{}
		for _, b := range blocks {
			got[b.Target.Addr().String()] = true
		}
		if err == nil && len(got) >= len(want) {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the demo ended: %v\n%s", err, out.String())
		case <-time.After(100 * time.Millisecond): // the demo's own clock is what is waited for
		}
	}
	if a, b := text(want), text(got); a != b {
		t.Fatalf("want %s blocked, got %s\n%s", a, b, out.String())
	}
	await(t, filepath.Join(dir, "blocklist.txt"), demo.Swarm, true, 5*time.Second)
	if _, err := client.Unblock(ctx, control.UnblockRequest{Target: demo.Swarm, Reason: "pushed now"}); err != nil {
		t.Fatal(err)
	}
	await(t, filepath.Join(dir, "blocklist.txt"), demo.Swarm, false, 5*time.Second)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"BLOCKED   " + demo.Swarm, "unblock " + demo.Swarm} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("the screen does not say %q:\n%s", s, out.String())
		}
	}
}

func text(m map[string]bool) string {
	b, _ := json.Marshal(m)
	return string(b)
}

// await waits until a file has a line, or has it no more.
func await(t *testing.T, path, line string, there bool, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; {
		b, _ := os.ReadFile(path)
		if strings.Contains("\n"+string(b), "\n"+line+"\n") == there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %q there: want %v:\n%s", path, line, there, b)
		}
		<-time.After(20 * time.Millisecond)
	}
}
