package main

import (
	"bytes"
	"regexp"
	"testing"
	"time"
	"unicode/utf8"
)

// TestTheBarStaysOnOneLine of every terminal: what is wrapped could not be taken away again.
func TestTheBarStaysOnOneLine(t *testing.T) {
	control := regexp.MustCompile("\x1b\\[[0-9]*[A-Za-z]")
	for columns := range 200 {
		tells := tellingIn(columns)
		if tells == tellsNothing {
			if columns >= 40 {
				t.Errorf("nothing is shown in %d columns", columns)
			}
			continue
		}
		var out bytes.Buffer
		bar := newBar(&out, 40e9, tells)
		bar.Describe(tells.describe(1_234_567_890, 1000*time.Second))
		if err := bar.Set64(20e9); err != nil {
			t.Fatal(err)
		}
		if out.Len() == 0 {
			t.Fatal("nothing is drawn")
		}
		for _, line := range bytes.Split(control.ReplaceAll(out.Bytes(), nil), []byte("\r")) {
			if n := utf8.RuneCount(line); n >= columns {
				t.Errorf("%d columns have a line of %d: %q", columns, n, line)
			}
		}
	}
}
