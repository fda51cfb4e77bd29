// Package replay runs old logs through the detector and touches nothing: several files, plain or compressed, merged by
// time, decide exactly what the daemon would have decided had it followed them.
package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"regwarden/detector"
	"regwarden/internal/scan"
	"regwarden/sources"
	"regwarden/sources/format"
)

// Reading says how lines are read.
type Reading struct {
	// Format is a dialect's name, "auto" or empty.
	Format         string
	TrustForwarded bool
	TrustOwnAccess bool
	Kind           detector.Kind
	Location       *time.Location
}

// Options say what is replayed, and by which rules.
type Options struct {
	// Files are paths; "-" is standard input.
	Files []string
	// Reading is how they are read, and Other how those are that are read otherwise, by path.
	Reading
	Other map[string]Reading

	Rules    []*detector.Rule
	Detector detector.Options
	// Now is the wall clock: a line that is later has a wrong clock and counts as of now, unless a file already begins later. Syslog lines
	// without a year are read as of then.
	Now time.Time
	// Seed keys the counts; the same seed evicts the same counts when the tables are full.
	Seed detector.Seed
	// Progress, unless it is nil, is called after each block that was counted, with the lines so far and the bytes that were read of the files as they are.
	Progress func(lines int, bytes int64)
}

// Summary is what was read and decided.
type Summary struct {
	Files    int `json:"files"`
	Lines    int `json:"lines"`
	Events   int `json:"events"`
	Unparsed int `json:"unparsed"`
	Cut      int `json:"cut"`
	// Broken are files that could not be read to their end.
	Broken []Broken `json:"broken,omitempty"`
	// Hits are events that counted for some rule.
	Hits int `json:"hits"`
	// Blocks and Spared are decisions; a block that the storm guard took back is none.
	Blocks     int    `json:"blocks"`
	WouldBlock int    `json:"would_block"`
	Spared     int    `json:"spared"`
	Evicted    uint64 `json:"evicted"`
	// BytesPerTarget is what a count takes in memory, on average of those that are tracked at the end.
	BytesPerTarget float64 `json:"bytes_per_target"`
	// TableBytes is what the tables of counts and traffic take at the end; everything else is bounded by the files and cores.
	TableBytes int           `json:"table_bytes"`
	First      time.Time     `json:"first,omitzero"`
	Last       time.Time     `json:"last,omitzero"`
	Seconds    float64       `json:"seconds"`
	Elapsed    time.Duration `json:"-"`
}

// Broken is a file of which only the beginning could be read; that is counted.
type Broken struct {
	Path  string `json:"path"`
	Error string `json:"error"`
	// Short says that the file simply ends too early, as one does that is still being written or copied.
	Short bool `json:"cut_short"`
}

// String is one sentence.
func (b Broken) String() string {
	if b.Short {
		return fmt.Sprintf("%s is cut short (%s): what stands before that was read", b.Path, b.Error)
	}
	return fmt.Sprintf("%s is damaged (%s): what stands before that was read", b.Path, b.Error)
}

// replay is one run.
type replay struct {
	Options
	streams  []*stream
	matcher  *detector.Matcher
	scan     *detector.Scan // for what the merger reads again
	again    detector.Findings
	detector *detector.Detector
	ledger   *detector.Ledger
	summary  Summary
	decided  func(detector.Decision)
	tidied   int64 // unix milliseconds
	read     atomic.Int64
}

