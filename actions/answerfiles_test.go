package actions_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/actions"
	"regwarden/detector"
)

// tree lists the files below a directory with their content's first bytes.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != ".regwarden" && d.Name() != ".clients-only" {
			fmt.Fprintln(&out, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestNamesOfAnswerFiles(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	climbing := asked(strings.Repeat("a", 250), strings.Repeat("a/", 100)+strings.Repeat("a", 250), "../../../etc/x", "Acme/Web", "acme//web", "acme/.web", "acme/web/", "acme/w..b", "-a", "a-", "a b", "acme/a__b--c.d-e")
	blocks := []detector.Block{
		block("203.0.113.7/32", cause("a", narrow, asked("acme/web", "acme/api"))),
		block("203.0.113.9/32", cause("b", asked("acme/web"))),
		block("203.0.113.10/32", cause("c", asked("acme/web", "acme/api"))),
		block("203.0.113.11/32", cause("d", narrow, climbing)),
		block("198.51.100.0/31", cause("e")),
		block("192.0.2.0/24", cause("f")),
		block("198.18.0.0/23", cause("g")),
		block("2001:db8::/63", cause("h", narrow, asked("acme/web"))),
		block("2001:db8:0:9::1/128", cause("i")),
		block("203.0.113.12/32", cause("over", func(c *detector.Cause) { c.Until = noon })),
	}
	want := `192.0.2/DENIED
198.18.0/DENIED
198.18.1/DENIED
198.51.100.0/DENIED
198.51.100.1/DENIED
2001:db8:0:0/acme/web.DENIED
2001:db8:0:1/acme/web.DENIED
2001:db8:0:9::1/DENIED
203.0.113.10/DENIED
203.0.113.11/acme/a__b--c.d-e.DENIED
203.0.113.7/acme/api.DENIED
203.0.113.7/acme/web.DENIED
203.0.113.9/DENIED
203.0.113.9/acme/web.DENIED
`
	for name, make := range map[string]func() error{
		"sync":  func() error { return a.Sync(t.Context(), blocks) },
		"again": func() error { return a.Sync(t.Context(), blocks) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Errorf("%s: want -, got +\n%s", name, diff)
		}
	}
	apply(t, a, change(detector.ChangeShorten, "203.0.113.7/32", cause("a", narrow, asked("acme/api"))), unblocked("192.0.2.0/24"), unblocked("2001:db8::/63"), unblocked("198.18.0.0/23"))
	want = strings.NewReplacer("192.0.2/DENIED\n", "", "198.18.0/DENIED\n", "", "198.18.1/DENIED\n", "", "2001:db8:0:0/acme/web.DENIED\n", "", "2001:db8:0:1/acme/web.DENIED\n", "",
		"203.0.113.7/acme/web.DENIED\n", "").Replace(want)
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("after changes: want -, got +\n%s", diff)
	}
	for _, gone := range []string{"192.0.2", "198.18.0", "2001:db8:0:0"} {
		if _, err := os.Stat(filepath.Join(dir, gone)); err == nil {
			t.Errorf("the empty directory %s stays", gone)
		}
	}
}

