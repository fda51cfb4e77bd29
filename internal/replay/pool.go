package replay

import (
	"context"

	"regwarden/detector"
)

// pool scans the blocks of all streams on several cores.
type pool struct {
	matcher *detector.Matcher
	newJob  func(*stream) *job
	now     int64 // unix milliseconds
	// together is how many blocks a worker reads and scans at a time.
	together int
	// wanted are the streams of which a block is to be read, each as often as blocks may be on their way.
	wanted chan *stream
	stop   context.CancelFunc
}

// ahead is how many blocks of each stream may be on their way: a few for each core, over all streams together.
func ahead(streams, workers int) int {
	return min(max(4*workers/max(streams, 1), 1), 2*workers)
}

// together is how many blocks a worker takes at once where there are several workers and few streams: waking another core takes as long as a part of a block. Of many
// streams it is one, since all of them are in memory at the same time.
func together(streams, workers int) int {
	if workers == 1 {
		return 1
	}
	return max(4/max(streams, 1), 1)
}

// start begins to read all streams, of which the first block is in the queue already.
func (p *pool) start(ctx context.Context, streams []*stream, depth, workers int) {
	ctx, p.stop = context.WithCancel(ctx)
	p.wanted = make(chan *stream, depth*len(streams))
	for range depth - 1 {
		for _, s := range streams {
			p.wanted <- s
		}
	}
	for range workers {
		go p.work(ctx)
	}
}

func (p *pool) work(ctx context.Context) {
	with := p.matcher.NewScan()
	for {
		select {
		case s := <-p.wanted:
			j := s.read(make(chan struct{}), p.together, p.newJob)
			if j == nil {
				continue
			}
			j.scanAll(with, p.now)
			close(j.done)
		case <-ctx.Done():
			return
		}
	}
}

// close ends the workers. It does not wait for one that waits for a pipe.
func (p *pool) close() { p.stop() }