// Run replays the files and calls decided for every decision, in log order. It uses all cores that Go may; how many these are changes no decision.
func Run(ctx context.Context, o Options, decided func(detector.Decision)) (Summary, error) {
	begun := time.Now()
	r := &replay{Options: o, decided: decided, ledger: detector.NewLedger(nil, nil)}
	r.matcher = detector.NewMatcher(o.Rules, o.Detector.Mask, o.Seed, nil)
	r.scan = r.matcher.NewScan()
	r.detector = detector.New(o.Rules, o.Detector, o.Seed, r.ledger)
	defer r.close()
	if err := readTwice(o.Files); err != nil {
		return r.summary, err
	}
	workers := runtime.GOMAXPROCS(0)
	depth := ahead(len(o.Files), workers)
	for _, path := range o.Files {
		if err := r.open(path, depth); err != nil {
			return r.summary, err
		}
	}
	if first := r.firstTime(); first.After(o.Now) {
		r.Now = first.AddDate(100, 0, 0) // the logs were made on a clock that is ahead of ours
	}
	p := &pool{matcher: r.matcher, newJob: r.newJob, now: r.Now.UnixMilli(), piece: pieceOf(len(o.Files), workers)}
	p.start(ctx, r.streams, depth, workers)
	defer p.close()
	if err := r.merge(ctx, p); err != nil {
		return r.summary, err
	}
	stats := r.detector.Stats()
	r.summary.Evicted, r.summary.BytesPerTarget, r.summary.TableBytes = stats.Evicted, stats.BytesPerCount, r.detector.TableBytes()
	r.summary.Elapsed = time.Since(begun)
	r.summary.Seconds = r.summary.Elapsed.Seconds()
	return r.summary, nil
}

// readTwice refuses a file that is named twice: its lines would count twice. What cannot be looked at is told when it is opened.
func readTwice(paths []string) error {
	seen := map[string]os.FileInfo{}
	for _, path := range paths {
		named := path
		if path == "-" {
			named = "/dev/stdin"
		}
		info, err := os.Stat(named)
		if err != nil {
			continue
		}
		for before, of := range seen {
			if os.SameFile(of, info) {
				return twice(before, path)
			}
		}
		seen[path] = info
	}
	return nil
}

func twice(a, b string) error {
	if a == b {
		return fmt.Errorf("%s is named twice, and each of its lines would count twice; name it once", a)
	}
	return fmt.Errorf("%s and %s are the same file, and each of its lines would count twice; name one of them", a, b)
}

func (r *replay) open(path string, depth int) error {
	f, err := sources.OpenCounted(path, &r.read)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return readError(path, err)
	}
	if err != nil {
		return err // which names the file
	}
	s := &stream{path: path, file: f, blocks: sources.NewBlockReader(f), queue: make(chan *job, depth)}
	r.streams = append(r.streams, s)
	r.summary.Files++
	reader, err := format.New(r.format(s))
	if err != nil {
		return err
	}
	s.known.state = reader.State()
	s.actual = s.known
	s.again = scan.Block{Reader: reader, Scan: r.scan, Now: r.Now.UnixMilli()}
	s.recall = func(offset int) *detector.Findings {
		r.again.Reset()
		s.again.Whole(s.current.line(offset), &r.again)
		return &r.again
	}
	// The first block is there before anything is decided: it tells when the log begins. The merger scans it.
	_, fill := s.take(nil, piece{bytes: 32 << 10, blocks: 1}, r.newJob)
	fill(func(*job) {})
	return nil
}

// firstTime is the time with which the earliest of the files begins, the zero time where none has any. Lines before a file's first time get that, if it stands in the first
// block that is read; else they are taken as of now.
func (r *replay) firstTime() (first time.Time) {
	for _, s := range r.streams {
		j := <-s.queue
		s.queue <- j
		reader := r.newJob(s).block.Reader
		var e detector.Event
		for data := j.data; len(data) > 0 && e.Time.IsZero(); {
			line, rest, _ := bytes.Cut(data, []byte{'\n'})
			reader.Read(line, &e)
			data = rest
		}
		if e.Time.IsZero() {
			continue
		}
		s.known.last = e.Time.UnixMilli()
		s.actual, j.begin = s.known, s.known
		if first.IsZero() || e.Time.Before(first) {
			first = e.Time
		}
	}
	return first
}

func (r *replay) format(s *stream) format.Options {
	how, other := r.Other[s.path]
	if !other {
		how = r.Reading
	}
	return format.Options{Name: how.Format, Reference: r.reference(s.path), Location: how.Location, TrustForwarded: how.TrustForwarded, TrustOwnAccess: how.TrustOwnAccess, Kind: how.Kind}
}

func (r *replay) newJob(s *stream) *job {
	reader, err := format.New(r.format(s))
	if err != nil {
		panic("replay: " + err.Error()) // open has made one already
	}
	return &job{block: scan.Block{Reader: reader, Carry: true}}
}

// reference is when the file was last written: the year of its syslog lines is the one before that, at most.
func (r *replay) reference(path string) time.Time {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.ModTime()
	}
	return r.Now
}