// TestAnAnswerFileTellsItsEnd by its modification time, so that `find -not -newermt now -delete` removes what has ended when no daemon does.
func TestAnAnswerFileTellsItsEnd(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	apply(t, a, change(detector.ChangeBlock, "203.0.113.7/32", cause("a")))
	path := filepath.Join(dir, "203.0.113.7", "DENIED")
	info, err := os.Stat(path)
	if err != nil || info.ModTime().Unix() != noon.Add(time.Hour).Unix() || info.Mode() != 0o644 {
		t.Errorf("want it to end at %v, got %v with mode %v, %v", noon.Add(time.Hour), info.ModTime(), info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("nginx must get into the directory: %v, %v", info.Mode(), err)
	}
}

// TestSyncHealsTheAnswers: what was changed, removed and added by others, and left by a daemon that was killed.
func TestSyncHealsTheAnswers(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	blocks := []detector.Block{block("203.0.113.7/32", cause("a", asked("acme/web"))), block("2001:db8::/64", cause("b")), block("198.51.100.1/32", cause("c"))}
	if err := a.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	right := tree(t, dir)
	inode := func(name string) uint64 {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino
	}
	before := inode("2001:db8:0:0/DENIED")
	for _, damage := range []func() error{
		func() error {
			return os.WriteFile(filepath.Join(dir, "203.0.113.7/DENIED"), []byte("nobody\n"), 0o644)
		},
		func() error { return os.RemoveAll(filepath.Join(dir, "198.51.100.1/DENIED")) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "203.0.113.7/acme/api.DENIED"), []byte("{}"), 0o644)
		},
		func() error { return os.MkdirAll(filepath.Join(dir, "192.0.2.1/acme/web"), 0o755) },
		func() error { return os.WriteFile(filepath.Join(dir, ".writing"), []byte("{}"), 0o644) },
		func() error { return os.MkdirAll(filepath.Join(dir, ".writing1/acme"), 0o755) },
		func() error { return os.MkdirAll(filepath.Join(dir, "2001:db8:0:1::7"), 0o755) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sync(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(right, tree(t, dir)); diff != "" || !strings.Contains(read(t, filepath.Join(dir, "203.0.113.7/DENIED")), "BLOCKED") {
		t.Errorf("want -, got +\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "192.0.2.1")); err == nil {
		t.Error("a client who is not blocked stays")
	}
	if inode("2001:db8:0:0/DENIED") != before {
		t.Error("a file that was right was written again")
	}
}

// TestTargetsThatOverlapKeepTheirAnswers: the narrower one says more, and neither takes the other's along.
func TestTargetsThatOverlapKeepTheirAnswers(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	apply(t, a, change(detector.ChangeBlock, "203.0.113.7/32", cause("one")), change(detector.ChangeBlock, "203.0.113.6/31", cause("two")),
		change(detector.ChangeBlock, "198.51.100.0/23", cause("nets")), change(detector.ChangeBlock, "198.51.100.0/24", cause("net")))
	says := func(place, id string) {
		t.Helper()
		if text := read(t, filepath.Join(dir, place, "DENIED")); !strings.Contains(text, `"block_id":"`+id+`"`) {
			t.Errorf("%s: want block %s, got %s", place, id, text)
		}
	}
	says("203.0.113.7", "one")
	says("203.0.113.6", "two")
	says("198.51.100", "net")
	apply(t, a, unblocked("203.0.113.7/32"), unblocked("198.51.100.0/23"))
	says("203.0.113.7", "two")
	says("198.51.100", "net")
	if _, err := os.Stat(filepath.Join(dir, "198.51.101")); err == nil {
		t.Error("what is lifted stays")
	}
}

// TestItIsToldWhetherOnlyClientsAreBlocked, so that the web server looks for others when it must.
func TestItIsToldWhetherOnlyClientsAreBlocked(t *testing.T) {
	a, dir := answerFiles(t, func() time.Time { return noon })
	told := func(want bool, when string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(dir, ".clients-only")); (err == nil) != want {
			t.Errorf("%s: want it told %v, got %v", when, want, err)
		}
	}
	blocks := []detector.Block{block("203.0.113.7/32", cause("a")), block("2001:db8::/60", cause("b")), block("192.0.2.0/28", cause("c"))}
	for range 2 {
		if err := a.Sync(t.Context(), blocks); err != nil {
			t.Fatal(err)
		}
		told(true, "addresses and nets of IPv6")
		for _, target := range []string{"198.51.100.0/24", "2001:db8:1::7/128"} {
			apply(t, a, change(detector.ChangeBlock, target, cause("d")))
			told(false, target)
			apply(t, a, unblocked(target))
			told(true, target+" is lifted")
		}
		if err := a.Sync(t.Context(), append(blocks, block("198.51.100.0/24", cause("d")))); err != nil {
			t.Fatal(err)
		}
		told(false, "after a sync")
	}
}

// TestTheAnswersNeedADirectoryOfTheirOwn: a mistyped path costs nobody his files.
func TestTheAnswersNeedADirectoryOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "passwd"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: dir, Answers: says(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Sync(t.Context(), nil); err == nil || !strings.HasSuffix(err.Error(), "holds passwd and was not made by regwarden; give the answers a directory of their own") {
		t.Errorf("got %v", err)
	}
	for _, path := range []string{"", "/", "/x/.."} {
		if _, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: path}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

// TestDamagedAnswersAreMended by the next look, said once, and counted; what cannot be mended is told, and mended when it can.
func TestDamagedAnswersAreMended(t *testing.T) {
	until := func(c *detector.Cause) { c.Until = time.Now().Add(time.Hour) }
	blocks := []detector.Block{block("203.0.113.7/32", cause("1", until)), block("203.0.113.8/32", cause("2", until)), block("198.51.100.0/24", cause("3", until))}
	more := change(detector.ChangeBlock, "203.0.113.9/32", cause("4", until))
	for name, damage := range map[string]struct {
		do     func(dir string) error
		told   string                 // of what it cannot mend
		undo   func(dir string) error // lets it
		change bool                   // a block comes before it is seen
	}{
		"removed":                  {do: os.RemoveAll},
		"removed before a block":   {do: os.RemoveAll, change: true},
		"emptied":                  {do: func(dir string) error { return exec.Command("sh", "-c", "rm -rf "+dir+"/* "+dir+"/.[a-z]*").Run() }},
		"emptied before a block":   {do: func(dir string) error { return exec.Command("sh", "-c", "rm -rf "+dir+"/* "+dir+"/.[a-z]*").Run() }, change: true},
		"moved away and made anew": {do: func(dir string) error { return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755)) }},
		"closed":                   {do: func(dir string) error { return os.Chmod(dir, 0o700) }},
		"closed before a block":    {do: func(dir string) error { return os.Chmod(dir, 0o750) }, change: true},
		"a place removed":          {do: func(dir string) error { return os.RemoveAll(dir + "/203.0.113.7") }},
		"a place added":            {do: func(dir string) error { return os.Mkdir(dir+"/192.0.2.1", 0o755) }},
		"the mark removed":         {do: func(dir string) error { return os.Remove(dir + "/.regwarden") }},
		"nets hidden":              {do: func(dir string) error { return os.WriteFile(dir+"/.clients-only", nil, 0o644) }},
		"a file in its place":      {do: func(dir string) error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }, told: "not a directory", undo: os.Remove},
		"somebody else's": {do: func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755), os.WriteFile(dir+"/passwd", nil, 0o600))
		}, told: "holds passwd and was not made by regwarden", undo: func(dir string) error { return os.Remove(dir + "/passwd") }},
		"somebody else's as it was": {do: func(dir string) error {
			return errors.Join(os.Remove(dir+"/.regwarden"), os.WriteFile(dir+"/passwd", nil, 0o600))
		}, told: "holds passwd and was not made by regwarden", undo: func(dir string) error { return os.Remove(dir + "/passwd") }},
		"the directory above closed": {do: func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o700) }, told: "so the web server does not find the answers in", undo: func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o755) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, dir := answerFiles(t, nil)
			r := actions.NewRunner(a, actions.RunnerOptions{})
			r.Reset(blocks)
			start(t, r)
			flush(t, r)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() { _ = a.Watch(ctx, r.Doubt) }()
			if info, err := os.Stat(dir); err != nil || strings.HasPrefix(name, "a place") && info.Sys().(*syscall.Stat_t).Nlink != 5 {
				t.Skipf("SKIPPED: this file system does not count the directories in one, so nobody sees that; set TMPDIR to a tmpfs (%v)", err)
			}
			want, healed := tree(t, dir), uint64(1)
			if err := damage.do(dir); err != nil {
				t.Fatal(err)
			}
			if damage.change {
				r.Enqueue([]detector.Change{more})
				want += "203.0.113.9/DENIED\n"
			}
			if damage.told != "" {
				eventually(t, "it is told", func() bool { s := r.Status(); return !s.Healthy && strings.Contains(s.LastError, damage.told) })
				if name == "somebody else's" {
					if _, err := os.Stat(dir + "/passwd"); err != nil {
						t.Error(err)
					}
				}
				if err := damage.undo(dir); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasPrefix(name, "the directory above") {
				healed = 0
			}
			eventually(t, "it is mended", func() bool { s := r.Status(); return s.Healthy && s.Healed == healed && s.Pending == 0 })
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			for path, mode := range map[string]os.FileMode{dir: 0o755 | os.ModeDir, dir + "/.regwarden": 0o644} {
				if info, err := os.Stat(path); err != nil || info.Mode() != mode {
					t.Errorf("%s: %v, %v", path, info.Mode(), err)
				}
			}
			if _, err := os.Stat(dir + "/.clients-only"); err == nil {
				t.Error("the nets are hidden")
			}
		})
	}
}

