package sources_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"regwarden/sources"
)

// The rotation suite: what happens to logs, quietly and beside a writer that does not stop. Of each scenario all lines that were written are counted: none
// may be lost, none may come twice. Everyone of them lost or doubled lines in some follower that is in use.
var suite = []struct {
	name string
	run  func(l *logFile)
	// alone is for what measures the whole process.
	alone bool
}{
	{name: "renamed and created anew, quiet", run: renamed},
	{name: "renamed and created anew, under load", run: renamedUnderLoad},
	{name: "renamed, the writer keeps the old file, quiet", run: keptAfterRename},
	{name: "renamed, the writer keeps the old file, under load", run: keptAfterRenameUnderLoad},
	{name: "deleted, the writer keeps the old file, quiet", run: keptAfterDelete},
	{name: "deleted, the writer keeps the old file, under load", run: keptAfterDeleteUnderLoad},
	{name: "copied and truncated, regrown before it is noticed, quiet", run: copiedAndTruncated},
	{name: "copied and truncated, regrown before it is noticed, under load", run: copiedAndTruncatedUnderLoad},
	{name: "truncated under a writer without O_APPEND", run: truncatedWithoutAppend},
	{name: "symlink switched, quiet", run: symlinkSwitched},
	{name: "symlink switched, under load", run: symlinkSwitchedUnderLoad},
	{name: "deleted and created anew", run: deletedAndRecreated},
	{name: "larger file moved over it", run: func(l *logFile) { movedOver(l, 100, 3500) }},
	{name: "smaller file moved over it", run: func(l *logFile) { movedOver(l, 3500, 30) }},
	{name: "lines in two halves, quiet", run: halves},
	{name: "lines in two halves, under load", run: halvesUnderLoad},
	{name: "last line without newline, then renamed", run: lastLineOpen},
	{name: "NUL bytes and carriage returns in lines", run: strangeBytes},
	{name: "one line of 64 MiB", run: hugeLine, alone: true},
	{name: "rotated while down, the new file is smaller", run: func(l *logFile) { rotatedWhileDown(l, 5) }},
	{name: "rotated while down, the new file is larger", run: func(l *logFile) { rotatedWhileDown(l, 500) }},
	{name: "stat fails with ENOTDIR", run: notADirectory},
	{name: "stat fails with EACCES", run: noAccess},
	{name: "stat fails with ELOOP", run: linkLoop},
	{name: "rotated every 5 ms, quiet between", run: storm},
	{name: "rotated every 5 ms, under load", run: stormUnderLoad},
	{name: "60 files at once", run: manyFiles},
}

// suiteRuns is how often each scenario runs: what races with a rotation does not lose every time.
const suiteRuns = 3

func TestRotationSuite(t *testing.T) {
	var sum tally
	t.Cleanup(func() {
		t.Logf("%d scenarios: %d lines written, %d lost, %d doubled, %d strange", len(suite), sum.written, sum.lost, sum.doubled, sum.strange)
	})
	for _, scenario := range suite {
		for n := range suiteRuns {
			t.Run(fmt.Sprintf("%s/%d", scenario.name, n+1), func(t *testing.T) {
				if !scenario.alone {
					t.Parallel()
				}
				l := newLog(t)
				l.sum = &sum
				scenario.run(l)
			})
		}
	}
}

func renamed(l *logFile) {
	l.write(1000)
	l.follow()
	l.caughtUp()
	l.rename(l.path, l.name(".1"))
	l.create()
	l.write(1000)
	l.finish()
}

func renamedUnderLoad(l *logFile) {
	l.begin()
	l.underLoad(func(w *load) {
		for n := range scaled(10, 40) {
			pause(25)
			l.rename(l.path, l.name(falling(n)))
			w.between(l.create)
		}
	})
	l.finish()
}

// keptAfterRename is nginx, which writes to the renamed file until it is told with USR1.
func keptAfterRename(l *logFile) {
	l.write(500)
	l.follow()
	l.caughtUp()
	l.rename(l.path, l.name(".1"))
	l.writeFor200ms()
	l.create()
	l.write(500)
	l.finish()
}

func (l *logFile) writeFor200ms() {
	l.t.Helper()
	for range 10 {
		l.write(50)
		pause(20)
	}
}

func keptAfterRenameUnderLoad(l *logFile) {
	l.begin()
	l.underLoad(func(w *load) {
		for n := range scaled(3, 20) {
			pause(50)
			l.rename(l.path, l.name(falling(n)))
			pause(200)
			w.between(l.create)
		}
	})
	l.finish()
}

func keptAfterDelete(l *logFile) {
	l.write(500)
	l.follow()
	l.caughtUp()
	l.must(os.Remove(l.path))
	l.writeFor200ms()
	l.create()
	l.write(500)
	l.finish()
}

// A file that is deleted before it was ever opened cannot be read, so each is deleted after a line of it came.
func keptAfterDeleteUnderLoad(l *logFile) {
	l.begin()
	l.underLoad(func(w *load) {
		for range scaled(3, 20) {
			l.must(os.Remove(l.path))
			pause(200)
			w.between(l.create)
			w.newestArrives()
		}
	})
	l.finish()
}

