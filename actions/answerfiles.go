package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
)

// AnswerFilesOptions say where an AnswerFiles writes.
type AnswerFilesOptions struct {
	Name string
	// Path is the directory, best on a tmpfs: all in it is ours. It is made if it is not there.
	Path    string
	Answers Answers
	Logger  *slog.Logger // none if nil
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// AnswerFiles keeps one small file for each blocked client, which a web server looks for and hands out: no reload, and no daemon in the path.
//
//	DIR/<net>/<address>.json                        everything is closed to the address
//	DIR/<net>/all.json                              everything is closed to the whole net
//	DIR/<net>/<address>/<repository>/DENIED.json    one repository is, or is what the block is about
//	DIR/<net>/all/<repository>/DENIED.json
//
// A net is the /24 of an IPv4 address, as its first three numbers ("203.0.113"), or the /64 of an IPv6 address, as its first four numbers, each
// without leading zeros and none left out ("2001:db8:0:1"): both are what a regular expression makes of the client's address. So whether DIR/<net> is
// there is all that has to be asked for a client that is not blocked. A repository's name is lower-case, so DENIED.json is no part of one; names that
// no registry could have are not written.
//
// A file is made beside and renamed, so that nobody reads a part. Its modification time is the block's end, so that whoever finds the daemon gone
// can remove what has ended; the nanoseconds are of the content's sum, so that one look tells whether a file is right.
type AnswerFiles struct {
	options AnswerFilesOptions
	log     *slog.Logger
	chmod   bool // the umask takes away what the web server needs
	held    map[netip.Prefix][]string
}

const (
	answerMarker = ".regwarden" // says that the directory is ours
	answerTemp   = ".writing"
	answerDenied = "DENIED.json"
	answerAll    = "all"
	// mostNames is how many names a network is spelled out in: a /12 in nets or a /20 of IPv6 addresses.
	mostNames = 4096
	// mostRepositories is how many of a block's repositories get a file of their own.
	mostRepositories = 32
)

// NewAnswerFiles returns the action. It touches nothing before the first Apply or Sync.
func NewAnswerFiles(o AnswerFilesOptions) (*AnswerFiles, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil || o.Path == "" || path == "/" {
		return nil, fmt.Errorf("action %s: path: %q is no directory for it; write one of its own, such as /run/regwarden/answers", o.Name, o.Path)
	}
	o.Path = path
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &AnswerFiles{options: o, log: o.Logger, chmod: umask()&0o055 != 0, held: map[netip.Prefix][]string{}}, nil
}

// umask is the process's. Go can only read it by setting it, so it is read where the kernel tells it.
func umask() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "\nUmask:\t")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseInt(line, 8, 32)
	if err != nil {
		return 0o777
	}
	return mask
}

// Name is the configured name.
func (a *AnswerFiles) Name() string { return a.options.Name }

// Kind is "answer-files".
func (a *AnswerFiles) Kind() string { return "answer-files" }

// Holds is true for both scopes.
func (a *AnswerFiles) Holds(detector.Scope) bool { return true }

// Answers is true.
func (a *AnswerFiles) Answers() bool { return true }

// Place is the directory.
func (a *AnswerFiles) Place() string { return a.options.Path }

// Apply writes and removes the files of the targets that changed.
func (a *AnswerFiles) Apply(ctx context.Context, changes []detector.Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := a.own(); err != nil {
		return err
	}
	for _, c := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Verb == detector.ChangeDryRun || c.Verb == detector.ChangeSpared {
			continue
		}
		if err := a.update(c.Block); err != nil {
			return err
		}
	}
	return nil
}

// update makes the files of one target right. New ones come before old ones go, so that there is no moment without any.
func (a *AnswerFiles) update(b detector.Block) error {
	places, err := answerPlaces(b.Target)
	if err != nil {
		a.tooWide(b.Target, err)
		return nil
	}
	files := a.files(b, places)
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		if err := a.write(f, answerTemp); err != nil {
			return err
		}
	}
	for _, old := range a.held[b.Target] {
		if slices.Contains(names, old) {
			continue
		}
		if err := a.remove(old); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		delete(a.held, b.Target)
	} else {
		a.held[b.Target] = names
	}
	return nil
}

// answerFile is a file as it should be.
type answerFile struct {
	name    string // below the directory
	content []byte
	modTime time.Time
}

// tooWide says that a block by hand is not held here.
func (a *AnswerFiles) tooWide(target netip.Prefix, err error) {
	a.log.Warn("a block is too wide for answer files: its clients are not answered by them; a firewall or an answer endpoint can hold it", "action", a.Name(), "target", target, "error", err)
}

// files are those of a block at some of its places.
func (a *AnswerFiles) files(b detector.Block, places []string) []answerFile {
	now := a.options.Clock()
	var out []answerFile
	add := func(repository, file string) {
		answer, concerned := a.options.Answers(b, repository, now)
		if !concerned {
			return
		}
		f := answerFile{content: answer.Body, modTime: sealedTime(answer.Until, answer.Body)}
		for _, p := range places {
			f.name = p + file
			out = append(out, f)
		}
	}
	add("", ".json")
	for _, r := range answerRepositories(b) {
		add(r, "/"+r+"/"+answerDenied)
	}
	return out
}

