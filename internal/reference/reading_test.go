// Package reference is a second, naive detector, for tests only. It reads every line whole, asks every rule about every event and
// counts in plain maps and slices, from what ARCHITECTURE.md, README.md, the rules' files and the fields' comments say, so that whatever is made fast elsewhere
// can be held against it: the same rules and the same files must give the same decisions, one by one.
package reference

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/replay"
	"regwarden/sources/format"
)

// entry is one line that somebody might want, with the event that was read from it.
type entry struct {
	line  []byte
	event *detector.Event
	at    time.Time // the event's time, or the last one that its file had
}

// readFile reads every line of a file by format.Reader, which is the authority for how a line is read.
func readFile(t testing.TB, path string, o *replay.Options) []entry {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := format.New(format.Options{Name: o.Format, Reference: info.ModTime(), Location: o.Location, TrustForwarded: o.TrustForwarded, Kind: o.Kind})
	if err != nil {
		t.Fatal(err)
	}
	wantsLines := false
	for _, r := range o.Rules {
		wantsLines = wantsLines || len(r.FailRegex) > 0
	}
	var out []entry
	var last time.Time
	lines := bytes.Split(text, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1] // the file ends with a newline
	}
	for _, line := range lines {
		line = line[:min(len(line), format.MaxLine)]
		var e detector.Event
		verdict := reader.Read(line, &e)
		if verdict == format.Noise || verdict == format.Foreign && !wantsLines {
			continue
		}
		if e.Time.IsZero() {
			e.Time = last // a line without a time happened when the one before it did
		}
		e.Time = e.Time.Truncate(time.Millisecond) // nobody counts finer
		last = e.Time
		out = append(out, entry{bytes.Clone(line), e.Clone(), last})
	}
	for i, first := range out { // lines before the file's first time get that
		if !first.at.IsZero() {
			for j := range out[:i] {
				out[j].event.Time, out[j].at = first.at, first.at
			}
			break
		}
	}
	return out
}

// merge gives out the files' lines by time: always the earliest of the lines that the files have next, and of two at the same time the first file's.
func merge(files [][]entry, do func(entry)) {
	for {
		first := -1
		for i, f := range files {
			if len(f) > 0 && (first < 0 || f[0].at.Before(files[first][0].at)) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		do(files[first][0])
		files[first] = files[first][1:]
	}
}

// decisions replays the files by the naive detector.
func decisions(t testing.TB, o replay.Options) []decision {
	t.Helper()
	var files [][]entry
	now := o.Now
	var earliest time.Time
	for i, path := range o.Files {
		files = append(files, readFile(t, path, &o))
		if f := files[i]; len(f) > 0 && (earliest.IsZero() || f[0].at.Before(earliest)) {
			earliest = f[0].at
		}
	}
	if earliest.After(now) {
		now = earliest.AddDate(100, 0, 0) // the logs were made on a clock that is ahead of ours
	}
	n := newNaive(o.Rules, o.Detector, now)
	for i := range files { // lines that name nobody change nothing, and have no say in the order either
		files[i] = slices.DeleteFunc(files[i], func(l entry) bool { return !n.names(l) })
	}
	merge(files, n.take)
	return n.decided
}

// target is what an address is counted and blocked as.
func target(mask detector.Mask, client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := mask.V6
	if client.Is4() {
		bits = mask.V4
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
