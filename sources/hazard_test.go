package sources_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"regwarden/sources"
)

// The ways in which a log is rotated while it is followed; each test is one of them.

func TestRenamedAndCreatedWhileQuiet(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(100)
	l.follow()
	l.caughtUp()
	l.rename(l.path, l.name(".1"))
	l.create()
	l.write(100)
	l.finish()
}

func TestRenamedAndCreatedUnderLoad(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	for i := range scaled(10, 40) {
		l.write(400)
		l.rename(l.path, l.name(fmt.Sprintf(".%d", 100-i)))
		l.create()
		pause(scaled(5, 30))
	}
	l.write(1)
	l.finish()
}

func TestWriterKeepsTheRenamedFile(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(500)
	l.follow()
	l.caughtUp()
	l.rename(l.path, l.name(".1"))
	for range 10 {
		l.write(50)
		pause(20)
	}
	l.create()
	l.write(500)
	l.finish()
}

func TestWriterKeepsTheRenamedFileBesideAnEmptyNewOne(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(10)
	l.follow()
	l.caughtUp()
	old := l.f
	l.rename(l.path, l.name(".1"))
	l.f = nil
	l.create()
	fresh := l.f
	l.f = old
	for range 4 {
		pause(600) // longer than the old file must be quiet to be finished
		l.write(5)
		l.caughtUp()
	}
	l.f = fresh
	l.write(10)
	l.finish()
}

func TestLateLinesInTheRenamedFile(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(10)
	l.follow()
	l.caughtUp()
	old := l.f
	l.rename(l.path, l.name(".1"))
	l.f = nil
	l.create()
	l.write(10)
	l.caughtUp()
	fresh := l.f
	l.f = old
	l.write(10)
	l.caughtUp()
	l.f = fresh
	l.write(10)
	l.finish()
}

func TestDeletedWhileTheWriterKeepsIt(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(500)
	l.follow()
	l.caughtUp()
	l.must(os.Remove(l.path))
	for range 10 {
		l.write(50)
		pause(20)
	}
	l.create()
	l.write(500)
	l.finish()
}

func TestDeletedAndRecreated(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.follow()
	for range 5 {
		l.write(100)
		l.caughtUp()
		l.must(os.Remove(l.path))
		l.create()
	}
	l.write(100)
	l.finish()
}

func TestCopiedAndTruncated(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	for i := range 6 {
		l.write(100)
		if i%2 == 0 {
			l.caughtUp() // else the copy holds lines that were not read
		}
		l.copyTruncate(fmt.Sprintf(".%d", 9-i))
	}
	l.write(100)
	l.finish()
}

func TestTruncatedAndRegrownBeyondItsOldSize(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(100)
	l.follow()
	l.caughtUp()
	l.must(os.Truncate(l.path, 0))
	l.write(300)
	l.finish()
}

func TestTruncatedUnderAWriterWithoutAppend(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.close()
	f, err := os.OpenFile(l.path, os.O_WRONLY, 0)
	l.must(err)
	l.f = f
	l.write(2000)
	l.follow()
	l.caughtUp()
	l.must(os.Truncate(l.path, 0))
	l.write(100)
	l.caughtUp()
	l.must(os.Truncate(l.path, 0))
	l.write(2000)
	l.finish()
}

func TestSymlinkSwitched(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(200)
	l.rename(l.path, l.name("-a"))
	l.must(os.Symlink("access.log-a", l.path))
	l.follow()
	l.caughtUp()
	for _, next := range []string{"-b", "-c"} {
		l.must(os.WriteFile(l.name(next), []byte(l.lines(100)), 0o644))
		l.must(os.Symlink("access.log"+next, l.name(".new")))
		l.rename(l.name(".new"), l.path)
		l.caughtUp()
	}
	l.create()
	l.write(300)
	l.finish()
}

func TestLargerFileMovedOver(t *testing.T) { movedOver(t, 20, 3000) }

func TestSmallerFileMovedOver(t *testing.T) { movedOver(t, 3000, 20) }

func movedOver(t *testing.T, before, after int) {
	t.Helper()
	t.Parallel()
	l := newLog(t)
	l.write(before)
	l.follow()
	l.caughtUp()
	l.must(os.WriteFile(l.name(".tmp"), []byte(l.lines(after)), 0o644))
	l.rename(l.name(".tmp"), l.path)
	l.create()
	l.write(10)
	l.finish()
}

func TestLinesWrittenInHalves(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.follow()
	for range scaled(20, 200) {
		line := l.lines(1)
		l.raw(line[:len(line)/2])
		pause(15)
		l.raw(line[len(line)/2:])
	}
	l.finish()
}

