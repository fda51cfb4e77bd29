package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// corpus is one generated log, with shorter ones that are its beginning.
type corpus struct {
	name  string
	write func(*bufio.Writer, *rand.Rand, request)
	// size is about how many bytes a line has; fields how many a JSON line has.
	size, fields int
	// needle is what programs that only look for a string look for.
	needle string
	// replay are the flags that regwarden needs for this log.
	replay []string

	lines  int
	bytes  int64
	sha256 string
	parts  []int // the whole first, then ever shorter
	stem   string
	empty  string
	truths map[int]truth // by the part's lines
}

// logs are all that is measured.
var logs = []*corpus{
	{name: "nginx", write: nginxLine, size: 200, needle: `" 404 `},
	{name: "registry", write: registryLine, size: 509, fields: 19, needle: `"status":404`, replay: []string{"--kind", "access"}},
	{name: "production_json", write: railsLine, size: 1960, fields: 61, needle: `"status":401`},
}

// fractions of the log are the parts of which a slow program reads the longest that it can in time.
var fractions = []int{1, 5, 10, 20, 50}

// make generates the log and its parts.
func (l *corpus) make(dir string, lines int) error {
	l.lines = lines
	l.stem = filepath.Join(dir, fmt.Sprintf("%s-%d-%d", l.name, generation, lines))
	for _, f := range fractions {
		l.parts = append(l.parts, lines/f)
	}
	if err := writeLog(l.part(lines), lines, l.write); err != nil {
		return err
	}
	l.empty = filepath.Join(dir, "empty.log")
	if err := os.WriteFile(l.empty, nil, 0o644); err != nil {
		return err
	}
	var err error
	l.bytes, l.sha256, err = sum(l.part(lines))
	return err
}

// part is the path of the first lines.
func (l *corpus) part(lines int) string {
	if lines == l.lines {
		return l.stem + ".log"
	}
	return fmt.Sprintf("%s-first-%d.log", l.stem, lines)
}

// makeParts makes the shorter ones.
func (l *corpus) makeParts() error {
	for _, n := range l.parts[1:] {
		if err := head(l.part(l.lines), l.part(n), n); err != nil {
			return err
		}
	}
	return nil
}

// thin is the path of a short log that has all abusers in it.
func (l *corpus) thin() (string, error) {
	path := l.stem + "-thin.log"
	return path, thin(l.part(l.lines), path, l.lines)
}

// truth is who has to be found in a part.
func (l *corpus) truth(part int) truth {
	if l.truths == nil {
		l.truths = map[int]truth{}
	}
	if _, known := l.truths[part]; !known {
		l.truths[part] = truthOf(l.lines, part)
	}
	return l.truths[part]
}
