package actions

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Flush removes all that is ours from the kernel, in both variants of iptables, and nothing else. A daemon that runs meanwhile would put it back.
func (t *IPTables) Flush(ctx context.Context) error {
	return t.worker.do(ctx, "remove all that is ours from iptables", func(ctx context.Context) error {
		if !capable(unix.CAP_NET_ADMIN) { // to such a one the kernel looks empty
			return errors.New(needsAdmin)
		}
		if err := t.place.take(t.options.Namespace, "iptables/"+t.options.Chain); err != nil {
			return err
		}
		t.installed, t.doubted, t.damaged = false, false, false
		var errs []error
		for _, tools := range findTools(ctx, hasIPv6()) {
			for _, tool := range tools {
				errs = append(errs, t.clearTable(ctx, tool))
			}
		}
		for _, f := range t.families {
			clear(f.held)
			f.sealed, f.standing = nil, nil
		}
		return together(append(errs, t.destroySets(ctx))...)
	})
}

// clearTable removes our chain from the raw table, if there is one: only to look at it, legacy iptables would make it.
func (t *IPTables) clearTable(ctx context.Context, tool xtTool) error {
	if tool.variant == variantLegacy && !legacyRaw(tool.v6) {
		return nil
	}
	x, err := t.table(tool)
	if err != nil {
		return err
	}
	return x.clear(ctx)
}

// legacyRaw says whether the kernel has a raw table of the legacy variant at this moment. Only root may ask; others get no.
func legacyRaw(v6 bool) bool {
	names := "/proc/thread-self/net/ip_tables_names"
	if v6 {
		names = "/proc/thread-self/net/ip6_tables_names"
	}
	text, err := os.ReadFile(names)
	return err == nil && strings.Contains("\n"+string(text), "\n"+rawTable+"\n")
}

// clearOther removes what an earlier run left in the variant that is not used now. It would do no harm but for never-block networks that
// have changed since; so an error is only told.
func (t *IPTables) clearOther(ctx context.Context) {
	for variant, tools := range findTools(ctx, hasIPv6()) {
		if variant == t.families[0].variant {
			continue
		}
		for _, tool := range tools {
			if err := t.clearTable(ctx, tool); err != nil {
				t.log.Warn("rules of an earlier run may be left in the other variant of iptables", "variant", variant, "error", err)
			}
		}
	}
}

func (t *IPTables) destroySets(ctx context.Context) error {
	s, err := dialIPSet(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if s.supported() != nil { // no ipset, no sets
		return nil
	}
	var errs []error
	for _, v6 := range []bool{false, true} {
		for _, name := range []string{t.setName(v6), t.setName(v6) + setTmpSuffix} {
			there, err := s.find(name, v6)
			if there && err == nil {
				err = s.destroy(name)
			}
			errs = append(errs, err)
		}
	}
	return together(errs...)
}
