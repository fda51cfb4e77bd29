package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// own makes sure that the directory is there, ours, and open to the web server; it says what was wrong with one that was right before. A directory that holds
// something of others is refused, and so is one without our mark that this process has not made.
func (a *AnswerFiles) own() (damage string, err error) {
	dir := a.options.Path
	if err := os.MkdirAll(dir, 0o755); errors.Is(err, syscall.ENOTDIR) {
		return "", fmt.Errorf("%s is not a directory; remove it, or give the answers another", dir)
	} else if err != nil {
		return "", fmt.Errorf("make the directory of the answers: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("look at the directory of the answers: %w", err)
	}
	switch _, err := os.Lstat(filepath.Join(dir, answerMarker)); {
	case errors.Is(err, fs.ErrNotExist):
		if foreign, err := a.foreign(a.mine != nil && os.SameFile(a.mine, info)); err != nil {
			return "", err
		} else if foreign != "" {
			return "", fmt.Errorf("%s holds %s and was not made by regwarden; give the answers a directory of their own", dir, foreign)
		}
		if err := a.mark(); err != nil {
			return "", err
		}
		damage = "was removed or emptied by somebody else"
	case err != nil:
		return "", fmt.Errorf("look into the directory of the answers: %w", err)
	case a.mine != nil && !os.SameFile(a.mine, info):
		damage = "was replaced by somebody else"
	}
	if !searchable(info) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return "", fmt.Errorf("%s is closed to the web server (%v) and cannot be opened: %w; run chmod 755 on it, or remove it", dir, info.Mode().Perm(), errnoOf(err))
		}
		if damage == "" {
			damage = "was closed to the web server by somebody else"
		}
	}
	known := a.mine != nil
	if a.mine, err = os.Stat(dir); err != nil {
		return "", fmt.Errorf("look at the directory of the answers: %w", err)
	}
	if !known || damage == "" {
		return "", nil
	}
	return dir + " " + damage, nil
}

// Foreign says why the directory will never be written to, and what to do; "" where it may be. It touches nothing.
func (a *AnswerFiles) Foreign() (why, hint string) {
	dir := a.options.Path
	if info, err := os.Stat(dir); errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return dir + " is not a directory", "remove it, or give the answers another"
	}
	if _, err := os.Lstat(filepath.Join(dir, answerMarker)); err == nil {
		return "", ""
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Sprintf("%s holds %q and was not made by regwarden, so nothing is written there", dir, entries[0].Name()), "give the answers a directory of their own"
	}
	return "", ""
}

// Check says what may keep the directory from holding the answers, or a web server from finding them, as long as it is not refused; it touches nothing.
func (a *AnswerFiles) Check() []string {
	dir := a.options.Path
	if refused, _ := a.Foreign(); refused != "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []string{"the directory of the answers cannot be looked into: " + err.Error()}
	}
	var out []string
	for _, e := range entries {
		if name := e.Name(); !ours(name) {
			out = append(out, fmt.Sprintf("%s holds %q, which is not regwarden's; it stays, and is better kept elsewhere", dir, name))
			break
		}
	}
	if err := a.unreachable(); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// mark makes the directory ours.
func (a *AnswerFiles) mark() error {
	if err := os.Chmod(a.options.Path, 0o755); err != nil {
		return fmt.Errorf("let the web server into the answers: %w", err)
	}
	text := "The answers to blocked clients are kept here by regwarden; what is named after an address in this directory is written and removed by it.\n"
	if err := os.WriteFile(filepath.Join(a.options.Path, answerMarker), []byte(text), 0o644); err != nil {
		return fmt.Errorf("mark the directory of the answers: %w", err)
	}
	return nil
}

// placeName is what our names look like. Others are never removed.
var placeName = regexp.MustCompile(`^([0-9]{1,3}(\.[0-9]{1,3}){2,3}|[0-9a-f:]*:[0-9a-f:.]*)$`)

