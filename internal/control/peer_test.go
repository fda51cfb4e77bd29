package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/control"
)

// asksAs is set in the copy of this test that runs as another user; it holds the socket's path.
const asksAs = "REGWARDEN_TEST_ASKS"

// otherID is nobody's on most hosts.
const otherID = 65534

func TestMain(m *testing.M) {
	if path := os.Getenv(asksAs); path != "" {
		ask(path)
		return
	}
	os.Exit(m.Run())
}

// ask prints what comes of looking and of changing.
func ask(path string) {
	c := control.NewClient(path)
	_, err := c.Status(context.Background())
	fmt.Printf("look: %v, not allowed: %v\n", err, errors.Is(err, control.ErrNotAllowed))
	_, err = c.Unblock(context.Background(), control.UnblockRequest{All: true})
	fmt.Printf("change: %v, not allowed: %v\n", err, errors.Is(err, control.ErrNotAllowed))
}

func TestOtherUsersMayLookButNotChange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to ask as another user: sudo go test ./internal/control -run TestOtherUsersMayLookButNotChange")
	}
	group, err := user.LookupGroupId(fmt.Sprint(otherID))
	if err != nil {
		t.Skipf("SKIPPED: needs a group with id %d: sudo groupadd -g %d nogroup", otherID, otherID)
	}
	const open = 0o666 // so that the right to open the socket is not what decides
	for _, c := range []struct {
		name   string
		o      control.ServerOptions
		gid    uint32
		groups []uint32
		want   []string
	}{
		{"not in the group", control.ServerOptions{Group: "root", Mode: open}, otherID, nil,
			[]string{"look: <nil>", "may look but not change anything, not allowed: true"}},
		{"no group configured", control.ServerOptions{Mode: open}, otherID, nil,
			[]string{"look: <nil>", "may look but not change anything, not allowed: true"}},
		{"runs with the group", control.ServerOptions{Group: group.Name, Mode: open}, otherID, nil,
			[]string{"look: <nil>", "change: <nil>"}},
		{"the socket's own mode keeps it out", control.ServerOptions{Group: "root"}, otherID, nil,
			[]string{"look: not allowed to open", "not allowed: true"}},
		{"the socket's own mode lets the group in", control.ServerOptions{Group: group.Name}, otherID, nil,
			[]string{"look: <nil>", "change: <nil>"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Backend = backend()
			c.o.Path = filepath.Join(openDir(t), "s.sock")
			s := start(t, c.o)
			got := runAs(t, s.path, otherID, c.gid, c.groups)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("want %q in:\n%s", want, got)
				}
			}
		})
	}
}

// openDir is a directory that every user may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir := socketDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runAs runs a copy of this test as another user: the one that go test made lies where only we may look.
func runAs(t *testing.T, socket string, uid, gid uint32, groups []uint32) string {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	path := filepath.Join(openDir(t), "asks")
	program, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(program, self); err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asksAs+"="+socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("run as uid %d: %v\n%s", uid, err, out)
	}
	return string(out)
}
