// Command sbom writes what a build of regwarden is made of: a CycloneDX bill of materials of the binary, as the linker noted it, Debian's copyright file,
// and the words of the licences of all modules in it. The same binary gives the same bytes.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	binary := flag.String("binary", "", "the `file` that was built")
	version := flag.String("version", "", "its version")
	epoch := flag.Int64("epoch", 0, "the time of the source, in `seconds` since 1970")
	bill := flag.String("cyclonedx", "", "write the bill of materials to this `file`")
	rights := flag.String("copyright", "", "write whose it is and under which licences to this `file`")
	words := flag.String("licences", "", "write the words of the licences to this `file`")
	flag.Parse()
	if err := run(*binary, *version, time.Unix(*epoch, 0).UTC(), *bill, *rights, *words); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(binary, version string, at time.Time, bill, rights, words string) error {
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", binary, err)
	}
	mods := info.Deps
	slices.SortFunc(mods, func(a, b *debug.Module) int { return strings.Compare(a.Path, b.Path) })
	licences, err := readLicences(mods)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	if err := os.WriteFile(bill, cycloneDX(info, version, at, hex.EncodeToString(sum[:]), licences), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(rights, copyright(mods, licences), 0o644); err != nil {
		return err
	}
	return os.WriteFile(words, texts(mods, licences), 0o644)
}

// licence is what a module allows, and its words.
type licence struct{ id, text string }

// readLicences finds the licence of each module where the Go tool keeps it.
func readLicences(mods []*debug.Module) (map[string]licence, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Dir}}", "all")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	dirs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		dirs[path] = dir
	}
	found := map[string]licence{}
	for _, m := range mods {
		text := ""
		for _, pattern := range []string{"LICENSE*", "COPYING*", "LICENCE*", "NOTICE*"} {
			files, _ := filepath.Glob(filepath.Join(dirs[m.Path], pattern))
			for _, f := range files {
				if b, err := os.ReadFile(f); err == nil {
					text += strings.TrimSpace(string(b)) + "\n\n"
				}
			}
		}
		if text == "" {
			return nil, fmt.Errorf("%s has no licence that could be found; a package must not be made with it", m.Path)
		}
		found[m.Path] = licence{identify(text), text}
	}
	return found, nil
}

// identify names the licences that our modules have; another one has to be looked at by a person first.
func identify(text string) string {
	flat := strings.Join(strings.Fields(text), " ")
	for _, known := range []struct{ id, words string }{
		{"Apache-2.0", "Apache License Version 2.0"},
		{"Apache-2.0", "Licensed under the Apache License, Version 2.0"},
		{"MPL-2.0", "Mozilla Public License Version 2.0"},
		{"BSD-3-Clause", "may be used to endorse or promote products"},
		{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"ISC", "Permission to use, copy, modify, and/or distribute"},
		{"CC0-1.0", "CC0 1.0 Universal"},
	} {
		if strings.Contains(flat, known.words) {
			return known.id
		}
	}
	return "NOASSERTION"
}

func cycloneDX(info *buildinfo.BuildInfo, version string, at time.Time, sum string, licences map[string]licence) []byte {
	type object = map[string]any
	arch := ""
	for _, s := range info.Settings {
		if s.Key == "GOARCH" {
			arch = s.Value
		}
	}
	self := "pkg:generic/regwarden@" + version + "?arch=" + arch
	components := []object{{"type": "library", "bom-ref": "pkg:golang/std@" + info.GoVersion, "name": "std", "version": info.GoVersion,
		"purl": "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), "licenses": []object{{"license": object{"id": "BSD-3-Clause"}}}}}
	needs := []string{"pkg:golang/std@" + info.GoVersion}
	for _, m := range info.Deps {
		ref := "pkg:golang/" + m.Path + "@" + m.Version
		c := object{"type": "library", "bom-ref": ref, "name": m.Path, "version": m.Version, "purl": ref,
			"properties": []object{{"name": "go:sum", "value": m.Sum}}}
		if id := licences[m.Path].id; id != "NOASSERTION" {
			c["licenses"] = []object{{"license": object{"id": id}}}
		}
		components, needs = append(components, c), append(needs, ref)
	}
	b, err := json.MarshalIndent(object{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": object{"timestamp": at.Format(time.RFC3339), "component": object{"type": "application", "bom-ref": self, "name": "regwarden",
			"version": version, "purl": self, "hashes": []object{{"alg": "SHA-256", "content": sum}}}},
		"components":   components,
		"dependencies": []object{{"ref": self, "dependsOn": needs}},
	}, "", "  ")
	if err != nil {
		panic(err) // strings and lists only
	}
	return append(b, '\n')
}

// copyright is Debian's machine-readable form: one paragraph a module.
func copyright(mods []*debug.Module, licences map[string]licence) []byte {
	var b bytes.Buffer
	b.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: regwarden\n")
	b.WriteString("Comment: The program is linked statically; below are all modules in it.\n The words of their licences are in licences.txt.gz beside this file.\n\n")
	b.WriteString("Files: *\nCopyright: 2026 the authors of regwarden\nLicense: unpublished\n No licence has been chosen yet.\n")
	used := map[string]bool{"BSD-3-Clause": true}
	for _, m := range mods {
		id := licences[m.Path].id
		used[id] = true
		fmt.Fprintf(&b, "\nFiles: module/%s\nCopyright: %s\nLicense: %s\n", m.Path, holders(licences[m.Path].text), id)
	}
	b.WriteString("\nFiles: module/std\nCopyright: 2009 The Go Authors\nLicense: BSD-3-Clause\n")
	for _, id := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&b, "\nLicense: %s\n See licences.txt.gz.\n", id)
		if id == "Apache-2.0" {
			b.WriteString(" On Debian it is also in /usr/share/common-licenses/Apache-2.0.\n")
		}
	}
	return b.Bytes()
}

// holders are whom the licence's own lines name.
func holders(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "Copyright "); ok && strings.ContainsAny(rest, "12") && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return "its authors, whom its licence does not name"
	}
	return strings.Join(out, "\n ")
}

// texts are the licences word by word.
func texts(mods []*debug.Module, licences map[string]licence) []byte {
	var b bytes.Buffer
	for _, m := range mods {
		fmt.Fprintf(&b, "=== %s %s\n\n%s", m.Path, m.Version, licences[m.Path].text)
	}
	return b.Bytes()
}
