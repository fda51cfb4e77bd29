package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/internal/control"
)

const simple = `
rules = "rules.d"
disable = ["missing-manifest", "repository-enumeration"]
[guards]
storm = false
[[source]]
name = "access"
path = "access.log"
from = "start"
[[actions.blocklist]]
path = "blocklist.txt"
`

func (h *host) append(name, text string) {
	h.t.Helper()
	f, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) listed(client string) bool {
	b, _ := os.ReadFile(h.path("blocklist.txt"))
	return strings.Contains("\n"+string(b), "\n"+client+"\n")
}

// TestFromAGrowingLogToABlockAndBack is the main job, across a kill -9 and a restart.
func TestFromAGrowingLogToABlockAndBack(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 4)+strings.Repeat(line("203.0.113.8"), 7))
	h.until("the blocklist has the client", func() bool { return h.listed("203.0.113.8") })
	h.kill(syscall.SIGKILL)
	h.append("access.log", line("203.0.113.7"))
	h.run()
	h.until("the line written meanwhile was counted with those before", func() bool { return h.listed("203.0.113.7") })
	if !h.listed("203.0.113.8") || h.blocked()["203.0.113.8"] != "count " {
		t.Errorf("the block before the kill is gone: %v", h.blocked())
	}
	if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.8", Reason: "pushed"}); err != nil {
		t.Fatal(err)
	}
	h.until("the lifted block is off the list", func() bool { return !h.listed("203.0.113.8") })
	h.kill(syscall.SIGTERM)
	h.run()
	if got := h.blocked(); len(got) != 1 || got["203.0.113.7"] == "" {
		t.Errorf("want the unblocked one free after a restart, got %v", got)
	}
	entries, err := h.client.History(t.Context(), control.HistoryFilter{})
	if err != nil || len(entries) != 3 || entries[0].Verb != "unblock" || entries[0].Note != "pushed" {
		t.Errorf("history: %+v, %v", entries, err)
	}
}

// TestABlockLiftedByHandIsNotMadeAgainFromLinesReadAgain: the daemon is killed before it saved its position.
func TestABlockLiftedByHandIsNotMadeAgainFromLinesReadAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.run()
	for round := range 8 {
		client := fmt.Sprintf("203.0.113.%d", round+1)
		h.append("access.log", strings.Repeat(line(client), 20)) // more than one full count: those after the first find a block already there
		h.until("it is blocked", func() bool { return h.blocked()[client] != "" && h.lines() == uint64(20*(round+1)) })
		if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: client}); err != nil {
			t.Fatal(err)
		}
		h.kill(syscall.SIGKILL)
		h.run()
		h.until("all lines are counted", func() bool { return h.lines() == uint64(20*(round+1)) })
		if got := h.blocked(); len(got) > 0 {
			t.Fatalf("blocked again: %v", got)
		}
	}
}

// TestBlocksEndByThemselves in file, socket and database.
func TestBlocksEndByThemselves(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1s", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("it is listed", func() bool { return h.listed("203.0.113.9") })
	begun := time.Now()
	h.until("it is free", func() bool { return !h.listed("203.0.113.9") && len(h.blocked()) == 0 })
	if d := time.Since(begun); d > 3*time.Second {
		t.Errorf("a block of one second ended %v after it was listed", d)
	}
}

