// Package strict decodes TOML so that every mistake is told in one line: file, line, key, what is wrong, and what to do.
package strict

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Problem is one mistake in a file.
type Problem struct {
	File string `json:"file"`
	// Line counts from 1; 0 where it is not known.
	Line int    `json:"line,omitempty"`
	Key  string `json:"key,omitempty"`
	Text string `json:"problem"`
	Hint string `json:"hint,omitempty"`
}

// Error is "file:line: key: what (hint)".
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Problems are the mistakes of one file, at least one.
type Problems []Problem

// Error is one line a mistake.
func (ps Problems) Error() string {
	var lines []string
	for _, p := range ps {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Document is a TOML text that was decoded, which can tell where its keys stand.
type Document struct {
	File  string
	lines []string
	meta  toml.MetaData
}

// Decode reads data into the struct that into points to. A key that the struct does not have is a mistake.
func Decode(file string, data []byte, into any) (*Document, error) {
	d := &Document{File: file, lines: strings.Split(string(data), "\n")}
	meta, err := toml.Decode(string(data), into)
	if err != nil {
		return d, Problems{d.decoded(err)}
	}
	d.meta = meta
	var ps Problems
	for _, key := range meta.Undecoded() {
		if len(ps) > 0 && strings.HasPrefix(key.String(), ps[len(ps)-1].Key+".") || free(reflect.TypeOf(into), key) {
			continue // its table was named already, or the caller looks at it himself
		}
		ps = append(ps, d.unknown(key, reflect.TypeOf(into)))
	}
	if len(ps) > 0 {
		return d, ps
	}
	return d, nil
}

// IsDefined says whether the text has the key.
func (d *Document) IsDefined(key ...string) bool { return d.meta.IsDefined(key...) }

// decoded turns the decoder's error into a problem.
func (d *Document) decoded(err error) Problem {
	text := strings.TrimPrefix(firstLine(err.Error()), "toml: ")
	p := Problem{File: d.File, Text: text}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		p.Line, p.Key = pe.Position.Line, pe.LastKey
		if strings.Contains(pe.Message, `got '\n'`) && p.Line > 1 {
			p.Line-- // the decoder has read the line's end already
		}
		if p.Line <= len(d.lines) && strings.HasPrefix(strings.TrimSpace(d.lines[p.Line-1]), "[") {
			p.Key = "" // a table's line: the last key stands above it
		}
		if pe.Message != "" {
			p.Text = firstLine(strings.TrimSpace(pe.Message))
		}
	} else if m := placed.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Key, p.Text = m[2], m[3]
	}
	if what, hint, ok := wrongSort(p.Key, p.Text); ok {
		p.Text, p.Hint = what, hint
		return p
	}
	p.Text = strings.TrimSuffix(p.Text, ".")
	switch {
	case strings.Contains(text, "to end table name"):
		p.Hint = "the name of a table stands in brackets, as in [actions.nftables], and that of a list's table in two, as in [[source]]"
	case strings.Contains(text, "already been defined"), strings.Contains(text, "already defined"):
		p.Hint = "a key may stand only once in a table; remove one"
	default:
		p.Hint = "this is no valid TOML: text needs quotes, a regular expression best single ones"
	}
	return p
}

// placed is how the decoder writes an error of a value's type, which has no type of its own.
var placed = regexp.MustCompile(`^line (\d+) \(last key "([^"]*)"\): (.*)$`)

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// unknown makes the problem of a key that nothing reads, with the nearest key that there is.
func (d *Document) unknown(key toml.Key, t reflect.Type) Problem {
	known := keysAt(t, key[:len(key)-1])
	p := d.At(key...)
	for n := range 1000 { // it may stand in any table of an array
		line, exact := d.Nth(n, key...)
		if exact {
			p.Line = line
			break
		}
	}
	p.Text = "unknown key"
	if near := Nearest(key[len(key)-1], known); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) > 0 {
		p.Hint = "known keys here: " + strings.Join(known, ", ")
	}
	return p
}

// free says whether a key lies in a field that takes any value, whose keys the decoder counts as not decoded.
func free(t reflect.Type, path []string) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Interface {
		return true
	}
	if len(path) == 0 {
		return false
	}
	if t.Kind() == reflect.Map {
		return free(t.Elem(), path[1:])
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ","); name == path[0] {
			return free(t.Field(i).Type, path[1:])
		}
	}
	return false
}

// keysAt lists the TOML keys of the struct that stands at a path below t.
func keysAt(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() == reflect.Map && len(path) > 0 {
		return keysAt(t.Elem(), path[1:])
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if len(path) > 0 && name == path[0] {
			return keysAt(t.Field(i).Type, path[1:])
		}
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	if len(path) > 0 {
		return nil
	}
	return names
}

// At is a problem at a key, with its line, to be filled in.
func (d *Document) At(key ...string) Problem {
	return Problem{File: d.File, Line: d.Line(key...), Key: strings.Join(key, ".")}
}

// Problem is a problem at a key.
func (d *Document) Problem(text, hint string, key ...string) Problems {
	p := d.At(key...)
	p.Text, p.Hint = text, hint
	return Problems{p}
}

// Line returns the line on which a key (or else its table) stands first, or 0.
func (d *Document) Line(key ...string) int {
	line, _ := d.Nth(0, key...)
	return line
}

// Nth is Line for a key in the n-th table of an array of tables, counted from 0.
func (d *Document) Nth(n int, key ...string) (line int, exact bool) {
	table, seen := "", -1
	want := strings.Join(key, ".")
	parent := strings.Join(key[:max(len(key)-1, 0)], ".")
	for i, text := range d.lines {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") && !strings.Contains(text, "=") {
			table = strings.ReplaceAll(strings.Trim(strings.SplitN(text, "#", 2)[0], "[] \t"), `"`, "")
			if table == parent || table == want {
				seen++
			}
			if seen <= n && (table == want || table == parent) {
				line, exact = i+1, table == want && seen == n
			}
			if exact {
				return line, true
			}
			continue
		}
		name, _, ok := strings.Cut(text, "=")
		if !ok || strings.HasPrefix(text, "#") {
			continue
		}
		name = strings.Trim(strings.TrimSpace(name), `"`)
		full := name
		if table != "" {
			full = table + "." + name
		}
		if (full == want || strings.HasPrefix(full, want+".")) && (max(seen, 0) == n) {
			return i + 1, true
		}
		if line == 0 && parent != "" && full == parent { // an inline table
			line = i + 1
		}
	}
	return line, false
}

// Nearest returns the candidate that is at most two edits (or a third of the word) away, or ""; one that is the word and more before all but a slip of one letter.
func Nearest(word string, candidates []string) string {
	best, at := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if strings.HasPrefix(c, strings.ToLower(word)+"_") {
			best, at = c, min(at, 2)
			break
		}
	}
	for _, c := range candidates {
		if n := distance(strings.ToLower(word), c); n < at {
			best, at = c, n
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
