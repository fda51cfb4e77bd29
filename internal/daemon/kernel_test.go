package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
)

// flushNow runs what the verb does in a process of its own, and prints what it did and the error.
func flushNow(path string) {
	c, err := config.Load(path)
	if err == nil {
		var done daemon.Flushed
		done, err = daemon.FlushFirewall(context.Background(), c)
		json.NewEncoder(os.Stdout).Encode(done)
	}
	fmt.Println("error:", err)
}

// flush removes all that is ours from the kernel of the host's namespace, as the verb does.
func (h *host) flush() string {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(h.in[0], append(append([]string{}, h.in[1:]...), self)...)
	cmd.Env = append(os.Environ(), "REGWARDEN_TEST_FLUSH="+h.path("regwarden.toml"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("flush: %v: %s", err, out)
	}
	return string(out)
}

// configure replaces the firewall in the configuration.
func (h *host) configure(firewall string) {
	h.t.Helper()
	text, err := os.ReadFile(h.path("regwarden.toml"))
	if err != nil {
		h.t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "# firewall\n")
	_, after, _ := strings.Cut(rest, "# end\n")
	h.write("regwarden.toml", before+"# firewall\n"+firewall+"# end\n"+after)
}

const movable = simple + "# firewall\n# end\n"

func (h *host) blockByHand(target string) {
	h.t.Helper()
	if _, err := h.client.Block(h.t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test"}); err != nil {
		h.t.Fatal(err)
	}
}

// kernel is all that the host's kernel holds of firewalls.
func (h *host) kernel() string {
	h.t.Helper()
	out := h.rules()
	for _, tool := range []string{"ipset", "iptables-save"} {
		all := append(append([]string{}, h.in...), tool)
		if tool == "ipset" {
			all = append(all, "save")
		}
		b, _ := exec.Command(all[0], all[1:]...).Output()
		out += string(b)
	}
	return out
}

func (h *host) needs(tools ...string) {
	h.t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			h.t.Skipf("SKIPPED: needs %s. Run: sudo make integration", tool)
		}
	}
}

// TestAFirewallThatIsMovedWhileTheDaemonIsStoppedLeavesNothingBehind: under another name, another kind, and out of the configuration; after a kill, too.
func TestAFirewallThatIsMovedWhileTheDaemonIsStoppedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := newHost(t, movable, nil)
	h.needs("iptables", "ipset")
	h.namespace()
	for i, step := range []struct{ firewall, want, gone string }{
		{"[actions.nftables]\n", "table inet regwarden {", "nothing"},
		{"[actions.nftables]\ntable = \"other\"\n", "table inet other {", "table inet regwarden {"},
		{"[actions.iptables]\n", "create regwarden4 ", "table inet other {"},
		{"[actions.iptables]\nchain = \"MINE\"\n", ":MINE ", ":REGWARDEN "},
		{"[actions.iptables]\nchain = \"MINE\"\nset = \"mine\"\n", "create mine4 ", "create regwarden4 "},
		{"[actions.nftables]\n", "table inet regwarden {", "mine4"},
		{"", "", "203.0.113.9"},
	} {
		h.configure(step.firewall)
		h.run()
		if i == 0 {
			h.blockByHand("203.0.113.9")
		}
		h.until(fmt.Sprintf("%d: the kernel has %q and not %q", i, step.want, step.gone), func() bool {
			has := h.kernel()
			return strings.Contains(has, step.want) && !strings.Contains(has, step.gone) && (step.want == "" || strings.Contains(has, "203.0.113.9"))
		})
		if _, err := h.client.Status(t.Context()); err != nil { // the core answers when it is done
			t.Fatal(err)
		}
		h.kill([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2])
	}
	if n := strings.Count(h.log.String(), "what an earlier configuration had in the kernel is removed"); n != 6 {
		t.Errorf("want it said once for each of 6 moves, got %d", n)
	}
}

// TestADryRunRemovesWhatAnEarlierFirewallHolds: it lets everybody through.
func TestADryRunRemovesWhatAnEarlierFirewallHolds(t *testing.T) {
	t.Parallel()
	h := newHost(t, "# dry\n"+movable, nil)
	h.namespace()
	h.configure("[actions.nftables]\n")
	h.run()
	h.blockByHand("203.0.113.9")
	h.until("it is blocked", func() bool { return strings.Contains(h.rules(), "203.0.113.9") })
	h.kill(syscall.SIGTERM)
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	h.write("regwarden.toml", strings.Replace(string(text), "# dry\n", "dry_run = true\n", 1))
	h.configure("[actions.nftables]\ntable = \"other\"\n")
	h.run()
	h.until("only the new table is there, and empty", func() bool {
		rules := h.rules()
		return strings.Contains(rules, "table inet other") && !strings.Contains(rules, "table inet regwarden") && !strings.Contains(rules, "203.0.113.9")
	})
}

