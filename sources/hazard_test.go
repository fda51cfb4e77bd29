package sources_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/sources"
)

// Ways in which a log is rotated beyond those of the suite; each test is one of them.

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

// A slow disk may keep whoever takes the lines for seconds, and with him the reader: when it goes on, what it knows of the file is old.
func TestReaderIsHeldUpWhileTheLogIsRotated(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	l.rename(l.path, l.name(".1"))
	release := l.holdUp()
	l.write(10)
	l.create()
	l.write(10)
	pause(2500) // the renamed file and the new one have been quiet for long
	release()
	l.finish()
}

// A large log is copied for seconds before it is truncated. Whoever is behind by one rotation then sees a copy and a log with the same lines.
func TestReaderIsBehindWhileTheLogIsCopied(t *testing.T) {
	t.Parallel()
	for _, lines := range []int{10, 100} { // less and more than what tells files apart
		t.Run(fmt.Sprint(lines), func(t *testing.T) {
			t.Parallel()
			l := newLog(t)
			l.begin()
			release := l.holdUp()
			l.write(50)
			l.copyTruncate(".2")
			l.write(lines)
			content, err := os.ReadFile(l.path)
			l.must(err)
			l.must(os.WriteFile(l.name(".1"), content, 0o644))
			release()
			l.caughtUp()
			pause(300) // the log is truncated later
			l.must(os.Truncate(l.path, 0))
			l.write(10)
			l.finish()
		})
	}
}

// holdUp starts the reader anew and writes a line; it returns when whoever takes that line keeps the reader, until release is called.
func (l *logFile) holdUp() (release func()) {
	l.t.Helper()
	if l.run != nil {
		l.run.stop(l.t)
	}
	held, free := make(chan struct{}), make(chan struct{})
	last := numbered(l.n + 1)
	s, err := sources.NewFiles(sources.FilesOptions{Name: "test", Paths: []string{l.path}, From: "start"})
	l.must(err)
	l.run = run(l.t, s, l.s.remembered(), func(b sources.Batch) error {
		if strings.Contains(string(b.Data), last) {
			close(held)
			<-free
		}
		return l.s.emit(b)
	})
	l.write(1)
	<-held
	return func() { close(free) }
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
		{"twice within one tick of the clock, names count on", func(l *logFile) {
			rename(l)
			for _, suffix := range []string{".2", ".3"} {
				l.write(50)
				l.rename(l.path, l.name(suffix))
				l.create()
			}
			// Of compressed files the numbers decide, as the time of their rename is gone.
			tick := time.Now()
			for _, suffix := range []string{".2", ".3"} {
				l.gzip(suffix)
				l.must(os.Chtimes(l.name(suffix+".gz"), tick, tick))
			}
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