// TestOthersFilesStay in a directory of answers: only what is named after an address is removed.
func TestOthersFilesStay(t *testing.T) {
	a, dir := answerFiles(t, nil)
	if err := a.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	others := []string{"README", "lost+found/x", "backup-203.0.113.7/x", "203.0.113.7.tar", "deadbeef", ".hidden"}
	for _, name := range others {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := a.Sync(t.Context(), []detector.Block{block("203.0.113.7/32", cause("1"))}); err != nil {
			t.Fatal(err)
		}
		apply(t, a, unblocked("203.0.113.7/32"))
	}
	if err := a.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// manyAnswers is how many blocks the long tests make.
func manyAnswers() int {
	if os.Getenv("REGWARDEN_STRESS") != "" {
		return 100_000
	}
	return 10_000
}

// manyBlocks are blocks of all shapes.
func manyBlocks(n int) []detector.Block {
	out := make([]detector.Block, 0, n)
	until := func(c *detector.Cause) { c.Until = time.Now().Add(time.Hour).Truncate(time.Hour) }
	for i := range n {
		switch i % 4 {
		case 0:
			out = append(out, block(fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff), cause("c", until)))
		case 1:
			out = append(out, block(fmt.Sprintf("198.%d.%d.%d/32", 18+i>>16&1, i>>8&255, i&255), cause("c", until, narrow, asked("acme/web"))))
		default:
			out = append(out, block(netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32).String(), cause("c", until)))
		}
	}
	return out
}

