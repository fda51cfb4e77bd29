package sources

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
)

// Ranges is a plain file of which several can read different lines at the same time.
type Ranges struct {
	file *os.File
	read *atomic.Int64 // counts the bytes that were read; nil for nobody
}

// Range is a part of a file, from an offset to another, both ends of lines.
type Range struct {
	From, To int64
	// End is the error with which reading ends at To: ErrRangeEnd where the file goes on, io.EOF where it does not; else what keeps it from being read any further.
	End error
}

// ErrRangeEnd says that a range was read whole.
var ErrRangeEnd = errors.New("sources: the range was read")

// Next returns the range from an offset to the end of the first line that ends at least size bytes later. The last one goes to the end of the file, also of what is written meanwhile.
func (r *Ranges) Next(from, size int64) Range {
	var look [16 << 10]byte
	for at := from + size; ; {
		n, err := r.file.ReadAt(look[:], at)
		if i := bytes.IndexByte(look[:n], '\n'); i >= 0 {
			return Range{from, at + int64(i) + 1, ErrRangeEnd}
		}
		if at += int64(n); err != nil {
			return Range{from, at, err}
		}
	}
}

// Reader reads a range. A file that ends before it, since it was truncated, ends there.
func (r *Ranges) Reader(of Range) io.Reader {
	var reader io.Reader = &rangeReader{r.file, of}
	if r.read != nil {
		reader = &counted{reader, r.read}
	}
	return reader
}

// rangeReader reads what is left of a range. Its error comes with the last bytes, so that nobody looks for more.
type rangeReader struct {
	file *os.File
	left Range
}

func (r *rangeReader) Read(into []byte) (int, error) {
	if r.left.End != io.EOF {
		into = into[:min(int64(len(into)), r.left.To-r.left.From)]
	}
	n, err := r.file.ReadAt(into, r.left.From)
	if r.left.From += int64(n); err == nil && r.left.From == r.left.To && r.left.End != io.EOF {
		err = r.left.End
	}
	return n, err
}
