package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// checkTimeout is what a Check may take; it waits for no lock.
const checkTimeout = 10 * time.Second

// Check looks whether this host can do the blocking, and changes nothing. Problems keep it from working; notes say what there is and what is
// weaker than it could be. Each says what to do.
func (t *IPTables) Check() (problems, notes []string) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	err := t.worker.do(ctx, "check iptables", func(ctx context.Context) error {
		problems, notes = t.check(ctx)
		return nil
	})
	if err != nil {
		return []string{err.Error()}, nil
	}
	return problems, notes
}

func (t *IPTables) check(ctx context.Context) (problems, notes []string) {
	problem := func(text string) { problems = append(problems, text) }
	note := func(text string) { notes = append(notes, text) }
	switch lonely, err := onlyLoopback(t.options.Namespace); {
	case err != nil:
		problem(fmt.Sprintf("list network interfaces: %v", err))
	case lonely:
		problem(lonelyProblem)
	}
	admin, raw := capable(unix.CAP_NET_ADMIN), capable(unix.CAP_NET_RAW)
	if !admin {
		problem("CAP_NET_ADMIN is missing: run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW")
		if found := findTools(ctx, hasIPv6()); t.options.Variant == variantAuto && len(found) == 2 {
			note(kernelRelease() + "; both variants of iptables are installed, and the one that the host's rules use would be taken")
			note(unseenWithoutAdmin)
			return problems, notes
		}
	}
	tools, why, err := t.choose(ctx)
	if err != nil {
		problem(err.Error())
		return problems, notes
	}
	legacy := tools[0].variant == variantLegacy
	note(fmt.Sprintf("%s, the %s variant: %s; %s", tools[0].path, tools[0].variant, why, kernelRelease()))
	if len(tools) < 2 {
		note("the kernel speaks no IPv6: only IPv4 is blocked")
	}
	if legacy && !raw {
		problem("CAP_NET_RAW is missing, which legacy iptables wants: give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW")
	}
	if lock := xtablesLock(); legacy && !writable(lock) {
		problem(fmt.Sprintf("the lock file %s cannot be written: set XTABLES_LOCKFILE to a file in the service's RuntimeDirectory", lock))
	}
	if !admin {
		note(unseenWithoutAdmin)
		return problems, notes
	}
	for _, tool := range tools {
		if tool.variant == variantLegacy && !legacyRaw(tool.v6) {
			continue // to look would make the table
		}
		x := &xtTable{xtTool: tool, chain: t.options.Chain}
		s, err := x.look(ctx)
		if err == nil {
			err = x.foreign(&s, t.setName(tool.v6))
		}
		if err != nil {
			problem(err.Error())
		}
	}
	d := lookForDocker(ctx, t.options.Namespace)
	notes = append(notes, d.notes(t.options.Ports)...)
	weaker, foreign := t.checkSets(ctx, raw)
	switch {
	case weaker == "":
	case foreign:
		problem(weaker)
	case t.options.PreferIPSet == ipsetRequire:
		problem(weaker)
	case t.options.PreferIPSet == ipsetNever:
		note(fmt.Sprintf(`sets are switched off by ipset = "never": each block is a rule; no more than %d of each family stand (max_rules), and they end only while the daemon runs`, t.options.RuleCap))
	default:
		note(fmt.Sprintf("%s; until then each block is a rule: no more than %d of each family stand, and they end only while the daemon runs", weaker, t.options.RuleCap))
	}
	return problems, notes
}

// checkSets says why blocks cannot be elements of sets, or "", and whether that is because the sets are somebody else's.
func (t *IPTables) checkSets(ctx context.Context, raw bool) (why string, foreign bool) {
	if t.options.PreferIPSet == ipsetNever {
		return "switched off", false
	}
	s, err := dialIPSet(ctx)
	if err != nil {
		return err.Error(), false
	}
	defer s.close()
	err = s.supported()
	for _, v6 := range []bool{false, true} {
		if err == nil {
			_, err = s.own(t.setName(v6), v6)
		}
	}
	switch {
	case err != nil:
		return err.Error(), errors.Is(err, ErrForeign)
	case !raw:
		return "CAP_NET_RAW is missing, which iptables wants for sets: give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW", false
	}
	return "", false
}

// capable says whether this thread has the capability.
func capable(capability uint) bool {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// xtablesLock is the file that legacy iptables locks.
func xtablesLock() string {
	if path := os.Getenv("XTABLES_LOCKFILE"); path != "" {
		return path
	}
	return "/run/xtables.lock"
}

func writable(path string) bool {
	err := unix.Access(path, unix.R_OK|unix.W_OK)
	if errors.Is(err, unix.ENOENT) {
		err = unix.Access(filepath.Dir(path), unix.W_OK)
	}
	return err == nil
}
