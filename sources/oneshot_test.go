package sources_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"regwarden/sources"
)

var long = strings.Repeat("x", sources.MaxLine)

// The ways in which a text comes in pieces must not show.
var lineTests = []struct {
	name, text string
	want       []string
	cut        int
}{
	{"nothing", "", nil, 0},
	{"one line", "a\n", []string{"a"}, 0},
	{"no newline at the end", "a\nb", []string{"a", "b"}, 0},
	{"empty lines", "\n\na\n\n", []string{"", "", "a", ""}, 0},
	{"the longest line", long + "\nb\n", []string{long, "b"}, 0},
	{"one byte too long", "a\n" + long + "y\nb\n", []string{"a", long, "b"}, 1},
	{"far too long", long + long + long + "\n" + long + "z\nb", []string{long, long, "b"}, 2},
	{"too long at the end", "a\n" + long + long, []string{"a", long}, 1},
}

func TestReadAllAndLineReader(t *testing.T) {
	for _, test := range lineTests {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				s := newSink()
				if err := sources.ReadAll("log", wrap(strings.NewReader(test.text)), s.emit); err != nil {
					t.Fatal(err)
				}
				compareLines(t, test.want, s.lines, test.cut, s.cut)
				if p := s.positions["log"]; len(test.text) > 0 && p.Offset != int64(len(test.text)) {
					t.Errorf("got offset %d, want %d", p.Offset, len(test.text))
				}
				lines, cut := pull(t, wrap(strings.NewReader(test.text)))
				compareLines(t, test.want, lines, test.cut, cut)
			})
		}
	}
}

func compareLines(t *testing.T, want, got []string, wantCut, gotCut int) {
	t.Helper()
	if strings.Join(want, "\n") != strings.Join(got, "\n") || len(want) != len(got) || wantCut != gotCut {
		t.Errorf("want %d lines, %d cut; got %d, %d cut: %.200q", len(want), wantCut, len(got), gotCut, got)
	}
}

func pull(t *testing.T, r io.Reader) (lines []string, cuts int) {
	t.Helper()
	for l := sources.NewLineReader(r); ; {
		line, cut, err := l.Next()
		if errors.Is(err, io.EOF) {
			return lines, cuts
		}
		if err != nil {
			t.Fatal(err)
		}
		if cut {
			cuts++
		}
		lines = append(lines, string(line))
	}
}

func TestLineReaderGivesTheReadErrorAfterTheLastLine(t *testing.T) {
	broken := errors.New("broken")
	l := sources.NewLineReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)))
	for _, want := range []string{"a", "b"} {
		if line, _, err := l.Next(); err != nil || string(line) != want {
			t.Errorf("got %q, %v, want %q", line, err, want)
		}
	}
	if _, _, err := l.Next(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestOpenFileReadsPlainAndGzip(t *testing.T) {
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "a.gz"), filepath.Join(dir, "b.log")
	if err := os.WriteFile(plain, []byte("a\nb\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	zipTo(t, plain, packed) // the names lie; the first bytes do not
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{plain: "a\nb\n", packed: "a\nb\n", empty: ""} {
		r, err := sources.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", path, got, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := sources.OpenFile(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

func TestStdinEndsWithItsInput(t *testing.T) {
	s := newSink()
	if err := sources.NewStdin("in", strings.NewReader("a\nb")).Run(t.Context(), nil, s.emit); err != nil {
		t.Fatal(err)
	}
	compareLines(t, []string{"a", "b"}, s.lines, 0, s.cut)
}

func TestStdinThatNeverComesEndsWithItsContext(t *testing.T) {
	in, _ := io.Pipe()
	s := newSink()
	r := run(t, sources.NewStdin("in", in), nil, s.emit)
	r.stop(t)
}

func TestStdinGivesOutWhatEmitReturned(t *testing.T) {
	failed := errors.New("full")
	err := sources.NewStdin("in", bytes.NewReader([]byte("a\n"))).Run(context.Background(), nil, func(sources.Batch) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestNoAllocationPerLine(t *testing.T) {
	text := strings.Repeat("203.0.113.7 - - [05/Oct/2026:08:00:02 +0000] \"GET /v2/ HTTP/1.1\" 401 87\n", 20000)
	allocs := testing.AllocsPerRun(5, func() {
		if err := sources.ReadAll("log", strings.NewReader(text), func(sources.Batch) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 {
		t.Errorf("%v allocations for 20000 lines", allocs)
	}
}
