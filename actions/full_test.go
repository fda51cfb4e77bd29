package actions_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

// TestAFullDiskLeavesTheOldList fills a small file system, then makes it read-only.
func TestAFullDiskLeavesTheOldList(t *testing.T) {
	if os.Getenv("REGWARDEN_STRESS") == "" || os.Getuid() != 0 {
		t.Skip("SKIPPED: mounts a small tmpfs; as root run: REGWARDEN_STRESS=1 go test -run TestAFullDisk ./internal/store ./actions")
	}
	dir := t.TempDir()
	mount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "size=64k"); err != nil {
			t.Skipf("SKIPPED: cannot mount a tmpfs here (%v); as root run: REGWARDEN_STRESS=1 go test -run TestAFullDisk ./actions", err)
		}
	}
	mount(0)
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	path, ballast := filepath.Join(dir, "list"), filepath.Join(dir, "ballast")
	b, err := actions.NewBlocklist(actions.BlocklistOptions{Files: []actions.BlocklistFile{{Path: path, Format: "plain"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := actions.NewRunner(b, actions.RunnerOptions{})
	stop := start(t, r)
	r.Enqueue([]detector.Change{blocked("203.0.113.1/32")})
	flush(t, r)
	for _, row := range []struct {
		name, target, want string
		spoil, mend        func()
	}{
		{"full", "203.0.113.2", "no space left on device",
			func() { _ = os.WriteFile(ballast, make([]byte, 1<<20), 0o600) }, func() { os.Remove(ballast) }},
		{"read-only", "203.0.113.3", "read-only file system",
			func() { mount(syscall.MS_REMOUNT | syscall.MS_RDONLY) }, func() { mount(syscall.MS_REMOUNT) }},
	} {
		before := read(t, path)
		row.spoil()
		r.Enqueue([]detector.Change{blocked(row.target + "/32")})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if err := r.Flush(ctx); err == nil {
			t.Errorf("%s: want it not written", row.name)
		}
		cancel()
		if s := r.Status(); s.Healthy || !strings.Contains(s.LastError, row.want) {
			t.Errorf("%s: want the status to say %q, got %+v", row.name, row.want, s)
		}
		if got := read(t, path); got != before {
			t.Errorf("%s: want the old list, got %q", row.name, got)
		}
		row.mend()
		flush(t, r)
		if got := read(t, path); !strings.Contains(got, row.target+"\n") {
			t.Errorf("%s: want the block in the list, got %q", row.name, got)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("want no temporary file left, got %v, %v", entries, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