// TestABlockThatEndedWhileTheDaemonWasDownIsNeverListed, and a command is told of its end all the same.
func TestABlockThatEndedWhileTheDaemonWasDownIsNeverListed(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple+"[[actions.exec]]\ncommand = [\"/bin/sh\", \"-c\", \"echo $0 $1 >> \\\"$2\\\"\", \"{verb}\", \"{address}\", \"TOLD\"]\n", nil)
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	h.write("regwarden.toml", strings.ReplaceAll(string(text), "TOLD", h.path("told")))
	told := func() string {
		b, _ := os.ReadFile(h.path("told"))
		return string(b)
	}
	h.run()
	for _, r := range []control.BlockRequest{{Target: "203.0.113.9", For: "2s", Reason: "test"}, {Target: "203.0.113.10", For: "1h", Reason: "test"}} {
		if _, err := h.client.Block(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	h.until("the command is told", func() bool { return strings.Contains(told(), "block 203.0.113.10\n") })
	h.kill(syscall.SIGTERM)
	ended := time.Now().Add(2 * time.Second)
	h.until("the block is over", func() bool { return time.Now().After(ended) })
	h.run()
	if got := h.blocked(); len(got) != 1 || got["203.0.113.10"] == "" {
		t.Errorf("want only the one that lasts, got %v", got)
	}
	if s, err := h.client.Status(t.Context()); err != nil || s.Blocks != 1 {
		t.Errorf("want one block in the status, got %d, %v", s.Blocks, err)
	}
	h.until("the command is told of the end", func() bool { return strings.Contains(told(), "expire 203.0.113.9\n") })
}

// TestTheLastLineIsTheLastThatCame since the start: neither a file that is only found nor one that was read before has one.
func TestTheLastLineIsTheLastThatCame(t *testing.T) {
	t.Parallel()
	h := newHost(t, strings.Replace(simple, `from = "start"`, `from = "end"`, 1), nil)
	h.write("access.log", line("203.0.113.7"))
	source := func() control.SourceStatus {
		s, err := h.client.Status(t.Context())
		if err != nil || len(s.Sources) != 1 {
			t.Fatalf("status: %+v, %v", s, err)
		}
		return s.Sources[0]
	}
	h.run()
	h.until("the file is found, and its end", func() bool {
		s, _ := h.client.Status(t.Context())
		return len(s.Sources) == 1 && s.Sources[0].Path == h.path("access.log")
	})
	if s := source(); !s.LastLine.IsZero() {
		t.Errorf("no line was read, and the last came at %v", s.LastLine)
	}
	h.append("access.log", line("203.0.113.7"))
	h.until("the line is counted", func() bool { return source().Lines == 1 })
	if source().LastLine.IsZero() {
		t.Error("a line was read, and the status knows of none")
	}
	h.kill(syscall.SIGTERM)
	h.run()
	if s := source(); s.Lines != 1 || !s.LastLine.IsZero() {
		t.Errorf("want one line from before the start, got %+v", s)
	}
}

// TestAReloadTellsOnlyWhatIsDifferent: switching the dry run on makes every rule a dry one, which is one change and not as many as there are rules.
func TestAReloadTellsOnlyWhatIsDifferent(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.run()
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	for _, c := range []struct{ top, rule, want string }{
		{"dry_run = true\n", countRule(5), "dry_run is on: nobody is blocked"},
		{"dry_run = true\n", countRule(6), "rule count is different"},
		{"", countRule(6), "dry_run is off: blocks take effect"},
		{"dry_run = true\nignoreip = [\"192.0.2.1\"]\n", "dry_run = true\n" + countRule(6), "dry_run is on: nobody is blocked; rule count is different; protected addresses or guards"},
		{"", countRule(6), "dry_run is off: blocks take effect; rule count is different; protected addresses or guards"},
	} {
		h.write("regwarden.toml", c.top+string(text))
		h.write("rules.d/count.toml", c.rule)
		r, err := h.client.Reload(t.Context())
		if got := strings.Join(r.Changed, "; "); err != nil || got != c.want {
			t.Errorf("%q: want %q, got %q, %v", c.top, c.want, got, err)
		}
	}
}

// TestProtectedTargetsAreRefusedByAnyWay and lifted when they become protected.
func TestProtectedTargetsAreRefusedByAnyWay(t *testing.T) {
	t.Parallel()
	h := newHost(t, "ignoreip = [\"198.51.100.0/24\"]\ntrusted_proxies = [\"203.0.113.1\"]\n"+simple, map[string]string{"count": countRule(5)})
	h.run()
	for _, target := range []string{"127.0.0.1", "0.0.0.0/0", "::/0", "198.51.100.9", "203.0.113.0/24", "10.0.0.1", "fe80::1", "nonsense"} {
		if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test"}); err == nil {
			t.Errorf("%s was blocked by hand", target)
		}
	}
	h.append("access.log", strings.Repeat(line("198.51.100.9"), 9)+strings.Repeat(line("203.0.113.1"), 9)+strings.Repeat(line("127.0.0.1"), 9)+strings.Repeat(line("203.0.113.7"), 9))
	h.until("the one that may be blocked is", func() bool { return h.listed("203.0.113.7") })
	if got := h.blocked(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	changed, err := h.client.Allow(t.Context(), control.AllowEntry{Target: "203.0.113.7", Comment: "our monitor"})
	if err != nil || len(changed.Changes) != 1 {
		t.Fatalf("allow: %+v, %v", changed, err)
	}
	h.until("allowing lifts the block", func() bool { return !h.listed("203.0.113.7") })
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 9))
	h.kill(syscall.SIGTERM)
	h.run()
	h.until("all is read", func() bool { return h.lines() == 45 })
	if got := h.blocked(); len(got) != 0 {
		t.Errorf("an allowed target is blocked: %v", got)
	}
}

