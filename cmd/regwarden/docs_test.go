package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryCommandInTheManualExists: verbs and flags of the commands in README and docs, whatever they are run on.
func TestEveryCommandInTheManualExists(t *testing.T) {
	pages, _ := filepath.Glob("../../docs/*.md")
	command := regexp.MustCompile("(?:^|[ `(|])regwarden ((?:[a-z]+ ?)(?:[^`|\n]*))")
	flag := regexp.MustCompile(`(?:^| )--([a-z-]+)`)
	seen := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			shown := strings.HasPrefix(line, "    ") // an example; elsewhere only what stands in backquotes is a command
			if !shown && !strings.Contains(line, "`regwarden ") && !strings.Contains(line, "`./regwarden ") {
				continue
			}
			line, _, _ = strings.Cut(line, "  # ") // what an example says about itself
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				about, rest, err := newRoot().Find(strings.Fields(m[1]))
				if err != nil || about == about.Root() {
					if !shown {
						t.Errorf("%s: regwarden %s: no such verb", filepath.Base(page), m[1])
					}
					continue
				}
				seen++
				for _, f := range flag.FindAllStringSubmatch(strings.Join(rest, " "), -1) {
					if about.Flags().Lookup(f[1]) == nil && about.InheritedFlags().Lookup(f[1]) == nil {
						t.Errorf("%s: regwarden %s has no --%s", filepath.Base(page), about.Name(), f[1])
					}
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d commands found", seen)
	}
}

// TestEveryPageIsThere that a page of the manual points at.
func TestEveryPageIsThere(t *testing.T) {
	pages, _ := filepath.Glob("../../docs/*.md")
	link := regexp.MustCompile(`\]\(([a-zA-Z0-9./_-]+)\)`)
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s points at %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
}
