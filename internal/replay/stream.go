package replay

import (
	"bytes"
	"context"
	"io"
	"slices"
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
	scanned  bool
	// done is closed when it and more are scanned; nil for a stream's first block, which the merger scans.
	done chan struct{}
	// more are the blocks that follow and were read and scanned together with this one, in the file's order.
	more []*job
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
	rest    []*job // that were read with the current one and come after it
	cursor  detector.Cursor
	actual  start
	again   scan.Block                          // for lines that are read again
	recall  func(offset int) *detector.Findings // of the current block
}

// read reads at most so many next blocks into a job and those after it, and puts it into the queue; nil at the end of the stream. done is what whoever scans
// them closes.
func (s *stream) read(done chan struct{}, together int, newJob func(*stream) *job) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil
	}
	first := s.readOne(newJob)
	first.done = done
	for last := first; len(first.more) < together-1 && !s.ended && len(last.data) >= fullBlock; {
		last = s.readOne(newJob)
		first.more = append(first.more, last)
	}
	s.queue <- first // never waits: a job is read only when the queue has room for it
	return first
}

// fullBlock is less than a block of a file has, in bytes. What comes in smaller pieces comes from a pipe, and its next piece may take its time.
const fullBlock = 32 << 10

func (s *stream) readOne(newJob func(*stream) *job) *job {
	var j *job
	if n := len(s.free); n > 0 {
		j, s.free = s.free[n-1], s.free[:n-1]
	} else {
		j = newJob(s)
	}
	j.begin, j.scanned, j.more = s.known, false, j.more[:0]
	j.data, j.cut, j.err = s.blocks.Next(&j.buffer)
	s.ended = j.err != nil
	return j
}

// scanAll makes the findings of the job and of those that were read with it, each from where the one before it ended.
func (j *job) scanAll(with *detector.Scan, now int64) {
	before := j
	j.scanData(with, now)
	for _, next := range j.more {
		next.begin = before.end(before.begin)
		next.scanData(with, now)
		before = next
	}
}

func (j *job) scanData(with *detector.Scan, now int64) {
	if j.err == nil {
		j.scan(with, now)
	}
}

// end is what the lines after the block depend on, if that was from.
func (j *job) end(from start) start {
	from.state = j.block.Reader.State()
	if j.counts.Last != 0 {
		from.last = j.block.Last
	}
	return from
}

// scan makes the job's findings. now is in unix milliseconds.
func (j *job) scan(with *detector.Scan, now int64) {
	j.findings.Reset()
	j.block.Scan, j.block.Now, j.block.Last, j.block.Leaned = with, now, j.begin.last, false
	j.block.Reader.SetState(j.begin.state)
	j.counts = j.block.Read(j.data, &j.findings)
	j.scanned = true
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

// following is the next block.
func (s *stream) following(ctx context.Context) (*job, error) {
	if len(s.rest) > 0 {
		j := s.rest[0]
		s.rest = s.rest[1:]
		return j, nil
	}
	j, err := s.await(ctx)
	if err == nil {
		s.rest = slices.Clone(j.more) // the job may be read into again before they are counted
	}
	return j, err
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
