package actions

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"regwarden/detector"
)

// AnswerFilesOptions say where an AnswerFiles writes.
type AnswerFilesOptions struct {
	Name string
	// Path is the directory, best on a tmpfs: all in it that is named after an address is ours. It is made if it is not there.
	Path    string
	Answers Answers
	Logger  *slog.Logger // none if nil
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// AnswerFiles keeps a directory for each blocked client, which a web server looks for, with the files that it hands out: no reload, and no daemon in the
// path.
//
//	DIR/<place>/DENIED                  everything is closed to the place
//	DIR/<place>/<repository>.DENIED     one repository is, or is what the block is about
//	DIR/.clients-only                   there is no block of another kind of place than a client
//
// A place is a client: an IPv4 address ("203.0.113.7"), or the /64 of an IPv6 address as its first four numbers, each without leading zeros and none left
// out ("2001:db8:0:1"), as a regular expression makes it of the address. Two kinds are rare: an IPv4 /24, as its first three numbers ("203.0.113"), and a
// single IPv6 address ("2001:db8:0:1::7"). So two looks tell that a client is not blocked, whoever else of its net is: one at its directory, and one
// at .clients-only, which is there most of the time: to find a file costs the kernel half of what it costs not to find one. A repository's name is
// lower-case, so DENIED is no part of one; names that no registry could have are not written.
//
// A place's directory is made beside and put there as a whole, so that nobody reads a part, and what a kill leaves half removed is seen. A file's modification time is the
// block's end, so that whoever finds the daemon gone can remove what has ended; the nanoseconds are of the content's sum, and the directory's are of all
// that is in it, so that a look at each tells whether it is right.
type AnswerFiles struct {
	options AnswerFilesOptions
	log     *slog.Logger
	chmod   bool // the umask takes away what the web server needs
	healed  atomic.Uint64

	mu      sync.Mutex                  // guards all below; Watch looks between two changes
	held    map[string][]detector.Block // by place; more than one where targets overlap
	others  map[string]bool             // the places that are no clients
	mine    fs.FileInfo                 // the directory as it was made right; nil before
	links   bool                        // the file system counts a directory's places
	doubted bool                        // Watch has found damage that no Sync has mended yet
	failing bool                        // the last Sync or Apply has failed
}

const (
	answerMarker  = ".regwarden" // says that the directory is ours
	answerClients = ".clients-only"
	answerTemp    = ".writing"
	answerDenied  = "DENIED"
	// mostNames is how many names a network is spelled out in: a /12 in nets or a /20 of IPv4 addresses.
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
	return &AnswerFiles{options: o, log: o.Logger, chmod: umask()&0o055 != 0, held: map[string][]detector.Block{}, others: map[string]bool{}}, nil
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

// SpelledOnly is true: a repository is a file's name here.
func (a *AnswerFiles) SpelledOnly() bool { return true }

// Refuses says why a target is too wide for files; "" if it is not.
func (a *AnswerFiles) Refuses(target netip.Prefix) string {
	if _, _, err := answerPlaces(target); err != nil {
		return fmt.Sprintf("it would take more than %d files", mostNames)
	}
	return ""
}

// Place is the directory.
func (a *AnswerFiles) Place() string { return a.options.Path }

// Healed is how often the directory was found damaged and was made right again.
func (a *AnswerFiles) Healed() uint64 { return a.healed.Load() }

// Apply writes and removes the files of the targets that changed.
func (a *AnswerFiles) Apply(ctx context.Context, changes []detector.Change) (err error) {
	if len(changes) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.failing = err != nil }()
	damage, err := a.own()
	if err != nil {
		return err
	}
	if damage != "" {
		return a.restore(ctx, changes, damage)
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

// restore writes everything again with the changes: the directory is not the one that was left.
func (a *AnswerFiles) restore(ctx context.Context, changes []detector.Change, damage string) error {
	blocks := map[netip.Prefix]detector.Block{}
	for _, list := range a.held {
		for _, b := range list {
			blocks[b.Target] = b
		}
	}
	hold(blocks, changes)
	if err := a.sync(ctx, slices.Collect(maps.Values(blocks))); err != nil {
		return err
	}
	a.log.Warn("action was in doubt and is made right again", "action", a.Name(), "reason", damage, "healed", a.healed.Add(1))
	a.doubted = false
	return nil
}

// update makes the places of one target right.
func (a *AnswerFiles) update(b detector.Block) error {
	places, others, err := answerPlaces(b.Target)
	if err != nil {
		a.tooWide(b.Target, err)
		return nil
	}
	for _, place := range places {
		held := slices.DeleteFunc(a.held[place], func(old detector.Block) bool { return old.Target == b.Target })
		if len(b.Causes) > 0 {
			held = append(held, b)
		}
		files := a.files(held)
		if len(files) == 0 {
			delete(a.held, place)
			delete(a.others, place)
			if err := a.remove(place); err != nil {
				return err
			}
			continue
		}
		a.held[place] = held
		if others {
			a.others[place] = true
			if err := a.tellOthers(); err != nil { // first, so that it is looked for
				return err
			}
		}
		if err := a.put(place, files, answerTemp); err != nil {
			return err
		}
	}
	return a.tellOthers()
}

// tellOthers keeps the file that says that only clients are blocked.
func (a *AnswerFiles) tellOthers() error {
	path := filepath.Join(a.options.Path, answerClients)
	_, err := os.Lstat(path)
	switch there := err == nil; {
	case there && len(a.others) > 0:
		err = os.Remove(path)
	case !there && len(a.others) == 0:
		err = os.WriteFile(path, []byte("No network of IPv4 addresses and no single IPv6 address is blocked, so the web server need not look for them.\n"), 0o644)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("tell which kinds of answers there are: %w", err)
	}
	return nil
}

// answerFile is a file as it should be.
type answerFile struct {
	name    string // below its place
	content []byte
	modTime time.Time
}

// tooWide says that a block by hand is not held here.
func (a *AnswerFiles) tooWide(target netip.Prefix, err error) {
	a.log.Warn("a block is too wide for answer files: its clients are not answered by them; a firewall or an answer endpoint can hold it", "action", a.Name(), "target", target, "error", err)
}

// files are those of a place that these blocks cover. Where several say something of the same, the narrowest does.
func (a *AnswerFiles) files(blocks []detector.Block) []answerFile {
	now := a.options.Clock()
	if len(blocks) > 1 {
		blocks = slices.SortedFunc(slices.Values(blocks), func(x, y detector.Block) int { return y.Target.Bits() - x.Target.Bits() })
	}
	var out []answerFile
	for _, b := range blocks {
		add := func(repository, name string) {
			if slices.ContainsFunc(out, func(f answerFile) bool { return f.name == name }) {
				return
			}
			if answer, concerned := a.options.Answers(b, repository, now); concerned {
				out = append(out, answerFile{name: name, content: answer.Body, modTime: sealedTime(answer.Until, sumOf(answer.Body))})
			}
		}
		add("", answerDenied)
		for _, r := range answerRepositories(b) {
			add(r, r+"."+answerDenied)
		}
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
			if detector.ValidRepository(r) && len(out) < mostRepositories && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// sumOf is FNV-1a.
func sumOf(content []byte) uint32 {
	sum := uint32(2166136261)
	for _, c := range content {
		sum = (sum ^ uint32(c)) * 16777619
	}
	return sum
}

// sealedTime is the end of a block with a sum of what is said of it in the nanoseconds.
func sealedTime(until time.Time, sum uint32) time.Time {
	return time.Unix(until.Unix(), int64(sum%1e9))
}

// sealOf is the modification time of a place's directory with these files.
func sealOf(files []answerFile) time.Time {
	var until time.Time
	var all []byte
	for _, f := range files {
		until = later(until, f.modTime)
		all = fmt.Appendf(all, "%s %d\n", f.name, f.modTime.UnixNano())
	}
	return sealedTime(until, sumOf(all))
}

// answerPlaces are the names of all that a target covers, and whether these are others than clients.
func answerPlaces(p netip.Prefix) (places []string, others bool, err error) {
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
		return nil, false, fmt.Errorf("%v has more than %d names", p, mostNames)
	}
	addr := p.Masked().Addr()
	places = make([]string, 0, 1<<width)
	for range 1 << width {
		if step == net {
			places = append(places, answerNet(addr))
		} else {
			places = append(places, addr.String())
		}
		addr = advance(addr, step)
	}
	return places, p.Addr().Is4() == (step == net), nil
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