func TestLastLineWithoutNewlineThenRenamed(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	l.write(10)
	l.raw(strings.TrimSuffix(l.lines(1), "\n"))
	l.rename(l.path, l.name(".1"))
	l.create()
	l.write(10)
	l.finish()
	if l.s.rotated == 0 {
		t.Error("no batch says that its file was rotated")
	}
}

func TestHalfLineIsEndedInTheRenamedFile(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	l.write(10)
	line := l.lines(1)
	l.raw(line[:20])
	old := l.f
	l.rename(l.path, l.name(".1"))
	l.f = nil
	l.create()
	l.write(10)
	pause(400)
	_, err := old.WriteString(line[20:])
	l.must(err)
	l.finish()
}

func TestNulBytesAndCarriageReturnsAreKept(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.follow()
	for _, line := range []string{"with\x00nul", "with return\r", "\x00leading nul", ""} {
		l.raw(line + "\n")
		l.s.awaitLine(t, line)
	}
	l.run.stop(t)
}

func TestHugeLineIsCutInBoundedMemory(t *testing.T) {
	l := newLog(t)
	l.write(1)
	l.follow()
	l.caughtUp()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := strings.Repeat("x", 1<<20)
	for range scaled(16, 64) {
		l.raw(chunk)
	}
	l.raw("\n")
	l.n++
	l.raw(numbered(l.n) + "\n")
	l.caughtUp()
	runtime.ReadMemStats(&after)
	l.run.stop(t)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("allocated %d bytes for a line of 64 KiB", grown)
	}
	want := []string{numbered(1), strings.Repeat("x", sources.MaxLine), numbered(2)}
	if len(l.s.lines) != 3 || l.s.lines[1] != want[1] || l.s.cut != 1 {
		t.Errorf("got %d lines, the second of %d bytes, %d cut", len(l.s.lines), len(l.s.lines[1]), l.s.cut)
	}
}

func TestRotatedWhileDown(t *testing.T) {
	t.Parallel()
	rename := func(l *logFile) {
		l.rename(l.path, l.name(".1"))
		l.create()
	}
	zip := func(l *logFile) {
		rename(l)
		l.gzip(".1")
	}
	twice := func(l *logFile) {
		rename(l)
		l.write(70)
		l.rename(l.name(".1"), l.name(".2"))
		rename(l)
	}
	tests := []struct {
		name   string
		rotate func(*logFile)
		after  int // lines in the new file
	}{
		{"new file smaller", rename, 5},
		{"new file larger", rename, 500},
		{"new file missing", func(l *logFile) { l.rename(l.path, l.name(".1")); l.f.Close() }, 0},
		{"compressed", zip, 50},
		{"twice", twice, 50},
		{"twice, the older one compressed", func(l *logFile) { twice(l); l.gzip(".2") }, 50},
		{"twice, both compressed", func(l *logFile) { twice(l); l.gzip(".2"); l.gzip(".1") }, 50},
		{"by date", func(l *logFile) { l.rename(l.path, l.name("-20261005")); l.create() }, 50},
		{"by date before the extension", func(l *logFile) { l.rename(l.path, filepath.Join(l.dir, "access-20261005.log")); l.create() }, 50},
		{"copied and truncated", func(l *logFile) { l.copyTruncate(".1") }, 50},
		{"copied, truncated, compressed, grown again", func(l *logFile) { l.copyTruncate(".1"); l.gzip(".1") }, 900},
		{"copied and truncated twice", func(l *logFile) {
			l.copyTruncate(".2")
			l.write(30)
			l.copyTruncate(".1")
		}, 50},
		{"twice, the newer one unreadable", func(l *logFile) {
			rename(l)
			l.must(os.WriteFile(l.name(".0.gz"), []byte("\x1f\x8b\x08 no gzip"), 0o644))
		}, 50},
		{"not at all", func(*logFile) {}, 50},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.write(100)
			l.follow()
			l.caughtUp()
			l.run.stop(t)
			l.write(100)
			test.rotate(l)
			if test.after > 0 {
				l.write(test.after)
			}
			l.follow()
			l.finish()
		})
	}
}

func TestSvlogdRotatesWhileDown(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.must(os.Remove(l.path))
	l.path = filepath.Join(l.dir, "current")
	l.create()
	l.write(100)
	l.follow()
	l.caughtUp()
	l.run.stop(t)
	stamp := func(n int) string { return filepath.Join(l.dir, fmt.Sprintf("@400000006543210%d0badcafe", n)) }
	for n, suffix := range []string{".s", ".s", ".u"} {
		l.write(100)
		l.rename(l.path, stamp(n)+suffix)
		l.create()
	}
	// svlogd's processor keeps the name.
	packed := stamp(0) + ".s"
	zipTo(t, packed, packed+"x")
	l.rename(packed+"x", packed)
	l.write(100)
	l.follow()
	l.finish()
}

