package sources_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/nxadm/tail/util"
)

// The library that watches files ends the process with util.Fatal where it meets what it did not expect. These tests run in processes of their own, so that
// such an end is seen.

// apart is the name under which a test tells itself that it has its own process.
const apart = "REGWARDEN_TEST_APART"

func TestFatalErrorsOfTheLibraryDoNotEndTheProcess(t *testing.T) {
	if os.Getenv(apart) == "" {
		t.Parallel()
		again := itself(t)
		again.Env = append(os.Environ(), apart+"=1")
		passes(t, again)
		return
	}
	l := newLog(t)
	l.begin()
	pause(700) // it is idle now and its file watched
	// Every text that v1.4.11 passes to Fatal, for the file that is watched and for one that is not, and one that it may have some day.
	for _, fatal := range []func(){
		func() { util.Fatal("Failed to stat file %v: %v", l.path, syscall.ENOTDIR) },
		func() { util.Fatal("Failed to stat file %v: %v", l.path, syscall.EACCES) },
		func() { util.Fatal("Failed to stat file %v: %v", l.path+"x", syscall.ELOOP) },
		func() { util.Fatal("cannot set ReOpen without Follow.") },
		func() { util.Fatal("failed to create Watcher") },
		func() { util.Fatal("something else\n%s", l.path) },
	} {
		returned, ended := false, make(chan struct{})
		go func() {
			defer close(ended)
			fatal()
			returned = true
		}()
		<-ended
		if returned {
			t.Error("Fatal came back to code that does not expect it")
		}
		l.write(5)
		l.caughtUp()
	}
	l.rename(l.path, l.name(".1"))
	l.create()
	pause(700)
	l.write(5)
	l.finish()
}

// A host may have no inotify instance left, which is the library's other reason to end the process.
func TestWithoutInotifyFilesAreLookedAt(t *testing.T) {
	const limit = "/proc/sys/user/max_inotify_instances"
	if os.Getenv(apart) == "" {
		t.Parallel()
		again := itself(t)
		again.Env = append(os.Environ(), apart+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := again.CombinedOutput()
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EACCES) {
			t.Skipf("SKIPPED: this host gives no user namespaces: %v; as root run: go test -run %s ./sources", err, t.Name())
		}
		passed(t, out, err)
		return
	}
	l := newLog(t)
	l.must(os.WriteFile(limit, []byte("0"), 0))
	l.begin()
	for range 2 {
		pause(700)
		l.write(5)
		l.caughtUp()
	}
	l.finish()
	if fd, err := syscall.InotifyInit1(0); err == nil {
		syscall.Close(fd)
		t.Error("there was inotify all the time")
	}
}