func readError(path string, err error) error {
	return fmt.Errorf("read %s: %w", path, withoutPath(err))
}

func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func broken(path string, err error) Broken {
	return Broken{Path: path, Error: withoutPath(err).Error(), Short: errors.Is(err, io.ErrUnexpectedEOF)}
}

// merge counts what the streams' lines say in the order of time: always the stream whose next event is earliest.
func (r *replay) merge(ctx context.Context, p *pool) error {
	for _, s := range r.streams {
		s.again.Now = p.now
		if err := r.next(ctx, p, s); err != nil {
			return err
		}
	}
	for {
		s, until := r.earliest()
		if s == nil {
			return nil
		}
		at, _ := s.current.findings.Next(s.cursor)
		if r.tidied == 0 || at-r.tidied >= tidyEvery {
			r.ledger.Expire(time.UnixMilli(at).UTC())
			r.tidied = at
		}
		r.detector.CountUntil(&s.current.findings, &s.cursor, min(until, r.tidied+tidyEvery-1), s.recall, r.decide)
		if err := r.next(ctx, p, s); err != nil {
			return err
		}
	}
}

// tidyEvery is how often ended blocks leave the ledger, in milliseconds of the log's time.
const tidyEvery = int64(time.Minute / time.Millisecond)

// earliest returns the stream whose next event is the earliest, and up to when it stays that.
func (r *replay) earliest() (first *stream, until int64) {
	var at int64
	until = math.MaxInt64
	for _, s := range r.streams {
		if s.current == nil {
			continue
		}
		t, _ := s.current.findings.Next(s.cursor)
		switch {
		case first == nil:
			first, at = s, t
		case t < at:
			first, at, until = s, t, at-1 // of two at the same time, the file that was named first
		default:
			until = min(until, t)
		}
	}
	return first, until
}

// next goes on to the stream's next event, or to its end, when it has no current block.
func (r *replay) next(ctx context.Context, p *pool, s *stream) error {
	for {
		if s.current != nil {
			if _, more := s.current.findings.Next(s.cursor); more {
				return nil
			}
			s.release()
			if len(s.rest) == 0 {
				p.wanted <- s // never waits: the blocks that were released made room
			}
		}
		j, err := s.following(ctx)
		if err != nil {
			return err
		}
		if !j.scanned && j.err == nil {
			j.scan(r.scan, p.now)
		}
		if j.err == io.EOF {
			return nil
		}
		if j.err != nil {
			r.summary.Broken = append(r.summary.Broken, broken(s.path, j.err))
			return nil
		}
		r.take(p, s, j)
	}
}

// take makes a block the stream's current one.
func (r *replay) take(p *pool, s *stream, j *job) {
	if !j.fits(s.actual) {
		j.begin = s.actual
		j.scan(r.scan, p.now)
	}
	s.current, s.cursor, s.actual = j, detector.Cursor{}, j.end(s.actual)
	r.summary.Lines += j.counts.Lines
	r.summary.Events += j.counts.Events
	r.summary.Unparsed += j.counts.Unparsed
	r.summary.Cut += j.cut
	r.summary.Hits += j.findings.Hits
	r.summary.seen(j.counts)
	if r.Progress != nil {
		r.Progress(r.summary.Lines, r.read.Load())
	}
}

// seen widens the span of time that was read.
func (s *Summary) seen(n scan.Counts) {
	if n.Last == 0 {
		return
	}
	if first := time.UnixMilli(n.First).UTC(); s.First.IsZero() || first.Before(s.First) {
		s.First = first
	}
	if last := time.UnixMilli(n.Last).UTC(); last.After(s.Last) {
		s.Last = last
	}
}
func (r *replay) decide(d detector.Decision) {
	r.ledger.Enter(d)
	switch d.Verb {
	case detector.VerbBlock:
		r.summary.Blocks++
	case detector.VerbUnblock:
		r.summary.Blocks--
	case detector.VerbWouldBlock:
		r.summary.WouldBlock++
	case detector.VerbSpared:
		r.summary.Spared++
	}
	r.decided(d)
}

func (r *replay) close() {
	for _, s := range r.streams {
		s.file.Close()
	}
}
