package daemon_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/internal/control"
)

// namespace makes a network namespace with one address, in which the daemon of a host runs.
func (h *host) namespace() string {
	h.t.Helper()
	for _, tool := range []string{"ip", "nft", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			h.t.Skipf("SKIPPED: needs root and %s. Run: sudo make integration", tool)
		}
	}
	name := fmt.Sprintf("rwd%d-%d", os.Getpid(), time.Now().UnixNano()%1e6)
	h.command("ip", "netns", "add", name)
	h.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	h.command("ip", "-n", name, "link", "set", "lo", "up")
	h.command("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
	h.command("ip", "-n", name, "addr", "add", "192.0.2.1/24", "dev", "eth0")
	h.command("ip", "-n", name, "link", "set", "eth0", "up")
	h.in = []string{"ip", "netns", "exec", name}
	return name
}

func (h *host) command(args ...string) string {
	h.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// rules is the ruleset of the host's namespace.
func (h *host) rules() string {
	return h.command(append(append([]string{}, h.in...), "nft", "list", "ruleset")...)
}

const kernel = simple + `
[actions.nftables]
`

// TestBlocksReachTheKernelAndLeaveIt with the blocklist file, the database and the status, within two seconds of their end.
func TestBlocksReachTheKernelAndLeaveIt(t *testing.T) {
	t.Parallel()
	h := newHost(t, kernel, map[string]string{"count": countRule(5)})
	h.namespace()
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 5))
	h.until("the kernel has the block", func() bool { return strings.Contains(h.rules(), "203.0.113.7") })
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "2s", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("the kernel has the short block", func() bool { return strings.Contains(h.rules(), "203.0.113.9") })
	begun := time.Now()
	h.until("it is gone everywhere", func() bool {
		entries, _ := h.client.History(t.Context(), control.HistoryFilter{})
		return !strings.Contains(h.rules(), "203.0.113.9") && !h.listed("203.0.113.9") && h.blocked()["203.0.113.9"] == "" && len(entries) > 0 && entries[0].Verb == "expire"
	})
	if d := time.Since(begun); d > 4*time.Second {
		t.Errorf("a block of 2 s was gone %v after it was seen", d)
	}
	if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.7"}); err != nil {
		t.Fatal(err)
	}
	h.until("the kernel has let go", func() bool { return !strings.Contains(h.rules(), "203.0.113.7") })
}

// TestTheKernelKeepsBlocksWhileTheDaemonIsGone, and loses none by a restart, a kill or a flushed ruleset.
func TestTheKernelKeepsBlocksWhileTheDaemonIsGone(t *testing.T) {
	t.Parallel()
	h := newHost(t, kernel, nil)
	h.namespace()
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	has := func() bool { return strings.Contains(h.rules(), "203.0.113.9") }
	h.until("the kernel has the block", has)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		h.kill(sig)
		if !has() {
			t.Errorf("the block is gone with the daemon (%v)", sig)
		}
		h.run()
	}
	exec.Command(h.in[0], append(append([]string{}, h.in[1:]...), "nft", "flush", "ruleset")...).Run() // refused for a table with an owner
	h.until("the block is there after a flushed ruleset", has)
}

// TestTheHostsOwnLifelinesAreNeverBlocked: its addresses and its gateways, by hand, by a list that is imported (which is by hand, too) and by a rule.
func TestTheHostsOwnLifelinesAreNeverBlocked(t *testing.T) {
	t.Parallel()
	h := newHost(t, "trusted_proxies = [\"203.0.113.1\"]\n"+kernel, map[string]string{"count": countRule(5)})
	name := h.namespace()
	h.command("ip", "-n", name, "addr", "add", "2001:db8:7::1/64", "dev", "eth0", "nodad")
	h.command("ip", "-n", name, "link", "set", "eth1", "up")
	h.command("ip", "-n", name, "route", "add", "default", "via", "192.0.2.254")
	h.command("ip", "-n", name, "route", "add", "default", "via", "2001:db8:7::fe")
	h.run()
	for target, why := range map[string]string{"192.0.2.1": "own address", "192.0.2.254": "gateway", "2001:db8:7::1": "own address", "2001:db8:7::9": "2001:db8:7::/64 is never blocked", "2001:db8:7::/64": "own address",
		"2001:db8:7::fe": "gateway", "192.0.2.0/24": "", "0.0.0.0/0": "wider", "::/0": "wider", "127.0.0.1": "loopback", "203.0.113.1": "trusted_proxies"} {
		_, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "test"})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: want it refused for %q, got %v", target, why, err)
		}
	}
	h.append("access.log", strings.Repeat(line("192.0.2.254"), 6)+strings.Repeat(line("192.0.2.1"), 6)+strings.Repeat(line("203.0.113.1"), 6)+strings.Repeat(line("203.0.113.7"), 6))
	h.until("the one that may be blocked is", func() bool { return strings.Contains(h.rules(), "203.0.113.7") })
	if got := h.blocked(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestAReloadThatMovesTheFirewallLeavesNothingBehind: another table, and then none.
func TestAReloadThatMovesTheFirewallLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := newHost(t, kernel, nil)
	h.namespace()
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("the kernel has the block", func() bool { return strings.Contains(h.rules(), "203.0.113.9") })
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	h.write("rules.d/other.toml", countRule(9))
	if _, err := h.client.Reload(t.Context()); err != nil { // one that leaves the actions as they are
		t.Fatal(err)
	}
	for _, step := range []struct{ table, want, gone string }{
		{"[actions.nftables]\nports = [443]\n", "table inet regwarden", "nothing"},
		{"[actions.nftables]\ntable = \"other\"\n", "table inet other", "table inet regwarden"},
		{"", "", "table inet"},
	} {
		h.write("regwarden.toml", strings.Replace(string(text), "[actions.nftables]\n", step.table, 1))
		if _, err := h.client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.until(fmt.Sprintf("the kernel has %q and not %q", step.want, step.gone), func() bool {
			rules := h.rules()
			return strings.Contains(rules, step.want) && !strings.Contains(rules, step.gone) && (step.want == "" || strings.Contains(rules, "203.0.113.9"))
		})
	}
}

