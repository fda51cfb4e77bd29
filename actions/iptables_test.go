package actions_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/detector"
)

func TestIPTablesOptionsAreChecked(t *testing.T) {
	for _, r := range []struct {
		options actions.IPTablesOptions
		want    string
	}{
		{actions.IPTablesOptions{Chain: "-F"}, `chain "-F": want 1 to 24 letters, digits, dots, dashes or underscores`},
		{actions.IPTablesOptions{Chain: strings.Repeat("x", 25)}, `chain "` + strings.Repeat("x", 25) + `": want 1 to 24 letters, digits, dots, dashes or underscores`},
		{actions.IPTablesOptions{Chain: "INPUT"}, `chain "INPUT": the name is taken by iptables itself`},
		{actions.IPTablesOptions{SetName: "a b"}, `set name "a b": want 1 to 26 letters, digits, dots, dashes or underscores`},
		{actions.IPTablesOptions{Mode: "reject"}, `mode "reject": iptables can reject only in its filter table, which other programs flush and which sees published ports too late: want "drop", or the nftables action`},
		{actions.IPTablesOptions{Mode: "tarpit"}, `mode "tarpit": want "drop"`},
		{actions.IPTablesOptions{Variant: "ebtables"}, `variant "ebtables": want auto, nft or legacy`},
		{actions.IPTablesOptions{PreferIPSet: "yes"}, `prefer ipset "yes": want auto, require or never`},
		{actions.IPTablesOptions{Ports: make([]uint16, 16)}, `16 ports: iptables takes at most 15, or none for all`},
		{actions.IPTablesOptions{Ports: []uint16{443, 0}}, `port 0: want 1 to 65535`},
		{actions.IPTablesOptions{Timeout: -1}, `lock timeout -1 s: want at least 1, for without one iptables waits for ever`},
		{actions.IPTablesOptions{RuleCap: -1}, `rule cap -1: want at least 1`},
		{actions.IPTablesOptions{Never: []netip.Prefix{netip.MustParsePrefix("::/0")}}, `never-block network ::/0: it would mean everybody`},
		{actions.IPTablesOptions{Never: []netip.Prefix{{}}}, `never-block network invalid Prefix: not an address or network`},
	} {
		r.options.Name = "fw"
		if _, err := actions.NewIPTables(r.options); err == nil || err.Error() != "action fw: "+r.want {
			t.Errorf("want %q, got %v", r.want, err)
		}
	}
	a, err := actions.NewIPTables(actions.IPTablesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Name() != "iptables" || a.Kind() != "iptables" || !a.Holds(detector.ScopeHost) || a.Holds(detector.ScopeRepository) {
		t.Errorf("want iptables, which holds hosts, got %s %s", a.Name(), a.Kind())
	}
}

// fakeIPTables puts programs of all names on the path that do what the script says; nothing of the host is touched.
func fakeIPTables(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	for _, base := range []string{"iptables", "ip6tables"} {
		for _, variant := range []string{"", "-nft", "-legacy"} {
			version, what := "v1.8.9 (nf_tables)", script
			if variant == "-legacy" {
				version = "v1.8.9 (legacy)"
			}
			text := fmt.Sprintf("#!/bin/sh\ncase $1 in --version) echo '%s %s'; exit;; esac\n%s\n", base, version, what)
			for name, text := range map[string]string{base + variant: text, base + variant + "-save": "#!/bin/sh\nexit 0\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
}

func TestIPTablesSaysWhatAnErrorMeans(t *testing.T) {
	for _, r := range []struct {
		status     int
		said, want string
	}{
		{4, "Another app is currently holding the xtables lock; still 4s 0us time ahead to have a chance to grab the lock...\nAnother app is currently holding the xtables lock. Stopped waiting after 5s.",
			"another program holds the xtables lock; it is tried again"},
		{4, "iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
			"not permitted: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW"},
		{4, "Fatal: can`t open lock file /run/xtables.lock: Permission denied",
			"the xtables lock file cannot be written: set XTABLES_LOCKFILE to a file in the service`s RuntimeDirectory"},
		{3, "iptables v1.8.9 (legacy): can`t initialize iptables table `raw`: Table does not exist (do you need to insmod?)",
			"the kernel has no raw table: load its module iptable_raw or ip6table_raw"},
		{1, "iptables v1.8.9 (nf_tables): table `raw` is incompatible, use `nft` tool.",
			"the raw table has rules that nft wrote and iptables cannot read: remove them, or use the nftables action"},
		{2, "something \033[2Jnew\nin two lines", `exit status 2: something \x1b[2Jnew`},
	} {
		fakeIPTables(t, "cat >&2 <<'END'\n"+strings.ReplaceAll(r.said, "`", "'")+"\nEND\nexit "+fmt.Sprint(r.status))
		a, err := actions.NewIPTables(actions.IPTablesOptions{Variant: "nft", PreferIPSet: "never"})
		if err != nil {
			t.Fatal(err)
		}
		err = a.Sync(t.Context(), nil)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		want := "iptables-nft: make chain REGWARDEN-new: " + strings.ReplaceAll(r.want, "`", "'")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestIPTablesGivesUpWaitingButNeverRunsTwoCommandsAtOnce(t *testing.T) {
	dir := t.TempDir()
	fakeIPTables(t, "mkdir "+dir+"/running || { echo two at once >"+dir+"/two; }; sleep 0.3; rmdir "+dir+"/running; exit 1")
	a, err := actions.NewIPTables(actions.IPTablesOptions{Variant: "nft", PreferIPSet: "never"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	for range 4 {
		began := time.Now()
		err := a.Sync(shortly(t, 50*time.Millisecond), nil)
		if err == nil || !strings.Contains(err.Error(), "deadline exceeded") {
			t.Errorf("want it to give up, got %v", err)
		}
		if took := time.Since(began); took > 250*time.Millisecond {
			t.Errorf("want it to give up at once, got %v", took)
		}
	}
	if err := a.Sync(t.Context(), nil); err == nil || strings.Contains(err.Error(), "deadline") {
		t.Errorf("want an attempt with time to run, got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "two")); err == nil {
		t.Error("want one command at a time")
	}
}
