package sources_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"regwarden/sources"
)

func TestNewFilesRefusesWrongOptions(t *testing.T) {
	for name, o := range map[string]sources.FilesOptions{
		"name":    {Paths: []string{"x"}},
		"paths":   {Name: "x"},
		"empty":   {Name: "x", Paths: []string{""}},
		"pattern": {Name: "x", Paths: []string{"/var/log/[*.log"}},
		"from":    {Name: "x", Paths: []string{"x"}, From: "middle"},
	} {
		if _, err := sources.NewFiles(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPatternTakesNoRotatedSiblings(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.must(os.WriteFile(l.name(".1"), []byte("old\n"), 0o644))
	l.must(os.WriteFile(l.name(".2.gz"), []byte("old\n"), 0o644))
	l.must(os.WriteFile(filepath.Join(l.dir, "access-20261001.log"), []byte("old\n"), 0o644))
	l.write(10)
	l.followAs(sources.FilesOptions{Name: "test", Paths: []string{filepath.Join(l.dir, "*.log*")}, From: "start"})
	l.caughtUp()
	// Neither by number nor by a name that says nothing of rotation is a file that was read a new one.
	l.rename(l.path, filepath.Join(l.dir, "archived.log"))
	l.create()
	l.write(10)
	l.caughtUp()
	l.rename(l.path, l.name(".3"))
	l.create()
	l.write(10)
	l.caughtUp()
	// A new file is found, and all before it in the directory has been looked at.
	l.must(os.WriteFile(filepath.Join(l.dir, "zzz.log"), []byte(l.lines(1)), 0o644))
	l.finish()
}

func TestPatternAfterARestart(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	options := sources.FilesOptions{Name: "test", Paths: []string{filepath.Join(l.dir, "*.log")}}
	l.raw("before the first start\n")
	l.followAs(options)
	l.s.await(t, "a position", func() bool { return len(l.s.positions) == 1 })
	l.write(10)
	l.caughtUp()
	l.run.stop(t)
	l.must(os.WriteFile(filepath.Join(l.dir, "new.log"), []byte(l.lines(10)), 0o644))
	l.rename(l.path, filepath.Join(l.dir, "renamed.log"))
	l.write(10)
	l.followAs(options)
	l.finish()
}

func TestPathThatAppearsIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.must(os.Remove(l.path))
	other := filepath.Join(l.dir, "other.log")
	l.must(os.WriteFile(other, []byte("old\n"), 0o644))
	l.followAs(sources.FilesOptions{Name: "test", Paths: []string{l.path, other}})
	l.s.await(t, "the other's position", func() bool { return len(l.s.positions) == 1 })
	l.must(os.WriteFile(l.name(".new"), []byte(l.lines(10)), 0o644))
	pause(300) // the path was looked for and not found
	l.rename(l.name(".new"), l.path)
	l.finish()
}

func TestPolling(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.followAs(sources.FilesOptions{Name: "test", Paths: []string{l.path}, From: "start", Poll: true})
	for range 3 {
		l.write(10)
		l.caughtUp()
		l.rename(l.path, l.name(".1"))
		l.create()
	}
	l.write(1)
	l.finish()
}

func TestIdleFileWakesTheReader(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	for range 3 {
		pause(700)
		l.write(1)
		l.caughtUp()
	}
	l.finish()
}

func TestTwoSourcesFollowOneFile(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.begin()
	second := newSink()
	s, err := sources.NewFiles(sources.FilesOptions{Name: "second", Paths: []string{l.path}, From: "start"})
	l.must(err)
	other := run(t, s, nil, second.emit)
	for range 3 {
		pause(600)
		l.write(5)
		l.caughtUp()
		second.awaitLine(t, numbered(l.n))
	}
	other.stop(t)
	l.write(5)
	l.finish()
}

func TestAnErrorOfEmitEndsTheSource(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.write(1)
	l.s.dieAfter = 0
	s, err := sources.NewFiles(sources.FilesOptions{Name: "web", Paths: []string{l.path, l.name(".other")}, From: "start"})
	l.must(err)
	err = s.Run(t.Context(), nil, l.s.emit)
	if err == nil || err.Error() != "source web: killed" {
		t.Errorf("got %v", err)
	}
}

func TestNamedPipe(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	l.must(os.Remove(l.path))
	l.must(syscall.Mkfifo(l.path, 0o644))
	l.follow()
	for range 3 { // writers come and go
		l.create()
		l.write(100)
		line := l.lines(1)
		l.raw(line[:10])
		l.raw(line[10:])
		l.caughtUp()
		l.f.Close()
		l.f = nil
	}
	l.create()
	l.raw(strings.Repeat("x", 2*sources.MaxLine) + "\n")
	l.s.awaitLine(t, strings.Repeat("x", sources.MaxLine))
	l.run.stop(t)
	delete(l.s.count, strings.Repeat("x", sources.MaxLine))
	l.exact()
	if l.s.cut != 1 {
		t.Errorf("%d lines cut, want 1", l.s.cut)
	}
}
