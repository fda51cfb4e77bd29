package sources

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// sibling is a file next to a followed one that may once have been it.
type sibling struct {
	path  string
	id    identity
	size  int64
	wrote int64 // mtime, ns since 1970
	moved int64 // ctime: the rename, for files that were renamed
}

// compressed are the suffixes of compressors. Only gzip can be read; the others are known so that they are not taken for logs.
var compressed = []string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip"}

var (
	// A suffix that rotation adds: .1 -20261005 .2026-10-05T08:00:00 .20261005-120000.3 .old
	rotatedSuffix = regexp.MustCompile(`^[-._~](?:\d[-.\d_:TZ+]*|old|bak|prev|save|orig)$`)
	// What rotation inserts before the extension must look like a date or stand behind a dot: app-2.log is another log, app-20261005.log is not.
	rotatedInfix = regexp.MustCompile(`^(?:[-._]\d{4}-?\d\d-?\d\d[-.\d_:TZ+]*|\.\d{1,3})$`)
	// svlogd renames current to @<tai64n>.u, and to .s when its processor is done.
	svlogdName = regexp.MustCompile(`^@[0-9a-f]{16,24}\.[su]$`)
)

// trimCompressed cuts a compressor's suffix off a name.
func trimCompressed(name string) (string, bool) {
	for _, suffix := range compressed {
		if cut, ok := strings.CutSuffix(name, suffix); ok {
			return cut, true
		}
	}
	return name, false
}

// rotatedFrom says whether name is what rotation makes of base; both without directory.
func rotatedFrom(base, name string) bool {
	if base == name {
		return false
	}
	if base == "current" && svlogdName.MatchString(name) {
		return true
	}
	plain, packed := trimCompressed(name)
	if suffix, ok := strings.CutPrefix(plain, base); ok {
		return suffix == "" && packed || rotatedSuffix.MatchString(suffix)
	}
	extension := filepath.Ext(base)
	stem := strings.TrimSuffix(base, extension)
	if stem == "" || extension == "" {
		return false
	}
	infix, ok := strings.CutPrefix(plain, stem)
	if infix, ok2 := strings.CutSuffix(infix, extension); ok && ok2 {
		return rotatedInfix.MatchString(infix)
	}
	return false
}

// dated is a name with a date in it: what stands before, the date, and what stands behind.
var dated = regexp.MustCompile(`^(.*?)(\d{4}-?\d\d-?\d\d[-.\d_:TZ+]*)(.*)$`)

// linkedBefore is rotatedFrom for what a symlink points to: a link is switched from one dated name to the next, and what it pointed to in
// between is like what it points to but for the date.
func linkedBefore(base, name string) bool {
	if rotatedFrom(base, name) {
		return true
	}
	plain, _ := trimCompressed(name)
	a, b := dated.FindStringSubmatch(base), dated.FindStringSubmatch(plain)
	return a != nil && b != nil && base != name && a[1] == b[1] && a[3] == b[3]
}

// mayBe says whether a file of that name is worth a look when a remembered one is searched: its content will tell.
func mayBe(base, name string) bool {
	return name != base && strings.HasPrefix(name, base) || rotatedFrom(base, name)
}

// siblingsOf lists the regular files next to path whose names fit, path itself not.
func siblingsOf(path string, fits func(base, name string) bool) []sibling {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var found []sibling
	for _, name := range names {
		if !fits(base, name) {
			continue
		}
		if s, ok := statSibling(filepath.Join(dir, name)); ok {
			found = append(found, s)
		}
	}
	return found
}

func statSibling(path string) (sibling, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return sibling{}, false
	}
	s := sibling{path: path, id: identify(info), size: info.Size(), wrote: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.moved = st.Ctim.Nano()
	}
	return s, true
}

// order sorts siblings from the one that was rotated away first to the last, by the time of their last write.
func order(siblings []sibling) {
	orderBy(siblings, numbersRise(siblings))
}

func orderBy(siblings []sibling, rising bool) {
	slices.SortFunc(siblings, func(a, b sibling) int {
		return cmp.Or(compareAge(a, b, rising), strings.Compare(a.path, b.path))
	})
}

