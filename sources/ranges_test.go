package sources_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/sources"
)

// TestRangesAreTheFile: one after the other they have every byte once and end with lines; one that has lost its end says that the file ends.
func TestRangesAreTheFile(t *testing.T) {
	var text strings.Builder
	for i := range 3000 {
		text.WriteString(strings.Repeat("x", i*7919%200) + "\n")
	}
	long := strings.Repeat("y", 70_000)
	for _, content := range []string{text.String(), text.String() + "unfinished", long + "\n" + text.String() + long, "a\n", "a", ""} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{1, 100, 20_000, 1 << 20} {
			f, err := sources.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for at := int64(0); ; {
				r := f.Ranges.Next(at, size)
				part, err := io.ReadAll(f.Ranges.Reader(r))
				if got.Write(part); r.End == io.EOF && err == nil {
					break
				}
				if !errors.Is(err, sources.ErrRangeEnd) || len(part) == 0 || part[len(part)-1] != '\n' || int64(len(part)) <= size {
					t.Fatalf("range %+v of %d bytes: %d bytes, %v", r, len(content), len(part), err)
				}
				at = r.To
			}
			if got.String() != content {
				t.Errorf("ranges of %d bytes have %d bytes of %d", size, got.Len(), len(content))
			}
			f.Close()
		}
	}
}

func TestARangeOfATruncatedFileEndsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("line\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := sources.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := f.Ranges.Next(0, 3000)
	if err := os.Truncate(path, 1001); err != nil {
		t.Fatal(err)
	}
	if part, err := io.ReadAll(f.Ranges.Reader(r)); len(part) != 1001 || err != nil { // ReadAll's nil is the end of the file
		t.Errorf("%d bytes and %v, want 1001 and the end of the file", len(part), err)
	}
}
