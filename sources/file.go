// # Following files
//
// A followed path is a name; what it names changes. Every file that it names, one after the other, is read once, from its first byte (or from the
// remembered position) to its last, in order. The words:
//
//   - Rotated: the path names another inode than the file that is read. It does not matter how: renamed and created anew, deleted, another
//     file moved over it, a symlink switched. The old file is read on until it was quiet for a moment (250 ms; 1 s while its last line
//     has no newline; at most 3 s) and the new one has content, because nginx and others write to the old file until they are
//     told. Then its unfinished last line is given out as a line, and the old file is kept open until it has been quiet for another 2 s.
//   - Between: a file that was rotated away after the one that is read was, while nobody looked. Such siblings are read in order of their
//     last write, before the path. A sibling is the path's name with a number, a date or "old" added, plain or gzip, or svlogd's
//     @<time>.u and .s next to current. A sibling that begins with the same 1 KiB as a file that was read is a copy of it and is not read again;
//     nor is one that begins as the path does: copytruncate is about to truncate that.
//   - Truncated: the file became shorter than what was read of it, or its first bytes (up to 1 KiB) are others. If a copy with the former
//     first bytes is found (copytruncate), its rest is read first. Then the file is read from its beginning, without the hole of NULs that a
//     writer without O_APPEND leaves there.
//   - Position: inode, offset after the last whole line, CRC-32 of the first bytes up to 1 KiB. On a start the file with these is
//     searched under the path and among its siblings, also copied or compressed, read to its end, and then what came after it. An inode alone
//     proves nothing, as it is used again at once. A file with the right inode and beginning that is shorter than the offset lost
//     its end in a crash of the host, and is read on at its end.
//
// What can be lost:
//
//   - what copytruncate loses itself: lines written between its copy and its truncation; and where a file is truncated without a
//     copy, what was written in the last moment before it (up to 20 ms while data flows);
//   - what was rotated away and deleted, or compressed by something other than gzip, before it was read;
//   - a whole file that was created, filled and rotated away before the path was read for the first time;
//   - lines that are written to a rotated file more than 2 s after it and the new file were last written to, or whose process is killed in the
//     moment between such a late line and its being read;
//   - a line that a truncation without copy cuts in two, and everything beyond MaxLine of a longer one.
package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// FilesOptions says which files a source follows.
type FilesOptions struct {
	// Name is the configured name.
	Name string
	// Paths are files, or patterns as filepath.Match knows them. A path need not exist yet; files that match a pattern are
	// found within a second.
	Paths []string
	// From says where a file is begun that is there at the very first start of the source: at its "end" (also when empty) or its "start".
	// Every other file without a remembered position is new and read from its start.
	From string
	// Logger is told of files that cannot be read, once for each change; nil is silence.
	Logger *slog.Logger
	// Trouble is told what keeps a path from being read, as the log is, and "" when that is over or the path is followed no more. The goroutine of the path calls it; nil is nobody.
	Trouble func(path, text string)
	// Claims are shared with other sources; nil shares nothing.
	Claims *Claims
	// Poll looks at idle files four times a second instead of watching them.
	Poll bool
}

// Files follows files through every kind of rotation, each in a goroutine of its own.
type Files struct {
	name     string
	paths    []string // literal
	patterns []string
	fromEnd  bool
	log      *slog.Logger
	trouble  func(path, text string)
	shared   *Claims
	poll     bool
}

const rescan = time.Second

// NewFiles returns a source that follows files. It opens nothing yet.
func NewFiles(o FilesOptions) (*Files, error) {
	if o.Name == "" {
		return nil, errors.New("a source of files needs a name")
	}
	if o.From != "" && o.From != "end" && o.From != "start" {
		return nil, fmt.Errorf("source %s: from: %q is neither \"end\" nor \"start\"", o.Name, o.From)
	}
	s := &Files{name: o.Name, fromEnd: o.From != "start", log: o.Logger, trouble: o.Trouble, shared: o.Claims, poll: o.Poll}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.trouble == nil {
		s.trouble = func(string, string) {}
	}
	for _, path := range o.Paths {
		if err := s.add(path); err != nil {
			return nil, fmt.Errorf("source %s: %w", o.Name, err)
		}
	}
	if len(s.paths)+len(s.patterns) == 0 {
		return nil, fmt.Errorf("source %s: no paths", o.Name)
	}
	return s, nil
}