// TestASecondDaemonMayNotHaveTheSameFirewall: not with a table that anybody may change either, and not with iptables.
func TestASecondDaemonMayNotHaveTheSameFirewall(t *testing.T) {
	for kind, table := range map[string]string{"plain nftables": "[actions.nftables]\nowner = false\n", "iptables": "[actions.iptables]\n"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			first, second := newHost(t, simple+table, nil), newHost(t, simple+table, nil)
			first.namespace()
			second.in = first.in
			first.run()
			healthy := func(h *host) (bool, string) {
				s, err := h.client.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range s.Actions {
					if a.Name == "nftables" || a.Name == "iptables" {
						return a.Healthy && a.Pending == 0 && !a.LastSuccess.IsZero(), a.LastError
					}
				}
				return false, ""
			}
			first.until("the first has its firewall", func() bool { ok, _ := healthy(first); return ok })
			second.run()
			second.until("the second is refused", func() bool { _, why := healthy(second); return strings.Contains(why, "another regwarden owns it") })
			first.kill(syscall.SIGKILL)
			second.until("the second takes over when the first is gone", func() bool { ok, _ := healthy(second); return ok })
		})
	}
}

// TestADryRunLetsEarlierBlocksThrough: who switches it on in a hurry wants everybody in.
func TestADryRunLetsEarlierBlocksThrough(t *testing.T) {
	t.Parallel()
	h := newHost(t, "# dry\n"+kernel, nil)
	h.namespace()
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("it is blocked", func() bool { return h.listed("203.0.113.9") && strings.Contains(h.rules(), "203.0.113.9") })
	text, _ := os.ReadFile(h.path("regwarden.toml"))
	for _, dry := range []bool{true, false} {
		h.write("regwarden.toml", strings.Replace(string(text), "# dry\n", fmt.Sprintf("dry_run = %v\n", dry), 1))
		if _, err := h.client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.until(fmt.Sprintf("dry_run = %v is so in file and kernel", dry), func() bool {
			return h.listed("203.0.113.9") == !dry && strings.Contains(h.rules(), "203.0.113.9") == !dry
		})
	}
}

// TestAnAddressThatBecomesALifelineIsFreedAtOnce: the host's own, and its gateway; the look each minute is far off.
func TestAnAddressThatBecomesALifelineIsFreedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, kernel, nil)
	name := h.namespace()
	h.command("ip", "-n", name, "link", "set", "eth1", "up")
	h.run()
	targets := []string{"192.0.2.7", "192.0.2.254", "2001:db8:7::1", "203.0.113.9"}
	for _, target := range targets {
		h.blockByHand(target)
	}
	h.until("all are blocked", func() bool {
		rules := h.rules()
		return len(h.blocked()) == 4 && strings.Contains(rules, "192.0.2.7") && strings.Contains(rules, "192.0.2.254")
	})
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.10", For: "1s", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	h.until("the core has looked at the clock", func() bool { return h.blocked()["203.0.113.10"] == "" }) // and at its host, for the first time
	began := time.Now()
	h.command("ip", "-n", name, "addr", "add", "192.0.2.7/24", "dev", "eth0")
	h.command("ip", "-n", name, "addr", "add", "2001:db8:7::1/64", "dev", "eth0", "nodad")
	h.command("ip", "-n", name, "route", "add", "default", "via", "192.0.2.254")
	h.until("they are free", func() bool {
		rules := h.rules()
		_, sets, _ := strings.Cut(rules, "set v4_32")
		return len(h.blocked()) == 1 && !strings.Contains(sets, "192.0.2.254") && strings.Contains(rules, "203.0.113.9")
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("want it heard of, not looked for each minute, got %v", took)
	}
}
