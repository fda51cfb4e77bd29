package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/daemon"
)

// TestNoFileIsReadByTwoSources: lines that count twice would halve every threshold, and shut out somebody honest.
func TestNoFileIsReadByTwoSources(t *testing.T) {
	const two = "[[source]]\npath = \"logs/a.log\"\n[[source]]\nname = \"two\"\npath = \"%\"\n"
	for name, row := range map[string]struct{ text, want string }{
		"the same path":              {strings.ReplaceAll(two, "%", "logs/a.log"), `the sources "a.log" and "two" both read DIR/logs/a.log, so that each of its lines would count twice; `},
		"the same in other words":    {strings.ReplaceAll(two, "%", "./logs/../logs/a.log"), `the sources "a.log" and "two" both read DIR/logs/a.log, so`},
		"a pattern":                  {strings.ReplaceAll(two, "%", "logs/a*.log"), `both read DIR/logs/a.log (by DIR/logs/a.log and DIR/logs/a*.log)`},
		"a symlink":                  {strings.ReplaceAll(two, "%", "logs/link"), `both read DIR/logs/link (by DIR/logs/a.log and DIR/logs/link)`},
		"a hard link":                {strings.ReplaceAll(two, "%", "logs/hard"), `both read DIR/logs/hard`},
		"a directory that is a link": {strings.ReplaceAll(two, "%", "other/*.log"), `both read DIR/other/a.log`},
		"a file that is not there yet": {"[[source]]\npath = \"logs/later.log\"\n[[source]]\nname = \"two\"\npath = \"logs/lat*\"\n",
			`the sources "later.log" and "two" both read DIR/logs/later.log`},
		"the pattern first":          {"[[source]]\nname = \"one\"\npath = \"logs/lat*\"\n[[source]]\npath = \"logs/later.log\"\n", `the sources "one" and "later.log" both read DIR/logs/later.log`},
		"two patterns":               {"[[source]]\nname = \"one\"\npath = \"logs/a*\"\n[[source]]\nname = \"two\"\npath = \"logs/*.log\"\n", `the sources "one" and "two" both read DIR/logs/a.log`},
		"two names in one source":    {"[[source]]\nname = \"one\"\npaths = [\"logs/a.log\", \"logs/link\"]\n", `the source "one" reads DIR/logs/link twice (by DIR/logs/a.log and DIR/logs/link)`},
		"a pipe":                     {"[[source]]\npath = \"logs/pipe\"\n[[source]]\nname = \"two\"\npath = \"logs/p*\"\n", `both read DIR/logs/pipe`},
		"a pattern and its own file": {"[[source]]\nname = \"one\"\npaths = [\"logs/a.log\", \"logs/*.log\"]\n", ""},
		"different files":            {strings.ReplaceAll(two, "%", "logs/b*.log"), ""},
		"a directory":                {"[[source]]\npath = \"logs/d*\"\n[[source]]\nname = \"two\"\npath = \"logs/*r\"\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, err := range []error{os.MkdirAll(dir+"/logs/dir", 0o755), os.WriteFile(dir+"/logs/a.log", nil, 0o600), os.WriteFile(dir+"/logs/b.log", nil, 0o600),
				os.Symlink("a.log", dir+"/logs/link"), os.Link(dir+"/logs/a.log", dir+"/logs/hard"), os.Symlink("logs", dir+"/other"), syscall.Mkfifo(dir+"/logs/pipe", 0o600)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "regwarden.toml")
			if err := os.WriteFile(path, []byte("dry_run = true\n"+row.text), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := daemon.CheckConfig(c); err != nil {
				got = strings.ReplaceAll(err.Error(), dir, "DIR")
			}
			if (row.want == "") != (got == "") || !strings.Contains(got, row.want) || strings.Contains(got, "\n") {
				t.Errorf("want %q, got %q", row.want, got)
			}
		})
	}
}

// TestReloadRefusesAFileOfTwoSources: the configuration that runs goes on.
func TestReloadRefusesAFileOfTwoSources(t *testing.T) {
	h := newHost(t, "dry_run = true\n[[source]]\npath = \"a.log\"\n", nil)
	h.run()
	text, err := os.ReadFile(h.path("regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("regwarden.toml", string(text)+"[[source]]\nname = \"two\"\npath = \"./a*.log\"\n")
	if _, err := h.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), `the sources "a.log" and "two" both read `) {
		t.Errorf("the reload said %v", err)
	}
}

// TestALaterFileOfTwoPatternsIsReadOnce: at the start there was nothing to refuse.
func TestALaterFileOfTwoPatternsIsReadOnce(t *testing.T) {
	h := newHost(t, "dry_run = true\n[[source]]\nname = \"one\"\nfrom = \"start\"\nformat = \"nginx\"\npath = \"a*.log\"\n[[source]]\nname = \"two\"\nfrom = \"start\"\nformat = \"nginx\"\npath = \"*b.log\"\n", nil)
	h.run()
	h.write("ab.log", line("203.0.113.7"))
	h.until("the file of both is counted", func() bool { return h.lines() >= 1 })
	h.write("az.log", line("203.0.113.7")) // which are found after it
	h.write("zb.log", line("203.0.113.7"))
	h.until("the files of each are counted", func() bool { return h.lines() >= 3 })
	s, err := h.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readers := 0
	for _, src := range s.Sources {
		if strings.HasSuffix(src.Path, "/ab.log") && src.Lines > 0 {
			readers++
		}
	}
	if readers != 1 || h.lines() != 3 {
		t.Errorf("%d sources read it, and %d lines are counted", readers, h.lines())
	}
	h.kill(syscall.SIGTERM)
	if n := strings.Count(h.log.String(), "another source follows this file too"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, h.log.String())
	}
}

// TestAStartReadsAFileOfTwoSourcesOnce and says so: a host that comes up without its daemon is the worse.
func TestAStartReadsAFileOfTwoSourcesOnce(t *testing.T) {
	h := newHost(t, "dry_run = true\n[[source]]\nname = \"one\"\nfrom = \"start\"\nformat = \"nginx\"\npath = \"a.log\"\n[[source]]\nname = \"two\"\nfrom = \"start\"\nformat = \"nginx\"\npath = \"a*.log\"\n", nil)
	h.write("a.log", line("203.0.113.7"))
	h.write("az.log", line("203.0.113.7"))
	h.run()
	h.until("both files are counted", func() bool { return h.lines() >= 2 })
	h.append("a.log", line("203.0.113.7"))
	h.until("and what comes after", func() bool { return h.lines() >= 3 })
	s, err := h.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.lines() != 3 || !strings.Contains(strings.Join(s.Warnings, "\n"), `the sources "one" and "two" both read `) {
		t.Errorf("%d lines, want 3; it warns %q", h.lines(), s.Warnings)
	}
}
