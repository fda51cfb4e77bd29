package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"regwarden/actions"
	"regwarden/internal/config"
	"regwarden/internal/strict"
)

// neverWork tells what the configuration names on this host that no waiting makes work: check and reload refuse it. A start goes on without, and says so.
//
// The command of [[actions.exec]] is the action itself: without it nobody is blocked there, so it must be there. The commands that have a front end read
// its list (after, test, reload) belong to that front end, which may be installed later; they are refused only if what is there can never be run.
// A directory that holds somebody else's files is never written to. Of two sources that name the same file the daemon reads it in the first that finds it, so a
// start after which a file came that two patterns find is no reason to leave the registry alone.
func neverWork(c *config.Config) strict.Problems {
	out := readTwice(c)
	for i, e := range c.Actions.Execs {
		if fault, _ := commandFault(e.Command[0]); fault != "" {
			out = append(out, c.Problem(i, fault, "name the program that action "+e.Name+" runs, by its full path", "actions.exec.command"))
		}
	}
	for _, f := range frontEndCommands(c) {
		if fault, absent := commandFault(f.path); fault != "" && !absent {
			out = append(out, c.Problem(f.n, fault, "name the front end's program, by its full path", f.key))
		}
	}
	if f := c.Actions.AnswerFiles; f != nil {
		if a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: f.Path}); err == nil {
			if text, hint := a.Foreign(); text != "" {
				out = append(out, c.Problem(0, text, hint, "actions.answer-files.path"))
			}
		}
	}
	return out
}

// frontEndCommand is a program of a front end that the configuration names.
type frontEndCommand struct {
	action, key, path string
	n                 int // which table of its kind
}

func frontEndCommands(c *config.Config) []frontEndCommand {
	var out []frontEndCommand
	for i, b := range c.Actions.Blocklists {
		if len(b.After) > 0 {
			out = append(out, frontEndCommand{"blocklist", "actions.blocklist.after", b.After[0], i})
		}
	}
	if g := c.Actions.NginxGeo; g != nil {
		if len(g.Test) > 0 {
			out = append(out, frontEndCommand{"nginx-geo", "actions.nginx-geo.test", g.Test[0], 0})
		}
		if len(g.Reload) > 0 {
			out = append(out, frontEndCommand{"nginx-geo", "actions.nginx-geo.reload", g.Reload[0], 0})
		}
	}
	return out
}

// commandFault says why a program cannot be run by anybody; "" if it can, or if this user cannot tell. absent says that it is not there.
func commandFault(path string) (fault string, absent bool) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Sprintf("%s is not there", path), true
	case err != nil:
		return "", false
	case info.IsDir():
		return fmt.Sprintf("%s is a directory", path), false
	case info.Mode()&0o111 == 0:
		return fmt.Sprintf("%s is not executable", path), false
	}
	return "", false
}
