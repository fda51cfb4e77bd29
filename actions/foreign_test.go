package actions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

// operators are what an operator has already, under the names that a firewall is then told to use.
var operators = []struct {
	name, command, options string
	make                   func(n *netlab.Namespace) (actions.Firewall, error)
}{
	{"a table", "nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; }'; nft add rule inet filter input tcp dport 22 drop", "table in [actions.nftables]",
		func(n *netlab.Namespace) (actions.Firewall, error) {
			return actions.NewNFTables(actions.NFTablesOptions{Table: "filter", Namespace: n.FD()})
		}},
	{"a table, of ours one that others may change", "nft add table inet filter; nft add set inet filter never4 '{ type ipv4_addr; flags interval; }'; nft add counter inet filter blocked4", "table in [actions.nftables]",
		func(n *netlab.Namespace) (actions.Firewall, error) {
			return actions.NewNFTables(actions.NFTablesOptions{Table: "filter", Plain: true, Namespace: n.FD()})
		}},
	{"a chain in nft", "iptables-nft -t raw -N MYCHAIN; iptables-nft -t raw -A MYCHAIN -p tcp --dport 22 -j DROP; iptables-nft -t raw -A PREROUTING -j MYCHAIN", "chain in [actions.iptables]", xtNamed("MYCHAIN", "regwarden", "nft")},
	{"a chain in legacy", "iptables-legacy -t raw -N MYCHAIN; iptables-legacy -t raw -A MYCHAIN -s 203.0.113.5 -j DROP; iptables-legacy -t raw -A PREROUTING -j MYCHAIN", "chain in [actions.iptables]", xtNamed("MYCHAIN", "regwarden", "legacy")},
	{"a chain for IPv6 only", "ip6tables-nft -t raw -N MYCHAIN; ip6tables-nft -t raw -A MYCHAIN -p tcp --dport 22 -j DROP", "chain in [actions.iptables]", xtNamed("MYCHAIN", "regwarden", "nft")},
	{"a chain of the name that ours has while it is made", "iptables-nft -t raw -N MYCHAIN-new; iptables-nft -t raw -A MYCHAIN-new -p tcp --dport 22 -j DROP", "chain in [actions.iptables]", xtNamed("MYCHAIN", "regwarden", "nft")},
	{"a set", "ipset create mine4 hash:net timeout 0; ipset add mine4 203.0.113.5", "set in [actions.iptables]", xtNamed("REGWARDEN", "mine", "nft")},
	{"the second set", "ipset create mine6 hash:net family inet6; ipset add mine6 2001:db8::/64", "set in [actions.iptables]", xtNamed("REGWARDEN", "mine", "nft")},
}

func xtNamed(chain, set, variant string) func(n *netlab.Namespace) (actions.Firewall, error) {
	return func(n *netlab.Namespace) (actions.Firewall, error) {
		return actions.NewIPTables(actions.IPTablesOptions{Chain: chain, SetName: set, Variant: variant, Namespace: n.FD()})
	}
}

// everything is all that the kernel holds of firewalls, without times and counters.
func everything(t *testing.T, n *netlab.Namespace) string {
	t.Helper()
	all := n.Command(t, "ipset", "save") + n.Command(t, "nft", "list", "ruleset")
	for _, program := range []string{"iptables-legacy-save", "ip6tables-legacy-save"} {
		for line := range strings.Lines(n.Command(t, program)) {
			if strings.HasPrefix(line, "-A ") {
				all += line
			}
		}
	}
	return all
}

// TestWhatIsNotOursIsNotTouched: a table, chain or set of the operator's that has the configured name is refused by check, run and flush.
func TestWhatIsNotOursIsNotTouched(t *testing.T) {
	for _, row := range operators {
		t.Run(row.name, func(t *testing.T) {
			l := netlab.Standard(t)
			xtNeed(t, l.Server, "legacy")
			netlab.NeedCommand(t, "nft", "nftables")
			l.Server.Command(t, "sh", "-ec", row.command)
			before := everything(t, l.Server)
			a, err := row.make(l.Server)
			if err != nil {
				t.Fatal(err)
			}
			problems, _ := a.Check()
			removed, flushed := a.Flush(t.Context())
			block := hostChange(detector.ChangeBlock, "203.0.113.8/32", time.Hour)
			for what, err := range map[string]error{
				"check": fmt.Errorf("%s", strings.Join(problems, "; ")), "sync": a.Sync(t.Context(), []detector.Block{block.Block}),
				"apply": a.Apply(t.Context(), []detector.Change{block}), "flush": flushed,
			} {
				if err == nil || !strings.Contains(err.Error(), row.options) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: want it refused in one line that names %s, got %v", what, row.options, err)
				}
			}
			if removed {
				t.Error("want nothing removed")
			}
			if got := everything(t, l.Server); got != before {
				t.Errorf("want nothing touched\n%s\ngot\n%s", before, got)
			}
		})
	}
}

