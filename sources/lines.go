package sources

import "bytes"

// readSize is how much is read at once. It must not exceed MaxLine: then only the first line of a block can be too long.
const readSize = 64 << 10

// block turns reads into whole lines. It holds at most one unfinished line, of which it keeps the first MaxLine bytes, so its
// memory is bounded whatever is written.
//
// The zero value is ready; its buffer comes with the first read.
type block struct {
	buf  []byte
	from int   // buf[from:to] is the beginning of a line that has not ended
	to   int   //
	over int64 // how many more bytes that line has, which were skipped
}

// room returns where the next read goes. It ends the life of the lines that take gave out.
func (b *block) room() []byte {
	if b.buf == nil {
		b.buf = make([]byte, MaxLine+1+readSize)
	}
	if b.from > 0 {
		b.to = copy(b.buf, b.buf[b.from:b.to])
		b.from = 0
	}
	return b.buf[b.to : b.to+readSize]
}

// dropFront forgets the first n of the k bytes that were just read into room.
func (b *block) dropFront(n, k int) {
	copy(b.buf[b.to:], b.buf[b.to+n:b.to+k])
}

// take accepts the n bytes that were read into room, and returns the whole lines that there are now and how many of them were cut.
func (b *block) take(n int) (lines []byte, cut int) {
	end := b.to + n
	first := bytes.IndexByte(b.buf[b.to:end], '\n')
	if first < 0 {
		b.to = min(end, MaxLine)
		b.over += int64(end - b.to)
		return nil, 0
	}
	if first += b.to; b.over > 0 || first > MaxLine {
		end = MaxLine + copy(b.buf[MaxLine:], b.buf[first:end])
		b.over, cut = 0, 1
	}
	b.from = bytes.LastIndexByte(b.buf[:end], '\n') + 1
	b.to = end
	return b.buf[:b.from], cut
}

// held is how many bytes of the input belong to the unfinished line.
func (b *block) held() int64 { return int64(b.to-b.from) + b.over }

// rest ends the unfinished line as if its newline had come; nil when there is none.
func (b *block) rest() (line []byte, cut int) {
	if b.to == b.from {
		return nil, 0
	}
	if b.over > 0 {
		cut = 1
	}
	b.buf[b.to] = '\n'
	line = b.buf[b.from : b.to+1]
	b.from, b.to, b.over = 0, 0, 0
	return line, cut
}

// carry takes over the unfinished line of another block, which may be nil.
func (b *block) carry(other *Buffer) {
	b.clear()
	if other == nil || other.block.to == other.block.from {
		return
	}
	o := &other.block
	b.to = copy(b.room()[:MaxLine+1], o.buf[o.from:o.to])
	b.over = o.over
	o.clear()
}

// clear forgets the unfinished line.
func (b *block) clear() { b.from, b.to, b.over = 0, 0, 0 }

// release gives the buffer back to the collector when no line is held; a file that is only kept for stragglers needs none.
func (b *block) release() {
	if b.to == b.from {
		*b = block{}
	}
}