// answerRepositories are the repositories of a block that get a file: those that are closed, and the one that a host block is all about.
func answerRepositories(b detector.Block) []string {
	var out []string
	for _, c := range b.Causes {
		if c.Closes() == detector.ScopeHost && len(c.Repositories) > 1 {
			continue
		}
		for _, r := range c.Repositories {
			if validRepository(r) && len(out) < mostRepositories && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// validRepository says whether a name is one by the distribution specification: nothing in it climbs up a directory.
func validRepository(name string) bool {
	if len(name) > 255 {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		separator := true // at the beginning and after a separator comes a letter or a digit
		for i := 0; i < len(part); i++ {
			switch c := part[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
				separator = false
			case c == '.' || c == '_' || c == '-':
				if separator && (c == '.' || i == 0) {
					return false
				}
				separator = true
			default:
				return false
			}
		}
		if separator {
			return false
		}
	}
	return true
}

// sealedTime is the end of a block with a sum of what is said of it in the nanoseconds.
func sealedTime(until time.Time, content []byte) time.Time {
	sum := uint32(2166136261) // FNV-1a
	for _, c := range content {
		sum = (sum ^ uint32(c)) * 16777619
	}
	return time.Unix(until.Unix(), int64(sum%1e9))
}

// answerPlaces are the names, below the directory, of all that a target covers.
func answerPlaces(p netip.Prefix) ([]string, error) {
	unit, net := 32, 24
	if p.Addr().Is6() {
		unit, net = 128, 64
	}
	step := net
	if p.Bits() > net {
		step = unit
	}
	width := step - p.Bits()
	if width > 12 {
		return nil, fmt.Errorf("%v has more than %d names", p, mostNames)
	}
	addr := p.Masked().Addr()
	out := make([]string, 0, 1<<width)
	for range 1 << width {
		if step == net {
			out = append(out, answerNet(addr)+"/"+answerAll)
		} else {
			out = append(out, answerNet(addr)+"/"+addr.String())
		}
		addr = advance(addr, step)
	}
	return out, nil
}

// answerNet is the name of an address's net.
func answerNet(addr netip.Addr) string {
	if addr.Is4() {
		b := addr.As4()
		return fmt.Sprintf("%d.%d.%d", b[0], b[1], b[2])
	}
	b := addr.As16()
	return fmt.Sprintf("%x:%x:%x:%x", uint(b[0])<<8|uint(b[1]), uint(b[2])<<8|uint(b[3]), uint(b[4])<<8|uint(b[5]), uint(b[6])<<8|uint(b[7]))
}

// advance returns the first address after that of a prefix length.
func advance(addr netip.Addr, bits int) netip.Addr {
	b := addr.AsSlice()
	for i, carry := (bits-1)/8, 1<<(7-(bits-1)%8); i >= 0 && carry > 0; i-- {
		sum := int(b[i]) + carry
		b[i], carry = byte(sum), sum>>8
	}
	next, _ := netip.AddrFromSlice(b)
	return next
}

// own makes sure that the directory is there and ours. One that holds something of others is refused: all in ours may be removed.
func (a *AnswerFiles) own() error {
	dir := a.options.Path
	if _, err := os.Lstat(filepath.Join(dir, answerMarker)); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the answers: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the directory of the answers: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s holds %s and was not made by regwarden; give the answers a directory of their own", dir, entries[0].Name())
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("let the web server into the answers: %w", err)
	}
	a.held = map[netip.Prefix][]string{}
	text := "The answers to blocked clients are kept here by regwarden; all in this directory is written and removed by it.\n"
	if err := os.WriteFile(filepath.Join(dir, answerMarker), []byte(text), 0o644); err != nil {
		return fmt.Errorf("mark the directory of the answers: %w", err)
	}
	return nil
}

// write makes a file, and its directories where they are not there yet.
func (a *AnswerFiles) write(f answerFile, temp string) error {
	temp = filepath.Join(a.options.Path, temp)
	if err := a.fill(temp, f); err != nil {
		return fmt.Errorf("write the answer %s: %w", f.name, errnoOf(err))
	}
	path := filepath.Join(a.options.Path, f.name)
	err := os.Rename(temp, path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = a.mkdir(filepath.Dir(f.name)); err == nil {
			err = os.Rename(temp, path)
		}
	}
	if err != nil {
		os.Remove(temp)
		return fmt.Errorf("write the answer %s: %w", f.name, errnoOf(err))
	}
	return nil
}

func (a *AnswerFiles) fill(temp string, f answerFile) error {
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(f.content); err != nil {
		return err
	}
	if a.chmod { // whatever the umask says: the web server reads it
		if err := file.Chmod(0o644); err != nil {
			return err
		}
	}
	return os.Chtimes(temp, time.Time{}, f.modTime)
}

// mkdir makes the directories of a name, one below the other.
func (a *AnswerFiles) mkdir(name string) error {
	path := a.options.Path
	for part := range strings.SplitSeq(name, "/") {
		path += "/" + part
		err := os.Mkdir(path, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil && a.chmod {
			err = os.Chmod(path, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove takes a file away, and the directories that it leaves empty.
func (a *AnswerFiles) remove(name string) error {
	if err := os.Remove(filepath.Join(a.options.Path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the answer %s: %w", name, errnoOf(err))
	}
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if os.Remove(filepath.Join(a.options.Path, dir)) != nil {
			break // others are in it
		}
	}
	return nil
}

// errnoOf drops the paths from an error, which the message names better.
func errnoOf(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
