package sources

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"
	"time"
)

// headSize is how many of a file's first bytes tell it from every other file.
const headSize = 1024

// identity names a file while it exists; after that another file may get the same one.
type identity struct{ device, inode uint64 }

func identify(info os.FileInfo) identity {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(st.Dev), st.Ino}
	}
	return identity{}
}

// errTruncated says that a file has other content than the one that was read so far.
var errTruncated = errors.New("truncated")

// openFile is one file that is read, under whatever name it has now.
type openFile struct {
	f  *os.File
	gz *gzip.Reader // not nil for a compressed sibling: it is read once, front to end, and never grows
	id identity

	offset int64  // of the next byte to read; in a compressed file, of the uncompressed content
	head   []byte // the first headSize bytes, as far as they were read
	block  block

	fresh  time.Time // when data was last read, or it was opened, or finished
	broken bool      // the compressed file cannot be read further
	copied bool      // it is a copy that copytruncate made: nobody writes to it
}

// open opens a regular file at its beginning.
func open(path string) (*openFile, error) {
	// Without O_NONBLOCK, opening a named pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &notRegular{path, info.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &openFile{f: f, id: identify(info), fresh: time.Now()}, nil
}

// pin reads the head, so that a truncation is noticed before anything else was read.
func (o *openFile) pin() {
	if o.gz != nil {
		return
	}
	head := make([]byte, headSize)
	n, _ := o.f.ReadAt(head, 0)
	o.head = head[:n]
}