func TestFileShorterThanItsPositionIsReadOnAtItsEnd(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(100)
	l.follow()
	l.caughtUp()
	l.run.stop(t)
	// A crash of the host took the last lines, which were counted already.
	l.must(os.Truncate(l.path, int64(50*(len(numbered(1))+1))-7))
	l.follow()
	// Its end is where it is when it is opened, so the line is written until one arrives.
	for before := l.s.total(); l.s.total() == before; pause(20) {
		l.write(1)
	}
	l.run.stop(t)
	if c := l.s.count[numbered(20)]; c != 1 {
		t.Errorf("line 20 came %d times", c)
	}
}

func TestTroubleWithThePathIsWaitedOut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		break_, fix func(l *logFile)
	}{
		{"ENOTDIR", func(l *logFile) {
			l.rename(l.dir, l.dir+"x")
			l.must(os.WriteFile(l.dir, nil, 0o644))
		}, func(l *logFile) {
			l.must(os.Remove(l.dir))
			l.rename(l.dir+"x", l.dir)
		}},
		{"ELOOP", func(l *logFile) {
			l.rename(l.path, l.name(".1"))
			l.must(os.Symlink("access.log", l.path))
		}, func(l *logFile) {
			l.must(os.Remove(l.path))
			l.create()
		}},
		{"ENOENT", func(l *logFile) { l.rename(l.dir, l.dir+"x") }, func(l *logFile) { l.rename(l.dir+"x", l.dir) }},
		{"a directory", func(l *logFile) {
			l.rename(l.path, l.name(".1"))
			l.must(os.Mkdir(l.path, 0o755))
		}, func(l *logFile) {
			l.must(os.Remove(l.path))
			l.create()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.dir = filepath.Join(l.dir, "logs")
			l.must(os.Mkdir(l.dir, 0o755))
			l.path = filepath.Join(l.dir, "access.log")
			l.create()
			l.write(10)
			l.follow()
			l.caughtUp()
			pause(700) // it is idle now and its file watched
			test.break_(l)
			l.write(10) // and its stat fails
			l.caughtUp()
			pause(300)
			test.fix(l)
			l.write(10)
			l.finish()
		})
	}
}

func TestRotationStorm(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	for i := range scaled(100, 1000) {
		l.write(10)
		l.rename(l.path, l.name(fmt.Sprintf(".%d", i+1)))
		l.create()
		pause(5)
	}
	l.write(10)
	l.finish()
}

func TestRotationStormWithShiftedNames(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	kept := 0
	for range scaled(60, 200) {
		l.write(10)
		for n := kept; n > 0; n-- {
			l.rename(l.name(fmt.Sprintf(".%d", n)), l.name(fmt.Sprintf(".%d", n+1)))
		}
		l.rename(l.path, l.name(".1"))
		kept++
		l.create()
		pause(5)
	}
	l.write(10)
	l.finish()
}

func TestManyFilesAtOnce(t *testing.T) {
	t.Parallel()
	for i := range scaled(8, 60) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.begin()
			for range scaled(5, 40) {
				l.write(170)
				l.rename(l.path, l.name(fmt.Sprintf("-2026100%d.%d", l.n%9, l.n)))
				l.create()
				pause(40 + 5*i%60)
			}
			l.write(1)
			l.finish()
		})
	}
}

// copyTruncate is logrotate's: the writer pauses, so that nothing is written between copy and truncation.
func (l *logFile) copyTruncate(suffix string) {
	l.t.Helper()
	content, err := os.ReadFile(l.path)
	l.must(err)
	l.must(os.WriteFile(l.name(suffix), content, 0o644))
	l.must(os.Truncate(l.path, 0))
}

// gzip compresses as gzip(1) does, which keeps the time of the last write.
func (l *logFile) gzip(suffix string) {
	l.t.Helper()
	zipTo(l.t, l.name(suffix), l.name(suffix+".gz"))
	l.must(os.Remove(l.name(suffix)))
}

func zipTo(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(to, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func scaled(small, full int) int {
	if stress {
		return full
	}
	return small
}

// pause is the writer's own pace. Nothing is asserted about how far the reader is after it.
func pause(ms int) { time.Sleep(time.Duration(ms) * time.Millisecond) }
