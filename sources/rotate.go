package sources

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rotated is called when cur was read to its end and the path names another file, or (there is false) none. It moves on to the next file when
// nobody seems to write to this one any more. How long that has been so was asked before it was read: whoever takes the lines may have held us up for
// seconds since, in which more was written.
func (f *follower) rotated(there bool) error {
	need := settle
	if f.cur.block.held() > 0 {
		need = settleLine
	}
	if !f.cur.finite() && f.silent < need && f.patient() {
		return nil
	}
	next, err := f.next()
	if err != nil {
		f.sayState(err)
	}
	if next == nil {
		return f.stay(there)
	}
	if err := f.finishLine(f.cur); err != nil {
		next.close()
		return err
	}
	f.retire()
	f.use(next)
	f.moved = true
	return nil
}

// patient says whether a rotated file that does not get quiet may go on to keep the new one waiting.
func (f *follower) patient() bool {
	if now, ok := statSibling(f.path); ok && now.size > 0 && f.waiting.IsZero() {
		f.waiting = time.Now()
	}
	return f.waiting.IsZero() || time.Since(f.waiting) < patience
}

// stay goes on with a rotated file because there is nothing newer yet.
func (f *follower) stay(there bool) error {
	if f.cur.finite() || f.silent >= settleLine {
		if err := f.finishLine(f.cur); err != nil {
			return err
		}
	}
	if there {
		return nil
	}
	return f.gone()
}

// surroundings is what a search for a next file depends on.
type surroundings struct {
	path  sibling
	there bool
	dir   int64 // mtime of the directory
}

func (f *follower) surroundings() surroundings {
	var s surroundings
	s.path, s.there = statSibling(f.path)
	if info, err := os.Stat(filepath.Dir(f.path)); err == nil {
		s.dir = info.ModTime().UnixNano()
	}
	return s
}

// next opens the file that follows cur: the oldest that was rotated away since, or what the path names. Nil means that there is
// none with content; an empty one is opened only when cur has been silent for long.
func (f *follower) next() (*openFile, error) {
	empty := time.Since(f.cur.fresh) > abandon
	for range lookRetries {
		around := f.surroundings()
		if around == f.looked && !empty {
			return nil, nil
		}
		chosen, all := f.choose(around, empty)
		o, err := pinned(chosen, empty)
		if err != nil {
			return nil, err
		}
		again, allAgain := f.choose(f.surroundings(), empty)
		if !sameFiles(all, allAgain) || again.path != chosen.path || again.id != chosen.id || o == nil && chosen.path != "" {
			o.close()
			continue // files were renamed or truncated while we looked
		}
		switch chosen.path {
		case "":
			f.looked = around
		case f.path:
			f.rememberLink()
		}
		return o, nil
	}
	return nil, nil
}

// pinned opens a file and reads its head. From then on a truncation shows; what was copied and truncated before is a sibling that the next look
// at the directory finds. It returns nil when the file is not the chosen one any more.
func pinned(chosen sibling, empty bool) (*openFile, error) {
	if chosen.path == "" {
		return nil, nil
	}
	o, err := openSibling(chosen.path)
	if err != nil {
		return nil, err
	}
	o.pin()
	if o.id != chosen.id || !o.finite() && len(o.head) == 0 && !empty {
		o.close()
		return nil, nil
	}
	return o, nil
}

// choose returns the file that follows cur, a zero one when there is none, and all siblings that it saw.
func (f *follower) choose(around surroundings, empty bool) (chosen sibling, all []sibling) {
	all = rotatedSiblings(f.families())
	for _, s := range rotatedSince(f.cur, all) {
		if s.id != around.path.id && !f.known(s) && !copyOf(around.path, s) {
			return s, all
		}
	}
	if around.there && around.path.id != f.cur.id && (around.path.size > 0 || empty) {
		return around.path, all
	}
	return sibling{}, all
}

// copyOf says whether the sibling has what the path has too: copytruncate has made the copy and not truncated yet. Then the path is read, and the
// copy only for what the path did not tell in time.
func copyOf(path, s sibling) bool {
	if path.path == "" || path.size == 0 {
		return false
	}
	copied, longer, err := headOf(s)
	if err != nil || len(copied) == 0 {
		return false
	}
	head, _, err := headOf(path)
	return err == nil && bytes.HasPrefix(head, copied) && (len(copied) == headSize || !longer)
}

// retire keeps the finished file open for a late writer.
func (f *follower) retire() {
	f.remember(f.cur.head)
	if f.cur.finite() {
		f.claims.drop(f.cur)
		f.cur.close()
		return
	}
	f.cur.block.release()
	f.cur.fresh = time.Now()
	f.kept = append(f.kept, f.cur)
}

// remember keeps the beginning of a finished file: whatever copy of it turns up later was read.
func (f *follower) remember(head []byte) {
	if len(head) == headSize {
		f.heads = append(f.heads, slices.Clone(head))
	}
	if len(f.heads) > seenHeads {
		f.heads = f.heads[1:]
	}
}

// lookBack gives out what late writers added to finished files, and closes those that have been quiet.
func (f *follower) lookBack(ctx context.Context) error {
	for i := 0; i < len(f.kept); {
		o := f.kept[i]
		before := o.fresh
		silent := time.Since(before) > straggle // asked before it is read, as in rotated
		err := f.drain(ctx, o, true)
		dead := errors.Is(err, errTruncated) || errors.Is(err, errRead)
		if err != nil && !dead {
			return err
		}
		if !dead && !(silent && o.fresh.Equal(before)) && i >= len(f.kept)-maxKept {
			o.block.release()
			i++
			continue
		}
		if err := f.finishLine(o); err != nil {
			return err
		}
		f.claims.drop(o)
		o.close()
		f.kept = slices.Delete(f.kept, i, i+1)
	}
	return nil
}

// known says whether the sibling is followed by itself, or is a copy of cur or of a file that was finished before it. One that cannot be
// read must not keep what came after it waiting.
func (f *follower) known(s sibling) bool {
	if f.claims.follows(s.path) {
		return true
	}
	head, longer, err := headOf(s)
	if err != nil {
		if f.skipped != err.Error() && !errors.Is(err, fs.ErrNotExist) {
			f.skipped = err.Error()
			f.log.Warn("cannot read a rotated log, leaving it out", "source", f.source, "path", f.path, "error", err)
		}
		return true
	}
	if bytes.Equal(head, f.cur.head) && len(head) > 0 {
		return len(head) == headSize || !longer && int64(len(head)) == f.cur.offset
	}
	return len(head) == headSize && slices.ContainsFunc(f.heads, func(old []byte) bool { return bytes.Equal(old, head) })
}