func copiedAndTruncated(l *logFile) {
	l.begin()
	for n := range 6 {
		l.write(100 * (n + 1))
		if n%2 == 0 {
			l.caughtUp() // else the copy holds lines that were not read
		}
		l.copyTruncate(falling(n))
		l.write(100 * (n + 2)) // more than there was
	}
	l.finish()
}

// The writer stops for the moment between copy and truncation, for what it writes there is lost to everybody.
func copiedAndTruncatedUnderLoad(l *logFile) {
	l.begin()
	l.underLoad(func(w *load) {
		for n := range scaled(6, 40) {
			pause(30)
			w.between(func() {
				l.copyTruncate(falling(n))
				if n%2 == 0 {
					l.write(3000)
				}
			})
		}
	})
	l.finish()
}

func truncatedWithoutAppend(l *logFile) {
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

// linkTo makes path a symlink to a new file of that suffix, in one step.
func (l *logFile) linkTo(suffix, content string) {
	l.t.Helper()
	l.must(os.WriteFile(l.name(suffix), []byte(content), 0o644))
	l.must(os.Symlink(filepath.Base(l.name(suffix)), l.name(".new")))
	l.rename(l.name(".new"), l.path)
}

func symlinkSwitched(l *logFile) {
	l.linkTo("-20261005-000", "")
	l.create()
	l.write(200)
	l.follow()
	l.caughtUp()
	for n := range 4 {
		l.linkTo(fmt.Sprintf("-20261005-%03d", n+1), l.lines(100))
		l.caughtUp()
		l.create()
		l.write(100)
	}
	l.finish()
}

func symlinkSwitchedUnderLoad(l *logFile) {
	l.linkTo("-20261005-000", "")
	l.create()
	l.begin()
	l.underLoad(func(w *load) {
		for n := range scaled(6, 40) {
			pause(25)
			l.linkTo(fmt.Sprintf("-20261005-%03d", n+1), "")
			pause(10)
			w.between(l.create)
		}
	})
	l.finish()
}

func deletedAndRecreated(l *logFile) {
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

func movedOver(l *logFile, before, after int) {
	l.t.Helper()
	l.write(before)
	l.follow()
	l.caughtUp()
	l.must(os.WriteFile(l.name(".tmp"), []byte(l.lines(after)), 0o644))
	l.rename(l.name(".tmp"), l.path)
	l.create()
	l.write(10)
	l.finish()
}

func halves(l *logFile) {
	l.follow()
	for range scaled(20, 50) {
		line := l.lines(1)
		l.raw(line[:len(line)/2])
		pause(15)
		l.raw(line[len(line)/2:])
	}
	l.finish()
}

func halvesUnderLoad(l *logFile) {
	l.begin()
	for n := range scaled(1000, 5000) {
		line := l.lines(1)
		cut := 1 + n%(len(line)-1)
		l.raw(line[:cut])
		if n%10 == 0 {
			pause(1)
		}
		l.raw(line[cut:])
	}
	l.finish()
}

func lastLineOpen(l *logFile) {
	l.begin()
	l.write(10)
	l.raw(strings.TrimSuffix(l.lines(1), "\n"))
	l.rename(l.path, l.name(".1"))
	l.create()
	l.write(10)
	l.finish()
	if l.s.rotated == 0 {
		l.t.Error("no batch says that its file was rotated")
	}
}

func strangeBytes(l *logFile) {
	l.begin()
	for _, line := range []string{"with\x00nul", "with return\r", "\x00leading nul", "", "trailing nul\x00", "\r", "return\r\x00nul"} {
		l.also = append(l.also, line)
		l.raw(line + "\n")
		l.write(1)
	}
	l.finish()
}

func hugeLine(l *logFile) {
	l.begin()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := strings.Repeat("x", 1<<20)
	for range 64 {
		l.raw(chunk)
	}
	l.raw("\n")
	l.write(1)
	l.caughtUp()
	runtime.ReadMemStats(&after)
	l.also = []string{chunk[:sources.MaxLine]}
	l.finish()
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		l.t.Errorf("allocated %d bytes for a line of 64 MiB of which %d are kept", grown, sources.MaxLine)
	}
	if l.s.cut != 1 {
		l.t.Errorf("%d lines are said to be cut, want 1", l.s.cut)
	}
}

func rotatedWhileDown(l *logFile, after int) {
	l.t.Helper()
	l.write(100)
	l.follow()
	l.caughtUp()
	l.run.stop(l.t)
	l.write(100)
	l.rename(l.path, l.name(".1"))
	l.create()
	l.write(after)
	l.follow()
	l.finish()
}

// inDir moves the log into a directory of its own.
func (l *logFile) inDir() {
	l.t.Helper()
	l.dir = filepath.Join(l.dir, "logs")
	l.must(os.Mkdir(l.dir, 0o755))
	l.path = filepath.Join(l.dir, "access.log")
	l.create()
}

// trouble breaks what stands around a log that is idle and watched, writes to it, and mends it.
func (l *logFile) trouble(break_, mend func()) {
	l.t.Helper()
	l.write(10)
	l.follow()
	l.caughtUp()
	pause(700)
	break_()
	l.write(10) // the watch's own stat fails at this
	l.caughtUp()
	pause(300)
	mend()
	l.write(10)
	l.finish()
}

func notADirectory(l *logFile) {
	l.inDir()
	l.trouble(func() {
		l.rename(l.dir, l.dir+"x")
		l.must(os.WriteFile(l.dir, nil, 0o644))
	}, func() {
		l.must(os.Remove(l.dir))
		l.rename(l.dir+"x", l.dir)
	})
}

func linkLoop(l *logFile) {
	l.trouble(func() {
		l.rename(l.path, l.name(".1"))
		l.must(os.Symlink("access.log", l.path))
	}, func() {
		l.must(os.Remove(l.path))
		l.create()
	})
}

// noAccess is about an ordinary user, for root may read everything: for root the test runs itself again as nobody.
func noAccess(l *logFile) {
	if os.Getuid() == 0 {
		asNobody(l.t)
		return
	}
	l.inDir()
	l.trouble(func() { l.must(os.Chmod(l.dir, 0)) }, func() {
		l.must(os.Chmod(l.dir, 0o755))
		l.rename(l.path, l.name(".1"))
		l.create()
		l.must(os.Chmod(l.path, 0))
		l.write(10)
		pause(600)
		l.must(os.Chmod(l.path, 0o644))
	})
}

func storm(l *logFile) {
	l.begin()
	for n := range scaled(100, 300) {
		l.write(10)
		l.rename(l.path, l.name(fmt.Sprintf(".%d", n+1)))
		l.create()
		pause(5)
	}
	l.write(10)
	l.finish()
}

func stormUnderLoad(l *logFile) {
	l.begin()
	l.underLoad(func(w *load) {
		for n := range scaled(100, 300) {
			pause(5)
			l.rename(l.path, l.name(fmt.Sprintf(".%d", n+1)))
			w.between(l.create)
		}
	})
	l.finish()
}

// manyFiles is one source with 60 files, each of which is rotated every 0.1 s.
func manyFiles(l *logFile) {
	files := 60
	logs := map[string]*logFile{}
	o := sources.FilesOptions{Name: "test", From: "start"}
	for n := range files {
		one := &logFile{t: l.t, dir: l.dir, path: filepath.Join(l.dir, fmt.Sprintf("site%d.log", n)), s: newSink(), sum: l.sum}
		one.create()
		one.write(1)
		logs[one.path] = one
		o.Paths = append(o.Paths, one.path)
	}
	s, err := sources.NewFiles(o)
	l.must(err)
	r := run(l.t, s, nil, func(b sources.Batch) error { return logs[b.Path].s.emit(b) })
	var writers sync.WaitGroup
	for _, one := range logs {
		one.run = r
		one.caughtUp()
		writers.Go(func() {
			for n := range scaled(8, 40) {
				one.write(170)
				one.rename(one.path, one.name(falling(n)))
				one.create()
				pause(80 + n%5*10)
			}
			one.write(1)
		})
	}
	writers.Wait()
	for _, one := range logs {
		one.arrived()
	}
	r.stop(l.t)
	for _, one := range logs {
		one.exact()
	}
}

// load is a writer that goes on while others rotate its log.
type load struct {
	l     *logFile
	calls chan func()
	ended chan struct{}
}

// underLoad lets rotate work beside a writer that writes a line each quarter of a millisecond, each in a write of its own.
func (l *logFile) underLoad(rotate func(w *load)) {
	l.t.Helper()
	w := &load{l: l, calls: make(chan func()), ended: make(chan struct{})}
	go w.run()
	rotate(w)
	close(w.calls)
	<-w.ended
	l.write(1)
}

func (w *load) run() {
	defer close(w.ended)
	for {
		select {
		case call, ok := <-w.calls:
			if !ok {
				return
			}
			call()
		default:
			for range 4 {
				w.l.write(1)
			}
			pause(1)
		}
	}
}

// between has the writer do something between two lines, and returns when it is done.
func (w *load) between(call func()) {
	w.l.t.Helper()
	done := make(chan struct{})
	select {
	case w.calls <- func() { call(); close(done) }:
	case <-w.ended:
		w.l.t.Fatal("the writer has failed")
	}
	select {
	case <-done:
	case <-w.ended:
		w.l.t.Fatal("the writer has failed")
	}
}

// newestArrives waits for a line that is written now.
func (w *load) newestArrives() {
	w.l.t.Helper()
	var line string
	w.between(func() {
		w.l.write(1)
		line = numbered(w.l.n)
	})
	w.l.s.awaitLine(w.l.t, line)
}

// asNobody runs the test again as an ordinary user.
func asNobody(t *testing.T) {
	t.Helper()
	const nobody = 65534
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("eacces-%d-%s", os.Getpid(), filepath.Base(t.Name())))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Skipf("SKIPPED: cannot give a directory to nobody: %v; run it as an ordinary user: go test -run %s ./sources", err, t.Name())
	}
	again := itself(t)
	again.Dir = dir
	again.Env = []string{"TMPDIR=" + dir}
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	passes(t, again)
}
