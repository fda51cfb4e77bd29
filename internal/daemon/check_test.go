package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/daemon"
)

// TestCheckLooksAtTheAnswers: a directory that holds somebody else's files, or that no web server finds, is told before the daemon starts; nothing is touched.
func TestCheckLooksAtTheAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"not there":                    {func(string) error { return nil }, ""},
		"empty":                        {func(dir string) error { return os.Mkdir(dir, 0o755) }, ""},
		"foreign":                      {func(dir string) error { _ = os.Mkdir(dir, 0o755); return os.WriteFile(dir+"/passwd", nil, 0o600) }, `holds "passwd" and was not made by regwarden, so nothing is written there; give the answers a directory of their own`},
		"foreign, named like a client": {func(dir string) error { return os.MkdirAll(dir+"/203.0.113.7", 0o755) }, `holds "203.0.113.7" and was not made by regwarden`},
		"ours": {func(dir string) error {
			_ = os.MkdirAll(dir+"/203.0.113.7", 0o755)
			return os.WriteFile(dir+"/.regwarden", nil, 0o600)
		}, ""},
		"ours with others' files": {func(dir string) error {
			_ = os.MkdirAll(dir+"/backup", 0o755)
			return os.WriteFile(dir+"/.regwarden", nil, 0o600)
		}, `holds "backup", which is not regwarden's; it stays, and is better kept elsewhere`},
		"a file": {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "is not a directory; remove it, or give the answers another"},
		"hidden": {func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o700) }, "so the web server does not find the answers in"},
		"in file": {func(dir string) error {
			_ = os.RemoveAll(filepath.Dir(dir))
			return os.WriteFile(filepath.Dir(dir), nil, 0o600)
		}, "is not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(base, "d", "answers")
			if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := row.make(dir); err != nil {
				t.Fatal(err)
			}
			before, _ := filepath.Glob(dir + "/*")
			path := filepath.Join(base, "regwarden.toml")
			text := "[answers]\nmessage = \"Retry later\"\n[[source]]\npath = \"log\"\n[actions.answer-files]\npath = \"" + dir + "\"\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			var about []string
			all := strings.Join(daemon.CheckHost(c), "\n")
			for line := range strings.Lines(all) {
				if strings.HasPrefix(line, "action answer-files: ") {
					about = append(about, line)
				}
			}
			if (row.want == "") != (len(about) == 0) || row.want != "" && !strings.Contains(about[0], row.want) {
				t.Errorf("want %q, got %q", row.want, about)
			}
			if !strings.Contains(all, "answers.message: names none of ") {
				t.Errorf("nothing is said of a message that says nothing: %q", all)
			}
			if after, _ := filepath.Glob(dir + "/*"); strings.Join(before, " ") != strings.Join(after, " ") {
				t.Errorf("it was touched: %v, %v", before, after)
			}
		})
	}
}