// TestAKillInTheMiddleIsHealed: a process that writes up to 100,000 answers is killed; the next one agrees with the ledger soon.
func TestAKillInTheMiddleIsHealed(t *testing.T) {
	if dir := os.Getenv("REGWARDEN_ANSWER_FILES"); dir != "" {
		a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: dir, Answers: says(t)})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("begin")
		for ctx := context.Background(); ; {
			if err := a.Sync(ctx, manyBlocks(manyAnswers())); err != nil {
				t.Fatal(err)
			}
			if err := a.Sync(ctx, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = t.TempDir()
	}
	dir, err := os.MkdirTemp(base, "regwarden-answers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rounds := 1
	if os.Getenv("REGWARDEN_STRESS") != "" {
		rounds = 5
	}
	for round := range rounds {
		cmd := exec.Command(self, "-test.run", "^TestAKillInTheMiddleIsHealed$")
		cmd.Env = append(os.Environ(), "REGWARDEN_ANSWER_FILES="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "begin\n" {
			t.Fatalf("it says %q", line)
		}
		<-time.After(time.Duration(100+400*round) * time.Millisecond) // somewhere in the middle
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: dir, Answers: says(t)})
		if err != nil {
			t.Fatal(err)
		}
		blocks := manyBlocks(manyAnswers())
		want := len(blocks) * 9 / 10
		healed := cost(t, func() error { return a.Sync(t.Context(), blocks[:want]) })
		t.Logf("healed in %s, looked through in %s", healed, cost(t, func() error { return a.Sync(t.Context(), blocks[:want]) }))
		if n := strings.Count(tree(t, dir), "\n"); n != want {
			t.Errorf("want %d files, got %d", want, n)
		}
		if round == rounds-1 {
			removed := cost(t, func() error { return a.Sync(t.Context(), nil) })
			t.Logf("all removed in %s, all written in %s", removed, cost(t, func() error { return a.Sync(t.Context(), blocks) }))
		}
	}
}

// cost says how long something took, and how much CPU of this process.
func cost(t *testing.T, f func() error) string {
	t.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begun, before := time.Now(), cpu()
	if err := f(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%v (%v of CPU)", time.Since(begun).Round(time.Millisecond), (cpu() - before).Round(time.Millisecond))
}