// compareAge compares by the last write, and where that is the same (the clock of a file system may tick only every 10 ms) by svlogd's name, by
// the rename, which tells nothing of a file that was compressed since, and by number.
func compareAge(a, b sibling, rising bool) int {
	if age := cmp.Compare(a.wrote, b.wrote); age != 0 {
		return age
	}
	x, y := filepath.Base(a.path), filepath.Base(b.path)
	if svlogdName.MatchString(x) && svlogdName.MatchString(y) {
		return strings.Compare(x, y)
	}
	_, packedA := trimCompressed(x)
	_, packedB := trimCompressed(y)
	if packedA || packedB {
		return cmp.Or(compareNumbers(a, b, rising), cmp.Compare(a.moved, b.moved))
	}
	return cmp.Or(cmp.Compare(a.moved, b.moved), compareNumbers(a, b, rising))
}

// numbersRise says whether newer files have larger numbers. Most rotation numbers the newest 1; some counts on.
func numbersRise(siblings []sibling) bool {
	rise := 0
	for i := 1; i < len(siblings); i++ {
		a, b := siblings[i-1], siblings[i]
		if a.wrote != b.wrote {
			rise += cmp.Compare(a.wrote, b.wrote) * compareNumbers(a, b, true)
		}
	}
	return rise > 0
}

func compareNumbers(a, b sibling, rising bool) int {
	x, okX := numberOf(a.path)
	y, okY := numberOf(b.path)
	switch {
	case !okX && !okY && a.path != "" && len(a.path) == len(b.path):
		return strings.Compare(a.path, b.path) // dates rise
	case !okX || !okY:
		return 0
	case rising:
		return cmp.Compare(x, y)
	default:
		return cmp.Compare(y, x)
	}
}

func numberOf(path string) (int, bool) {
	plain, _ := trimCompressed(path)
	n, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(plain), "."))
	return n, err == nil
}

// rotatedSiblings lists what rotation made of the paths, by name.
func rotatedSiblings(paths []string) []sibling {
	var found []sibling
	for i, path := range paths {
		fits := rotatedFrom
		if i > 0 {
			fits = linkedBefore
		}
		found = append(found, siblingsOf(path, fits)...)
	}
	slices.SortFunc(found, func(a, b sibling) int { return strings.Compare(a.path, b.path) })
	return found
}

// sameFiles says whether two lists have the same files under the same names. A directory that is read while files are renamed in it may show one of
// them twice or not at all; so a list is believed when the next is the same.
func sameFiles(a, b []sibling) bool {
	return slices.EqualFunc(a, b, func(a, b sibling) bool { return a.path == b.path && a.id == b.id })
}

// rotatedSince returns those of all siblings that were rotated away after cur was, oldest first.
func rotatedSince(cur *openFile, all []sibling) []sibling {
	info, err := cur.f.Stat()
	if err != nil {
		return nil
	}
	self := sibling{id: cur.id, wrote: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		self.moved = st.Ctim.Nano()
	}
	for _, s := range all {
		if s.id == cur.id {
			self.path = s.path
		}
	}
	rising := numbersRise(all)
	twins := plainNames(all)
	var newer []sibling
	seen := map[identity]bool{cur.id: true}
	for _, s := range all {
		if compareAge(s, self, rising) <= 0 || s.size == 0 || seen[s.id] || twins.has(s.path) {
			continue
		}
		seen[s.id] = true
		newer = append(newer, s)
	}
	orderBy(newer, rising) // two of one tick do not tell by themselves which way numbers count, all siblings do
	return newer
}

// names is a set of names; a compressed file whose plain one is still there is not finished yet.
type names map[string]bool

func plainNames(all []sibling) names {
	set := names{}
	for _, s := range all {
		set[s.path] = true
	}
	return set
}

func (n names) has(path string) bool {
	if plain, packed := trimCompressed(path); packed && n[plain] {
		return true
	}
	processed, ok := strings.CutSuffix(path, ".s")
	return ok && svlogdName.MatchString(filepath.Base(path)) && n[processed+".u"]
}

