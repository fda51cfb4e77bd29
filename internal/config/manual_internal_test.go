package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const manualFile = "../../docs/configuration.md"

// TestTheManualIsMadeOfTheReference: docs/configuration.md is what manual makes of reference.toml.
func TestTheManualIsMadeOfTheReference(t *testing.T) {
	want := manual(string(Reference))
	if *update {
		if err := os.WriteFile(manualFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manualFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is stale: go test ./internal/config -run Manual -update")
	}
}

// TestTheManualHasEveryKeyAndNoOther holds the keys in the manual's tables against the struct that the file is decoded into.
func TestTheManualHasEveryKeyAndNoOther(t *testing.T) {
	text, err := os.ReadFile(manualFile)
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]bool{}, map[string]bool{}
	keysOf(reflect.TypeFor[file](), "", want)
	table := ""
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile("^## `\\[+([a-z.-]+)\\]+`").FindStringSubmatch(line); m != nil {
			table = m[1] + "."
		}
		if m := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\|").FindStringSubmatch(line); m != nil {
			got[table+m[1]] = true
		}
	}
	if len(want) < 60 {
		t.Fatalf("only %d keys found", len(want))
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !got[key] {
			t.Errorf("%s is a key and not in the manual: describe it in reference.toml", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !want[key] {
			t.Errorf("%s is in the manual and no key", key)
		}
	}
}

// keysOf collects the full names of the keys of a struct's tables.
func keysOf(t reflect.Type, table string, into map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, inner := f.Tag.Get("toml"), f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		switch {
		case f.Anonymous:
			keysOf(inner, table, into)
		case inner.Kind() == reflect.Struct:
			keysOf(inner, table+name+".", into)
		default:
			into[table+name] = true
		}
	}
}

const manualHead = `# Configuration

<!-- Made of internal/config/reference.toml: go test ./internal/config -run Manual -update -->

The file is ` + "`/etc/regwarden/regwarden.toml`" + `, or what ` + "`--config`" + ` names. ` + "`regwarden setup`" + ` writes a first one. A value in the second column is the default; in
tables that begin an example (sources and actions) it may be an example, as its comment says.
`

var (
	tableLine = regexp.MustCompile(`^(?:# )?(\[+[a-z.-]+\]+)\s*(?:#\s*(.*))?$`)
	keyLine   = regexp.MustCompile(`^(?:# )?([a-z][a-z0-9_]*)\s*=\s(.*)$`)
)

// manual makes the manual's page of the reference: a heading a table, a row a key, and paragraphs of the comments between.
func manual(reference string) string {
	m := &manualPage{}
	m.text.WriteString(manualHead)
	for line := range strings.Lines(reference) {
		line = strings.TrimSpace(line)
		if table := tableLine.FindStringSubmatch(line); table != nil {
			before := m.above
			m.above = nil
			m.end()
			fmt.Fprintf(&m.text, "\n## `%s`\n", table[1])
			m.above = append(before, table[2])
			m.end()
		} else if key := keyLine.FindStringSubmatch(line); key != nil {
			m.key(key[1], key[2])
		} else if text, comment := strings.CutPrefix(line, "# "); comment {
			m.above = append(m.above, text)
		} else {
			m.end()
		}
	}
	m.end()
	return m.text.String()
}

// manualPage is a page that is being made.
type manualPage struct {
	text  strings.Builder
	above []string // comment lines that wait for what they are about
	rows  bool     // the last that was written is a row
}

// end writes the waiting comment as a paragraph.
func (m *manualPage) end() {
	if text := strings.TrimSpace(strings.Join(m.above, " ")); text != "" {
		fmt.Fprintf(&m.text, "\n%s\n", prose(text))
	}
	m.above, m.rows = nil, false
}

// key writes a row. A comment above belongs to a key that has none beside it.
func (m *manualPage) key(name, rest string) {
	value, meaning := splitComment(rest)
	if meaning == "" {
		meaning, m.above = strings.Join(m.above, " "), nil
	} else if len(m.above) > 0 {
		m.end()
	}
	if !m.rows {
		m.text.WriteString("\n| key | value | meaning |\n| --- | --- | --- |\n")
		m.rows = true
	}
	fmt.Fprintf(&m.text, "| `%s` | `%s` | %s |\n", name, strings.ReplaceAll(value, "|", `\|`), prose(strings.ReplaceAll(meaning, "|", `\|`)))
}

// splitComment takes a value and the comment behind it apart; a # in quotes begins none.
func splitComment(rest string) (value, comment string) {
	quoted := false
	for i, c := range rest {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '#' && !quoted:
			return strings.TrimSpace(rest[:i]), strings.TrimSpace(rest[i+1:])
		}
	}
	return strings.TrimSpace(rest), ""
}

// prose is a comment as Markdown has it.
func prose(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(text)
}