func (s *Files) add(path string) error {
	if path == "" {
		return errors.New("a path is empty")
	}
	path = filepath.Clean(path)
	list := &s.paths
	if strings.ContainsAny(path, `*?[\`) {
		if _, err := os.Lstat(path); err != nil {
			list = &s.patterns
		}
	}
	if _, err := filepath.Match(path, ""); err != nil && list == &s.patterns {
		return fmt.Errorf("path %q: %w", path, err)
	}
	if !slices.Contains(*list, path) {
		*list = append(*list, path)
	}
	return nil
}

// Name is the configured name.
func (s *Files) Name() string { return s.name }

// ours says whether a remembered path belongs to this source.
func (s *Files) ours(path string) bool {
	return slices.Contains(s.paths, path) || slices.ContainsFunc(s.patterns, func(pattern string) bool {
		ok, _ := filepath.Match(pattern, path)
		return ok
	})
}

// Run follows all files until the context ends, which is no error, or until emit returns one.
func (s *Files) Run(ctx context.Context, remembered map[string]Position, emit Emit) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &filesRun{Files: s, emit: emit, stop: stop, remembered: map[string]Position{}, followed: map[string]bool{}, ended: make(chan string), claims: newClaims(), told: map[string]bool{}}
	if s.shared != nil {
		r.claims = s.shared.shared
	}
	for path, p := range remembered {
		if path = filepath.Clean(path); s.ours(path) {
			r.remembered[path] = p
			r.claims.left(p)
		}
	}
	r.first(running)
	r.serve(running)
	r.all.Wait()
	if err := context.Cause(running); ctx.Err() == nil && err != nil {
		return fmt.Errorf("source %s: %w", s.name, err)
	}
	return nil
}

// filesRun is one Run of a Files. Its fields belong to Run's goroutine, but for claims.
type filesRun struct {
	*Files
	emit       Emit
	stop       context.CancelCauseFunc
	remembered map[string]Position
	followed   map[string]bool // by path
	ended      chan string
	claims     *claims
	told       map[string]bool // paths of other sources of which that was said
	all        sync.WaitGroup
}

// first starts to follow what is there at the start, and what is waited for.
func (r *filesRun) first(ctx context.Context) {
	fromEnd := r.fromEnd && len(r.remembered) == 0
	for _, path := range r.paths {
		r.follow(ctx, path, r.position(path), fromEnd, false)
	}
	for path := range r.remembered {
		if !r.followed[path] {
			r.follow(ctx, path, r.position(path), false, true)
		}
	}
	r.scan(ctx, fromEnd)
}

func (r *filesRun) position(path string) *Position {
	if p, ok := r.remembered[path]; ok {
		return &p
	}
	return nil
}

// serve looks for new files that match the patterns.
func (r *filesRun) serve(ctx context.Context) {
	var tick <-chan time.Time
	if len(r.patterns) > 0 {
		ticker := time.NewTicker(rescan)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case path := <-r.ended:
			delete(r.followed, path)
		case <-tick:
			r.scan(ctx, false)
		}
	}
}

func (r *filesRun) follow(ctx context.Context, path string, p *Position, fromEnd, forget bool) {
	r.followed[path] = true
	r.claims.follow(r.name, path)
	f := &follower{source: r.name, path: path, emit: r.emit, log: r.log, tell: r.trouble, poll: r.poll, forget: forget, claims: r.claims, fromEnd: fromEnd}
	r.all.Go(func() {
		err := f.run(ctx, p)
		r.claims.unfollow(path)
		if err != nil {
			r.stop(err)
		}
		select {
		case r.ended <- path:
		case <-ctx.Done():
		}
	})
}

// scan follows the files that match the patterns and are not known under another name.
func (r *filesRun) scan(ctx context.Context, fromEnd bool) {
	var found []string
	for _, pattern := range r.patterns {
		matches, _ := filepath.Glob(pattern)
		found = append(found, matches...)
	}
	present := map[string]bool{}
	for _, path := range found {
		present[path] = true
	}
	for _, path := range found {
		if r.followed[path] || r.rotatedAway(path, present) {
			continue
		}
		if other := r.claims.other(r.name, path); other != "" {
			r.sayOther(path, other)
			continue
		}
		p, free := r.claims.claim(path)
		if !free || !r.claims.reserve(r.name, path) {
			continue
		}
		r.follow(ctx, path, p, fromEnd, true)
	}
	for path := range r.told {
		if !present[path] {
			delete(r.told, path)
		}
	}
}

// sayOther says once of a file that it is left to another source.
func (r *filesRun) sayOther(path, other string) {
	if !r.told[path] {
		r.told[path] = true
		r.log.Warn("another source follows this file too: only that one reads it; narrow the pattern of one of them", "source", r.name, "path", path, "other", other)
	}
}

// rotatedAway says whether the path is compressed, or by its name a rotated file of one that is followed or matches too.
func (r *filesRun) rotatedAway(path string, present map[string]bool) bool {
	dir, name := filepath.Split(path)
	if _, packed := trimCompressed(name); packed {
		return true
	}
	return slices.ContainsFunc(basesOf(name), func(base string) bool {
		return present[dir+base] || r.followed[dir+base]
	})
}
