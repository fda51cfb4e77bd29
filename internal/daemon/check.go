package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"regwarden/internal/config"
	"regwarden/internal/strict"
)

// CheckConfig makes all that the daemon would make at its start of a configuration, and touches nothing.
func CheckConfig(c *config.Config) error {
	look := *c
	look.Actions.Webhooks = slices.Clone(c.Actions.Webhooks)
	for i := range look.Actions.Webhooks {
		if w := &look.Actions.Webhooks[i]; onlyForService(*w) {
			w.SecretFile = ""
		}
	}
	if c.Portal != nil {
		page := *c.Portal
		look.Portal = &page
		if forService(page.SecretFile) {
			page.SecretFile = ""
		}
		if forService(page.Human.SecretFile) {
			page.Human.Test = "none" // which cannot be made without
		}
	}
	if _, err := makePlan(&look, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if err := checkCertificate(&look); err != nil {
		return err
	}
	if err := directorySource(c); err != nil {
		return err
	}
	if never := neverWork(c); len(never) > 0 {
		return never
	}
	return nil
}

// forService says that only the service has this secret.
func forService(path string) bool {
	return strings.HasPrefix(path, config.CredentialPrefix) && credentialsDirectory() == ""
}

// CheckHost looks whether this host has what the configuration names, and returns what to look after, one line each. Nothing of it keeps the daemon
// from starting: it waits for files, and tries actions again. What can never work is not among it: CheckConfig refuses that.
func CheckHost(c *config.Config) []string {
	var out []string
	for _, s := range c.Sources {
		switch s.Type {
		case "file":
			for _, p := range s.Paths {
				out = append(out, checkPath(s.Name, p)...)
			}
		case "journal":
			if _, err := exec.LookPath("journalctl"); err != nil {
				out = append(out, fmt.Sprintf("source %s: journalctl is not installed", s.Name))
			}
			if len(s.Units)+len(s.Matches) == 0 {
				out = append(out, fmt.Sprintf("source %s: it has neither units nor matches, so the whole journal is read; write units = [\"ssh.service\"] for one service", s.Name))
			}
		}
	}
	for _, b := range c.Actions.Blocklists {
		if info, err := os.Stat(filepath.Dir(b.Path)); err != nil || !info.IsDir() {
			out = append(out, fmt.Sprintf("action blocklist: the directory of %s is not there; create it", b.Path))
		}
	}
	for _, e := range c.Actions.Execs {
		fault, _ := commandFault(e.Command[0])
		if _, err := exec.LookPath(e.Command[0]); err != nil && fault == "" {
			out = append(out, fmt.Sprintf("action %s: %s cannot be run: %v", e.Name, e.Command[0], errors.Unwrap(err)))
		}
	}
	for _, f := range frontEndCommands(c) {
		fault, absent := commandFault(f.path)
		if _, err := exec.LookPath(f.path); err != nil && (fault == "" || absent) {
			out = append(out, fmt.Sprintf("action %s: %s cannot be run: %v", f.action, f.path, errors.Unwrap(err)))
		}
	}
	for _, w := range c.Actions.Webhooks {
		if onlyForService(w) {
			out = append(out, fmt.Sprintf("action %s: %s is given to the service only; whether it is there was not looked at", w.Name, w.SecretFile))
		}
	}
	out = append(out, checkAnswers(c)...)
	out = append(out, checkPage(c)...)
	for _, p := range c.IgnoreIP {
		if p.Bits() == 0 {
			out = append(out, fmt.Sprintf("ignoreip: %v protects everybody", p))
		}
	}
	if !c.Actions.Hold() && !c.DryRun {
		out = append(out, "no action is configured that stops anybody: add [[actions.blocklist]], or say dry_run = true")
	}
	return out
}

// CheckFirewall looks whether the kernel can do what is configured: problems keep it from working, notes are worth knowing.
func CheckFirewall(c *config.Config) (problems, notes []string) {
	fw, err := makeFirewall(c, slog.New(slog.DiscardHandler))
	switch {
	case err != nil:
		return []string{err.Error()}, nil
	case fw == nil:
		return nil, nil
	}
	defer closeAction(fw)
	problems, notes = fw.Check()
	for _, list := range [][]string{problems, notes} {
		for i, text := range list {
			if prefix := "action " + fw.Name() + ": "; !strings.HasPrefix(text, prefix) {
				list[i] = prefix + text
			}
		}
	}
	if len(problems) == 0 {
		notes = append(notes, fmt.Sprintf("action %s: this host can do it", fw.Name()))
	}
	return problems, notes
}

func checkPath(source, path string) []string {
	matches, err := filepath.Glob(path)
	if err != nil || len(matches) == 0 {
		return []string{fmt.Sprintf("source %s: %s is not there yet; the daemon waits for it", source, path)}
	}
	var out []string
	for _, m := range matches {
		switch err := readable(m); {
		case errors.Is(err, fs.ErrPermission):
			out = append(out, fmt.Sprintf("source %s: %s may not be read by this user; run the check as the daemon's user, or give it the right", source, m))
		case err != nil:
			out = append(out, fmt.Sprintf("source %s: %v", source, err))
		}
	}
	return out
}

// readable says what keeps a log from being read. A pipe is not opened: that would wait for its writer, or wake one that waits and then leave it.
func readable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Mode()&fs.ModeNamedPipe != 0:
		return syscall.Access(path, 4) // to read
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// directorySource refuses a source whose path is a directory: nothing would ever be read of it. What a pattern finds beside its logs is left alone by the source.
func directorySource(c *config.Config) error {
	for _, s := range c.Sources {
		for _, path := range s.Paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() && s.Type == "file" {
				return strict.Problems{{File: c.Path, Key: "source.path", Text: fmt.Sprintf("%s of the source %q is a directory", path, s.Name),
					Hint: "name its files: " + filepath.Join(path, "*.log")}}
			}
		}
	}
	return nil
}
