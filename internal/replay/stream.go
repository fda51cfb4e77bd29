package replay

import (
	"bytes"
	"context"
	"io"
	"sync"

	"regwarden/detector"
	"regwarden/internal/scan"
	"regwarden/sources"
	"regwarden/sources/format"
)

// job is one block of a stream's lines on its way: read, scanned, counted.
type job struct {
	buffer sources.Buffer
	data   []byte
	cut    int
	err    error // what ended the stream; there is no data then

	// begin is the state that the block was scanned from: the latest one that was known when it was read. It is checked when its turn comes.
	begin    start
	block    scan.Block
	findings detector.Findings
	counts   scan.Counts
	// done is closed when it is scanned; nil for a stream's first block, which the merger scans.
	done chan struct{}
}

// start is what the lines of a block depend on besides themselves.
type start struct {
	state format.State
	last  int64 // the time of the line before, unix milliseconds; 0 is unknown
}

// stream is one file. Workers read it block by block, each at its turn; the merger takes the blocks in the same order.
type stream struct {
	path string
	file io.Closer

	mu     sync.Mutex // guards what follows: whoever reads the next block holds it
	blocks *sources.BlockReader
	ended  bool
	known  start
	free   []*job
	queue  chan *job // in the order of the file

	// The merger's:
	current *job
	cursor  detector.Cursor
	actual  start
	again   scan.Block                          // for lines that are read again
	recall  func(offset int) *detector.Findings // of the current block
}

// read reads the next block into a job and puts it into the queue; nil at the end of the stream. done is what whoever scans it closes.
func (s *stream) read(done chan struct{}, newJob func(*stream) *job) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	var j *job
	if n := len(s.free); n > 0 {
		j, s.free = s.free[n-1], s.free[:n-1]
	} else {
		j = newJob(s)
	}
	j.begin = s.known
	j.done = done
	j.data, j.cut, j.err = s.blocks.Next(&j.buffer)
	s.ended = j.err != nil
	s.queue <- j // never waits: a job is read only when the queue has room for it
	return j
}

// scan makes the job's findings. now is in unix milliseconds.
func (j *job) scan(with *detector.Scan, now int64) {
	j.findings.Reset()
	j.block.Scan, j.block.Now, j.block.Last, j.block.Leaned = with, now, j.begin.last, false
	j.block.Reader.SetState(j.begin.state)
	j.counts = j.block.Read(j.data, &j.findings)
}

// fits says whether the block was scanned from where the one before it ended.
func (j *job) fits(actual start) bool {
	return j.begin.state == actual.state && (!j.block.Leaned || j.begin.last == actual.last)
}

// line is the line at an offset of the block, without its newline.
func (j *job) line(offset int) []byte {
	rest := j.data[offset:]
	return rest[:bytes.IndexByte(rest, '\n')]
}

// await waits for the next block, scanned if a worker does that.
func (s *stream) await(ctx context.Context) (*job, error) {
	select {
	case j := <-s.queue:
		if j.done == nil {
			return j, nil
		}
		select {
		case <-j.done:
			return j, nil
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return nil, ctx.Err()
}

// release lets go of the current block.
func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free, s.current, s.known = append(s.free, s.current), nil, s.actual
}
