package daemon

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/scan"
	"regwarden/sources"
	"regwarden/sources/format"
)

// place is one path of one source.
type place struct{ Source, Path string }

// message is what a source's goroutine makes of a batch: the findings, and where the source stands after them.
type message struct {
	place    place
	findings *detector.Findings
	after    sources.Position
	// pending is the half of a record that the reader holds after the batch; it is remembered with the position.
	pending []byte
	lines   lineCounts
	latest  int64 // time of a line, unix milliseconds; 0 where none has one
	dialect string
}

// lineCounts are what became of lines.
type lineCounts struct {
	Lines    uint64 `json:"lines"`
	Events   uint64 `json:"events"`
	Unparsed uint64 `json:"unparsed"`
	Cut      uint64 `json:"cut"`
	Bytes    uint64 `json:"bytes"`
}

func (a *lineCounts) add(b lineCounts) {
	a.Lines, a.Events, a.Unparsed = a.Lines+b.Lines, a.Events+b.Events, a.Unparsed+b.Unparsed
	a.Cut, a.Bytes = a.Cut+b.Cut, a.Bytes+b.Bytes
}

// intake runs the sources of one configuration.
type intake struct {
	logger  *slog.Logger
	matcher *atomic.Pointer[detector.Matcher]
	out     chan<- message
	free    chan *detector.Findings
	cancel  context.CancelFunc
	claims  *sources.Claims // of all sources of files
	done    sync.WaitGroup
	// ended tells the core that a source has ended and why.
	ended func(source string, err error)

	mu      sync.Mutex // guards what follows
	trouble map[place]string
}

// tell keeps what is wrong with a path while it lasts; "" ends it.
func (in *intake) tell(p place, text string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if text == "" {
		delete(in.trouble, p)
		return
	}
	if in.trouble == nil {
		in.trouble = map[place]string{}
	}
	in.trouble[p] = text
}

// troubles are the paths that cannot be read at this moment, and why.
func (in *intake) troubles() map[place]string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return maps.Clone(in.trouble)
}

// start runs every source from its remembered positions on. pending are what the readers held there.
func (in *intake) start(list []config.Source, positions map[string]map[string]sources.Position, pending map[place][]byte) {
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel = cancel
	in.claims = sources.NewClaims()
	for _, s := range list {
		src, err := in.open(s)
		if err != nil {
			in.ended(s.Name, err)
			continue
		}
		l := &listener{intake: in, ctx: ctx, config: s, pending: pending, readers: map[string]*pathReader{}, logger: in.logger.With("source", s.Name)}
		in.done.Go(func() {
			err := src.Run(ctx, positions[s.Name], l.emit)
			if ctx.Err() == nil {
				in.ended(s.Name, err)
			}
		})
	}
}

// stop ends the sources and waits until none emits any more. The core must go on receiving meanwhile.
func (in *intake) stop() {
	if in.cancel != nil {
		in.cancel()
		in.done.Wait()
	}
}

func (in *intake) open(s config.Source) (sources.Source, error) {
	switch s.Type {
	case "stdin":
		return sources.NewStdin(s.Name, stdin), nil
	case "journal":
		return sources.NewJournal(sources.JournalOptions{Name: s.Name, Units: s.Units, Matches: s.Matches, Logger: in.logger})
	}
	return sources.NewFiles(sources.FilesOptions{Name: s.Name, Paths: s.Paths, From: s.From, Logger: in.logger,
		Trouble: func(path, text string) { in.tell(place{s.Name, path}, text) }, Claims: in.claims, Poll: s.Poll})
}

// listener turns one source's batches into messages. emit is called by one goroutine a path.
type listener struct {
	intake *intake
	ctx    context.Context
	config config.Source
	logger *slog.Logger

	mu      sync.Mutex // guards what follows: the paths' readers, of which each is used by one goroutine
	readers map[string]*pathReader
	pending map[place][]byte
	cutSaid bool
}

// pathReader reads the lines of one path.
type pathReader struct {
	scan.Block
	matcher *detector.Matcher // of which the block's scan was made
}

// with makes the reader ready for a batch that is read now.
func (r *pathReader) with(m *detector.Matcher, now time.Time) *scan.Block {
	if r.matcher != m {
		r.matcher, r.Scan = m, m.NewScan()
	}
	r.Now = now.UnixMilli()
	r.Reader.SetReference(now)
	return &r.Block
}

// reader returns the path's reader, which holds halves of records between batches.
func (l *listener) reader(path string) (*pathReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.readers[path]; r != nil {
		return r, nil
	}
	reader, err := format.New(format.Options{Name: l.config.Format, Reference: time.Now(), Location: location(l.config.Location),
		TrustForwarded: l.config.TrustForwarded, TrustOwnAccess: l.config.TrustOwnAccess, Kind: l.config.Kind})
	if err != nil {
		return nil, err
	}
	if p := l.pending[place{l.config.Name, path}]; len(p) > 0 {
		reader.SetPending(p)
	}
	r := &pathReader{Block: scan.Block{Reader: reader}}
	l.readers[path] = r
	return r, nil
}

func (l *listener) emit(b sources.Batch) error {
	r, err := l.reader(b.Path)
	if err != nil {
		return err
	}
	now := time.Now()
	m := message{place: place{b.Source, b.Path}, after: b.After, findings: l.intake.findings()}
	n := r.with(l.intake.matcher.Load(), now).Read(b.Data, m.findings)
	m.lines = lineCounts{Lines: uint64(n.Lines), Events: uint64(n.Events), Unparsed: uint64(n.Unparsed), Cut: uint64(b.Cut), Bytes: uint64(len(b.Data))}
	m.latest = n.Last
	m.pending = r.Reader.Pending()
	m.dialect = r.Reader.Dialect()
	if b.Cut > 0 {
		l.sayCut(b)
	}
	select {
	case l.intake.out <- m:
		return nil
	case <-l.ctx.Done():
		// Nobody has counted the batch: the position stays before it, and it is read again at the next start.
		return l.ctx.Err()
	}
}

// location is the zone of times that name none: syslog writes the host's own.
func location(configured *time.Location) *time.Location {
	if configured == nil {
		return time.Local
	}
	return configured
}

// sayCut says once a source that lines are cut; status counts them.
func (l *listener) sayCut(b sources.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cutSaid {
		l.cutSaid = true
		l.logger.Warn("lines longer than 64 KiB are cut; this is said once, status counts them", "path", b.Path)
	}
}

// findings returns an empty one, used before if there is one.
func (in *intake) findings() *detector.Findings {
	select {
	case f := <-in.free:
		f.Reset()
		return f
	default:
		return &detector.Findings{}
	}
}
