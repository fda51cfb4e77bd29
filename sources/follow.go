package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// How long things take. The whole of it is the definition of "a moment" in file.go.
const (
	busyPause = 20 * time.Millisecond  // between two looks while data flows
	busyFor   = 500 * time.Millisecond // data flows if some came within this time
	idlePause = time.Second            // the longest time between two looks
	pollPause = 250 * time.Millisecond // between two looks where nothing wakes us

	settle      = 250 * time.Millisecond // a rotated file that has been quiet for so long is finished when the new one has content
	settleLine  = time.Second            // the same while its last line has no newline
	patience    = 3 * time.Second        // a rotated file that never gets quiet keeps the new one waiting no longer
	straggle    = 2 * time.Second        // a finished file is kept open until it has been quiet for so long
	sayMissing  = 10 * time.Second       // a path that names nothing for so long is no rotation
	abandon     = time.Minute            // with nothing in the new file, the old one is kept open for so long
	maxKept     = 16                     // finished files kept open
	seenHeads   = 32                     // finished files whose beginning is remembered
	lookRetries = 20                     // listings of a directory in which files are renamed all the time
)

// follower follows one path in one goroutine.
type follower struct {
	source  string
	path    string
	emit    Emit
	log     *slog.Logger
	tell    func(path, text string) // of trouble
	poll    bool
	forget  bool // end when the file is gone for good: the path came from a pattern
	claims  *claims
	fromEnd bool // the path was there at the very first start and is to be read from its end

	cur     *openFile     // the file that is read; nil before the first
	real    string        // where the path led when cur was opened by it, if it is a symlink
	waiting time.Time     // since when the next file has been there while cur would not get quiet
	kept    []*openFile   // finished files that a late writer may still have open
	heads   [][]byte      // beginnings of finished files
	looked  surroundings  // what the last search saw that found no next file
	away    bool          // cur is not what the path names
	silent  time.Duration // for how long nobody had written to cur when it was last read to its end
	moved   bool          // another file is read, or an old one to its end, since the last look: there is no reason to wait
	trouble string        // what was logged last about the path
	skipped string        // what was logged last about a rotated file
	wake    *wakeup
	unarmed bool      // inotify failed for this path, which was logged
	missing time.Time // since when the path has named nothing
	timer   *time.Timer
}

// errForgotten ends a follower whose file is gone.
var errForgotten = errors.New("the file is gone")

// run follows the path until the context ends, emit fails or the file is gone for good.
func (f *follower) run(ctx context.Context, remembered *Position) error {
	f.timer = time.NewTimer(0)
	defer f.end()
	if remembered != nil {
		f.resume(*remembered)
	}
	for ctx.Err() == nil {
		err := f.look(ctx)
		if errors.Is(err, errForgotten) {
			return nil
		}
		if errors.Is(err, errPipe) {
			err = f.runPipe(ctx)
		}
		if err != nil {
			return err
		}
		f.wait(ctx)
	}
	return nil
}

func (f *follower) end() {
	f.disarm()
	if f.trouble != "" {
		f.tell(f.path, "")
	}
	for _, o := range append(f.kept, f.cur) {
		if o != nil {
			f.claims.drop(o)
			o.close()
		}
	}
}

// resume opens the file that the position was made in; without it the path is read from its beginning.
func (f *follower) resume(p Position) {
	f.real = p.Target
	now, _ := statSibling(f.path)
	f.use(search{position: p, families: f.families(), path: now.id}.locate())
	if f.cur == nil {
		if p.Offset > 0 {
			f.log.Warn("the file that was read last is gone, what it had left is lost", "source", f.source, "path", f.path, "inode", p.Inode, "offset", p.Offset)
		}
		return
	}
	f.cur.copied = f.cur.id != now.id && f.cur.id.inode != p.Inode
	f.fromEnd = false
}

// families are the names whose rotated siblings are ours.
func (f *follower) families() []string {
	paths := []string{f.path}
	if f.real != "" && f.real != f.path {
		paths = append(paths, f.real)
	}
	if real, err := filepath.EvalSymlinks(f.path); err == nil && !slices.Contains(paths, real) {
		paths = append(paths, real)
	}
	return paths
}