// TestWhatCannotBeRemovedIsToldAndTriedAgain: here somebody's own rule leads to our chain.
func TestWhatCannotBeRemovedIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t, movable, nil)
	h.needs("iptables", "ipset")
	h.namespace()
	h.configure("[actions.iptables]\nvariant = \"nft\"\n")
	h.run()
	h.blockByHand("203.0.113.9")
	h.until("it is blocked", func() bool { return strings.Contains(h.kernel(), "add regwarden4 203.0.113.9") })
	h.kill(syscall.SIGTERM)
	foreign := func(verb string) {
		h.command(append(append([]string{}, h.in...), "iptables-nft", "-t", "raw", verb, "OUTPUT", "-j", "REGWARDEN")...)
	}
	foreign("-A")
	h.configure("")
	for range 2 {
		h.run()
		s, err := h.client.Status(t.Context())
		if err != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), "chain REGWARDEN in the raw table, sets regwarden4 and regwarden6; remove it with regwarden flush --config") {
			t.Errorf("want the status to warn, got %q, %v", s.Warnings, err)
		}
		h.kill(syscall.SIGTERM)
	}
	if n := strings.Count(h.log.String(), "could not be removed and goes on blocking"); n != 2 {
		t.Errorf("want it told at each of 2 starts, got %d", n)
	}
	foreign("-D")
	h.run()
	if s, err := h.client.Status(t.Context()); err != nil || strings.Contains(strings.Join(s.Warnings, "\n"), "REGWARDEN") || strings.Contains(h.kernel(), "regwarden") {
		t.Errorf("want nothing left, got %q, %v, %s", s.Warnings, err, h.kernel())
	}
}

// TestFlushRemovesWhatTheDatabaseRemembers, and says what it cannot know.
func TestFlushRemovesWhatTheDatabaseRemembers(t *testing.T) {
	t.Parallel()
	h := newHost(t, movable, nil)
	h.namespace()
	if got, want := h.flush(), `"action":"","removed":[],"unknown":"there is no database`; !strings.Contains(got, want) {
		t.Errorf("want %s, got %s", want, got)
	}
	h.configure("[actions.nftables]\n")
	h.run()
	h.blockByHand("203.0.113.9")
	h.until("it is blocked", func() bool { return strings.Contains(h.rules(), "203.0.113.9") })
	if got := h.flush(); !strings.Contains(got, "a daemon runs with this database") || !strings.Contains(h.rules(), "203.0.113.9") {
		t.Errorf("want it refused while the daemon runs, got %s", got)
	}
	h.kill(syscall.SIGKILL)
	h.configure("[actions.nftables]\ntable = \"other\"\n")
	want := `{"action":"nftables","removed":["table inet regwarden"],"absent":["table inet other"]}` + "\nerror: <nil>\n"
	if got := h.flush(); got != want || strings.Contains(h.rules(), "table inet") {
		t.Errorf("want %s, got %s; the kernel has %s", want, got, h.rules())
	}
	h.configure("")
	want = `{"action":"","removed":[]}` + "\nerror: <nil>\n"
	if got := h.flush(); got != want {
		t.Errorf("want it forgotten: %s, got %s", want, got)
	}
}

// TestAHealIsToldOnceAndCounted, with either firewall, in log and status.
func TestAHealIsToldOnceAndCounted(t *testing.T) {
	for kind, row := range map[string]struct{ firewall, damage string }{
		"nftables": {"[actions.nftables]\nowner = false\n", "nft delete table inet regwarden"},
		"iptables": {"[actions.iptables]\nvariant = \"nft\"\n", "iptables-nft -t raw -F"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, movable, nil)
			h.needs("iptables", "ipset")
			h.namespace()
			h.configure(row.firewall)
			h.run()
			h.blockByHand("203.0.113.9")
			h.until("it is blocked", func() bool { return strings.Contains(h.kernel(), "203.0.113.9") })
			healed := func() (n uint64) {
				s, err := h.client.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range s.Actions {
					n += a.Healed
				}
				return n
			}
			if n := healed(); n != 0 {
				t.Errorf("want nothing healed yet, got %d", n)
			}
			h.command(append(append([]string{}, h.in...), strings.Fields(row.damage)...)...)
			h.until("it is counted", func() bool { return healed() == 1 })
			h.kill(syscall.SIGTERM)
			var warned []string
			for line := range strings.Lines(h.log.String()) {
				if strings.Contains(line, "level=WARN") && strings.Contains(line, "action=") {
					warned = append(warned, line)
				}
			}
			if len(warned) != 1 || !strings.Contains(warned[0], "healed=1") {
				t.Errorf("want one line with the right count, got %q", warned)
			}
		})
	}
}

// TestAFailingFirewallIsToldAtTheEnd, which does not wait for it (that is the runner's test). Here the place is another daemon's.
func TestAFailingFirewallIsToldAtTheEnd(t *testing.T) {
	t.Parallel()
	first, second := newHost(t, kernel, nil), newHost(t, kernel, nil)
	first.namespace()
	second.in = first.in
	first.run()
	first.until("the first has its table", func() bool { return strings.Contains(first.rules(), "table inet regwarden") })
	second.run()
	second.blockByHand("203.0.113.9")
	second.until("the second is refused", func() bool {
		s, err := second.client.Status(t.Context())
		return err == nil && strings.Contains(fmt.Sprint(s.Actions), "another regwarden owns it")
	})
	second.kill(syscall.SIGTERM)
	if !strings.Contains(second.log.String(), "an action did not finish") {
		t.Error("want it told that the action did not finish")
	}
}
