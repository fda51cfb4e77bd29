package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"regwarden/detector"
)

// progress shows on a terminal how far a replay is. The nil progress, where standard error is none, shows nothing.
type progress struct {
	bar   *progressbar.ProgressBar
	tells telling
	begun time.Time
	shown time.Time
	total int64
}

// newProgress returns nil where there is no terminal or the size of what is read is not known.
func newProgress(files []string) *progress {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return nil
	}
	p := &progress{begun: time.Now()}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		p.total += info.Size()
	}
	columns, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		columns = 80
	}
	if p.tells = tellingIn(columns); p.tells == tellsNothing {
		return nil
	}
	p.bar = newBar(os.Stderr, p.total, p.tells)
	return p
}

// telling is how much the bar tells. It must stay on one line: of a line that the terminal has wrapped, only the last part can be taken away again.
type telling int

const (
	tellsNothing telling = iota
	tellsShare           // how much is done, and the time
	tellsLines           // and the lines
	tellsAll             // and bytes and speed
)

// tellingIn is what a terminal of so many columns has room for.
func tellingIn(columns int) telling {
	switch {
	case columns >= 110:
		return tellsAll
	case columns >= 64:
		return tellsLines
	case columns >= 38:
		return tellsShare
	}
	return tellsNothing
}

func newBar(w io.Writer, total int64, tells telling) *progressbar.ProgressBar {
	width := 10
	if tells == tellsAll {
		width = 20
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(tells == tellsAll), progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(width), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true))
}

// describe is what stands before the bar.
func (t telling) describe(lines int, spent time.Duration) string {
	switch t {
	case tellsAll:
		return fmt.Sprintf("%s lines, %.2f million/s", thousands(lines), float64(lines)/1e6/max(spent.Seconds(), 0.001))
	case tellsLines:
		return thousands(lines) + " lines"
	}
	return ""
}

// progressEvery is how often the bar is drawn.
const progressEvery = 100 * time.Millisecond

// at says how far it is.
func (p *progress) at(lines int, bytes int64) {
	if p == nil || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	p.bar.Describe(p.tells.describe(lines, time.Since(p.begun)))
	p.bar.Set64(min(bytes, p.total))
}

// around takes the bar away while something is printed.
func (p *progress) around(show func(detector.Decision)) func(detector.Decision) {
	if p == nil {
		return show
	}
	return func(d detector.Decision) {
		p.bar.Clear()
		show(d)
	}
}

func (p *progress) end() {
	if p != nil {
		p.bar.Finish()
		p.bar.Clear()
	}
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