// headOf returns the first bytes of a sibling's content, and one more than the head to tell a short file from the beginning of a long one.
func headOf(s sibling) (head []byte, longer bool, err error) {
	o, err := openSibling(s.path)
	if err != nil {
		return nil, false, err
	}
	defer o.close()
	for buf := make([]byte, headSize+1); o.offset <= headSize; {
		if n, err := o.read(buf); n == 0 || err != nil {
			break
		}
	}
	return o.head, o.offset > headSize, nil
}

// search is for the file that a position was made in.
type search struct {
	position Position
	families []string // the names it may have had: the followed path, and what a symlink there points to
	path     identity // the file that the path names now
	not      identity // a file that is known not to be it any more
}

// locate opens the file at the position: the path's own, or a sibling under another name, as a copy or compressed. It returns nil
// when there is none any more, which is certain only when nothing was renamed or copied meanwhile.
func (q search) locate() *openFile {
	before := q.candidates()
	for range lookRetries {
		if found := q.among(before); found != nil {
			return found
		}
		after := q.candidates()
		if slices.EqualFunc(before, after, func(a, b sibling) bool { return a.path == b.path && a.id == b.id && a.size == b.size }) {
			return nil
		}
		before = after
	}
	return nil
}

// among opens the candidate that is most like the position's file.
func (q search) among(candidates []sibling) *openFile {
	var best *openFile
	var rank int
	for _, s := range candidates {
		if s.id == q.not {
			continue
		}
		o, err := openSibling(s.path)
		if err != nil {
			continue
		}
		r := q.likeness(o, s)
		if r <= rank || o.rewind(q.position.Offset) != nil {
			o.close()
			continue
		}
		best.close()
		best, rank = o, r
	}
	return best
}

// candidates are the path's own file and all that may have been it, newest first.
func (q search) candidates() []sibling {
	var all []sibling
	for _, path := range q.families {
		if s, ok := statSibling(path); ok {
			all = append(all, s)
		}
		all = append(all, siblingsOf(path, mayBe)...)
	}
	order(all)
	slices.Reverse(all)
	return all
}

// likeness ranks how sure it is that o is the file of p: 0 is not.
//
// The inode with the head is sure. The head alone is a copy, a compressed or a restored file; a head shorter than headSize may be
// something that each of the log's files begins with, and then rather a rotated file than the path's new one.
func (q search) likeness(o *openFile, s sibling) int {
	p := q.position
	same, isPath := o.id.inode == p.Inode, o.id == q.path
	switch {
	case p.HeadLength == 0:
		if same && o.id.device == p.Device && o.gz == nil {
			return 6
		}
		return 0
	case !o.begins(p):
		return 0
	case same && isPath:
		return 7 // even when it is shorter than the offset: a crash of the host took its end
	case !o.reaches(p.Offset):
		return 0
	case same:
		return 6
	case isPath && p.HeadLength == headSize:
		return 5
	case q.rotated(s) && o.gz == nil:
		return 4
	case q.rotated(s):
		return 3
	case o.gz == nil && !isPath:
		return 2
	default:
		return 1
	}
}

func (q search) rotated(s sibling) bool {
	return slices.ContainsFunc(q.families, func(path string) bool {
		return rotatedFrom(filepath.Base(path), filepath.Base(s.path))
	})
}

// rewind goes to an offset, or to the end where the file is shorter.
func (o *openFile) rewind(offset int64) error {
	if o.gz == nil {
		info, err := o.f.Stat()
		if err != nil {
			return err
		}
		offset = min(offset, info.Size())
	}
	return o.seek(offset)
}

// basesOf returns the names of which name, by its looks, may be a rotated file.
func basesOf(name string) []string {
	if svlogdName.MatchString(name) {
		return []string{"current"}
	}
	var bases []string
	try := func(base string) {
		if base != "" && rotatedFrom(base, name) {
			bases = append(bases, base)
		}
	}
	plain, _ := trimCompressed(name)
	extension := filepath.Ext(plain)
	for i := range len(plain) {
		if strings.IndexByte("-._~", plain[i]) >= 0 {
			try(plain[:i])
			try(plain[:i] + extension)
		}
	}
	return bases
}