// TestReloadIsAllOrNothing keeps the old configuration with one mistake, and takes a good one over without losing counts.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 4))
	h.until("four are counted", func() bool { return h.lines() == 4 })
	h.write("rules.d/other.toml", "summary = \"x\"\nmaxretri = 3\n")
	_, err := h.client.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), `other.toml:2: maxretri: unknown key; did you mean "maxretry"?`) {
		t.Fatalf("reload with a mistake: %v", err)
	}
	if s, _ := h.client.Status(t.Context()); s.ReloadError == "" {
		t.Error("status does not say that the reload failed")
	}
	h.write("rules.d/other.toml", countRule(100))
	h.cmd.Process.Signal(syscall.SIGHUP)
	h.until("the new rule is there", func() bool {
		s, _ := h.client.Status(t.Context())
		for _, r := range s.Rules {
			if r.Name == "other" && s.ReloadError == "" {
				return true
			}
		}
		return false
	})
	h.append("access.log", line("203.0.113.7"))
	h.until("the fifth hit blocks, though four came before the reload", func() bool { return h.listed("203.0.113.7") })
}

// TestABlocklistThatIsNoLongerConfiguredIsEmptied by the reload that takes it out.
func TestABlocklistThatIsNoLongerConfiguredIsEmptied(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("it is listed", func() bool { return h.listed("203.0.113.9") })
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	h.write("regwarden.toml", strings.Replace(string(text), "blocklist.txt", "other.txt", 1))
	if _, err := h.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.listed("203.0.113.9") {
		t.Error("the old file still lists it")
	}
	h.until("the new file lists it", func() bool {
		b, _ := os.ReadFile(h.path("other.txt"))
		return strings.Contains(string(b), "203.0.113.9")
	})
}

// TestAWideUnblockByNameLeavesWhatLiesInIt: who undoes a block of a network undoes that block.
func TestAWideUnblockByNameLeavesWhatLiesInIt(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	for _, target := range []string{"203.0.113.9", "203.0.113.0/24"} {
		if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, left := range []int{1, 0} { // the second time there is no such block, and what lies in it is meant
		if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.0/24"}); err != nil {
			t.Fatal(err)
		}
		if got := h.blocked(); len(got) != left {
			t.Errorf("want %d left, got %v", left, got)
		}
	}
}

// TestTheSameBlockByHandTwiceHasOneCause, which lasts as long as the longer of the two.
func TestTheSameBlockByHandTwiceHasOneCause(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	for i, r := range []control.BlockRequest{{For: "2h", Reason: "imported"}, {For: "1h", Reason: "imported"}, {For: "3h", Reason: "imported"}, {For: "1h", Reason: "other"}} {
		for _, r.Target = range []string{"203.0.113.9", "203.0.113.64/26"} {
			done, err := h.client.Block(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			b := done.Changes[0].Block
			want := []time.Duration{2 * time.Hour, 2 * time.Hour, 3 * time.Hour, 3 * time.Hour}[i]
			if got := b.Until.Sub(b.Causes[0].Since).Round(time.Minute); len(b.Causes) != []int{1, 1, 1, 2}[i] || got != want {
				t.Errorf("%+v: want %v, got %v and %d causes", r, want, got, len(b.Causes))
			}
		}
	}
	h.kill(syscall.SIGKILL)
	h.run()
	if got := h.blocked(); got["203.0.113.9"] != "manual manual " {
		t.Errorf("after a restart: %v", got)
	}
}

// TestAskingWhetherATargetCanBeBlocked blocks nobody, and tells in a dry run too.
func TestAskingWhetherATargetCanBeBlocked(t *testing.T) {
	t.Parallel()
	h := newHost(t, "dry_run = true\nignoreip = [\"198.51.100.0/24\"]\n"+simple, nil)
	h.run()
	for target, want := range map[string]string{"203.0.113.9": "", "198.51.100.9": "never blocked", "127.0.0.1": "127.0.0.1 is never blocked", "0.0.0.0/0": "wider than", "x": "neither"} {
		done, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test", Check: true})
		if want == "" && (err != nil || len(done.Changes) > 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: want %q, got %+v, %v", target, want, done, err)
		}
	}
	if got := h.blocked(); len(got) > 0 {
		t.Errorf("asking has blocked %v", got)
	}
}

// TestUnblockingOneLeavesItsNeighboursBlocked: a wider block is lifted only by its own name, and an IPv6 client is its /64.
func TestUnblockingOneLeavesItsNeighboursBlocked(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	for _, target := range []string{"203.0.113.10", "203.0.113.0/24", "2001:db8::7"} {
		if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	done, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.10"})
	if err != nil || len(done.Changes) != 1 || len(done.StillBlocked) != 1 || done.StillBlocked[0].Target.String() != "203.0.113.0/24" {
		t.Errorf("want one lifted and the wider block told, got %+v, %v", done, err)
	}
	for written, want := range map[string]string{"2001:db8:0:1::7": "2001:db8:0:1::/64", "2001:db8:0:2::7/128": "2001:db8:0:2::7/128"} {
		if done, err := h.client.Block(t.Context(), control.BlockRequest{Target: written, For: "1h", Reason: "test"}); err != nil || len(done.Changes) != 1 || done.Changes[0].Block.Target.String() != want {
			t.Errorf("%s: want %s blocked, got %+v, %v", written, want, done, err)
		}
		if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: written}); err != nil {
			t.Errorf("%s is not lifted as it was blocked: %v", written, err)
		}
	}
	var p *control.Problem
	if _, err = h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.10"}); !errors.As(err, &p) || p.Status != 404 || len(p.StillBlocked) != 1 ||
		!strings.Contains(p.Hint, "regwarden unblock 203.0.113.0/24") {
		t.Errorf("want it refused with the wider block, got %+v", err)
	}
	if done, err = h.client.Unblock(t.Context(), control.UnblockRequest{Target: "2001:db8::5"}); err != nil || len(done.Changes) != 1 {
		t.Errorf("want the client's /64 lifted, got %+v, %v", done, err)
	}
	if got := h.blocked(); len(got) != 1 || got["203.0.113.0"] == "" {
		t.Errorf("want the /24 blocked, got %v", got)
	}
}

