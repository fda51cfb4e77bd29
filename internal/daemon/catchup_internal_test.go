package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/sources"
)

// TestCatchingUpIsTold with how much is left and how long it takes at this pace, and not while nothing is read or little is left.
func TestCatchingUpIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000<<20); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	at := place{"s", path}
	c := &core{logger: slog.New(slog.NewTextHandler(&log, nil)), positions: map[place]sources.Position{}, counts: map[place]*lineCounts{at: {}}}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	c.sayCatchUp(now)
	for _, step := range []struct {
		read, offset int64
		inode        bool
		want         string
	}{
		{read: 500 << 20, offset: 0, want: "behind_mb=1000 mb_per_s=50 left=20s"}, // another file is still read under the name
		{read: 0, offset: 0, want: ""},
		{read: 250 << 20, offset: 500 << 20, inode: true, want: "behind_mb=500 mb_per_s=25 left=20s"},
		{read: 250 << 20, offset: 940 << 20, inode: true, want: ""},
	} {
		log.Reset()
		p := sources.Position{Path: path, Offset: step.offset}
		if step.inode {
			p.Inode = inodeOf(t, path)
		}
		c.positions[at] = p
		c.counts[at].Bytes += uint64(step.read)
		now = now.Add(catchUpEvery)
		c.sayCatchUp(now)
		if got := log.String(); step.want == "" && got != "" || !strings.Contains(got, step.want) {
			t.Errorf("%+v: got %q", step, got)
		}
	}
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}
