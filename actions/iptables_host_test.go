package actions_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
	"regwarden/detector"
)

func init() {
	netlab.Child("lock", func(args []string) {
		f, err := os.OpenFile(args[0], os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("locked")
		select {} // until it is killed
	})
	netlab.Child("check", func(args []string) {
		var problems, notes []string
		if a, err := actions.NewNFTables(actions.NFTablesOptions{}); err == nil && args[0] == "nftables" {
			problems, notes = a.Check()
		}
		if a, err := actions.NewIPTables(actions.IPTablesOptions{}); err == nil && args[0] == "iptables" {
			problems, notes = a.Check()
		}
		fmt.Println(strings.Join(problems, " | "))
		fmt.Println(strings.Join(notes, " | "))
	})
	netlab.Child("iptables-once", func(args []string) {
		a, err := actions.NewIPTables(actions.IPTablesOptions{Variant: args[0], PreferIPSet: args[1]})
		if err == nil {
			err = a.Sync(context.Background(), []detector.Block{xtBlock("203.0.113.0/24", time.Hour), xtBlock("2001:db8:2::/64", time.Hour)})
		}
		if err == nil {
			err = a.Apply(context.Background(), []detector.Change{xtChange(detector.ChangeBlock, "203.0.113.7/32", time.Hour)})
		}
		fmt.Println("result:", err)
		problems, _ := a.Check()
		fmt.Println("problems:", strings.Join(problems, " | "))
	})
}

func TestIPTablesNeedsNoRoot(t *testing.T) {
	const all = "203.0.113.0/24 203.0.113.7/32 2001:db8:2::/64"
	admin, raw := uintptr(unix.CAP_NET_ADMIN), uintptr(unix.CAP_NET_RAW)
	for _, r := range []struct {
		variant, sets  string
		capabilities   []uintptr
		lock           string // whether the unit gives the lock a directory
		result, kernel string
		problems       string
	}{
		{"nft", "require", []uintptr{admin, raw}, "", "<nil>", all, ""},
		{"nft", "auto", []uintptr{admin}, "", "<nil>", all, ""},
		{"nft", "require", []uintptr{admin}, "", "-m set wants CAP_NET_RAW too", "", "CAP_NET_RAW is missing"},
		{"nft", "never", []uintptr{admin}, "", "<nil>", all, ""},
		{"legacy", "require", []uintptr{admin, raw}, "own", "<nil>", all, ""},
		{"legacy", "require", []uintptr{admin, raw}, "", "set XTABLES_LOCKFILE", "", "set XTABLES_LOCKFILE"},
		{"legacy", "auto", []uintptr{admin}, "own", "not permitted", "", "CAP_NET_RAW is missing, which legacy iptables wants"},
		{"nft", "auto", nil, "", "not permitted", "", "CAP_NET_ADMIN is missing"},
	} {
		t.Run(fmt.Sprintf("%s sets=%s %v lock=%s", r.variant, r.sets, r.capabilities, r.lock), func(t *testing.T) {
			l := netlab.Standard(t)
			if r.variant == "legacy" {
				xtNeed(t, l.Server, r.variant)
			}
			const nobody = 65534
			lock := "/run/xtables.lock"
			if r.lock != "" {
				dir := t.TempDir()
				lock = dir + "/xtables.lock"
				for d := dir; d != os.TempDir() && d != "/"; d = d[:strings.LastIndex(d, "/")] {
					if err := os.Chmod(d, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chown(dir, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("XTABLES_LOCKFILE", lock)
			p := l.Server.Start(t, "iptables-once", netlab.StartOptions{Args: []string{r.variant, r.sets}, UID: nobody, Capabilities: r.capabilities})
			if got := p.Line(t); !strings.Contains(got, r.result) {
				t.Errorf("want %s, got %s", r.result, got)
			}
			if got := p.Line(t); !strings.Contains(got, r.problems) || (r.problems == "") != (got == "problems: ") {
				t.Errorf("want the problems to say %q, got %s", r.problems, got)
			}
			if got := xtHeld(t, l.Server, r.variant); got != r.kernel && r.result == "<nil>" {
				t.Errorf("want %q, got %q", r.kernel, got)
			}
		})
	}
}

// TestCheckWithoutTheCapabilitySaysWhatItCouldNotLookAt, instead of what it did not see.
func TestCheckWithoutTheCapabilitySaysWhatItCouldNotLookAt(t *testing.T) {
	l := netlab.Standard(t)
	xtNeed(t, l.Server, "nft")
	for _, kind := range []string{"nftables", "iptables"} {
		p := l.Server.Start(t, "check", netlab.StartOptions{Args: []string{kind}, UID: 65534})
		problems, notes := p.Line(t), p.Line(t)
		if !strings.Contains(problems, "CAP_NET_ADMIN") || strings.Contains(problems, "|") {
			t.Errorf("%s: want the capability missed, and nothing else, got %s", kind, problems)
		}
		if !strings.Contains(notes, "not looked at, for that takes CAP_NET_ADMIN") || !strings.Contains(notes, "Linux ") || strings.Contains(notes, " 0 ") {
			t.Errorf("%s: want it said what was not looked at, got %s", kind, notes)
		}
	}
}

func TestIPTablesChoosesTheVariantThatTheHostUses(t *testing.T) {
	for _, r := range []struct{ name, rules, want, why string }{
		{"nothing there", "", "nft", "0 rules and chains in nft and 0 in legacy"},
		{"Docker in legacy", "iptables-legacy -N DOCKER; iptables-legacy -A FORWARD -j DOCKER", "legacy", "0 rules and chains in nft and 2 in legacy"},
		{"Docker in nft", "iptables-nft -N DOCKER; iptables-nft -A FORWARD -j DOCKER; iptables-legacy -A INPUT -j ACCEPT", "nft", "2 rules and chains in nft and 1 in legacy"},
		{"own rules do not count", "iptables-legacy -t raw -N REGWARDEN; iptables-legacy -t raw -A REGWARDEN -i lo -j RETURN; iptables-legacy -t raw -I PREROUTING -j REGWARDEN", "nft", "0 in legacy"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			l := netlab.Standard(t)
			xtNeed(t, netlab.New(t, "other"), "legacy")
			if r.rules != "" {
				l.Server.Command(t, "sh", "-c", r.rules)
			}
			a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD()})
			problems, notes := a.Check()
			if len(problems) != 0 || len(notes) == 0 || !strings.Contains(notes[0], "the "+r.want+" variant: the host has ") || !strings.Contains(notes[0], r.why) {
				t.Errorf("want the %s variant because of %s, got problems %q, notes %q", r.want, r.why, problems, notes)
			}
			xtSync(t, a, xtBlock("203.0.113.7/32", time.Hour))
			for _, variant := range []string{"nft", "legacy"} {
				if got, want := xtLinesWith(xtRaw(t, l.Server, variant), "REGWARDEN") > 0, variant == r.want; got != want {
					t.Errorf("want our chain in %s: %v, got %v", variant, want, got)
				}
			}
		})
	}
}

func TestIPTablesFlushRemovesWhatIsOursOnly(t *testing.T) {
	xtEachWay(t, func(t *testing.T, l *netlab.Lab, o actions.IPTablesOptions) {
		others := `for i in iptables ip6tables; do $i-V -t raw -A PREROUTING -p tcp --dport 1 -j DROP; $i-V -t raw -N OTHER; $i-V -A INPUT -j ACCEPT; done
			ipset create other hash:net timeout 0; ipset create regwarden hash:ip`
		l.Server.Command(t, "sh", "-c", strings.ReplaceAll(others, "-V", "-"+o.Variant))
		all := func() string {
			s := l.Server.Command(t, "ipset", "save")
			for _, program := range []string{"iptables-", "ip6tables-"} {
				s += l.Server.Command(t, program+o.Variant+"-save")
			}
			return string(slices.DeleteFunc([]byte(s), func(b byte) bool { return b >= '0' && b <= '9' })) // times and counters
		}
		before := all()
		a := ipTables(t, o)
		xtSync(t, a, xtBlock("203.0.113.7/32", time.Hour), xtBlock("2001:db8:2::/64", time.Hour))
		if all() == before {
			t.Fatal("want a difference before")
		}
		for range 2 {
			if _, err := ipTables(t, o).Flush(t.Context()); err != nil { // as the verb does, in another process
				t.Fatal(err)
			}
			if got := all(); got != before {
				t.Errorf("want\n%s\ngot\n%s", before, got)
			}
		}
		apply(t, a, xtChange(detector.ChangeBlock, "203.0.113.8/32", time.Hour))
	})
}

func TestIPTablesRefusesANamespaceThatLeadsNowhere(t *testing.T) {
	n := netlab.New(t, "nowhere")
	a := ipTables(t, actions.IPTablesOptions{Namespace: n.FD()})
	err := a.Sync(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "PrivateNetwork") {
		t.Errorf("want it refused, got %v", err)
	}
	if problems, _ := a.Check(); len(problems) != 1 || !strings.Contains(problems[0], "PrivateNetwork") {
		t.Errorf("want check to say so, got %q", problems)
	}
}

func TestIPTablesLeavesOthersSetsAlone(t *testing.T) {
	for _, create := range []string{"hash:ip", "hash:net family inet6", "list:set"} {
		t.Run(create, func(t *testing.T) {
			l := netlab.Standard(t)
			l.Server.Command(t, "sh", "-c", "ipset create regwarden4 "+create)
			a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD()})
			want := "somebody else's set has that name"
			if err := a.Sync(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
			if _, err := a.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		})
	}
}

func TestIPTablesHundredThousandBlocks(t *testing.T) {
	l := netlab.Standard(t)
	a := ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), PreferIPSet: "require"})
	blocks := make([]detector.Block, 100_000)
	for i := range blocks {
		target := netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}).String() + "/32" // no packet goes there
		if i%4 == 0 {
			target = fmt.Sprintf("2001:db8:%x:%x::/64", i>>16, i&0xffff)
		}
		blocks[i] = xtBlock(target, time.Hour)
	}
	xtSync(t, a, blocks...)
	for range 2 {
		began, cpu := time.Now(), netlab.CPU()
		xtSync(t, a, blocks...)
		used := netlab.CPU() - cpu
		t.Logf("100,000 blocks written anew in %v, %v of CPU", time.Since(began).Round(time.Millisecond), used.Round(time.Millisecond))
	}
	best := time.Hour
	for i := range 20 {
		began := time.Now()
		apply(t, a, xtChange(detector.ChangeBlock, fmt.Sprintf("198.51.100.%d/32", i), time.Hour))
		best = min(best, time.Since(began))
	}
	t.Logf("one more block: %v", best)
	n := 0
	for line := range strings.Lines(l.Server.Command(t, "ipset", "list", "-t")) {
		var entries int
		if _, err := fmt.Sscanf(line, "Number of entries: %d", &entries); err == nil {
			n += entries
		}
	}
	if n != 100_020 {
		t.Errorf("want 100020 elements, got %d", n)
	}
}
