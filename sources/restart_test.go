package sources_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"regwarden/sources"
)

// A process that is killed at any moment and goes on from the last position that it remembers reads each line once,
// whatever happens to the log meanwhile.
func TestKilledAndRestartedWhileRotated(t *testing.T) {
	t.Parallel()
	rename := func(l *logFile, n int) {
		l.rename(l.path, l.name(falling(n)))
		l.create()
	}
	tests := []struct {
		name   string
		rotate func(l *logFile, n int)
	}{
		{"renamed", rename},
		{"names shifted", func(l *logFile, n int) {
			for ; n > 1; n-- {
				l.rename(l.name(fmt.Sprintf(".%d", n-1)), l.name(fmt.Sprintf(".%d", n)))
			}
			l.rename(l.path, l.name(".1"))
			l.create()
		}},
		{"by date", func(l *logFile, n int) {
			l.rename(l.path, filepath.Join(l.dir, fmt.Sprintf("access-202610%02d.log", n)))
			l.create()
		}},
		{"copied and truncated", func(l *logFile, n int) { l.copyTruncate(falling(n)) }},
		{"renamed and compressed later", func(l *logFile, n int) {
			rename(l, n)
			if n > 1 {
				l.gzip(falling(n - 1))
			}
		}},
		{"symlink switched", func(l *logFile, n int) {
			next := fmt.Sprintf(".20261005-%03d", n)
			l.must(os.WriteFile(l.name(next), nil, 0o644))
			if n == 1 {
				l.rename(l.path, l.name(".20261005-000"))
			}
			l.must(os.Symlink("access.log"+next, l.name("-new")))
			l.rename(l.name("-new"), l.path)
			l.create()
		}},
		{"each in turn", func(l *logFile, n int) {
			if n%2 == 0 {
				l.copyTruncate(falling(n))
			} else {
				rename(l, n)
			}
		}},
	}
	for _, test := range tests {
		for seed := range uint64(scaled(2, 40)) {
			t.Run(fmt.Sprintf("%s/%d", test.name, seed), func(t *testing.T) {
				t.Parallel()
				killAndRestart(t, rand.New(rand.NewPCG(seed, 7)), test.rotate)
			})
		}
	}
}

// falling is the suffix of the nth rotation: the newest has the lowest number. Nothing else tells the order of two that fall into one tick of the clock.
func falling(n int) string { return fmt.Sprintf(".%d", 100-n) }

func killAndRestart(t *testing.T, random *rand.Rand, rotate func(*logFile, int)) {
	t.Helper()
	l := newLog(t)
	l.begin()
	rotations := 0
	for range 10 {
		for range 2 {
			l.write(1 + random.IntN(300))
			pause(random.IntN(25))
			rotations++
			rotate(l, rotations)
			l.write(1 + random.IntN(40))
			pause(random.IntN(25))
		}
		l.kill(random.IntN(3))
		l.write(1 + random.IntN(50))
		l.follow()
	}
	l.finish()
}

// kill ends the source after it gave out some more batches, or at once: the batch after them is not remembered.
func (l *logFile) kill(batches int) {
	l.t.Helper()
	l.s.mu.Lock()
	l.s.dieAfter = batches
	l.s.mu.Unlock()
	l.write(1)
	pause(15)
	l.run.stop(l.t)
	l.s.mu.Lock()
	l.s.dieAfter = -1
	l.s.mu.Unlock()
}

func TestPositionIsTheEndOfTheLastWholeLine(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(3)
	l.raw("half a li")
	l.follow()
	l.caughtUp()
	l.run.stop(t)
	p := l.s.positions[l.path]
	if want := int64(3 * (len(numbered(1)) + 1)); p.Offset != want || p.HeadLength != int(want) || p.Path != l.path || p.Inode == 0 {
		t.Errorf("got %+v, want offset %d", p, want)
	}
	l.raw("ne\n")
	l.follow()
	l.s.awaitLine(t, "half a line")
	l.run.stop(t)
}

func TestPositionOfARotatedLastLineIsTheFilesSize(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	l.raw("no newline")
	info, err := l.f.Stat()
	l.must(err)
	l.must(os.Remove(l.path))
	l.s.awaitLine(t, "no newline")
	l.run.stop(t)
	if p := l.s.positions[l.path]; p.Offset != info.Size() {
		t.Errorf("got offset %d, want %d", p.Offset, info.Size())
	}
}

func TestFirstStartAtTheEndIsRemembered(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.raw("old line\nhalf")
	options := sources.FilesOptions{Name: "test", Paths: []string{l.path}}
	l.followAs(options)
	l.s.await(t, "a position", func() bool { return l.s.positions[l.path].Offset == 9 })
	l.run.stop(t)
	l.raw(" a line\n")
	l.write(10)
	l.followAs(options)
	l.s.awaitLine(t, "half a line")
	l.caughtUp()
	l.run.stop(t)
	if l.s.count["old line"] > 0 {
		t.Error("a line before the start was given out")
	}
}
