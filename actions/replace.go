package actions

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// replacedFile is a file that is replaced as a whole. Readers see the old content or the new one; so does the next start after a
// power cut.
type replacedFile struct {
	path  string
	mode  fs.FileMode // zero: keep, or 0644
	swept bool        // left-over temporary files were looked for
	ours  bool        // the file that is there was written by a regwarden
}

// fileState tells one version of a file from another.
type fileState struct {
	device, inode uint64
	size          int64
	modified      int64 // nanoseconds
}

// unchanged says whether the file is what it should be already.
func (f *replacedFile) unchanged(s *seal, identity [32]byte, content []byte) bool {
	info, err := os.Stat(f.path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if f.mode != 0 && info.Mode().Perm() != f.mode.Perm() {
		return false
	}
	if s.state != (fileState{}) {
		return s.identity == identity && s.state == stateOf(info)
	}
	if info.Size() != int64(len(content)) {
		return false
	}
	there, err := os.ReadFile(f.path)
	if err != nil || !bytes.Equal(there, content) {
		return false
	}
	*s = seal{identity: identity, state: stateOf(info)}
	return true
}

// replace writes the content beside the file and renames it into place. A symbolic link stays: what it names is replaced.
func (f *replacedFile) replace(content []byte) (fileState, error) {
	target, err := followed(f.path)
	if err != nil {
		return fileState{}, err
	}
	before, err := existing(target)
	if err != nil {
		return fileState{}, err
	}
	if !f.ours && before != nil && before.Size() > 0 {
		if err := written(target); err != nil {
			return fileState{}, err
		}
	}
	f.ours = true
	if !f.swept {
		sweep(target)
		f.swept = true
	}
	state, err := f.swap(target, before, content)
	if err != nil {
		return state, fmt.Errorf("write %s: %w", target, explained(err))
	}
	return state, nil
}

// written refuses a file that somebody else has written: a path that was mistyped must not cost a configuration or a log.
func written(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("write %s: look at what is there: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	begin := make([]byte, 64)
	n, _ := io.ReadFull(f, begin)
	for _, ours := range []string{headBegins, jsonBegins} {
		if bytes.HasPrefix(begin[:n], []byte(ours)) {
			return nil
		}
	}
	return fmt.Errorf("write %s: it is there and was not written by regwarden; remove it, or choose another path", path)
}

func (f *replacedFile) swap(target string, before fs.FileInfo, content []byte) (fileState, error) {
	temp, err := os.CreateTemp(filepath.Dir(target), tempPrefix(target)+"*.tmp")
	if err != nil {
		return fileState{}, err
	}
	state, err := f.fill(temp, before, content)
	if err == nil {
		err = os.Rename(temp.Name(), target)
	}
	if err != nil {
		os.Remove(temp.Name())
		return fileState{}, err
	}
	return state, syncDirectory(filepath.Dir(target))
}

// fill writes the temporary file to the disk and closes it.
func (f *replacedFile) fill(temp *os.File, before fs.FileInfo, content []byte) (fileState, error) {
	defer temp.Close()
	if _, err := temp.Write(content); err != nil {
		return fileState{}, err
	}
	mode := fs.FileMode(0o644)
	if before != nil {
		mode = before.Mode().Perm()
		keepOwner(temp, before)
	}
	if f.mode != 0 {
		mode = f.mode.Perm()
	}
	if err := temp.Chmod(mode); err != nil { // after chown, which may clear bits
		return fileState{}, err
	}
	if err := temp.Sync(); err != nil {
		return fileState{}, err
	}
	info, err := temp.Stat()
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info), temp.Close()
}

// keepOwner gives the new file the old one's owner and group, as far as the daemon may.
func keepOwner(temp *os.File, before fs.FileInfo) {
	old, ok := before.Sys().(*syscall.Stat_t)
	if !ok {
		return
	}
	if temp.Chown(int(old.Uid), int(old.Gid)) != nil {
		_ = temp.Chown(-1, int(old.Gid))
	}
}

// followed returns the path behind symbolic links. The last one may name a file that is not there yet.
func followed(path string) (string, error) {
	for range 40 { // as many as the kernel follows
		to, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing there
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	return "", fmt.Errorf("write %s: too many symbolic links", path)
}

// existing returns what is there; nil if nothing is.
func existing(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("write %s: the directory %s does not exist", path, filepath.Dir(path))
		}
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("write %s: %w", path, errors.Unwrap(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("write %s: it is there and no regular file", path)
	}
	return info, nil
}

// tempPrefix begins with a dot so that no include of *.conf or * takes a file that is not complete.
func tempPrefix(target string) string { return "." + filepath.Base(target) + ".regwarden-" }

// sweep removes the temporary files that an earlier run left when it was killed.
func sweep(target string) {
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), tempPrefix(target)) && strings.HasSuffix(e.Name(), ".tmp") {
			os.Remove(filepath.Join(filepath.Dir(target), e.Name()))
		}
	}
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some network file systems cannot
		return err
	}
	return nil
}

// explained drops the names of temporary files from an error and says what an odd errno means here.
func explained(err error) error {
	var errno syscall.Errno
	switch {
	case !errors.As(err, &errno):
		return err
	case errno == syscall.EBUSY:
		return fmt.Errorf("%w: the file is a mount of its own and cannot be replaced, mount its directory instead", errno)
	case errno == syscall.ENAMETOOLONG:
		return fmt.Errorf("%w: the temporary file beside it needs 25 bytes more", errno)
	}
	return errno
}

func stateOf(info fs.FileInfo) fileState {
	s := fileState{size: info.Size(), modified: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = uint64(st.Dev), st.Ino
	}
	return s
}