// TestALeftoverIsRecognised: whatever an earlier run was told, and whatever was done to it since, it is taken over and flushed.
func TestALeftoverIsRecognised(t *testing.T) {
	ports, never := []uint16{80, 443}, hostBlock("198.51.100.0/24", time.Hour).Target
	for _, o := range []actions.IPTablesOptions{
		{PreferIPSet: "require"}, {PreferIPSet: "require", Ports: ports}, {PreferIPSet: "never"}, {PreferIPSet: "never", Ports: ports}, {PreferIPSet: "require", SetName: "other"},
	} {
		for _, variant := range []string{"nft", "legacy"} {
			for _, damage := range []string{"true", "iptables-" + variant + " -t raw -F", "iptables-" + variant + " -t raw -D REGWARDEN -i lo -j RETURN"} {
				if strings.Contains(damage, "lo") && o.PreferIPSet == "never" || o.SetName != "" && damage != "true" {
					continue // then nothing tells it from another's
				}
				o := o // each subtest's own
				t.Run(fmt.Sprintf("%s sets=%s%s ports=%v %s", variant, o.SetName, o.PreferIPSet, o.Ports, damage), func(t *testing.T) {
					t.Parallel()
					l := netlab.Standard(t)
					xtNeed(t, l.Server, variant)
					o.Variant, o.Namespace = variant, l.Server.FD()
					o.Never = append(o.Never, never)
					xtSync(t, ipTables(t, o), xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", time.Hour))
					l.Server.Command(t, "sh", "-ec", damage)
					now := actions.IPTablesOptions{Variant: variant, Namespace: l.Server.FD()}
					a := ipTables(t, now)
					xtSync(t, a, xtBlock("203.0.113.8/32", time.Hour))
					if got := xtHeld(t, l.Server, variant); !strings.Contains(got, "203.0.113.8/32") {
						t.Errorf("want it taken over, got %q", got)
					}
					for _, want := range []bool{true, false} {
						if removed, err := a.Flush(t.Context()); err != nil || removed != want {
							t.Errorf("want it removed: %v, got %v, %v", want, removed, err)
						}
					}
				})
			}
		}
	}
}

// TestAFlushIsWholeOrNothing: where one set is somebody else's, or used by another's rule, the chain stays too, as the message says.
func TestAFlushIsWholeOrNothing(t *testing.T) {
	for name, row := range map[string]struct{ command, want string }{
		"the second set is another's":  {"ip6tables-nft -t raw -F; ipset destroy regwarden6; ipset create regwarden6 hash:ip family inet6", "somebody else's set"},
		"another's rule asks our set":  {"iptables-nft -A INPUT -m set --match-set regwarden4 src -j DROP", "a rule that is not ours uses it"},
		"another's rule leads to ours": {"ip6tables-nft -t raw -A OUTPUT -j REGWARDEN", "a rule that is not ours leads there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			xtNeed(t, l.Server, "nft")
			xtSync(t, ipTables(t, actions.IPTablesOptions{Variant: "nft", Namespace: l.Server.FD()}), xtBlock("203.0.113.7/32", time.Hour))
			l.Server.Command(t, "sh", "-ec", row.command)
			before := xtRaw(t, l.Server, "nft")
			removed, err := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD()}).Flush(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) || removed {
				t.Errorf("want %q and nothing removed, got %v, %v", row.want, removed, err)
			}
			if got := xtRaw(t, l.Server, "nft"); got != before || xtHeld(t, l.Server, "nft") != "203.0.113.7/32" {
				t.Errorf("want all as before\n%s\ngot\n%s", before, got)
			}
		})
	}
}

// TestFlushBesideSparesWhatIsUsed: the chain, or the sets.
func TestFlushBesideSparesWhatIsUsed(t *testing.T) {
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "nft")
	make := func(chain, set string) *actions.IPTables {
		return ipTables(t, actions.IPTablesOptions{Variant: "nft", Chain: chain, SetName: set, Namespace: l.Server.FD()})
	}
	held := func(want string) {
		t.Helper()
		if got := l.Server.Command(t, "ipset", "list", "-n") + xtRaw(t, l.Server, "nft"); strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
	rules := func(chain, set string) string {
		return "-A PREROUTING -j " + chain + " -A " + chain + " -i lo -j RETURN -A " + chain + " -m set --match-set " + set + "4 src -j DROP"
	}
	xtSync(t, make("ONE", "one"), xtBlock("203.0.113.7/32", time.Hour))
	xtSync(t, make("TWO", "one"), xtBlock("203.0.113.7/32", time.Hour))
	if _, err := make("ONE", "one").FlushBeside(t.Context(), "TWO", "one"); err != nil {
		t.Fatal(err)
	}
	held("one4 one6 " + rules("TWO", "one"))
	xtSync(t, make("TWO", "two"), xtBlock("203.0.113.7/32", time.Hour))
	if _, err := make("TWO", "one").FlushBeside(t.Context(), "TWO", "two"); err != nil {
		t.Fatal(err)
	}
	held("two4 two6 " + rules("TWO", "two"))
}
