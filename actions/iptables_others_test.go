package actions_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/actions"
	"regwarden/actions/internal/netlab"
)

// aside runs a shell in a copy of the file system that is thrown away, with its own processes, so that programs which keep their state in
// /etc and /run can be tried. The shell reads commands line by line and prints "done" and the status of each.
const aside = `set -e
dir=$1
mount -t tmpfs tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
mount -t proc proc "$dir/root/proc"
mount -t sysfs sysfs "$dir/root/sys"
mount -t tmpfs tmpfs "$dir/root/run"
mkdir "$dir/root/run/dbus"
exec chroot "$dir/root" /bin/sh -c '
	[ -c /dev/null ] || mknod -m 666 /dev/null c 1 3
	[ -e /dev/urandom ] || mknod -m 444 /dev/urandom c 1 9
	echo ready
	while read -r command; do
		status=0; eval "$command" >/tmp/said 2>&1 </dev/null || status=$?
		echo "done $status $(tail -n 3 /tmp/said | tr "\n" " ")"
	done'`

func init() {
	netlab.Child("aside", func(args []string) {
		path, err := exec.LookPath("unshare")
		if err == nil {
			err = syscall.Exec(path, []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", aside, "sh", args[0]}, os.Environ())
		}
		fmt.Println(err)
	})
}

// theirs is a program that writes firewall rules too, with what it does. removes says that what it does takes our rules away.
type theirs struct {
	name, program, debian string
	start                 []string
	events                []struct {
		command string
		removes bool
	}
}

func otherFirewalls() []theirs {
	type event = struct {
		command string
		removes bool
	}
	firewalld := func(backend string) theirs {
		return theirs{
			name: "firewalld with " + backend, program: "firewall-cmd", debian: "firewalld",
			start: []string{
				"sed -i 's/^FirewallBackend=.*/FirewallBackend=" + backend + "/' /etc/firewalld/firewalld.conf",
				"dbus-daemon --system --fork",
			},
			events: []event{
				{"firewalld --nofork & for i in $(seq 100); do firewall-cmd --state && break; sleep 0.1; done", true},
				{"firewall-cmd --permanent --zone=public --add-port=9/udp", false},
				{"firewall-cmd --reload", true},
				{"firewall-cmd --complete-reload", true},
			},
		}
	}
	return []theirs{
		{name: "ufw", program: "ufw", debian: "ufw", start: []string{"ufw default allow"},
			events: []event{{"ufw --force enable", false}, {"ufw reload", false}, {"ufw disable", false}, {"ufw --force reset", false}}},
		firewalld("nftables"), firewalld("iptables"),
	}
}

// ours is a firewall action of ours beside theirs. stays says that nothing they do takes it away.
type ours struct {
	name  string
	make  func(*testing.T, *netlab.Lab) actions.Firewall
	there func(*testing.T, *netlab.Namespace) bool
	stays bool
}

func ownFirewalls() []ours {
	nft := func(plain bool) func(*testing.T, *netlab.Lab) actions.Firewall {
		return func(t *testing.T, l *netlab.Lab) actions.Firewall {
			return fw(t, l.Server, actions.NFTablesOptions{Plain: plain})
		}
	}
	return []ours{
		{"iptables", func(t *testing.T, l *netlab.Lab) actions.Firewall {
			return ipTables(t, actions.IPTablesOptions{Namespace: l.Server.FD(), Variant: "nft", PreferIPSet: "require"})
		}, xtInPlace, false},
		{"nftables", nft(false), nil, true},
		{"plain nftables", nft(true), nil, true},
	}
}

func TestBesideOtherFirewalls(t *testing.T) {
	for _, other := range otherFirewalls() {
		for _, own := range ownFirewalls() {
			t.Run(own.name+" beside "+other.name, func(t *testing.T) {
				t.Parallel()
				beside(t, own, other)
			})
		}
	}
}

// beside floods the server from a blocked client while the other firewall is started, reloaded and stopped.
func beside(t *testing.T, own ours, other theirs) {
	netlab.NeedRoot(t)
	if _, err := exec.LookPath(other.program); err != nil {
		t.Skipf("SKIPPED: %s is not installed. Run: sudo testing/foreign-firewalls, which tries it without installing it", other.program)
	}
	netlab.NeedCommand(t, "dbus-daemon", "dbus")
	l := netlab.Standard(t)
	shell := l.Server.Start(t, "aside", netlab.StartOptions{Args: []string{t.TempDir()}})
	if got := shell.Line(t); got != "ready" {
		t.Fatal(got)
	}
	say := func(command string) {
		t.Helper()
		shell.Say(t, command)
		if got := shell.Line(t); !strings.HasPrefix(got, "done 0 ") {
			t.Fatalf("%s: %s", command, got)
		}
	}
	for _, command := range other.start {
		say(command)
	}
	to := netip.AddrPortFrom(netlab.ServerV4, 9)
	p := l.Server.CountPackets(t, to)
	a := own.make(t, l)
	xtGuard(t, a, xtBlock("203.0.113.7/32", time.Hour))
	f := l.Attacker.Flood(t, netlab.AttackerV4, to, time.Millisecond)
	for _, e := range other.events {
		removes := e.removes && !own.stays
		before, healed := p.From(netlab.AttackerV4), a.Healed()
		say(e.command)
		ended := time.Now()
		if removes {
			xtAwait(t, "it healed after "+e.command, 2*time.Second, func() bool { return a.Healed() > healed && own.there(t, l.Server) })
		}
		took := time.Since(ended)
		through, sent := p.From(netlab.AttackerV4)-before, f.Sent()
		xtAwait(t, "more flood", 5*time.Second, func() bool { return f.Sent() > sent+20 }) // those that were under way have come
		settled := p.From(netlab.AttackerV4)
		xtAwait(t, "more flood", 5*time.Second, func() bool { return f.Sent() > sent+200 })
		if n := p.From(netlab.AttackerV4) - settled; n != 0 {
			t.Errorf("%s: want no packet after, got %d", e.command, n)
		}
		if !removes && (through != 0 || a.Healed() != healed) {
			t.Errorf("%s: want our rules untouched, got %d packets through", e.command, through)
		}
		t.Logf("%s: %d packets through in the gap, in place again %v after its end", e.command, through, took.Round(time.Millisecond))
	}
}

func xtInPlace(t *testing.T, n *netlab.Namespace) bool {
	t.Helper()
	_, err := n.Try(t, "iptables-nft", "-t", "raw", "-C", "PREROUTING", "-j", "REGWARDEN")
	return err == nil
}