// TestDryRunBlocksNobodyByHandNeither.
func TestDryRunBlocksNobodyByHandNeither(t *testing.T) {
	t.Parallel()
	h := newHost(t, "dry_run = true\n"+simple, map[string]string{"count": countRule(5)})
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err == nil {
		t.Error("a block by hand was made in a dry run")
	}
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 9))
	h.until("it is told", func() bool {
		entries, _ := h.client.History(t.Context(), control.HistoryFilter{})
		return len(entries) == 1 && entries[0].Verb == "would-block"
	})
	if got := h.blocked(); len(got) > 0 {
		t.Errorf("blocked: %v", got)
	}
}

// TestADamagedDatabaseIsSetAside and said; the daemon goes on.
func TestADamagedDatabaseIsSetAside(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, map[string]string{"count": countRule(5)})
	h.write("state/state.db", strings.Repeat("this is no database ", 1000))
	h.run()
	s, err := h.client.Status(t.Context())
	if err != nil || s.SetAside == "" || len(s.Warnings) == 0 {
		t.Fatalf("status: %+v, %v", s, err)
	}
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 5))
	h.until("it works", func() bool { return h.listed("203.0.113.7") })
}

// TestASecondDaemonIsRefused with a clear message.
func TestASecondDaemonIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple, nil)
	h.run()
	if out := h.fails(); !strings.Contains(out, "another") {
		t.Errorf("got %q", out)
	}
}

// TestACommandHearsOfAnUnblockAlthoughTheDaemonWasKilled right after it.
func TestACommandHearsOfAnUnblockAlthoughTheDaemonWasKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t, simple+"[[actions.exec]]\ncommand = [\"/bin/sh\", \"-c\", \"test -e \\\"$0\\\" && sleep 60; echo $1 $2 >> \\\"$3\\\"\", \"HANG\", \"{verb}\", \"{address}\", \"TOLD\"]\n", nil)
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	h.write("regwarden.toml", strings.NewReplacer("HANG", h.path("hang"), "TOLD", h.path("told")).Replace(string(text)))
	told := func() string {
		b, _ := os.ReadFile(h.path("told"))
		return string(b)
	}
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("the command is told", func() bool { return told() == "block 203.0.113.9\n" })
	h.write("hang", "")
	if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.9"}); err != nil {
		t.Fatal(err)
	}
	h.kill(syscall.SIGKILL)
	os.Remove(h.path("hang"))
	h.run()
	h.until("the command is told of the end", func() bool { return strings.HasSuffix(told(), "unblock 203.0.113.9\n") })
}
