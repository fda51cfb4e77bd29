package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"time"
)

// The logs are made from a seed: 200,000 honest addresses by Zipf(1.1), and 2 % of the lines are of abusers, 40 lines each within a minute, one abuser
// after the other. A million lines have 500 abusers and take six hours.
const (
	honestAddresses = 200_000
	attempts        = 40 // lines of each abuser
	attemptStep     = 1500 * time.Millisecond
	abuseShare      = 50 // one line in so many is an abuser's
	lineStep        = 6 * time.Hour / 1_000_000
	// generation is a part of the files' names, so that files of an older generator are not taken for those of this one.
	generation = 2
)

var start = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// request is one line to be written.
type request struct {
	at     time.Time
	client string
	// attempt is the abuser's how manieth line this is, from 1; 0 for an honest client.
	attempt int
}

// abuser returns the address of abuser i. Both of the documentation's networks hold 250; who makes more than 500 repeats them.
func abuser(i int) string {
	network := [2]string{"203.0.113", "198.51.100"}[i/250%2]
	return fmt.Sprintf("%s.%d", network, 1+i%250)
}

// honest returns the address of the client that is the n-th most frequent: IPv4 of the benchmarks' network, and IPv6 for those that do not fit in.
func honest(n uint64) string {
	const fit = 1 << 17
	if n < fit {
		return fmt.Sprintf("198.%d.%d.%d", 18+n>>16, n>>8&255, n&255)
	}
	n -= fit
	return fmt.Sprintf("2001:db8:%x:%x::1", n>>12, n&0xfff)
}

// requests yields the requests of a log by time, the same ones for the same number of lines.
func requests(lines int) iter.Seq2[int, request] {
	return func(yield func(int, request) bool) {
		zipf := rand.NewZipf(rand.New(rand.NewPCG(42, 1)), 1.1, 8, honestAddresses-1)
		abusers := lines / abuseShare / attempts
		span := time.Duration(lines) * lineStep
		begins := func(i int) time.Time {
			return start.Add(time.Duration(i) * (span - attempts*attemptStep) / time.Duration(abusers))
		}
		var active []request // the next line of each abuser who has begun, the earliest first
		begun := 0
		for n := range lines {
			at := start.Add(time.Duration(n) * lineStep)
			for begun < abusers && !begins(begun).After(at) {
				active = append(active, request{at: begins(begun), client: abuser(begun), attempt: 1})
				begun++
			}
			r := request{at: at}
			if len(active) > 0 && !active[0].at.After(at) {
				r.client, r.attempt = active[0].client, active[0].attempt
				active = append(active[1:], request{at: at.Add(attemptStep), client: r.client, attempt: r.attempt + 1})
				if r.attempt == attempts {
					active = active[:len(active)-1]
				}
			} else {
				r.client = honest(zipf.Uint64())
			}
			if !yield(n, r) {
				return
			}
		}
	}
}

// truth is who has to be found in the first lines of a log, and who may be because he has begun.
type truth struct{ must, may map[string]bool }

func truthOf(lines, part int) truth {
	t := truth{must: map[string]bool{}, may: map[string]bool{}}
	for n, r := range requests(lines) {
		if n >= part {
			break
		}
		if r.attempt > 0 {
			t.may[r.client] = true
		}
		if r.attempt == attempts {
			t.must[r.client] = true
		}
	}
	return t
}

// writeLog writes a log of one sort to path, unless an earlier run has left it there.
func writeLog(path string, lines int, write func(*bufio.Writer, *rand.Rand, request)) error {
	return create(path, func(w *bufio.Writer) error {
		rnd := rand.New(rand.NewPCG(42, 2))
		for _, r := range requests(lines) {
			write(w, rnd, r)
		}
		return nil
	})
}

// create writes a file through a temporary one, unless it is there.
func create(path string, fill func(*bufio.Writer) error) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	fmt.Fprintln(os.Stderr, "making", path)
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fill(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// keepLines copies the lines of a file that keep wants.
func keepLines(from, to string, keep func(n int) bool, last int) error {
	return create(to, func(w *bufio.Writer) error {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		r := bufio.NewReaderSize(in, 1<<20)
		for n := 0; n < last; n++ {
			line, err := r.ReadSlice('\n')
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if keep(n) {
				w.Write(line)
			}
		}
		return nil
	})
}

// head copies the first lines of a file.
func head(from, to string, lines int) error {
	return keepLines(from, to, func(int) bool { return true }, lines)
}

// thin copies all lines of abusers and one in fifty of the others: a short log with everybody in it who has to be found.
func thin(from, to string, lines int) error {
	keep := make([]bool, lines)
	for n, r := range requests(lines) {
		keep[n] = r.attempt > 0 || n%50 == 0
	}
	return keepLines(from, to, func(n int) bool { return keep[n] }, lines)
}

// repeat writes an access log again and again until it has size bytes, each time with its times moved on.
func repeat(from, to string, lines int, size int64) error {
	const layout = "02/Jan/2006:15:04:05 -0700"
	return create(to, func(w *bufio.Writer) error {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		var stamp []byte
		span := (time.Duration(lines) * lineStep).Truncate(time.Second) + time.Second
		for written, moved := int64(0), time.Duration(0); written < size; moved += span {
			seen, said := "", ""
			for line := range bytes.Lines(text) {
				at := bytes.IndexByte(line, '[') + 1
				end := at + len(layout)
				if string(line[at:end]) != seen {
					seen = string(line[at:end])
					t, err := time.Parse(layout, seen)
					if err != nil {
						return err
					}
					said = string(t.Add(moved).AppendFormat(stamp[:0], layout))
				}
				w.Write(line[:at])
				w.WriteString(said)
				w.Write(line[end:])
				if written += int64(len(line)); written >= size {
					break
				}
			}
		}
		return nil
	})
}

// sum returns the size of a file and its sha256 in hexadecimal.
func sum(path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}
