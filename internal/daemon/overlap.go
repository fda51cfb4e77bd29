package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"regwarden/internal/config"
	"regwarden/internal/strict"
)

// readTwice refuses two paths of sources that name the same file: each of its lines would count twice, which halves every threshold. Paths tell it, and what stands
// behind them at this moment.
func readTwice(c *config.Config) strict.Problems {
	var before []follows
	for _, s := range c.Sources {
		if s.Type != "file" {
			continue
		}
		for _, path := range s.Paths {
			f := newFollows(s.Name, path)
			for _, other := range before {
				if file := f.shares(other); file != "" {
					return strict.Problems{{File: c.Path, Key: "source.path", Text: twice(other, f, file), Hint: "take the file out of one of them, or narrow the pattern"}}
				}
			}
			before = append(before, f)
		}
	}
	return nil
}

func twice(a, b follows, file string) string {
	who := fmt.Sprintf("the sources %q and %q both read %s", a.source, b.source, file)
	if a.source == b.source {
		who = fmt.Sprintf("the source %q reads %s twice", a.source, file)
	}
	if a.path != file || b.path != file {
		who += fmt.Sprintf(" (by %s and %s)", a.path, b.path)
	}
	return who + ", so that each of its lines would count twice"
}

// follows is what one path of a source names.
type follows struct {
	source, path string
	pattern      bool
	found        []foundFile // at this moment, but for directories
}

type foundFile struct {
	path string
	info os.FileInfo
}

func newFollows(source, path string) follows {
	f := follows{source: source, path: filepath.Clean(path)}
	names := []string{f.path}
	if strings.ContainsAny(f.path, `*?[\`) {
		if _, err := os.Lstat(f.path); err != nil { // as sources do: a file with such a name is that file
			f.pattern = true
			names, _ = filepath.Glob(f.path)
		}
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			f.found = append(f.found, foundFile{name, info})
		}
	}
	return f
}

// shares is a file that both would read; "" if there is none. What two patterns of one source find, the source itself reads once, and likewise what its pattern
// finds that it reads anyway.
func (f follows) shares(other follows) string {
	if f.source == other.source && (f.pattern || other.pattern) {
		return ""
	}
	for _, pair := range [][2]follows{{f, other}, {other, f}} {
		literal, by := pair[0], pair[1]
		matches := false
		if by.pattern {
			matches, _ = filepath.Match(by.path, literal.path)
		}
		if !literal.pattern && matches || literal.path == by.path {
			return literal.path
		}
	}
	for _, mine := range f.found {
		same := func(x foundFile) bool { return os.SameFile(x.info, mine.info) }
		if i := slices.IndexFunc(other.found, same); i >= 0 {
			return mine.path
		}
	}
	return ""
}
