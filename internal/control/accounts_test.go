package control

import (
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhoMayChange(t *testing.T) {
	host := accounts{
		user: func(uid string) (*user.User, error) {
			if uid == "1000" {
				return &user.User{Uid: "1000", Gid: "1000", Username: "alice"}, nil
			}
			if uid == "1001" {
				return &user.User{Uid: "1001", Gid: "1001", Username: "bob"}, nil
			}
			return nil, errors.New("unknown")
		},
		group: func(name string) (*user.Group, error) {
			if name == "regwarden" {
				return &user.Group{Gid: "77", Name: name}, nil
			}
			return nil, errors.New("unknown")
		},
		groups: func(u *user.User) ([]string, error) {
			if u.Username == "alice" {
				return []string{"1000", "77"}, nil
			}
			return []string{u.Gid}, nil
		},
	}
	for _, c := range []struct {
		name, group string
		who         credentials
		want        bool
		wantName    string
	}{
		{"root", "", credentials{}, true, "uid 0"},
		{"the daemon's own user", "", credentials{uid: uint32(os.Geteuid()), gid: 5}, true, ""},
		{"member by the host's files", "regwarden", credentials{uid: 1000, gid: 1000}, true, "uid 1000 (alice)"},
		{"runs with the group", "regwarden", credentials{uid: 1001, gid: 77}, true, "uid 1001 (bob)"},
		{"no member", "regwarden", credentials{uid: 1001, gid: 1001}, false, "uid 1001 (bob)"},
		{"left the group, has an old session", "regwarden", credentials{uid: 1001, gid: 1001, groups: []uint32{77}}, false, ""},
		{"directory user in the group", "regwarden", credentials{uid: 50000, gid: 50000, groups: []uint32{4, 77}}, true, "uid 50000"},
		{"directory user not in the group", "regwarden", credentials{uid: 50000, gid: 50000, groups: []uint32{4}}, false, ""},
		{"group does not exist", "wheel", credentials{uid: 1000, gid: 1000, groups: []uint32{0}}, false, ""},
		{"no group", "", credentials{uid: 1000, gid: 0, groups: []uint32{0}}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := host.peer(&c.who, c.group)
			if p.MayChange != c.want {
				t.Errorf("want %v, got %+v", c.want, p)
			}
			if c.wantName != "" && p.String() != c.wantName {
				t.Errorf("want %q, got %q", c.wantName, p.String())
			}
		})
	}
}

func TestKernelTellsThePeersGroups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	raw, err := server.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got *credentials
	if err := raw.Control(func(fd uintptr) { got = peerCredentials(int(fd)) }); err != nil || got == nil {
		t.Fatalf("want credentials, got %v, %v", got, err)
	}
	want, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, gid := range want {
		if !slices.Contains(got.groups, uint32(gid)) {
			t.Errorf("want groups %v, got %v", want, got.groups)
		}
	}
	if int(got.uid) != os.Geteuid() || int(got.pid) != os.Getpid() {
		t.Errorf("want uid %d and pid %d, got %+v", os.Geteuid(), os.Getpid(), got)
	}
}
