package store_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/store"
)

// childVariable makes the test binary a daemon that saves changes to the database that it names until it is killed.
const childVariable = "REGWARDEN_STORE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := saveForever(path); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// saveForever prints the ID of each cause after it is saved, with the checkpoint that belongs to it.
func saveForever(path string) error {
	s, err := store.Open(path, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if aside := s.SetAside(); aside != "" {
		return fmt.Errorf("the database was set aside as %s", aside)
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		c := change(detector.ChangeBlock, fmt.Sprintf("203.0.113.%d/32", i%200), cause(id, noon))
		if err := s.Save(ctx, []detector.Change{c}, &store.Checkpoint{State: []byte(id)}); err != nil {
			return err
		}
		fmt.Println(id)
	}
}

func TestWhatWasSavedOutlivesAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	var printed []string
	for range 10 {
		printed = append(printed, killedChild(t, path)...)
	}
	if len(printed) == 0 {
		t.Fatal("want some changes saved before the kills")
	}
	s := open(t, path)
	if s.SetAside() != "" {
		t.Fatalf("want a whole database, got one set aside as %s", s.SetAside())
	}
	known, err := s.Known(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range printed {
		if !known[id] {
			t.Errorf("%s was said to be saved and is lost", id)
		}
	}
	entries, err := s.History(t.Context(), store.HistoryFilter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := s.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(checkpoint.State) != entries[0].Cause.ID {
		t.Errorf("want the checkpoint of the last change, %s, got %s", entries[0].Cause.ID, checkpoint.State)
	}
	t.Logf("%d changes were saved, all are there", len(printed))
}

// killedChild runs a child, kills it at some moment after its first line, and returns the IDs that it printed.
func killedChild(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if text := lines.Text(); strings.HasPrefix(text, "error:") {
			t.Error(text)
		} else if ids = append(ids, text); len(ids) == 1 {
			time.AfterFunc(rand.N(100*time.Millisecond), func() { _ = cmd.Process.Kill() }) // at random moments is the point
		}
	}
	_ = cmd.Wait() // killed
	return ids
}
