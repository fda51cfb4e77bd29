package actions

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// right says whether a place's directory holds these files: no file of it can come or go without its time being another.
func (a *AnswerFiles) right(place string, files []answerFile) bool {
	dir := filepath.Join(a.options.Path, place)
	if !looksLike(dir, unix.S_IFDIR|0o755, -1, sealOf(files)) {
		return false
	}
	for _, f := range files {
		if !looksLike(dir+"/"+f.name, unix.S_IFREG|0o644, int64(len(f.content)), f.modTime) {
			return false
		}
	}
	return true
}

func looksLike(path string, mode uint32, size int64, modTime time.Time) bool {
	var s unix.Stat_t
	return unix.Lstat(path, &s) == nil && s.Mode == mode && (size < 0 || s.Size == size) && time.Unix(s.Mtim.Unix()).Equal(modTime)
}

// put makes a place's directory beside and changes it for what is there in one step.
func (a *AnswerFiles) put(place string, files []answerFile, temp string) error {
	temp = filepath.Join(a.options.Path, temp)
	path := filepath.Join(a.options.Path, place)
	err := a.fill(temp, files)
	if err == nil {
		err = unix.Rename(temp, path)
	}
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) {
		if err = unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE); err != nil { // a file system that cannot: there is a moment without any
			if err = os.RemoveAll(path); err == nil {
				err = unix.Rename(temp, path)
			}
		} else if err = os.RemoveAll(temp); err != nil {
			return fmt.Errorf("remove the old answers for %s: %w", place, errnoOf(err))
		}
	}
	if err != nil {
		os.RemoveAll(temp)
		return fmt.Errorf("write the answers for %s: %w", place, errnoOf(err))
	}
	return nil
}

// fill makes a directory with these files.
func (a *AnswerFiles) fill(dir string, files []answerFile) error {
	if err := a.mkdir(dir); errors.Is(err, fs.ErrExist) {
		if err := os.RemoveAll(dir); err != nil { // what a failure left
			return err
		}
		if err := a.mkdir(dir); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, f := range files {
		for i, c := range f.name {
			if c != '/' {
				continue
			}
			if err := a.mkdir(dir + "/" + f.name[:i]); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		if err := a.write(dir+"/"+f.name, f); err != nil {
			return err
		}
	}
	return setModTime(dir, sealOf(files))
}

// mkdir makes a directory that the web server may search, whatever the umask says.
func (a *AnswerFiles) mkdir(path string) error {
	if err := unix.Mkdir(path, 0o755); err != nil || !a.chmod {
		return err
	}
	return os.Chmod(path, 0o755)
}

// write makes a file by the kernel's calls alone: os.OpenFile would first ask whether one can wait for it, and there are 200,000 of them.
func (a *AnswerFiles) write(path string, f answerFile) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for rest := f.content; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		rest = rest[max(0, n):]
	}
	if a.chmod {
		if err := unix.Fchmod(fd, 0o644); err != nil {
			return err
		}
	}
	return setModTime(path, f.modTime)
}

func setModTime(path string, t time.Time) error {
	at := unix.NsecToTimespec(t.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// remove takes a place away.
func (a *AnswerFiles) remove(place string) error {
	path := filepath.Join(a.options.Path, place)
	// Most places hold one file: two calls instead of nine.
	if err := unix.Unlink(path + "/" + answerDenied); err == nil && unix.Rmdir(path) == nil {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove the answers for %s: %w", place, errnoOf(err))
	}
	return nil
}

// places are the names of places that are there; what others have put there stays. What a killed daemon was writing or removing goes.
func (a *AnswerFiles) places() ([]string, error) {
	dir, err := os.Open(a.options.Path)
	if err != nil {
		return nil, fmt.Errorf("look into the directory of the answers: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look into the directory of the answers: %w", err)
	}
	out := names[:0]
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, answerTemp):
			if err := os.RemoveAll(filepath.Join(a.options.Path, name)); err != nil {
				return nil, fmt.Errorf("remove what was left of old answers: %w", err)
			}
		case placeName.MatchString(name):
			out = append(out, name)
		}
	}
	return out, nil
}

// errnoOf drops the paths from an error, which the message names better.
func errnoOf(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
