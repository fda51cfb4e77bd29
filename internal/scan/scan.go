// Package scan turns a block of lines into findings: the part of the path that every line goes, for the daemon and for replay alike.
//
// Nearly all lines are done with at first sight: skimmed, seen to be of no use to any rule, and counted as traffic. The others are read whole.
package scan

import (
	"regwarden/detector"
	"regwarden/sources/format"
)

// Counts are what became of lines.
type Counts struct {
	Lines, Events, Unparsed int
	// First and Last are the earliest and the latest time of a line, in unix milliseconds; 0 where none has one.
	First, Last int64
}

func (n *Counts) at(time int64) {
	if time == 0 {
		return
	}
	if n.First == 0 || time < n.First {
		n.First = time
	}
	n.Last = max(n.Last, time)
}

// Block reads the lines of one file in order, block by block. It is for one goroutine.
type Block struct {
	Reader *format.Reader
	Scan   *detector.Scan
	// Now, in unix milliseconds, bounds the lines' times; see detector.Scan.Match.
	Now int64
	// Carry gives a line without a time that of the line before, which is in Last, and not Now; while Last is 0 there is none.
	Carry bool
	Last  int64
	// Leaned says that a line was given the Last with which the block began, or Now for want of it.
	Leaned bool

	event  detector.Event
	glance detector.Glance
}

// Read adds to f what the rules make of the lines in data, each of which ends with a newline.
func (b *Block) Read(data []byte, f *detector.Findings) Counts {
	var n Counts
	for at := 0; at < len(data); {
		at += b.line(data[at:], at, &n, f) + 1
	}
	return n
}

// line reads the first line of data, which stands at an offset of the block, and returns where its newline is.
func (b *Block) line(data []byte, offset int, n *Counts, f *detector.Findings) (end int) {
	n.Lines++
	end, verdict := b.Reader.Skim(data, &b.glance)
	switch {
	case verdict == format.Noise:
	case verdict == format.Parsed && b.Scan.Glance(data[:end], &b.glance, b.Now, offset, f):
		n.Events++
		n.at(b.glance.Time)
		b.Last = b.glance.Time
	default:
		b.whole(data[:end], n, f)
	}
	return end
}

// Whole is Read for a single line that must be read whole, without its newline.
func (b *Block) Whole(line []byte, f *detector.Findings) {
	var n Counts
	b.whole(line, &n, f)
}

func (b *Block) whole(line []byte, n *Counts, f *detector.Findings) {
	e := &b.event
	switch b.Reader.Read(line, e) {
	case format.Noise:
		return
	case format.Foreign:
		if !b.Scan.ReadsLines() {
			return
		}
	case format.Parsed:
		n.Events++
	default:
		n.Unparsed++
	}
	now := b.Now
	if !e.Time.IsZero() {
		b.Last = e.Time.UnixMilli()
		n.at(b.Last)
	} else if b.Carry {
		b.Leaned = b.Leaned || n.Last == 0
		if b.Last != 0 {
			now = min(b.Last, b.Now)
		}
	}
	b.Scan.Match(line, e, now, f)
}
