// Package replay runs old logs through the detector and touches nothing: several files, plain or compressed, merged by
// time, decide exactly what the daemon would have decided had it followed them.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"regwarden/detector"
	"regwarden/sources"
	"regwarden/sources/format"
)

// Options say what is replayed, and by which rules.
type Options struct {
	// Files are paths; "-" is standard input.
	Files []string
	// Format is a dialect's name, "auto" or empty.
	Format         string
	TrustForwarded bool
	Kind           detector.Kind
	Location       *time.Location

	Rules    []*detector.Rule
	Detector detector.Options
	// Now is the wall clock: a line that is later has a wrong clock and counts as of now, unless a file already begins later. Syslog lines
	// without a year are read as of then.
	Now time.Time
	// Seed keys the counts; the same seed evicts the same counts when the tables are full.
	Seed detector.Seed
}

// Summary is what was read and decided.
type Summary struct {
	Files    int `json:"files"`
	Lines    int `json:"lines"`
	Events   int `json:"events"`
	Unparsed int `json:"unparsed"`
	Cut      int `json:"cut"`
	// Hits are events that counted for some rule.
	Hits int `json:"hits"`
	// Blocks and Spared are decisions; a block that the storm guard took back is none.
	Blocks     int           `json:"blocks"`
	WouldBlock int           `json:"would_block"`
	Spared     int           `json:"spared"`
	Evicted    uint64        `json:"evicted"`
	First      time.Time     `json:"first,omitzero"`
	Last       time.Time     `json:"last,omitzero"`
	Seconds    float64       `json:"seconds"`
	Elapsed    time.Duration `json:"-"`
}

// stream is one file that is read line by line. Its event is valid until next.
type stream struct {
	path   string
	file   io.Closer
	lines  *sources.LineReader
	reader *format.Reader
	line   []byte
	event  detector.Event
	parsed bool
	at     time.Time // the event's time, or the last one that the file had
}

// replay is one run.
type replay struct {
	Options
	streams  []*stream
	matcher  *detector.Matcher
	detector *detector.Detector
	ledger   *detector.Ledger
	findings detector.Findings
	summary  Summary
	decided  func(detector.Decision)
	tidied   time.Time
}

// Run replays the files and calls decided for every decision, in log order.
func Run(ctx context.Context, o Options, decided func(detector.Decision)) (Summary, error) {
	begun := time.Now()
	r := &replay{Options: o, decided: decided, ledger: detector.NewLedger(nil, nil)}
	r.matcher = detector.NewMatcher(o.Rules, o.Detector.Mask, o.Seed)
	r.detector = detector.New(o.Rules, o.Detector, o.Seed, r.ledger)
	defer r.close()
	for _, path := range o.Files {
		if err := r.open(path); err != nil {
			return r.summary, err
		}
	}
	if s := r.earliest(); s != nil && s.at.After(o.Now) {
		r.Now = s.at.AddDate(100, 0, 0) // the logs were made on a clock that is ahead of ours
	}
	if err := r.merge(ctx); err != nil {
		return r.summary, err
	}
	r.summary.Evicted = r.detector.Stats().Evicted
	r.summary.Elapsed = time.Since(begun)
	r.summary.Seconds = r.summary.Elapsed.Seconds()
	return r.summary, nil
}

func (r *replay) open(path string) error {
	f, err := sources.OpenFile(path)
	if err != nil {
		return readError(path, err)
	}
	s := &stream{path: path, file: f, lines: sources.NewLineReader(f)}
	r.streams = append(r.streams, s)
	r.summary.Files++
	o := format.Options{Name: r.Format, Reference: r.reference(path), Location: r.Location, TrustForwarded: r.TrustForwarded, Kind: r.Kind}
	if s.reader, err = format.New(o); err != nil {
		return err
	}
	return r.next(s)
}

// reference is when the file was last written: the year of its syslog lines is the one before that, at most.
func (r *replay) reference(path string) time.Time {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.ModTime()
	}
	return r.Now
}

func readError(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("read %s: %w", path, err)
}

// merge takes the earliest event of all streams again and again.
func (r *replay) merge(ctx context.Context) error {
	for n := 0; ; n++ {
		s := r.earliest()
		if s == nil {
			return nil
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		r.count(s)
		if err := r.next(s); err != nil {
			return err
		}
	}
}

func (r *replay) earliest() *stream {
	var first *stream
	for _, s := range r.streams {
		if s.line != nil && (first == nil || s.at.Before(first.at)) {
			first = s
		}
	}
	return first
}

// next reads on to the stream's next event, or to its end, when line is nil.
func (r *replay) next(s *stream) error {
	for {
		line, cut, err := s.lines.Next()
		if err == io.EOF {
			s.line = nil
			return nil
		}
		if err != nil {
			return readError(s.path, err)
		}
		r.summary.Lines++
		if cut {
			r.summary.Cut++
		}
		verdict := s.reader.Read(line, &s.event)
		s.parsed = verdict == format.Parsed
		if verdict == format.Unparsed {
			r.summary.Unparsed++
		}
		if verdict == format.Noise || verdict == format.Foreign && !r.matcher.ReadsLines() {
			continue
		}
		if s.event.Time.IsZero() {
			s.event.Time = s.at // a line without a time happened when the one before it did
		} else {
			s.at = s.event.Time
		}
		s.line = line
		return nil
	}
}

// count feeds the stream's event to the detector.
func (r *replay) count(s *stream) {
	if r.summary.First.IsZero() {
		r.summary.First = s.at
	}
	if s.at.After(r.summary.Last) {
		r.summary.Last = s.at
	}
	r.findings.Reset()
	r.matcher.Match(s.line, &s.event, r.Now.UnixMilli(), &r.findings)
	if s.parsed {
		r.summary.Events++
	}
	r.summary.Hits += r.findings.Hits
	if r.tidied.IsZero() || s.at.Sub(r.tidied) >= time.Minute {
		r.ledger.Expire(s.at)
		r.tidied = s.at
	}
	r.detector.Count(&r.findings, r.decide)
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
