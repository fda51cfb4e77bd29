package main

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"regwarden/internal/control"
	"regwarden/internal/strict"
)

// What is printed may come from a log line, and so from an attacker. Nothing here lets a character through that moves a terminal's
// cursor, changes its colours or turns text round.

// escape is a sentence with such characters written as Go escapes.
func escape(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\ufffd' && text[i] != 0xef: // a byte that is no UTF-8, not the character
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// name is a name as it is where that is harmless, quoted otherwise.
func name(text string) string {
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune("-_./:@+*=[]", r):
		default:
			return strconv.Quote(text)
		}
	}
	if text == "" {
		return `""`
	}
	return text
}

// names are at most so many names, and how many more there are; most 0 is all.
func names(list []string, most int) string {
	var shown []string
	for i, n := range list {
		if most > 0 && i == most {
			shown = append(shown, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		shown = append(shown, name(n))
	}
	return strings.Join(shown, ", ")
}

// target is a target as people write it.
func target(p netip.Prefix) string { return control.TargetText(p) }

// count is a number and what it counts: "1 rule", "2 rules".
func count[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// moment is a time in the local zone.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// until is an end and how far away it is.
func until(t, now time.Time) string {
	if t.IsZero() {
		return "for ever"
	}
	if !t.After(now) {
		return moment(t) + " (now)"
	}
	return fmt.Sprintf("%s (in %s)", moment(t), span(t.Sub(now)))
}

// ago is how long a time is past.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if d := now.Sub(t); d >= time.Second {
		return span(d) + " ago"
	}
	return "now"
}

// span is a length of time with its two largest units: "3d4h", "2h10m", "52m", "45s".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 100*day:
		d = d.Round(day)
	case d >= day:
		d = d.Round(time.Hour)
	case d >= 10*time.Minute:
		d = d.Round(time.Minute)
	default:
		d = d.Round(time.Second)
	}
	if d < day || d%day == 0 {
		return strict.FormatDuration(d)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// size is a number of bytes as people say it.
func size(n int) string {
	const kib = 1 << 10
	switch {
	case n < 10*kib:
		return fmt.Sprintf("%d bytes", n)
	case n < 10*kib*kib:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d MiB", n/kib/kib)
}

// helpWidth is how wide help is, in characters.
const helpWidth = 80

// wrap breaks the paragraphs of a text into lines of helpWidth. Lines that are indented are examples and stay as they are.
func wrap(text string) string {
	var out []string
	line := ""
	end := func() {
		if line != "" {
			out = append(out, line)
		}
		line = ""
	}
	for in := range strings.Lines(strings.TrimSpace(text)) {
		in = strings.TrimRight(in, " \n")
		if in == "" || in[0] == ' ' || in[0] == '\t' {
			end()
			out = append(out, in)
			continue
		}
		for word := range strings.FieldsSeq(in) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > helpWidth {
				end()
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
	}
	end()
	return strings.Join(out, "\n")
}

// table prints aligned columns. Its cells must have been through escape or name.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

// row prints a row; an empty cell is a dash.
func (t table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() { t.w.Flush() }
