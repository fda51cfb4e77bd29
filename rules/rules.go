// Package rules turns rule files into the detector's rules: those shipped with the program, which are embedded, and those of
// an operator's directory, where a file of the same name replaces a shipped one or, with enabled = false, switches it off.
// It checks everything that can be checked at load, so that a bad rule never replaces a good one that runs.
package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"regwarden/detector"
	"regwarden/internal/strict"
)

//go:embed *.toml
var shipped embed.FS

// Shipped returns the embedded rule files.
func Shipped() fs.FS { return shipped }

// ShippedPrefix begins the origin of a shipped rule; an own one's begins with its directory.
const ShippedPrefix = "shipped:"

// Set is the rules that are in force, in order of name.
type Set struct {
	Rules []*detector.Rule
	// Off are the names of rules that a file switches off.
	Off []string
}

// Load reads the shipped rules and those of dir, if it is not empty. The error is strict.Problems with every mistake of every file.
func Load(dir string) (*Set, error) {
	files, err := read(shipped, ".", ShippedPrefix)
	if err != nil {
		return nil, err
	}
	if dir != "" {
		own, err := read(os.DirFS(dir), ".", strings.TrimSuffix(dir, "/")+"/")
		if err != nil {
			return nil, ofDirectory(dir, err)
		}
		for name, f := range own {
			files[name] = f
		}
	}
	return parseAll(files)
}

// LoadOnly reads the rules of one directory and none of the shipped ones.
func LoadOnly(dir string) (*Set, error) {
	files, err := read(os.DirFS(dir), ".", strings.TrimSuffix(dir, "/")+"/")
	if err != nil {
		return nil, ofDirectory(dir, err)
	}
	return parseAll(files)
}

// ofDirectory names the directory in an error that names no file of it.
func ofDirectory(dir string, err error) error {
	if ps := (strict.Problems{}); errors.As(err, &ps) {
		return err
	}
	return fmt.Errorf("rules directory %s: %w", dir, unwrapPath(err))
}

func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// ruleFile is a file that was not read into a rule yet.
type ruleFile struct {
	origin string
	data   []byte
}

// read returns the *.toml files of a directory by rule name. Hidden files and editors' copies are no rules.
func read(fsys fs.FS, dir, prefix string) (map[string]ruleFile, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	files := map[string]ruleFile{}
	for _, e := range entries {
		name := e.Name()
		if filepath.Ext(name) != ".toml" || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		data, err := readPlain(fsys, filepath.Join(dir, name))
		if err != nil {
			hint := "let the daemon's user read it"
			switch {
			case errors.Is(err, fs.ErrNotExist):
				hint = "it is a link that leads nowhere; correct or remove it"
			case errors.Is(err, errNotPlain):
				hint = "a rule is a file"
			}
			return nil, strict.Problems{{File: prefix + name, Text: unwrapPath(err).Error(), Hint: hint}}
		}
		files[strings.TrimSuffix(name, ".toml")] = ruleFile{prefix + name, data}
	}
	return files, nil
}

var errNotPlain = errors.New("it is no plain file")

// readPlain reads a file and waits for no pipe.
func readPlain(fsys fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotPlain
	}
	return fs.ReadFile(fsys, name)
}

func parseAll(files map[string]ruleFile) (*Set, error) {
	set := &Set{}
	var problems strict.Problems
	for name, f := range files {
		r, err := Parse(name, f.origin, f.data)
		var ps strict.Problems
		switch {
		case errors.As(err, &ps):
			problems = append(problems, ps...)
		case err != nil:
			problems = append(problems, strict.Problem{File: f.origin, Text: err.Error()})
		case r == nil:
			set.Off = append(set.Off, name)
		default:
			set.Rules = append(set.Rules, r)
		}
	}
	slices.SortFunc(set.Rules, func(a, b *detector.Rule) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(set.Off)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b strict.Problem) int { return strings.Compare(a.File, b.File) })
		return nil, problems
	}
	return set, nil
}

// Only keeps the rules of these names; a name that is not there is an error which names the nearest.
func (s *Set) Only(names []string) (*Set, error) {
	if len(names) == 0 {
		return s, nil
	}
	only := &Set{}
	for _, name := range names {
		i := slices.IndexFunc(s.Rules, func(r *detector.Rule) bool { return r.Name == name })
		if i < 0 {
			return nil, s.noRule(name)
		}
		only.Rules = append(only.Rules, s.Rules[i])
	}
	return only, nil
}

func (s *Set) noRule(name string) error {
	var names []string
	for _, r := range s.Rules {
		names = append(names, r.Name)
	}
	if slices.Contains(s.Off, name) {
		return fmt.Errorf("rule %q is switched off (enabled = false)", name)
	}
	if near := strict.Nearest(name, names); near != "" {
		return fmt.Errorf("no rule %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("no rule %q; there are: %s", name, strings.Join(names, ", "))
}