// use makes o the file that is read.
func (f *follower) use(o *openFile) {
	f.disarm()
	f.cur, f.waiting, f.looked = o, time.Time{}, surroundings{}
	if o != nil {
		f.claims.hold(o)
		f.sayState(nil)
		f.log.Debug("reading a file", "source", f.source, "path", f.path, "inode", o.id.inode, "offset", o.offset, "copy", o.finite())
	}
}

// look reads all there is, and finds out what became of the file.
func (f *follower) look(ctx context.Context) error {
	if err := f.lookBack(ctx); err != nil {
		return err
	}
	if f.cur == nil {
		return f.begin(ctx)
	}
	looked := time.Now()
	now, err := os.Stat(f.path)
	f.away = err != nil || identify(now) != f.cur.id
	f.silent = f.cur.quiet()
	switch err := f.drain(ctx, f.cur, f.away); {
	case errors.Is(err, errTruncated):
		return f.truncated()
	case errors.Is(err, errRead):
		return f.reopen(err)
	case err != nil:
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	if f.cur.shrunk() {
		return f.truncated()
	}
	if f.cur.fresh.After(looked) {
		f.silent = 0
		f.moved = f.away && f.cur.quiet() >= settle // an old file: its end is confirmed at once
	}
	if f.sayAbsence(err); !f.away {
		return nil
	}
	return f.rotated(err == nil)
}

// begin opens the path for the first time.
func (f *follower) begin(ctx context.Context) error {
	o, err := open(f.path)
	var not *notRegular
	if errors.As(err, &not) && not.mode&fs.ModeNamedPipe != 0 {
		return errPipe // which says itself whether it can be read
	}
	f.sayState(err)
	if err != nil {
		// What appears later is read from its beginning.
		f.fromEnd = false
		return f.gone()
	}
	f.missing = time.Time{}
	f.rememberLink()
	if f.fromEnd {
		f.fromEnd = false
		if err := o.seekLastLine(); err != nil {
			f.log.Warn("cannot find the end of the log, reading it from its beginning", "source", f.source, "path", f.path, "error", err)
			o.restart()
		}
		f.use(o)
		return f.emit(f.batch(nil, 0, false))
	}
	f.use(o)
	return f.look(ctx)
}

// gone ends the follower of a file that a pattern found and that has been away for long.
func (f *follower) gone() error {
	if f.missing.IsZero() {
		f.missing = time.Now()
	}
	if f.forget && time.Since(f.missing) > abandon && len(f.kept) == 0 {
		return errForgotten
	}
	return nil
}

func (f *follower) rememberLink() {
	f.real = ""
	if real, err := filepath.EvalSymlinks(f.path); err == nil && real != f.path {
		f.real = real
	}
}

// errRead wraps a read error, which is waited out.
var errRead = errors.New("read error")

// drain gives out what o has from its offset to its end.
func (f *follower) drain(ctx context.Context, o *openFile, rotated bool) error {
	for ctx.Err() == nil {
		n, end, err := o.fill()
		if errors.Is(err, errTruncated) {
			return err
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errRead, err)
		}
		if lines, cut := o.block.take(n); len(lines) > 0 {
			if err := f.emit(f.batch(lines, cut, rotated)); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
	return nil
}

// finishLine gives out the last line of a file that ends without a newline and will not go on.
func (f *follower) finishLine(o *openFile) error {
	line, cut := o.block.rest()
	if line == nil {
		return nil
	}
	return f.emit(f.batch(line, cut, true))
}

// batch is always positioned in cur: what comes late from a finished file does not move the position back.
func (f *follower) batch(lines []byte, cut int, rotated bool) Batch {
	after := f.cur.position(f.path)
	after.Target = f.real
	return Batch{Source: f.source, Path: f.path, Data: lines, Cut: cut, After: after, Rotated: rotated}
}

// truncated goes on where the content went: in the copy that copytruncate made of it, or at the beginning.
func (f *follower) truncated() error {
	f.disarm()
	rest := search{position: f.cur.content(f.path), families: f.families(), path: f.cur.id, not: f.cur.id}.locate()
	if rest != nil {
		f.log.Debug("the log was truncated, its rest is read from the copy", "source", f.source, "path", f.path)
		rest.copied = true
		f.remember(f.cur.head)
		f.claims.drop(f.cur)
		f.cur.close()
		f.use(rest)
		f.moved = true
		return nil
	}
	f.log.Debug("the log was truncated, reading it from its beginning", "source", f.source, "path", f.path)
	err := f.finishLine(f.cur)
	f.remember(f.cur.head)
	f.cur.restart()
	f.moved = true
	return err
}

// reopen waits out an error while reading. A network file system that went away may want a new handle when it is back.
func (f *follower) reopen(err error) error {
	f.sayState(err)
	if !errors.Is(err, syscall.ESTALE) {
		return nil
	}
	now, _ := statSibling(f.path)
	if o := (search{position: f.cur.position(f.path), families: f.families(), path: now.id}).locate(); o != nil {
		f.claims.drop(f.cur)
		f.cur.close()
		f.use(o)
	}
	return nil
}

// sayAbsence logs the state of a path whose file is open. That it is missing for a moment belongs to rotation.
func (f *follower) sayAbsence(err error) {
	if err == nil {
		f.missing = time.Time{}
		if !f.away { // else it is not yet known whether the new file can be read
			f.sayState(nil)
		}
		return
	}
	if f.missing.IsZero() {
		f.missing = time.Now()
	}
	if !errors.Is(err, fs.ErrNotExist) || time.Since(f.missing) > sayMissing {
		f.sayState(err)
	}
}

// sayState logs what is wrong with the path, once for each change.
func (f *follower) sayState(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == f.trouble {
		return
	}
	f.trouble = text
	f.tell(f.path, text)
	if text != "" {
		f.log.Warn("cannot read the log, waiting for it", "source", f.source, "path", f.path, "error", text)
	} else {
		f.log.Info("the log is readable again", "source", f.source, "path", f.path)
	}
}

// wait returns when it is time for the next look.
//
// While data flows a short pause is cheaper than a wake-up for every write; an idle file is watched.
func (f *follower) wait(ctx context.Context) {
	switch {
	case f.moved:
		f.moved = false
	case f.cur == nil || f.trouble != "":
		f.pause(ctx, pollPause)
	case time.Since(f.cur.fresh) < busyFor || len(f.kept) > 0:
		f.pause(ctx, busyPause)
	case f.away && !f.waiting.IsZero() || f.away && f.cur.quiet() < settleLine:
		f.pause(ctx, busyPause)
	case f.away || f.poll:
		f.pause(ctx, pollPause)
	default:
		f.watch(ctx)
	}
}

func (f *follower) pause(ctx context.Context, d time.Duration) {
	f.disarm()
	f.timer.Reset(d)
	select {
	case <-f.timer.C:
	case <-ctx.Done():
	}
}

// watch arms a watch and returns, for one more look; the next time it waits for it.
func (f *follower) watch(ctx context.Context) {
	if f.wake == nil {
		f.cur.block.release() // a thousand idle files need no thousand buffers
		f.arm(ctx)
		return
	}
	longest := idlePause
	if f.real != "" {
		longest = pollPause // the watch is on the file behind the link and sees nothing of a switch
	}
	f.timer.Reset(longest)
	select {
	case <-f.wake.changes.Modified: // it takes a while to disarm: look first, then whoever pauses disarms
	case <-f.wake.changes.Truncated:
	case <-f.wake.changes.Deleted:
		f.disarm()
	case <-f.wake.dead:
		f.disarm()
	case <-f.timer.C:
	case <-ctx.Done():
	}
}

func (f *follower) arm(ctx context.Context) {
	if !watchable(f.path) {
		f.poll = true
		return
	}
	wake, err := arm(f.path)
	if err == nil {
		f.wake = wake
		return
	}
	if !f.unarmed && !errors.Is(err, errWatched) && !errors.Is(err, fs.ErrNotExist) {
		f.unarmed = true
		f.log.Warn("cannot watch the log, looking at it four times a second", "source", f.source, "path", f.path, "error", err)
	}
	f.pause(ctx, pollPause)
}

func (f *follower) disarm() {
	if f.wake != nil {
		f.wake.disarm()
		f.wake = nil
	}
}
