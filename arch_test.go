package regwarden_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says which of our packages each package may import. A package that is not here fails: say first where it belongs.
var rooms = map[string][]string{
	"detector":                     {},
	"sources":                      {"detector"},
	"sources/format":               {"detector", "internal/strict"},
	"actions":                      {"detector"},
	"actions/internal/netlab":      {},
	"rules":                        {"detector", "internal/strict"},
	"internal/strict":              {},
	"internal/unixsocket":          {},
	"internal/httpserve":           {},
	"internal/answer":              {"detector", "internal/httpserve", "internal/unixsocket", "sources/format"},
	"internal/config":              {"detector", "internal/strict"},
	"internal/store":               {"detector"},
	"internal/control":             {"detector", "internal/strict", "internal/unixsocket"},
	"internal/control/controltest": {"detector", "internal/control"},
	"internal/scan":                {"detector", "sources/format"},
	"internal/replay":              {"detector", "internal/scan", "sources", "sources/format"},
	"internal/reference":           {}, // tests only
	"internal/report":              {"detector", "internal/strict"},
	"internal/setup":               {"detector", "sources/format"},
	"internal/explain":             {"detector", "sources/format"},
	"internal/takeover":            {"internal/strict"},
	"packaging/sbom":               {},
	"internal/service":             {},
	"internal/metrics":             {},
	"internal/portal":              {"detector", "internal/httpserve", "internal/unixsocket", "internal/portal/access", "internal/portal/account", "internal/portal/human", "internal/portal/login"},
	"internal/portal/account":      {},
	"internal/portal/login":        {"internal/portal/account"},
	"internal/portal/access":       {"internal/portal/account"},
	"internal/portal/human":        {"internal/portal/account"},
	"internal/portal/portaltest":   {}, // tests only
	"internal/daemon":              {"actions", "detector", "internal/answer", "internal/config", "internal/control", "internal/metrics", "internal/portal", "internal/portal/access", "internal/portal/account", "internal/portal/human", "internal/portal/login", "internal/scan", "internal/store", "internal/strict", "rules", "sources", "sources/format"},
	"internal/demo":                {"detector", "internal/config", "internal/control", "internal/daemon"},
	"cmd/regwarden":                {"detector", "internal/config", "internal/control", "internal/daemon", "internal/demo", "internal/explain", "internal/replay", "internal/report", "internal/service", "internal/setup", "internal/strict", "internal/takeover", "rules", "sources", "sources/format"},
}

// pure lists what the detector may import of the standard library and beyond: no files, no network, no clock's goroutines.
var impure = []string{"os", "net", "net/http", "io/fs", "log", "log/slog", "sync", "context", "os/exec", "math/rand", "math/rand/v2"}

func TestImportsRunOneWay(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		room := filepath.ToSlash(filepath.Dir(path))
		if strings.HasPrefix(room, "bench") || strings.HasPrefix(room, "lab") || strings.HasPrefix(room, "testing") {
			return nil // programs that measure and try the others
		}
		allowed, known := rooms[room]
		if !known {
			t.Errorf("%s: the package is in no room of arch_test.go", room)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			if own, ok := strings.CutPrefix(name, "regwarden/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which its room may not", path, own)
			}
			if room == "detector" && slices.Contains(impure, name) {
				t.Errorf("%s imports %s: the detector is pure", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
