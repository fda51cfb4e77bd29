package sources

import (
	"errors"
	"log"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/nxadm/tail/util"
	"github.com/nxadm/tail/watch"
	"gopkg.in/tomb.v1"
)

// A wake-up is one armed inotify watch of nxadm/tail/watch. It says when to look at a file and nothing else: what happened to the file is
// found out by looking. That package has one tracker for the whole process and four traps, which this file keeps to itself:
//
//   - util.Fatal ends the process when a stat fails for any reason but ENOENT. It logs first, so a logger whose writer
//     ends only the calling goroutine prevents that; the watch that lost its goroutine must then be removed, or the tracker blocks on it.
//   - Two watches of one path share one channel and steal each other's events. A second one is refused here, and its owner polls.
//   - Removing a watch twice makes its count negative, and the path is never watched again. Each is removed once.
//   - Killing a watch removes it later, in its own goroutine, and would take a new watch of the same path with it. disarm waits for it.
type wakeup struct {
	path    string
	tomb    tomb.Tomb
	changes *watch.FileChanges
	dead    chan struct{} // closed when the watch's goroutine was ended by util.Fatal
	gone    func()        // returns when the watch was removed
}

var (
	errWatched   = errors.New("the path is watched already")
	errNoTracker = errors.New("inotify is not available")
)

// watches are the armed wake-ups of the process by clean path, as the tracker below is the process's.
var watches = struct {
	sync.Mutex
	armed   map[string]*wakeup
	refused bool // the tracker could not be started, so nothing may be asked of it
}{armed: map[string]*wakeup{}}

// Before anything can run in the library: its way to say that it cannot go on ends the process.
func init() { util.LOGGER = &util.Logger{Logger: log.New(fatalWriter{}, "", 0)} }

// startTracker starts the process's tracker once and waits until it is known whether it runs.
var startTracker = sync.OnceFunc(func() {
	failed := trackerFailed
	started := make(chan struct{})
	go func() {
		// Any path will do; the answer, whatever it is, comes from the running tracker.
		if watch.Watch("/") == nil {
			watch.Cleanup("/")
		}
		close(started)
	}()
	select {
	case <-started:
	case <-failed:
		watches.Lock()
		watches.refused = true
		watches.Unlock()
	}
})

var trackerFailed = make(chan struct{})

// arm begins to watch the file that path names at this moment. Look at the file once more after it: what happened before is not told.
func arm(path string) (*wakeup, error) {
	startTracker()
	w := &wakeup{path: filepath.Clean(path), dead: make(chan struct{})}
	if err := w.register(); err != nil {
		return nil, err
	}
	changes, err := watch.NewInotifyFileWatcher(w.path).ChangeEvents(&w.tomb, 0)
	if err != nil {
		w.unregister()
		return nil, err
	}
	// The channel is closed by whoever removes the watch. It is nil when that has happened already.
	events := watch.Events(w.path)
	w.gone = func() {
		if events == nil {
			return
		}
		for range events {
		}
	}
	w.changes = changes
	return w, nil
}

func (w *wakeup) register() error {
	watches.Lock()
	defer watches.Unlock()
	switch {
	case watches.refused:
		return errNoTracker
	case watches.armed[w.path] != nil:
		return errWatched
	}
	watches.armed[w.path] = w
	return nil
}

func (w *wakeup) unregister() {
	watches.Lock()
	defer watches.Unlock()
	delete(watches.armed, w.path)
}

// disarm ends the watch and returns when the path can be armed again.
func (w *wakeup) disarm() {
	w.tomb.Kill(nil)
	w.gone()
	w.unregister()
}

// fatalWriter takes what util.Fatal says before it would end the process, and ends the goroutine instead.
type fatalWriter struct{}

func (fatalWriter) Write(text []byte) (int, error) {
	w := watchOf(string(text))
	if w == nil {
		if strings.HasPrefix(string(text), "FATAL -- failed to create Watcher") {
			close(trackerFailed)
		}
		runtime.Goexit()
	}
	go func() {
		watch.Cleanup(w.path)
		close(w.dead)
	}()
	runtime.Goexit()
	return len(text), nil
}

// watchOf returns the wake-up whose goroutine speaks; the text names its path.
func watchOf(text string) *wakeup {
	told, ok := strings.CutPrefix(text, "FATAL -- Failed to stat file ")
	if !ok {
		return nil
	}
	watches.Lock()
	defer watches.Unlock()
	var found *wakeup
	for path, w := range watches.armed {
		if strings.HasPrefix(told, path+": ") && (found == nil || len(path) > len(found.path)) {
			found = w
		}
	}
	return found
}

// The file systems on which other machines write without this one's inotify being told, by statfs's f_type.
var unwatchable = map[int64]bool{
	0x6969:     true, // NFS
	0xff534d42: true, // CIFS
	0xfe534d42: true, // SMB2
	0x01021997: true, // 9p
	0x65735546: true, // FUSE
	0x00c36400: true, // Ceph
	0x6b414653: true, // AFS
	0x01161970: true, // GFS2
	0x7461636f: true, // OCFS2
	0x0bd00bd0: true, // Lustre
	0x47504653: true, // GPFS
}

// watchable says whether inotify can be relied on where the file lies.
func watchable(path string) bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && !unwatchable[int64(fs.Type)]
}
