package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"regwarden/detector"
)

// progress shows on a terminal how far a replay is. The nil progress, where standard error is none, shows nothing.
type progress struct {
	bar   *progressbar.ProgressBar
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
	p.bar = progressbar.NewOptions64(p.total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(20), progressbar.OptionClearOnFinish(), progressbar.OptionUseANSICodes(true))
	return p
}

// progressEvery is how often the bar is drawn.
const progressEvery = 100 * time.Millisecond

// at says how far it is.
func (p *progress) at(lines int, bytes int64) {
	if p == nil || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	p.bar.Describe(fmt.Sprintf("%s lines, %.2f million/s", thousands(lines), float64(lines)/1e6/max(time.Since(p.begun).Seconds(), 0.001)))
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
