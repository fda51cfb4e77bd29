package takeover_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"regwarden/internal/takeover"
)

var update = flag.Bool("update", false, "write the .want files again")

// now lies after the ban of testdata/fail2ban-get-sshd-banip-with-time.list.
var now = time.Date(2026, 11, 21, 22, 40, 0, 0, time.UTC)

// tell says what was read, as the tests compare it.
func tell(l takeover.List) string {
	var b strings.Builder
	for _, e := range l.Entries {
		fmt.Fprintf(&b, "%d %v %v %q\n", e.Line, e.Target, e.Left.Round(time.Second), e.Reason)
	}
	for _, r := range l.Refusals {
		fmt.Fprintf(&b, "%d refused %v\n", r.Line, r)
	}
	for _, n := range l.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintf(&b, "%d expired, %d refused\n", l.Expired, l.Refused)
	return b.String()
}

func read(t *testing.T, text string) string {
	t.Helper()
	l, err := takeover.Read(strings.NewReader(text), takeover.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return tell(l)
}

// The lists in testdata are what the tools themselves printed: ipset 7.17, iptables 1.8.9, nftables 1.0.6, fail2ban 1.0.2, cscli 1.4.6.
func TestListsOfOtherTools(t *testing.T) {
	files, err := filepath.Glob("testdata/*.list")
	if err != nil || len(files) == 0 {
		t.Fatalf("want lists, got %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, wanted := read(t, string(text)), strings.TrimSuffix(file, ".list")+".want"
			if *update {
				if err := os.WriteFile(wanted, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(wanted)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(got, read(t, "\ufeff"+strings.ReplaceAll(string(text), "\n", "\r\n"))); d != "" {
				t.Errorf("with a mark and carriage returns: %s", d)
			}
		})
	}
}

func TestLines(t *testing.T) {
	const a = "1 192.0.2.1/32 0s \"\"\n"
	for text, want := range map[string]string{
		"":                                  "",
		"# comment\n; comment\n\n":          "",
		"192.0.2.1":                         a,
		" 192.0.2.1\t# spam":                a,
		"192.0.2.1 ; SBL1":                  a,
		"192.0.2.1,":                        a,
		"::ffff:192.0.2.1":                  a,
		"192.0.2.0/255.255.255.0":           "1 192.0.2.0/24 0s \"\"\n",
		"192.0.2.1, 192.0.2.2":              "1 192.0.2.1/32 0s \"\"\n1 192.0.2.2/32 0s \"\"\n",
		"deny 192.0.2.1; # old":             a,
		"allow 192.0.2.9;\ndeny 192.0.2.1;": "2 192.0.2.1/32 0s \"\"\n",
		"default 0;\n192.0.2.1 1;\n192.0.2.9 0;\n": "2 192.0.2.1/32 0s \"\"\n",
		"ALL: 192.0.2.1":                                  a,
		"sshd, in.ftpd : 192.0.2.1 : DENY":                a,
		"ALL: 192.0.2.":                                   "1 192.0.2.0/24 0s \"\"\n",
		"ALL: [2001:db8::]/64":                            "1 2001:db8::/64 0s \"\"\n",
		"192.0.2.1,too many":                              "1 192.0.2.1/32 0s \"too many\"\n",
		"192.0.2.1,\"a, b\"":                              "1 192.0.2.1/32 0s \"a, b\"\n",
		"reason,IP\n\"a\nb\",192.0.2.1\nc,192.0.2.2":      "2 192.0.2.1/32 0s \"a\\nb\"\n4 192.0.2.2/32 0s \"c\"\n",
		"value,duration,scope\n192.0.2.1,1h,ip":           "2 192.0.2.1/32 1h0m0s \"\"\n",
		"ip,until\n192.0.2.1,2026-11-21T23:40:00Z\n":      "2 192.0.2.1/32 1h0m0s \"\"\n",
		"192.0.2.255-192.0.3.2":                           "1 192.0.2.255/32 0s \"\"\n1 192.0.3.0/31 0s \"\"\n1 192.0.3.2/32 0s \"\"\n",
		"elements = { 192.0.2.1 }":                        a,
		"elements = {\n192.0.2.1 expires 5s }\n192.0.2.2": "2 192.0.2.1/32 5s \"\"\n3 192.0.2.2/32 0s \"\"\n",
		`{"target":"192.0.2.1/32","until":"2026-11-21T22:50:00Z","scope":"host","reason":"r"}`: "1 192.0.2.1/32 10m0s \"r\"\n",
		`{"target":"192.0.2.1/32","until":"9999-11-21T22:50:00Z"}`:                             "1 192.0.2.1/32 8784h0m0s \"\"\n",
	} {
		if d := cmp.Diff(want+"0 expired, 0 refused\n", read(t, text)); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

// What cannot be taken as it is meant is refused, with a reason that says so, and nothing of it is taken.
func TestRefused(t *testing.T) {
	for text, why := range map[string]string{
		"nonsense":                    `"nonsense": neither an address nor a network`,
		"192.0.2.7/24":                "write 192.0.2.7 for the address or 192.0.2.0/24 for all of the network",
		"2001:db8::7/64":              "2001:db8::/64",
		"192.0.2.1/33":                "neither",
		"192.0.2.0/255.0.255.0":       "neither",
		"fe80::1%eth0":                "one interface",
		"192.0.2.9-192.0.2.1":         "ends before it begins",
		"2001:db8::1-2001:db8:ffff::": "more than 64 networks",
		`192.0.2.1 - - [21/Nov/2026:22:00:00 +0000] "GET / HTTP/1.1" 200`: "no list of addresses",
		"sshd: Failed password for root from 192.0.2.1 port 22":           "no line of hosts.deny",
		"Nov 21 22:00:00 host sshd[1]: Failed password from 192.0.2.1":    "no list of addresses",
		"ALL: 192.0.2. EXCEPT 192.0.2.5":                                  "hosts.deny",
		"ALL: ALL":                                                        "hosts.deny",
		"ALL: 192.0.2.1 : ALLOW":                                          "without options",
		"deny all;":                                                       "neither",
		"\x1b[31m\u202e":                                                  `"\x1b[31m\u202e": neither`,
		strings.Repeat("x", 1<<20):                                        `…": neither`,
		",":                                                               "neither",
		"a,b":                                                             "no header",
		`{"target":"192.0.2.1`:                                            "broken JSON",
		`{"until":"2026-11-21T22:50:00Z"}`:                                "has no target",
		`{"target":"192.0.2.1/32","scope":"repository"}`:                  "repositories only",
		"ip,reason\n192.0.2.1,\"a\n192.0.2.2,b\n":                         "broken CSV",
		"ip,simulated\n192.0.2.1,true":                                    "simulated",
		"ip,expiration\n192.0.2.1,soon":                                   `no end that can be read: "soon"`,
		"add x":                                                           "no member",
		"add x 192.0.2.1 timeout":                                         "cut off",
		"-A INPUT -m set --match-set f2b src -j DROP":                     "ipset save f2b",
		"table inet t {\nset s {\ntype ipv4_addr\n":                       "cut off",
		"elements = { 192.0.2.1 . 443 }":                                  "in part only",
	} {
		l, err := takeover.Read(strings.NewReader(text), takeover.Options{Now: now})
		if err != nil || len(l.Entries) > 0 || l.Refused != 1 || len(l.Refusals) != 1 {
			t.Errorf("%.80q: want one refusal, got %s%v", text, tell(l), err)
		} else if got := l.Refusals[0].String(); !strings.Contains(got, why) || len(got) > 400 {
			t.Errorf("%.80q: want %s, got %s", text, why, got)
		}
	}
}

// A set of a whole table may say who is let in.
func TestOnlyDroppedSetsOfATable(t *testing.T) {
	for rule, taken := range map[string]int{
		"ip saddr @s drop": 1,
		"ip saddr @s counter packets 1 bytes 2 log prefix \"drop\" reject with icmp port-unreachable": 1,
		"ip saddr @s goto b":                             1,
		"ip saddr @s counter jump b":                     1,
		"tcp dport { 22, 443 } ip saddr @s reject":       0,
		"ip saddr @s goto p":                             0,
		"ip saddr @s goto a":                             0,
		"ip saddr @s goto loop":                          0,
		"ip saddr @s goto gone":                          0,
		"iifname eth0 ip saddr @s drop":                  0,
		"ip saddr @s accept":                             0,
		"ip saddr != @s drop":                            0,
		"ip saddr @s limit rate over 10/second drop":     0,
		"ip daddr @s drop":                               0,
		"ip saddr @s counter comment \"no drop\" accept": 0,
	} {
		l, err := takeover.Read(strings.NewReader("table inet t {\nset s {\ntype ipv4_addr\nelements = { 192.0.2.1 }\n}\nchain c {\n"+rule+"\n}\n"+
			"chain b {\nip saddr @never accept\ncounter name \"x\" drop\n}\nchain p {\ntcp dport 22 drop\n}\nchain a {\naccept\ndrop\n}\nchain loop {\ngoto loop\n}\n}\n"), takeover.Options{Now: now})
		if err != nil || len(l.Entries) != taken || taken == 0 && (l.Refused == 0) != strings.HasSuffix(rule, " accept") {
			t.Errorf("%s: want %d taken, got %s%v", rule, taken, tell(l), err)
		}
	}
}

// Nearly all bans of fail2ban are for some ports. They are refused with what to do about it, and taken if that was done.
func TestBlocksOfSomePorts(t *testing.T) {
	const chain = "-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable\n-A f2b-sshd -j RETURN\n"
	set := func(rule string) string {
		return "table inet f2b-table {\nset addr-set-sshd {\ntype ipv4_addr\nelements = { 203.0.113.9 }\n}\nchain f2b-chain {\ntype filter hook input priority filter - 1; policy accept;\n" + rule + "\n}\n}\n"
	}
	for _, c := range []struct {
		name, text string
		any        bool // that --any-port takes it; without, nothing does
	}{
		{"a chain that a rule with ports leads to", "-N f2b-sshd\n-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\n" + chain, true},
		{"the rule stands below it", "*filter\n" + chain + "-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd\nCOMMIT\n", true},
		{"over two chains", "-A INPUT -p tcp -m tcp --dport 22 -j bans\n-A bans -j f2b-sshd\n" + chain, true},
		{"a rule with a port", "-A INPUT -s 203.0.113.9/32 -p tcp -m tcp --dport 22 -j DROP\n", true},
		{"a chain of one interface", "-A INPUT -i eth0 -j f2b-sshd\n" + chain, false},
		{"a chain in a loop", "*filter\n-A f2b-sshd -j f2b-sshd\n" + chain, false},
		{"a chain that nothing leads to", "*filter\n" + chain, false},
		{"a set", set("tcp dport 22 ip saddr @addr-set-sshd reject"), true},
		{"a set and several ports", set("tcp dport { 22, 2222 } ip saddr @addr-set-sshd reject with icmp port-unreachable"), true},
		{"a protocol", set("meta l4proto tcp ip saddr @addr-set-sshd reject"), true},
		{"an address and a port", "table inet t {\nchain c {\ntype filter hook input priority 0;\ntcp dport 22 ip saddr { 203.0.113.9 } drop\n}\n}\n", true},
		{"no port but those", set("tcp dport != 22 ip saddr @addr-set-sshd drop"), false},
		{"another condition", set("ct state established ip saddr @addr-set-sshd drop"), false},
	} {
		for _, any := range []bool{false, true} {
			l, err := takeover.Read(strings.NewReader(c.text), takeover.Options{Now: now, AnyPort: any})
			taken := len(l.Entries) == 1 && l.Entries[0].Target.String() == "203.0.113.9/32" && l.Refused == 0
			refused := len(l.Entries) == 0 && l.Refused > 0 && (any || !c.any || strings.Contains(tell(l), "--any-port"))
			if err != nil || len(l.Notes) > 0 || !(any && c.any && taken || !(any && c.any) && refused) {
				t.Errorf("%s, any port %v: got %s%v", c.name, any, tell(l), err)
			}
		}
	}
	for _, text := range []string{"-N f2b-sshd\n" + chain, "table inet f2b-table {\nset addr-set-sshd {\ntype ipv4_addr\nelements = { 203.0.113.9 }\n}\n}\n"} {
		if got := read(t, text); !strings.Contains(got, "203.0.113.9/32") || !strings.Contains(got, "so it may") {
			t.Errorf("want it taken with a note that ports cannot be seen, got %s", got)
		}
	}
}

func TestExpired(t *testing.T) {
	for _, text := range []string{
		`{"target":"192.0.2.1/32","until":"2026-11-21T22:30:00Z"}`,
		"ip,expiration\n192.0.2.1,-3s",
		"192.0.2.1 \t2026-11-21 22:00:00 + 600 = 2026-11-21 22:10:00",
	} {
		if want, got := "1 expired, 0 refused\n", read(t, text); want != got {
			t.Errorf("%q: want %s, got %s", text, want, got)
		}
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	l, err := takeover.Read(strings.NewReader(strings.Repeat("x\n", 5000)), takeover.Options{Now: now})
	if err != nil || l.Refused != 5000 || len(l.Refusals) != 1000 {
		t.Errorf("want 5000 counted and 1000 kept, got %d and %d, %v", l.Refused, len(l.Refusals), err)
	}
}

// A brace in the middle of a list does not end it.
func TestOnlyAListThatBeginsAsJSONIsLeft(t *testing.T) {
	if l, err := takeover.Read(strings.NewReader("192.0.2.1\n{\n192.0.2.2\n"), takeover.Options{Now: now}); err != nil || len(l.Entries) != 2 || l.Refused != 1 {
		t.Errorf("want two targets and one refusal, got %s%v", tell(l), err)
	}
}

func TestNoListAtAll(t *testing.T) {
	if _, err := takeover.Read(strings.NewReader("\xff\xfe1\x009\x00"), takeover.Options{Now: now}); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("want UTF-16 refused, got %v", err)
	}
}

// Whatever a list says, what is taken can be handed to the daemon, and what is told stays small.
func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.list")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range []string{"ALL: 192.0.2. : DENY", "ip,reason\n192.0.2.1,\"a\nb\"", "192.0.2.1 1;", `{"target":"192.0.2.1"}`, "192.0.2.1-192.0.2.9",
		"elements = { 192.0.2.1 . 443, \"", "[0:0] -A x ! -s 192.0.2.1 -j DROP",
		"table inet t {\nset s {\ntype ipv4_addr\nelements = { 192.0.2.0 }\n}\nchain c {\ntype filter hook input;\ntcp dport { 22 } ip saddr & 255.255.255.0 == @s goto d\n}\nchain d {\ndrop\n}\n}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := takeover.Read(strings.NewReader(text), takeover.Options{Now: now})
		if err != nil {
			return
		}
		for _, e := range l.Entries {
			if !e.Target.IsValid() || e.Target != e.Target.Masked() || e.Target.Addr().Is4In6() || e.Target.Addr().Zone() != "" ||
				e.Left < 0 || e.Left > takeover.Longest || len(e.Reason) > takeover.LongestReason || !utf8.ValidString(e.Reason) || e.Line < 1 {
				t.Errorf("%q: %+v", text, e)
			}
		}
		for _, r := range l.Refusals {
			if r.Line < 1 || r.Why == "" || !utf8.ValidString(r.Text) || len(r.Text) > 200 {
				t.Errorf("%q: %+v", text, r)
			}
		}
		if l.Refused < len(l.Refusals) {
			t.Errorf("%d of %d refusals", len(l.Refusals), l.Refused)
		}
	})
}
