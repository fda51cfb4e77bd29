package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"regwarden/detector"
)

// TestAFullDiskIsAnErrorAndHeals fills a small file system.
func TestAFullDiskIsAnErrorAndHeals(t *testing.T) {
	if os.Getenv("REGWARDEN_STRESS") == "" || os.Getuid() != 0 {
		t.Skip("SKIPPED: mounts a small tmpfs; as root run: REGWARDEN_STRESS=1 go test -run TestAFullDisk ./internal/store ./actions")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("SKIPPED: cannot mount a tmpfs here (%v); as root run: REGWARDEN_STRESS=1 go test -run TestAFullDisk ./internal/store", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	path, ballast := filepath.Join(dir, "r.db"), filepath.Join(dir, "ballast")
	s := open(t, path)
	t.Cleanup(func() { s.Close() }) // before the unmount
	save(t, s, change(detector.ChangeBlock, "203.0.113.7/32", cause("before", noon)))
	put(t, ballast, make([]byte, 1<<20))
	var err error
	saved := 1
	for i := 0; err == nil && i < 5000; i++ {
		c := cause(fmt.Sprint(i), noon)
		c.Samples = []string{strings.Repeat("x", 2000)}
		if err = s.SaveChanges(t.Context(), []detector.Change{change(detector.ChangeBlock, fmt.Sprintf("2001:db8:0:%x::/64", i), c)}); err == nil {
			saved++
		}
	}
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("want an error that says that the disk is full, got %v", err)
	}
	t.Log(err)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	save(t, s, change(detector.ChangeBlock, "203.0.113.8/32", cause("after", noon)))
	if got := len(blocks(t, s)); got != saved+1 {
		t.Errorf("want %d blocks, got %d", saved+1, got)
	}
}
