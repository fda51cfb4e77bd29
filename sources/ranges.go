package sources

import (
	"bytes"
	"io"
	"math"
	"os"
	"sync/atomic"
)

// Ranges is a plain file of which several can read different lines at the same time.
type Ranges struct {
	file *os.File
	read *atomic.Int64 // counts the bytes that were read; nil for nobody
}

// ToEnd is the end of the range that has all that is left of the file, also what is written while it is read.
const ToEnd = math.MaxInt64

// LineEnd returns where the first line ends, with its newline, that ends behind an offset; ToEnd if none does or the file cannot be read there.
func (r *Ranges) LineEnd(offset int64) int64 {
	var look [4 << 10]byte
	for {
		n, err := r.file.ReadAt(look[:], offset)
		if i := bytes.IndexByte(look[:n], '\n'); i >= 0 {
			return offset + int64(i) + 1
		}
		if offset += int64(n); err != nil {
			return ToEnd
		}
	}
}

// Reader reads what stands from one offset up to another.
func (r *Ranges) Reader(from, to int64) io.Reader {
	section := io.NewSectionReader(r.file, from, to-from)
	if r.read == nil {
		return section
	}
	return &counted{section, r.read}
}
