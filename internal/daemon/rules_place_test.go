package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/daemon"
)

// TestMistakesAboutRulesNameFileAndLine of the configuration, or the file among the rules that is wrong.
func TestMistakesAboutRulesNameFileAndLine(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"no directory":    {"rules = \"none\"\n", "DIR/f.toml:1: rules: rules directory DIR/none: no such file or directory; make the directory"},
		"no such rule":    {"dry_run = true\ndisable = [\"sshdd\"]\n", `DIR/f.toml:2: disable: no rule "sshdd"; did you mean "sshd"?`},
		"a dangling link": {"rules = \"r\"\n", "DIR/r/mine.toml: no such file or directory; it is a link that leads nowhere"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "r"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("nowhere", filepath.Join(dir, "r", "mine.toml")); err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(filepath.Join(dir, "f.toml"), []byte(row.text+"[[source]]\npath = \"a.log\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := daemon.LoadRules(c); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), dir, "DIR"), row.want) {
			t.Errorf("%s: want %q, got %v", name, row.want, err)
		}
	}
}
