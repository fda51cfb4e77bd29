package actions_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/actions"
	"regwarden/detector"
)

func blocklist(t *testing.T, files ...actions.BlocklistFile) *actions.Blocklist {
	t.Helper()
	b, err := actions.NewBlocklist(actions.BlocklistOptions{Name: "list", Files: files, Clock: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func apply(t testing.TB, a actions.Action, changes ...detector.Change) {
	t.Helper()
	if err := a.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sample is a block of each kind.
func sample() []detector.Block {
	second := cause("b", func(c *detector.Cause) {
		c.Rule, c.Reason, c.Until = "crawler", `said "no"`, noon.Add(2*time.Hour)
		c.Repositories = []string{"acme/web", "acme/api"}
	})
	return []detector.Block{
		block("2001:db8:1::/64", cause("c")),
		block("203.0.113.7/32", cause("a"), second),
		block("198.51.100.0/24", cause("d")),
	}
}

func TestFormats(t *testing.T) {
	for _, row := range []struct{ format, want string }{
		{"plain", "# …\n198.51.100.0/24\n203.0.113.7\n2001:db8:1::/64\n"},
		{"haproxy", "# …\n198.51.100.0/24\n203.0.113.7\n2001:db8:1::/64\n"},
		{"nginx-deny", "# …\ndeny 198.51.100.0/24;\ndeny 203.0.113.7;\ndeny 2001:db8:1::/64;\n"},
		{"nginx-geo", "# …\n198.51.100.0/24 1;\n203.0.113.7/32 1;\n2001:db8:1::/64 1;\n"},
		{"ipset", "# …\n# timeouts count from 2026-10-05T12:00:00Z\n" +
			"create regwarden4 hash:net family inet maxelem 1048576 timeout 0 -exist\n" +
			"create regwarden4-new hash:net family inet maxelem 1048576 timeout 0 -exist\n" +
			"flush regwarden4-new\n" +
			"add regwarden4-new 198.51.100.0/24 timeout 3600 -exist\n" +
			"add regwarden4-new 203.0.113.7 timeout 7200 -exist\n" +
			"swap regwarden4-new regwarden4\ndestroy regwarden4-new\n" +
			"create regwarden6 hash:net family inet6 maxelem 1048576 timeout 0 -exist\n" +
			"create regwarden6-new hash:net family inet6 maxelem 1048576 timeout 0 -exist\n" +
			"flush regwarden6-new\n" +
			"add regwarden6-new 2001:db8:1::/64 timeout 3600 -exist\n" +
			"swap regwarden6-new regwarden6\ndestroy regwarden6-new\n"},
		{"jsonl", `{"target":"198.51.100.0/24","until":"2026-10-05T13:00:00Z","scope":"host","rules":["missing-manifest"],"reason":"asked too often"}
{"target":"203.0.113.7/32","until":"2026-10-05T14:00:00Z","scope":"host","rules":["crawler","missing-manifest"],"reason":"said \"no\"","repositories":["acme/api","acme/web"]}
{"target":"2001:db8:1::/64","until":"2026-10-05T13:00:00Z","scope":"host","rules":["missing-manifest"],"reason":"asked too often"}
`},
	} {
		t.Run(row.format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			b := blocklist(t, actions.BlocklistFile{Path: path, Format: row.format})
			if err := b.Sync(t.Context(), sample()); err != nil {
				t.Fatal(err)
			}
			got := read(t, path)
			if first, rest, ok := strings.Cut(got, "\n"); ok && strings.HasPrefix(first, "# written by regwarden; ") {
				got = "# …\n" + rest
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestEveryFormatHasATest(t *testing.T) {
	if want, got := "haproxy ipset jsonl nginx-deny nginx-geo plain", strings.Join(actions.BlocklistFormats(), " "); want != got {
		t.Errorf("want %s, got %s", want, got)
	}
}

func TestAReaderNeverSeesAPartOfAList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	b := blocklist(t, actions.BlocklistFile{Path: path, Format: "jsonl"})
	var many []detector.Block
	for i := range 250 {
		many = append(many, block(fmt.Sprintf("203.0.113.%d/32", i), cause("a", func(c *detector.Cause) { c.Reason = strings.Repeat("x", 200) })))
	}
	sync := func(n int) {
		if err := b.Sync(context.Background(), many[:n]); err != nil {
			t.Error(err)
		}
	}
	sync(250)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 200 {
			sync(125 + 125*(i%2))
		}
	}()
	for reads := 0; ; reads++ {
		if n := wholeLines(t, path); n != 125 && n != 250 {
			t.Fatalf("read %d: want 125 or 250 lines, got %d", reads, n)
		}
		select {
		case <-written:
			return
		default:
		}
	}
}

// wholeLines counts the lines, each of which must be JSON.
func wholeLines(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		if !json.Valid(lines.Bytes()) {
			t.Fatalf("not a whole line: %q", lines.Bytes())
		}
	}
	return n
}

func TestModeAndOwnerAreKept(t *testing.T) {
	dir := t.TempDir()
	kept, fixed, begun := filepath.Join(dir, "kept"), filepath.Join(dir, "fixed"), filepath.Join(dir, "begun")
	for _, path := range []string{kept, fixed} {
		if err := os.WriteFile(path, []byte("# written by regwarden\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o664); err != nil {
			t.Fatal(err)
		}
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 12345, 23456
		if err := os.Chown(kept, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	b := blocklist(t, actions.BlocklistFile{Path: kept, Format: "plain"}, actions.BlocklistFile{Path: fixed, Format: "plain", Mode: 0o640},
		actions.BlocklistFile{Path: begun, Format: "plain"})
	apply(t, b, blocked("203.0.113.7/32"))
	for path, want := range map[string]fs.FileMode{kept: 0o664, fixed: 0o640, begun: 0o644} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s: want mode %v, got %v", path, want, info.Mode())
		}
		if st := info.Sys().(*syscall.Stat_t); path == kept && (int(st.Uid) != uid || int(st.Gid) != gid) {
			t.Errorf("want owner %d:%d, got %d:%d", uid, gid, st.Uid, st.Gid)
		}
	}
}

func TestASymbolicLinkStays(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real/list", link); err != nil { // what it names is not there yet
		t.Fatal(err)
	}
	b := blocklist(t, actions.BlocklistFile{Path: link, Format: "plain"})
	apply(t, b, blocked("203.0.113.7/32"))
	apply(t, b, blocked("203.0.113.8/32"))
	if to, err := os.Readlink(link); err != nil || to != "real/list" {
		t.Errorf("want the link as it was, got %q, %v", to, err)
	}
	if got := read(t, filepath.Join(dir, "real", "list")); !strings.Contains(got, "203.0.113.8\n") {
		t.Errorf("want the list behind the link, got %q", got)
	}
}

func TestAListThatIsRightIsNotTouched(t *testing.T) {
	for _, format := range actions.BlocklistFormats() {
		t.Run(format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "list")
			now := noon
			make := func() *actions.Blocklist {
				b, err := actions.NewBlocklist(actions.BlocklistOptions{Files: []actions.BlocklistFile{{Path: path, Format: format}}, Clock: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			inode := func(b *actions.Blocklist) uint64 {
				t.Helper()
				if err := b.Sync(t.Context(), sample()); err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				return info.Sys().(*syscall.Stat_t).Ino
			}
			b := make()
			first := inode(b)
			now = now.Add(10 * time.Second)
			if again := inode(b); again != first {
				t.Error("want the file untouched the second time")
			}
			if again := inode(make()); again != first && format != "ipset" { // its text tells the time left
				t.Error("want the file untouched after a start")
			}
			if err := os.WriteFile(path, []byte("somebody's own\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			inode(b)
			if got := read(t, path); strings.Contains(got, "own") || !strings.Contains(got, "203.0.113.7") {
				t.Errorf("want an edited file made right, got %q", got)
			}
		})
	}
}

func TestRewritesAreKeptApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	synctest.Test(t, func(t *testing.T) {
		b, err := actions.NewBlocklist(actions.BlocklistOptions{Files: []actions.BlocklistFile{{Path: path, Format: "plain"}}})
		if err != nil {
			t.Fatal(err)
		}
		r := actions.NewRunner(b, actions.RunnerOptions{})
		start(t, r)
		flush(t, r)
		time.Sleep(time.Hour) // the bubble's time
		began := time.Now()
		r.Enqueue([]detector.Change{blocked("203.0.113.1/32")})
		flush(t, r)
		if took := time.Since(began); took != 0 {
			t.Errorf("want the first change written at once, got %v", took)
		}
		for i := 2; i < 100; i++ {
			r.Enqueue([]detector.Change{blocked(fmt.Sprintf("203.0.113.%d/32", i))})
		}
		flush(t, r)
		if took := time.Since(began); took != time.Second {
			t.Errorf("want the others together after 1 s, got %v", took)
		}
		if n := strings.Count(read(t, path), "203.0.113."); n != 99 {
			t.Errorf("want 99 addresses, got %d", n)
		}
	})
}

func TestLeftOverTemporaryFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for name, stays := range map[string]bool{
		".deny.conf.regwarden-123.tmp":  false,
		".other.conf.regwarden-123.tmp": true,
		".deny.conf.swp":                true,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
				t.Errorf("%s: want it to stay: %v, got %v", name, stays, err)
			}
		}()
	}
	apply(t, blocklist(t, actions.BlocklistFile{Path: filepath.Join(dir, "deny.conf"), Format: "nginx-deny"}), blocked("203.0.113.7/32"))
}

func TestWhatCannotBeWrittenSaysSo(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ path, want string }{
		{"missing/list", "write DIR/missing/list: the directory DIR/missing does not exist"},
		{"sub", "write DIR/sub: it is there and no regular file"},
		{"loop", "write DIR/loop: too many symbolic links"},
		{strings.Repeat("n", 250), "write DIR/" + strings.Repeat("n", 250) + ": file name too long: the temporary file beside it needs 25 bytes more"},
	} {
		good := filepath.Join(dir, "good")
		os.Remove(good)
		b := blocklist(t, actions.BlocklistFile{Path: filepath.Join(dir, row.path), Format: "plain"}, actions.BlocklistFile{Path: good, Format: "plain"})
		err := b.Apply(t.Context(), []detector.Change{blocked("203.0.113.7/32")})
		if err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != row.want {
			t.Errorf("want %q, got %v", row.want, err)
		}
		if !strings.Contains(read(t, good), "203.0.113.7") {
			t.Error("want the other file written all the same")
		}
	}
}

func TestAListThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "list")
	synctest.Test(t, func(t *testing.T) {
		r := actions.NewRunner(blocklist(t, actions.BlocklistFile{Path: path, Format: "plain"}), actions.RunnerOptions{})
		start(t, r)
		r.Enqueue([]detector.Change{blocked("203.0.113.7/32")})
		synctest.Wait()
		if s := r.Status(); s.Healthy || !strings.Contains(s.LastError, "does not exist") {
			t.Errorf("want the status to say what is wrong, got %+v", s)
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		flush(t, r)
		if s := r.Status(); !s.Healthy {
			t.Errorf("want it healed, got %+v", s)
		}
	})
	if got := read(t, path); !strings.Contains(got, "203.0.113.7\n") {
		t.Errorf("want the block in the list, got %q", got)
	}
}

func TestBlocklistOptionsAreChecked(t *testing.T) {
	for _, row := range []struct {
		options actions.BlocklistOptions
		want    string
	}{
		{actions.BlocklistOptions{Name: "x"}, "action x: no file is named"},
		{actions.BlocklistOptions{Name: "x", Files: []actions.BlocklistFile{{Format: "plain"}}}, "action x: a file has no path"},
		{actions.BlocklistOptions{Name: "x", Files: []actions.BlocklistFile{{Path: "/a", Format: "plan"}}},
			`action x: /a: unknown format "plan", known are haproxy, ipset, jsonl, nginx-deny, nginx-geo, plain`},
		{actions.BlocklistOptions{Name: "x", Files: []actions.BlocklistFile{{Path: "/a", Format: "plain"}, {Path: "/./a", Format: "jsonl"}}}, "action x: /a is named twice"},
		{actions.BlocklistOptions{Name: "x", SetName: "a b", Files: []actions.BlocklistFile{{Path: "/a", Format: "ipset"}}},
			`action x: /a: set name "a b": want 1 to 26 letters, digits, dots, dashes or underscores`},
	} {
		if _, err := actions.NewBlocklist(row.options); err == nil || err.Error() != row.want {
			t.Errorf("want %q, got %v", row.want, err)
		}
	}
}

// TestTheCommandAfterARewriteSeesTheNewFile, is run once for all changes of a rewrite, and again when it failed.
func TestTheCommandAfterARewriteSeesTheNewFile(t *testing.T) {
	dir := t.TempDir()
	list, seen, fail := filepath.Join(dir, "list"), filepath.Join(dir, "seen"), filepath.Join(dir, "fail")
	script := filepath.Join(dir, "reload")
	text := "#!/bin/sh\ntest -e " + fail + " && exit 3\ngrep -cv '^#' " + list + " >> " + seen + " || true\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	b := blocklist(t, actions.BlocklistFile{Path: list, Format: "plain", After: []string{script}})
	if err := b.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	apply(t, b, blocked("203.0.113.7/32"), blocked("203.0.113.8/32"))
	if got := read(t, seen); got != "0\n2\n" {
		t.Errorf("want a run at the start and one for both changes, got %q", got)
	}
	if err := os.WriteFile(fail, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), []detector.Change{unblocked("203.0.113.7/32")}); err == nil || !strings.Contains(err.Error(), "after "+list) {
		t.Fatalf("a command that fails: %v", err)
	}
	os.Remove(fail)
	apply(t, b, unblocked("203.0.113.7/32"))
	if got := read(t, seen); got != "0\n2\n1\n" {
		t.Errorf("want the failed run made again though the file is right, got %q", got)
	}
}

// TestAListThatSomebodyRemovesIsWrittenAgain, and one that somebody writes over.
func TestAListThatSomebodyRemovesIsWrittenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	b, err := actions.NewBlocklist(actions.BlocklistOptions{Name: "blocklist", Files: []actions.BlocklistFile{{Path: path, Format: "plain"}}})
	if err != nil {
		t.Fatal(err)
	}
	r := actions.NewRunner(b, actions.RunnerOptions{})
	r.Reset([]detector.Block{block("203.0.113.7/32", cause("1"))})
	stop := start(t, r)
	defer stop()
	go b.Watch(t.Context(), r.Doubt)
	flush(t, r)
	want := read(t, path)
	for _, damage := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return os.WriteFile(path, []byte("nobody\n"), 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; {
			if text, _ := os.ReadFile(path); string(text) == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the list is not written again")
			}
			<-time.After(20 * time.Millisecond) // another goroutine writes it, at its own pace
		}
	}
}

// TestAFileOfSomebodyElseIsNotReplaced: a mistyped path costs nobody his log.
func TestAFileOfSomebodyElseIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	if err := os.WriteFile(path, []byte("worker_processes 1;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := blocklist(t, actions.BlocklistFile{Path: path, Format: "nginx-deny"})
	err := b.Sync(t.Context(), sample())
	if err == nil || !strings.Contains(err.Error(), "was not written by regwarden") || read(t, path) != "worker_processes 1;\n" {
		t.Errorf("got %v", err)
	}
}
