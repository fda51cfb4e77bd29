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
		make  func(dir string) error
		want  string
		never bool // no waiting makes it work: check fails
	}{
		"not there":                    {func(string) error { return nil }, "", false},
		"empty":                        {func(dir string) error { return os.Mkdir(dir, 0o755) }, "", false},
		"foreign":                      {func(dir string) error { _ = os.Mkdir(dir, 0o755); return os.WriteFile(dir+"/passwd", nil, 0o600) }, `holds "passwd" and was not made by regwarden, so nothing is written there; give the answers a directory of their own`, true},
		"foreign, named like a client": {func(dir string) error { return os.MkdirAll(dir+"/203.0.113.7", 0o755) }, `holds "203.0.113.7" and was not made by regwarden`, true},
		"ours": {func(dir string) error {
			_ = os.MkdirAll(dir+"/203.0.113.7", 0o755)
			return os.WriteFile(dir+"/.regwarden", nil, 0o600)
		}, "", false},
		"ours with others' files": {func(dir string) error {
			_ = os.MkdirAll(dir+"/backup", 0o755)
			return os.WriteFile(dir+"/.regwarden", nil, 0o600)
		}, `holds "backup", which is not regwarden's; it stays, and is better kept elsewhere`, false},
		"a file": {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "is not a directory; remove it, or give the answers another", true},
		"hidden": {func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o700) }, "so the web server does not find the answers in", false},
		"in file": {func(dir string) error {
			_ = os.RemoveAll(filepath.Dir(dir))
			return os.WriteFile(filepath.Dir(dir), nil, 0o600)
		}, "is not a directory", true},
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
			if err := daemon.CheckConfig(c); (err != nil) != row.never || err != nil && !strings.HasPrefix(err.Error(), path+":6: actions.answer-files.path: ") {
				t.Errorf("refused for ever: want %v, got %v", row.never, err)
			} else if err != nil {
				about = append(about, err.Error())
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

// TestWhatCanNeverWorkFailsTheCheck, and what may come to work later is a warning.
func TestWhatCanNeverWorkFailsTheCheck(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const geo = "[actions.nginx-geo]\npath = \"geo\"\nreload = [\"%s\"]\n"
	const list = "[[actions.blocklist]]\npath = \"list\"\nafter = [\"%s\"]\n"
	const run = "[[actions.exec]]\nname = \"first\"\ncommand = [\"/bin/sh\"]\n[[actions.exec]]\ncommand = [\"%s\"]\n"
	for name, row := range map[string]struct{ table, program, never, later string }{
		"a command that is there":     {run, "/bin/sh", "", ""},
		"a command that is not there": {run, dir + "/none", ":7: actions.exec.command: " + dir + "/none is not there; name the program that action exec2 runs", ""},
		"a command in a file":         {run, plain + "/none", ":7: actions.exec.command: " + plain + "/none is not there", ""},
		"a command without x":         {run, plain, ":7: actions.exec.command: " + plain + " is not executable", ""},
		"a command is a directory":    {run, dir, ":7: actions.exec.command: " + dir + " is a directory", ""},
		"nginx comes later":           {geo, dir + "/none", "", "action nginx-geo: " + dir + "/none cannot be run"},
		"nginx is a directory":        {geo, dir, ":5: actions.nginx-geo.reload: " + dir + " is a directory; name the front end's program", ""},
		"its reader comes later":      {list, dir + "/none", "", "action blocklist: " + dir + "/none cannot be run"},
		"its reader without x":        {list, plain, ":5: actions.blocklist.after: " + plain + " is not executable", ""},
		"the whole journal":           {"[[source]]\nname = \"%s\"\ntype = \"journal\"\n", "j", "", "source j: it has neither units nor matches, so the whole journal is read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "regwarden.toml")
			if err := os.WriteFile(path, []byte("[[source]]\npath = \"log\"\n"+strings.ReplaceAll(row.table, "%s", row.program)), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			never := ""
			if err := daemon.CheckConfig(c); err != nil {
				never = err.Error()
			}
			if (row.never == "") != (never == "") || !strings.Contains(never, row.never) {
				t.Errorf("want it refused with %q, got %q", row.never, never)
			}
			later := strings.Join(daemon.CheckHost(c), "\n")
			if !strings.Contains(later, row.later) || row.later == "" && strings.Contains(later, "cannot be run") {
				t.Errorf("want the warning %q, got %q", row.later, later)
			}
		})
	}
}