// foreign names something in a directory without our mark that is not ours; in one that this process made, what is named as ours is.
func (a *AnswerFiles) foreign(made bool) (string, error) {
	entries, err := os.ReadDir(a.options.Path)
	if err != nil {
		return "", fmt.Errorf("look into the directory of the answers: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); !made || !ours(name) {
			return name, nil
		}
	}
	return "", nil
}

// ours says whether we may have made what has this name.
func ours(name string) bool {
	return name == answerMarker || name == answerClients || strings.HasPrefix(name, answerTemp) || placeName.MatchString(name)
}

// searchable says whether others than the owner get into a directory: everybody, or a group that somebody has chosen.
func searchable(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode()&0o001 != 0 || info.Mode()&0o010 != 0 && ok && int(s.Gid) != os.Getegid()
}

// unreachable says which directory above keeps the web server out. It is not ours to open.
func (a *AnswerFiles) unreachable() error {
	for dir := filepath.Dir(a.options.Path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode()&0o011 == 0 {
			return fmt.Errorf("nobody but its owner gets into %s (%v), so the web server does not find the answers in %s; run chmod o+x on it", dir, info.Mode().Perm(), a.options.Path)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// seal notes how the directory is left. Where the file system counts the directories in one, Watch sees when one comes or goes.
func (a *AnswerFiles) seal() error {
	info, err := os.Stat(a.options.Path)
	if err != nil {
		return fmt.Errorf("look at the directory of the answers: %w", err)
	}
	a.mine, a.links = info, directories(info) == len(a.held)
	return nil
}

// directories is how many directories lie in one, as its links tell; -1 where they do not.
func directories(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Nlink >= 2 {
		return int(s.Nlink) - 2
	}
	return -1
}

// answersWatch is how often the directory is looked at.
const answersWatch = time.Second

// Watch doubts the files when the directory was removed, replaced or closed by somebody else, or a place in it was removed or added.
func (a *AnswerFiles) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(answersWatch)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if !a.mu.TryLock() {
			continue // it is being written
		}
		state, damage := a.look()
		a.doubted = a.doubted || damage != ""
		if err := a.unreachable(); err != nil && damage == "" && a.mine != nil {
			state, damage = err.Error(), "cannot be reached by the web server"
		}
		again := damage == "" && a.failing // what kept it from being right may be gone
		a.mu.Unlock()
		if state == said {
			continue
		}
		said = state
		switch {
		case damage != "":
			doubt(a.options.Path + " " + damage)
		case again:
			doubt(a.options.Path + " has changed")
		}
	}
}

// look says what is wrong with the directory; the state is different whenever it is worth to try again.
func (a *AnswerFiles) look() (state, damage string) {
	if a.mine == nil {
		return "", ""
	}
	info, err := os.Stat(a.options.Path)
	_, markErr := os.Lstat(filepath.Join(a.options.Path, answerMarker))
	_, clientsErr := os.Lstat(filepath.Join(a.options.Path, answerClients))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		damage = "was removed by somebody else"
	case err != nil:
		damage = "cannot be looked at: " + errnoOf(err).Error()
	case !os.SameFile(a.mine, info):
		damage = "was replaced by somebody else"
	case errors.Is(markErr, fs.ErrNotExist):
		damage = "has lost its mark, or all that was in it, by somebody else"
	case !searchable(info):
		damage = "was closed to the web server by somebody else"
	case a.links && directories(info) != len(a.held):
		damage = fmt.Sprintf("has %d places instead of %d: somebody else has changed it", directories(info), len(a.held))
	case (clientsErr == nil) != (len(a.others) == 0) && !a.failing:
		damage = "has lost or got " + answerClients + " by somebody else"
	}
	if damage != "" && info != nil {
		return fmt.Sprint(damage, info.Mode(), info.ModTime().UnixNano()), damage
	}
	return damage, damage
}
