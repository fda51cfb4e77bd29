package sources

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// BlockReader gives out the lines of one reader in blocks, each in a buffer of the caller's: several can be worked on while the next is read.
type BlockReader struct {
	r    io.Reader
	last *Buffer // which holds the beginning of the next line
	err  error   // what ended the reader
}

// Buffer holds one block of lines. The zero value is ready; its memory comes with the first block.
type Buffer struct{ block block }

// NewBlockReader returns a BlockReader of r.
func NewBlockReader(r io.Reader) *BlockReader { return &BlockReader{r: r} }

// Next reads the next whole lines, each with its newline, and how many of them were longer than MaxLine and cut there. The lines are valid until the buffer is
// used again; no buffer may be used again before the next call, for it holds the unfinished line. A last line that has no newline counts; after it err is
// io.EOF, or what ended the reader.
func (b *BlockReader) Next(into *Buffer) (lines []byte, cut int, err error) {
	if into != b.last {
		into.block.carry(b.last)
		b.last = into
	}
	for b.err == nil {
		n, err := b.r.Read(into.block.room())
		b.err = err
		if lines, cut = into.block.take(n); len(lines) > 0 {
			return lines, cut, nil
		}
	}
	if lines, cut = into.block.rest(); lines != nil {
		return lines, cut, nil
	}
	return nil, 0, b.err
}

// Ended says that a range was read whole and that all of its lines were given out.
func (b *BlockReader) Ended() bool { return b.err == ErrRangeEnd && b.last.block.held() == 0 }

// LineReader gives out the lines of one reader, one a call.
type LineReader struct {
	blocks *BlockReader
	buffer Buffer
	lines  []byte // whole lines that were not given out yet
	cut    bool   // the first of them was cut
}

// NewLineReader returns a LineReader of r.
func NewLineReader(r io.Reader) *LineReader { return &LineReader{blocks: NewBlockReader(r)} }

// Next returns the next line without its newline, and whether it was longer than MaxLine and cut there. The line is valid till the next
// call. A last line that has no newline counts; after it err is io.EOF, or what ended the reader.
func (l *LineReader) Next() (line []byte, cut bool, err error) {
	if len(l.lines) == 0 {
		lines, cut, err := l.blocks.Next(&l.buffer)
		if err != nil {
			return nil, false, err
		}
		l.lines, l.cut = lines, cut > 0
	}
	i := bytes.IndexByte(l.lines, '\n')
	line, cut = l.lines[:i], l.cut
	l.lines, l.cut = l.lines[i+1:], false
	return line, cut, nil
}

// ReadAll gives out all lines of r, and returns at its end. The path names the reader in batches and errors.
func ReadAll(path string, r io.Reader, emit Emit) error {
	var b block
	var offset int64
	give := func(lines []byte, cut int) error {
		if len(lines) == 0 {
			return nil
		}
		return emit(Batch{Source: path, Path: path, Data: lines, Cut: cut, After: Position{Path: path, Offset: offset - b.held()}})
	}
	for {
		n, err := r.Read(b.room())
		offset += int64(n)
		if emitted := give(b.take(n)); emitted != nil {
			return emitted
		}
		if err == nil {
			continue
		}
		if emitted := give(b.rest()); emitted != nil {
			return emitted
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return fmt.Errorf("read %s: %w", path, err)
	}
}

// OpenFile opens a log to be read once: plain or gzip (told by its first bytes, not by its name), or standard input for "-".
func OpenFile(path string) (*Opened, error) { return OpenCounted(path, nil) }

// OpenCounted is OpenFile, and adds to read, unless it is nil, the bytes that were taken from the file: compressed ones of a gzip file.
func OpenCounted(path string, read *atomic.Int64) (*Opened, error) {
	f, regular := os.Stdin, false
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			f.Close()
			return nil, fmt.Errorf("read %s: it is a directory", path)
		}
		regular = err == nil && info.Mode().IsRegular()
	}
	var raw io.Reader = f
	if read != nil {
		raw = &counted{f, read}
	}
	var magic []byte
	if regular { // what is looked at here is not taken from the file, and need not be kept for whoever reads it
		magic = make([]byte, longestMagic)
		n, _ := f.ReadAt(magic, 0)
		magic = magic[:n]
	} else {
		buffered := bufio.NewReaderSize(raw, readSize)
		magic, _ = buffered.Peek(longestMagic)
		raw = buffered
	}
	if c := compressedBy(magic); c != nil {
		c.Path = path
		f.Close()
		return nil, c
	}
	if !bytes.HasPrefix(magic, gzipMagic) {
		o := &Opened{Reader: raw, Closer: f}
		if regular {
			o.Ranges = &Ranges{f, read}
		}
		return o, nil
	}
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(raw, readSize))
	if err != nil {
		return &Opened{Reader: broken{err}, Closer: f}, nil // as if it broke later: others are read on
	}
	return &Opened{Reader: unzipped, Closer: f}, nil
}

// broken is a file of which nothing can be read.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// Compressed is the error of a log that a program made which is not read here: its bytes would pass for lines in which nobody did anything.
type Compressed struct {
	Path string
	// By is that program; Cat is the one that unpacks to standard output.
	By, Cat string
}

func (c *Compressed) Error() string {
	return fmt.Sprintf("read %s: it is compressed with %s, which is not read here (gzip is)", c.Path, c.By)
}

// magics are the first bytes of what other compressors make; none can begin a line of a log.
var magics = []struct{ magic, by, cat string }{
	{"\xfd7zXZ\x00", "xz", "xzcat"},
	{"BZh", "bzip2", "bzcat"}, // and a digit, and what bzip2Block is
	{"\x28\xb5\x2f\xfd", "zstd", "zstdcat"},
	{"\x04\x22\x4d\x18", "lz4", "lz4cat"},
	{"\x1f\x9d", "compress", "zcat"},
	{"PK\x03\x04", "zip", "unzip -p"},
}

const (
	longestMagic = 6
	bzip2Block   = "1A" // the rest of it is beyond the longest of the others
)

func compressedBy(begins []byte) *Compressed {
	for _, m := range magics {
		if bytes.HasPrefix(begins, []byte(m.magic)) && (m.by != "bzip2" || bytes.HasSuffix(begins, []byte(bzip2Block))) {
			return &Compressed{By: m.by, Cat: m.cat}
		}
	}
	return nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	read *atomic.Int64
}

func (c *counted) Read(into []byte) (int, error) {
	n, err := c.Reader.Read(into)
	c.read.Add(int64(n))
	return n, err
}

// gzipMagic begins every gzip file: the two magic bytes and "deflate", the only method there is.
var gzipMagic = []byte{0x1f, 0x8b, 8}

// Opened is a log that is read once, from its beginning.
type Opened struct {
	io.Reader
	io.Closer
	// Ranges is there for a plain file: another way to read it. nil for what is compressed or comes through a pipe.
	Ranges *Ranges
}