// openSibling is open for a rotated file, which may be compressed.
func openSibling(path string) (*openFile, error) {
	o, err := open(path)
	if err != nil {
		return nil, err
	}
	var magic [3]byte
	if n, _ := o.f.ReadAt(magic[:], 0); !bytes.Equal(magic[:n], gzipMagic) {
		return o, nil
	}
	if o.gz, err = gzip.NewReader(o.f); err != nil {
		o.close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return o, nil
}

// notRegular is the error for what is no log file.
type notRegular struct {
	path string
	mode os.FileMode
}

func (e *notRegular) Error() string {
	if e.mode.IsDir() {
		return "open " + e.path + ": it is a directory"
	}
	return "open " + e.path + ": it is not a regular file"
}

// close may be called on nil.
func (o *openFile) close() {
	if o != nil {
		o.f.Close()
	}
}

// read reads some raw bytes from the offset on: 0 without an error at the end.
func (o *openFile) read(into []byte) (int, error) {
	var n int
	var err error
	if o.gz != nil {
		n, err = o.unzip(into)
	} else {
		n, err = o.f.ReadAt(into, o.offset)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if n > 0 {
		err = nil // it will come again
	}
	o.addHead(into[:n])
	o.offset += int64(n)
	return n, err
}

// addHead keeps of the bytes at the offset what the head still lacks.
func (o *openFile) addHead(read []byte) {
	at := int64(len(o.head)) - o.offset
	if at < 0 || at >= int64(len(read)) {
		return
	}
	o.head = append(o.head, read[at:min(int64(len(read)), headSize-o.offset)]...)
}

// unzip reads uncompressed bytes. A broken file ends where it is broken, and says so once.
func (o *openFile) unzip(into []byte) (int, error) {
	if o.broken {
		return 0, nil
	}
	n, err := o.gz.Read(into)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		o.broken = true
	}
	return n, err
}

// fill reads the next block and checks that the file is still the same one: truncated and grown beyond the offset again, it would give out the
// middle of other lines. It returns how many bytes the block can take, and whether the end was reached.
func (o *openFile) fill() (n int, end bool, err error) {
	if o.idle() {
		if !o.same(len(o.head)) {
			err = errTruncated
		}
		return 0, true, err
	}
	into, known := o.block.room(), len(o.head)
	n, err = o.read(into)
	if err == nil && !o.same(known) {
		o.offset -= int64(n)
		o.head = o.head[:known]
		return 0, true, errTruncated
	}
	if n == 0 {
		return 0, true, err
	}
	o.fresh = time.Now()
	holes := o.nulls(into[:n])
	o.block.dropFront(holes, n)
	return n - holes, n < len(into) && o.gz == nil, nil
}

// idle says that there is nothing to read, for a file whose buffer was given back: it should not get one for nothing.
func (o *openFile) idle() bool {
	if o.gz != nil || o.block.buf != nil {
		return false
	}
	info, err := o.f.Stat()
	return err == nil && info.Size() <= o.offset
}

// same says whether the file still begins with the first known bytes that were read of it.
func (o *openFile) same(known int) bool {
	if o.gz != nil || known == 0 {
		return true
	}
	var now [headSize]byte
	n, _ := o.f.ReadAt(now[:known], 0)
	return bytes.Equal(now[:n], o.head[:known])
}

// shrunk says whether the file ends before the offset.
func (o *openFile) shrunk() bool {
	info, err := o.f.Stat()
	return err == nil && o.gz == nil && info.Size() < o.offset
}

// nulls is how many of the bytes just read are the hole that a writer without O_APPEND leaves when its file is truncated: NULs from the file's
// beginning to where it writes on. NULs elsewhere belong to their line.
func (o *openFile) nulls(read []byte) int {
	if o.block.held() > 0 || len(o.head) == 0 || o.head[0] != 0 {
		return 0
	}
	n := len(read) - len(bytes.TrimLeft(read, "\x00"))
	if n == len(read) {
		o.skipHole()
	}
	return n
}

// skipHole goes on at the file's next data, for a hole may be larger than the disk.
func (o *openFile) skipHole() {
	const seekData = 3
	if at, err := o.f.Seek(o.offset, seekData); err == nil && at > o.offset {
		o.offset = at
	}
}

// restart goes back to the beginning of a file that was truncated.
func (o *openFile) restart() {
	o.offset, o.head = 0, nil
	o.block.clear()
}

// seek goes to an offset.
func (o *openFile) seek(offset int64) error {
	if o.gz == nil {
		// A head that was compared already is not read again: the file may have been truncated since, which shows by this head only.
		if int64(len(o.head)) < min(offset, headSize) {
			o.pin()
		}
		o.offset = offset
		return nil
	}
	for scratch := make([]byte, readSize); o.offset < offset; {
		n, err := o.read(scratch[:min(int64(len(scratch)), offset-o.offset)])
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// seekLastLine goes to the end, or to the beginning of a line there that is not finished.
func (o *openFile) seekLastLine() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	tail := make([]byte, min(end, MaxLine))
	n, err := o.f.ReadAt(tail, end-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if i := bytes.LastIndexByte(tail[:n], '\n'); i >= 0 || n == int(end) {
		end += int64(i+1) - int64(len(tail))
	}
	return o.seek(end)
}

// position is where reading goes on when all that was given out has been counted.
func (o *openFile) position(path string) Position {
	at := o.offset - o.block.held()
	length := int(min(at, int64(len(o.head))))
	p := Position{Path: path, Device: o.id.device, Inode: o.id.inode, Offset: at, HeadLength: length}
	if length > 0 {
		p.Head = crc32.ChecksumIEEE(o.head[:length])
	}
	return p
}

// content is position for a file whose content has changed since: with all of the head that was read of the former one.
func (o *openFile) content(path string) Position {
	p := o.position(path)
	p.HeadLength, p.Head = len(o.head), crc32.ChecksumIEEE(o.head)
	return p
}

// begins says whether the file begins with the position's head and reaches to its offset. A position at a file's beginning has no head and fits none.
func (o *openFile) begins(p Position) bool {
	if p.HeadLength <= 0 || p.HeadLength > headSize {
		return false
	}
	if o.gz == nil {
		o.pin()
	} else if o.seek(int64(p.HeadLength)) != nil {
		return false
	}
	return len(o.head) >= p.HeadLength && crc32.ChecksumIEEE(o.head[:p.HeadLength]) == p.Head
}

// reaches says whether the file has at least that many bytes.
func (o *openFile) reaches(offset int64) bool {
	if o.gz != nil {
		return o.seek(offset) == nil
	}
	info, err := o.f.Stat()
	return err == nil && info.Size() >= offset
}

// finite says that nobody writes to the file any more, whatever its times say.
func (o *openFile) finite() bool { return o.gz != nil || o.copied }

// quiet is for how long nobody wrote to the file: by its own time, or by our clock where the file server's is slow.
func (o *openFile) quiet() time.Duration {
	now := time.Now()
	seen := now.Sub(o.fresh)
	if info, err := o.f.Stat(); err == nil {
		return max(seen, now.Sub(info.ModTime()))
	}
	return seen
}
