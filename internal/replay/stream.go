package replay

import (
	"bytes"
	"context"
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

// stream is one file. Workers read it piece by piece; the merger takes the pieces in the file's order.
type stream struct {
	path string
	file *sources.Opened

	mu     sync.Mutex // guards what follows: whoever takes the next piece holds it
	blocks *sources.BlockReader
	at     int64 // where the next piece of a plain file begins
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

// take takes the stream's next piece, which goes into the queue at once as its first block and is then read by fill; nil at the end of the stream. done is what whoever scans
// it closes. Of a plain file, a piece of about that many bytes is taken and read without keeping others from the next one; otherwise so many blocks are read here.
func (s *stream) take(done chan struct{}, p piece, newJob func(*stream) *job) (first *job, fill func(each func(*job))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, nil
	}
	first = s.job(newJob)
	first.done = done
	if s.file.Ranges != nil {
		next := s.file.Ranges.Next(s.at, p.bytes)
		s.at, s.ended = next.To, next.End != sources.ErrRangeEnd
		s.queue <- first // never waits: a job is read only when the queue has room for it
		return first, s.rangeFill(first, next, newJob)
	}
	for last := first; ; {
		last.data, last.cut, last.err = s.blocks.Next(&last.buffer)
		if s.ended = last.err != nil; s.ended || len(first.more) >= p.blocks-1 || len(last.data) < fullBlock {
			break
		}
		last = s.job(newJob)
		first.more = append(first.more, last)
	}
	s.queue <- first
	return first, func(each func(*job)) {
		each(first)
		for _, j := range first.more {
			each(j)
		}
	}
}

// rangeFill reads a range of a plain file. Where that ends otherwise than it should, the stream ends.
func (s *stream) rangeFill(first *job, r sources.Range, newJob func(*stream) *job) func(each func(*job)) {
	return func(each func(*job)) {
		blocks := sources.NewBlockReader(s.file.Ranges.Reader(r))
		for j := first; ; j = s.another(newJob) {
			j.data, j.cut, j.err = blocks.Next(&j.buffer)
			if j != first {
				if j.err == sources.ErrRangeEnd {
					s.giveBack(j)
					return
				}
				first.more = append(first.more, j)
			}
			if each(j); j.err != nil || blocks.Ended() {
				return
			}
		}
	}
}

// piece is how much of a stream is read and scanned at once: bytes of a plain file, blocks of what can only be read in order.
type piece struct {
	bytes  int64
	blocks int
}

// fullBlock is less than a block of a file has, in bytes. What comes in smaller pieces comes from a pipe, and its next piece may take its time.
const fullBlock = 32 << 10

// job returns one that is free. The caller holds mu.
func (s *stream) job(newJob func(*stream) *job) *job {
	var j *job
	if n := len(s.free); n > 0 {
		j, s.free = s.free[n-1], s.free[:n-1]
	} else {
		j = newJob(s)
	}
	j.begin, j.scanned, j.more, j.data, j.err = s.known, false, j.more[:0], nil, nil
	return j
}

func (s *stream) another(newJob func(*stream) *job) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.job(newJob)
}

func (s *stream) giveBack(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, j)
}

// scanner returns what scans the jobs of a piece one after the other, each from where the one before it ended.
func scanner(with *detector.Scan, now int64) func(*job) {
	var before *job
	return func(j *job) {
		if before != nil {
			j.begin = before.end(before.begin)
		}
		if before = j; j.err == nil {
			j.scan(with, now)
		}
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
