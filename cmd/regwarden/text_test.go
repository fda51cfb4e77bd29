package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestNothingReachesTheTerminalRaw(t *testing.T) {
	for text, want := range map[string]string{
		"plain ä":         "plain ä",
		"a\x1b[31mb\x07":  `a\x1b[31mb\a`,
		"two\nlines\t":    `two\nlines\t`,
		"c1 \u009b2J":     `c1 \u009b2J`,
		"del \x7f":        `del \x7f`,
		"rtl \u202e":      `rtl \u202e`,
		"bad \xff utf":    `bad \xff utf`,
		"mark \ufffd":     "mark \ufffd",
		"nbsp\u00a0":      `nbsp\u00a0`,
		`quotes "stay" '`: `quotes "stay" '`,
	} {
		if got := escape(text); got != want {
			t.Errorf("escape(%q): want %q, got %q", text, want, got)
		}
	}
	for text, want := range map[string]string{
		"acme/web": "acme/web", "": `""`, "a b": `"a b"`, "x\x1b": `"x\x1b"`, "käse": `"käse"`, `a"b`: `"a\"b"`, "a,b": `"a,b"`,
	} {
		if got := name(text); got != want {
			t.Errorf("name(%q): want %q, got %q", text, want, got)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		300 * time.Millisecond:                         "0s",
		45 * time.Second:                               "45s",
		90 * time.Second:                               "1m30s",
		51*time.Minute + 40*time.Second:                "52m",
		time.Hour:                                      "1h",
		2*time.Hour + 10*time.Minute:                   "2h10m",
		23*time.Hour + 59*time.Minute + 50*time.Second: "1d",
		76 * time.Hour:                                 "3d4h",
		71*time.Hour + 50*time.Minute:                  "3d",
		2400*time.Hour + time.Minute:                   "100d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: want %s, got %s", d, want, got)
		}
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.Local)
	for got, want := range map[string]string{
		moment(time.Time{}):                 "-",
		until(time.Time{}, now):             "for ever",
		until(now.Add(52*time.Minute), now): "2026-10-05 08:52:00 (in 52m)",
		until(now, now):                     "2026-10-05 08:00:00 (now)",
		ago(now.Add(-3*time.Second), now):   "3s ago",
		ago(now.Add(time.Second), now):      "now",
		ago(time.Time{}, now):               "never",
	} {
		if got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

func TestSizesAndCounts(t *testing.T) {
	for got, want := range map[string]string{
		size(512): "512 bytes", size(20 << 10): "20 KiB", size(72 << 20): "72 MiB",
		count(1, "rule"): "1 rule", count(0, "rule"): "0 rules", names([]string{"a", "b", "c"}, 2): "a, b, and 1 more", names(nil, 2): "",
	} {
		if got != want {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

func TestParagraphsAreWrapped(t *testing.T) {
	long := strings.Repeat("word ", 20)
	want := strings.Repeat("word ", 15) + "word\nword word word word end\n\n  an example " + long[:99] + "\nlast"
	if got := wrap(long + "\nend\n\n  an example " + long + "\nlast\n"); got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestErrorsAreLinesWithAHint(t *testing.T) {
	var b bytes.Buffer
	if code := tell(&b, &exitError{exitNotFound, errors.New("a\x1b\n\nb"), "c\nd"}); code != exitNotFound {
		t.Errorf("want %d, got %d", exitNotFound, code)
	}
	if want := "regwarden: a\\x1b\nregwarden: b\nhint: c\\nd\n"; b.String() != want {
		t.Errorf("want %q, got %q", want, b.String())
	}
	wrapped := fmt.Errorf("more: %w", wrongUse(&cobra.Command{Use: "x"}, "y"))
	if e := describe(wrapped); e.code != exitWrong || e.hint == "" {
		t.Errorf("want the code and hint of what is wrapped, got %+v", e)
	}
}

func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	var errs bytes.Buffer
	if code := run([]string{"version"}, strings.NewReader(""), full{}, &errs); code != exitWrong {
		t.Errorf("want %d, got %d", exitWrong, code)
	}
	if !strings.Contains(errs.String(), "regwarden: write the output: no space left") {
		t.Errorf("want the write error, got %q", errs.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }
