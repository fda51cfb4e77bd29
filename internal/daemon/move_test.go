package daemon_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"regwarden/internal/control"
)

// inside runs a command in the host's namespace.
func (h *host) inside(line string) string {
	h.t.Helper()
	return h.command(append(append([]string{}, h.in...), "sh", "-ec", line)...)
}

// TestAReloadToAFirewallThatCannotWorkChangesNothing: the old one, its blocks and its configuration stay, and it goes on working.
func TestAReloadToAFirewallThatCannotWorkChangesNothing(t *testing.T) {
	for name, row := range map[string]struct{ from, prepare, to, want string }{
		"another's table":           {"[actions.nftables]\n", "nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; }'; nft add rule inet filter input tcp dport 22 drop", "[actions.nftables]\ntable = \"filter\"\n", "table inet filter: it is there already and is not regwarden's"},
		"another's chain":           {"[actions.nftables]\n", "iptables-nft -t raw -N MYCHAIN; iptables-nft -t raw -A MYCHAIN -p tcp --dport 22 -j DROP", "[actions.iptables]\nchain = \"MYCHAIN\"\n", "chain MYCHAIN in the raw table"},
		"nftables to another's set": {"[actions.nftables]\n", "ipset create mine6 hash:ip family inet6", "[actions.iptables]\nset = \"mine\"\n", "somebody else's set"},
		"our chain, other's set":    {"[actions.iptables]\nvariant = \"nft\"\n", "ipset create mine6 hash:ip family inet6", "[actions.iptables]\nvariant = \"nft\"\nset = \"mine\"\n", "somebody else's set"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, movable, nil)
			h.needs("iptables", "ipset")
			h.namespace()
			h.configure(row.from)
			h.inside(row.prepare)
			h.run()
			h.blockByHand("203.0.113.9")
			h.until("it is blocked", func() bool { return strings.Contains(h.kernel(), "203.0.113.9") })
			blocked := func(target string) bool {
				return strings.Contains(h.inside("nft list sets inet; ipset save"), target)
			}
			h.configure(row.to)
			for range 2 {
				if _, err := h.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("want %q, got %v", row.want, err)
				}
				if !blocked("203.0.113.9") {
					t.Error("want the block where it was")
				}
			}
			s, err := h.client.Status(t.Context())
			if err != nil || !strings.Contains(s.ReloadError, row.want) {
				t.Errorf("want the status to tell, got %q, %v", s.ReloadError, err)
			}
			h.blockByHand("203.0.113.10")
			h.until("the old one goes on working", func() bool { return blocked("203.0.113.10") })
			if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.9"}); err != nil {
				t.Fatal(err)
			}
			h.until("it lets go, too", func() bool { return !blocked("203.0.113.9") })
			h.configure(row.from)
			if _, err := h.client.Reload(t.Context()); err != nil {
				t.Errorf("want the old configuration to be right still, got %v", err)
			}
			if s, err := h.client.Status(t.Context()); err != nil || strings.Contains(strings.Join(s.Warnings, " "), "earlier configuration") {
				t.Errorf("want nothing left behind, got %q, %v", s.Warnings, err)
			}
		})
	}
}

// TestAReloadToAnotherDaemonsFirewallChangesNothing, with the flag by which the kernel knows the owner, and without.
func TestAReloadToAnotherDaemonsFirewallChangesNothing(t *testing.T) {
	for name, row := range map[string]struct{ table, chain string }{
		"nftables": {"[actions.nftables]\n", "[actions.nftables]\ntable = \"mine\"\n"},
		"plain":    {"[actions.nftables]\nowner = false\n", "[actions.nftables]\ntable = \"mine\"\nowner = false\n"},
		"iptables": {"[actions.iptables]\n", "[actions.iptables]\nchain = \"MINE\"\nset = \"mine\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := newHost(t, movable, nil), newHost(t, movable, nil)
			first.needs("iptables", "ipset")
			first.namespace()
			second.in = first.in
			first.configure(row.table)
			second.configure(row.chain)
			first.run()
			second.run()
			first.blockByHand("203.0.113.8")
			second.blockByHand("203.0.113.9")
			both := func() bool {
				k := first.kernel()
				return strings.Contains(k, "203.0.113.8") && strings.Contains(k, "203.0.113.9")
			}
			first.until("both block", both)
			second.configure(row.table)
			if _, err := second.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "another regwarden owns it") || strings.Contains(err.Error(), "table of another name") == (name == "iptables") {
				t.Errorf("want it refused in words that fit, got %v", err)
			}
			if !both() {
				t.Error("want both to block still")
			}
		})
	}
}

// TestAReloadLeavesNoGap: what the kernel tells of changes has the blocks in the new place before they leave the old one.
func TestAReloadLeavesNoGap(t *testing.T) {
	t.Parallel()
	h := newHost(t, movable, nil)
	h.needs("iptables", "ipset")
	h.namespace()
	h.configure("[actions.nftables]\nowner = false\n")
	h.run()
	h.blockByHand("203.0.113.9")
	h.until("it is blocked", func() bool { return strings.Contains(h.rules(), "203.0.113.9") })
	told := func() string {
		text, err := os.ReadFile(h.path("told"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	h.write("told", "")
	out, err := os.OpenFile(h.path("told"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	monitor := exec.Command(h.in[0], append(append([]string{}, h.in[1:]...), "nft", "monitor")...)
	monitor.Stdout = out
	if err := monitor.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { monitor.Process.Kill(); monitor.Wait() }()
	h.until("somebody listens", func() bool {
		h.inside("nft add table ip probe; nft delete table ip probe")
		return strings.Contains(told(), "probe")
	})
	h.configure("[actions.nftables]\ntable = \"other\"\nowner = false\n")
	if _, err := h.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.until("the old one has gone", func() bool { return strings.Contains(told(), "delete table inet regwarden") })
	added, removed := strings.Index(told(), "add element inet other v4_32 { 203.0.113.9"), strings.Index(told(), "delete table inet regwarden")
	if added < 0 || added > removed {
		t.Errorf("want the new one filled before the old one goes, got %s", told())
	}
}

// TestAReloadMovesBetweenFirewallsThatShareParts: a chain, sets, neither, another variant and another kind.
func TestAReloadMovesBetweenFirewallsThatShareParts(t *testing.T) {
	t.Parallel()
	h := newHost(t, movable, nil)
	h.needs("iptables", "ipset", "iptables-legacy")
	h.namespace()
	h.configure("[actions.iptables]\nvariant = \"nft\"\n")
	h.run()
	h.blockByHand("203.0.113.9")
	h.until("it is blocked", func() bool { return strings.Contains(h.kernel(), "add regwarden4 203.0.113.9") })
	for _, step := range []struct{ firewall, want, gone string }{
		{"[actions.iptables]\nvariant = \"nft\"\nchain = \"MINE\"\n", "-A MINE -m set --match-set regwarden4", "REGWARDEN"},
		{"[actions.iptables]\nvariant = \"nft\"\nchain = \"MINE\"\nset = \"mine\"\n", "add mine4 203.0.113.9", "regwarden4"},
		{"[actions.iptables]\nvariant = \"nft\"\nchain = \"MINE\"\nset = \"mine\"\nipset = \"never\"\n", "-A MINE -s 203.0.113.9/32 -j DROP", "mine4"},
		{"[actions.iptables]\nvariant = \"legacy\"\nchain = \"MINE\"\nset = \"mine\"\n", "add mine4 203.0.113.9", "-A MINE -s"},
		{"[actions.nftables]\n", "table inet regwarden {", "mine4"},
		{"[actions.nftables]\nports = [443]\n", "set ports {", "nothing"},
		{"", "", "203.0.113.9"},
	} {
		h.configure(step.firewall)
		if _, err := h.client.Reload(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.firewall, err)
		}
		got := h.kernel()
		if !strings.Contains(got, step.want) || strings.Contains(got, step.gone) {
			t.Errorf("%swant %q and not %q, got %s", step.firewall, step.want, step.gone, got)
		}
		if s, err := h.client.Status(t.Context()); err != nil || strings.Contains(strings.Join(s.Warnings, " "), "earlier configuration") {
			t.Errorf("want nothing left behind, got %q, %v", s.Warnings, err)
		}
	}
}
