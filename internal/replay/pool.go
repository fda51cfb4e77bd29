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
	piece   piece
	// wanted are the streams of which a block is to be read, each as often as blocks may be on their way.
	wanted chan *stream
	stop   context.CancelFunc
}

// ahead is how many blocks of each stream may be on their way: a few for each core, over all streams together.
func ahead(streams, workers int) int {
	return min(max(4*workers/max(streams, 1), 1), 2*workers)
}

// pieceOf is how much a worker takes at once where there are so many streams. Waking another core takes as long as a good part of a block, so that a piece must be many; of many
// streams it is less, since all of them are in memory at the same time. One core alone wakes nobody, and takes what its cache can hold until it is counted.
func pieceOf(streams, workers int) piece {
	most := 16
	if workers == 1 {
		most = 2
	}
	streams = max(streams, 1)
	return piece{bytes: piecesBytes(min(max(64/streams, 1), most)), blocks: min(max(4/streams, 1), most/2)}
}

// piecesBytes is a little less than so many reads, for a piece goes on to a line's end.
func piecesBytes(reads int) int64 { return int64(reads)*64<<10 - 4<<10 }

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
			j, fill := s.take(make(chan struct{}), p.piece, p.newJob)
			if j == nil {
				continue
			}
			fill(scanner(with, p.now))
			close(j.done)
		case <-ctx.Done():
			return
		}
	}
}

// close ends the workers. It does not wait for one that waits for a pipe.
func (p *pool) close() { p.stop() }
