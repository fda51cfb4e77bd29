package strict

import (
	"fmt"
	"regexp"
	"strings"
)

// How the decoder tells that a value is of another sort than its key: in Go's words, which nobody knows who writes a file.
var (
	noTable   = regexp.MustCompile(`^type mismatch for .*: expected table but found (.*)$`)
	otherSort = regexp.MustCompile(`^incompatible types: TOML value has type (.*); destination has type (.*)$`)
)

// sorts says in the file's words what the decoder calls a value.
var sorts = strings.NewReplacer("[]map[string]interface {}", "a list of tables", "[]map[string]any", "a list of tables", "[]interface {}", "a list", "[]any", "a list",
	"map[string]interface {}", "a table", "map[string]any", "a table", "primitive (string-like)", "text", "map", "a table", "slice", "a list", "string", "text", "int64", "a number",
	"float64", "a number with a fraction", "integer", "a whole number", "float", "a number", "boolean", "true or false", "bool", "true or false", "time.Time", "a date")

// wrongSort says what is wrong with the sort of a value, and what to do; false if the decoder's text is about something else.
func wrongSort(key, text string) (what, hint string, ok bool) {
	found, want := "", "a table"
	if m := noTable.FindStringSubmatch(text); m != nil {
		found = sorts.Replace(m[1])
	} else if m := otherSort.FindStringSubmatch(text); m != nil {
		found, want = sorts.Replace(m[1]), sorts.Replace(m[2])
	} else {
		return "", "", false
	}
	switch {
	case found == "a list of tables" && want == "a table":
		return fmt.Sprintf("is written as a list, [[%s]], and there can be only one", key), fmt.Sprintf("write [%s]", key), true
	case found == "a table" && want == "a list":
		return fmt.Sprintf("is written as one table, [%s], and there may be several", key), fmt.Sprintf("write [[%s]], or a list in brackets if the reference shows one", key), true
	}
	return fmt.Sprintf("is %s, and %s is wanted", found, want), "write the value as the reference shows it", true
}
