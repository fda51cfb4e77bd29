package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Flush removes all that is ours from the kernel, in both variants of iptables, and nothing else. It says whether there was anything. All is looked at
// first: where a part cannot go, nothing goes. A daemon that runs meanwhile would put it back.
func (t *IPTables) Flush(ctx context.Context) (removed bool, err error) {
	return t.FlushBeside(ctx, "", "")
}

// FlushBeside is Flush, but leaves the chain or the sets alone that have these names: another IPTables uses them.
func (t *IPTables) FlushBeside(ctx context.Context, chain, set string) (removed bool, err error) {
	err = t.worker.do(ctx, "remove all that is ours from iptables", func(ctx context.Context) error {
		var err error
		removed, err = t.flush(ctx, t.options.Chain != chain, t.options.SetName != set)
		return err
	})
	return removed, err
}

func (t *IPTables) flush(ctx context.Context, chains, sets bool) (removed bool, err error) {
	if !capable(unix.CAP_NET_ADMIN) { // to such a one the kernel looks empty
		return false, errors.New(needsAdmin)
	}
	var parts []string
	if chains {
		parts = append(parts, chainPlace(t.options.Chain))
	}
	if sets {
		parts = append(parts, setPlace(t.options.SetName))
	}
	if err := t.take(parts...); err != nil {
		return false, err
	}
	var tables []xtTable
	if chains {
		if tables, err = t.removable(ctx); err != nil {
			return false, err
		}
	}
	var names []string
	if sets {
		if names, err = t.destroyable(ctx, tables); err != nil {
			return false, err
		}
	}
	t.installed, t.doubted, t.damaged = false, false, false
	for _, f := range t.families {
		clear(f.held)
		f.sealed, f.standing = nil, nil
	}
	var errs []error
	for _, x := range tables {
		errs = append(errs, x.clear(ctx))
	}
	if len(names) > 0 {
		errs = append(errs, destroySets(ctx, names))
	}
	return len(tables)+len(names) > 0, together(errs...)
}

// removable returns the tables in which there is a chain of ours, or says why one of them cannot go.
func (t *IPTables) removable(ctx context.Context) ([]xtTable, error) {
	var tables []xtTable
	var errs []error
	found := findTools(ctx, hasIPv6())
	for _, variant := range []string{variantNFT, variantLegacy} {
		for _, tool := range found[variant] {
			x, s, err := t.peek(ctx, tool)
			if err == nil && len(s.others) > 0 {
				err = fmt.Errorf("chain %s in the raw table of %s: a rule that is not ours leads there: remove that rule (%s)", x.chain, x.path, clean(s.others[0], 100))
			}
			if err == nil && (s.hasOurs || s.hasNext) {
				tables = append(tables, x)
			}
			errs = append(errs, err)
		}
	}
	return tables, together(errs...)
}

// peek looks at the raw table of one program: not where there is none in the legacy variant, for to look would make it.
func (t *IPTables) peek(ctx context.Context, tool xtTool) (x xtTable, s xtState, err error) {
	if tool.variant == variantLegacy && !legacyRaw(tool.v6) {
		return x, s, nil
	}
	if x, err = t.table(tool); err == nil {
		s, err = x.look(ctx)
	}
	if err == nil {
		err = x.foreign(&s, t.setName(tool.v6))
	}
	return x, s, err
}

// clearTable removes our chain from the raw table, if there is one.
func (t *IPTables) clearTable(ctx context.Context, tool xtTool) error {
	x, s, err := t.peek(ctx, tool)
	if err != nil || !s.hasOurs && !s.hasNext {
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

// clearOther removes what an earlier run left in the variant that is not used now, and in sets that are not wanted any more. It would do no harm but
// for never-block networks that have changed since; so an error is only told.
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
	if t.options.PreferIPSet != ipsetNever {
		return
	}
	names, err := t.destroyable(ctx, nil)
	if err == nil && len(names) > 0 {
		err = destroySets(ctx, names)
	}
	if err != nil && !errors.Is(err, ErrForeign) {
		t.log.Warn("sets of an earlier run may be left, which nothing uses", "error", err)
	}
}

// destroyable returns the sets of ours that there are, or says why one of them cannot go: it is somebody else's, or used by more than the chains that
// go before it.
func (t *IPTables) destroyable(ctx context.Context, tables []xtTable) ([]string, error) {
	s, err := dialIPSet(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if s.supported() != nil { // no ipset, no sets
		return nil, nil
	}
	var names []string
	var errs []error
	for _, v6 := range []bool{false, true} {
		for _, name := range []string{t.setName(v6), t.setName(v6) + setTmpSuffix} {
			head, err := s.own(name, v6)
			if err == nil && head.there {
				names = append(names, name)
				var asked int
				if asked, err = asks(ctx, tables, name); err == nil && head.references > asked {
					err = ipsetError("destroy set "+name, ipsetErrReferenced)
				}
			}
			errs = append(errs, err)
		}
	}
	return names, together(errs...)
}

// asks counts the rules of our chains in these tables that ask a set.
func asks(ctx context.Context, tables []xtTable, set string) (n int, err error) {
	for _, x := range tables {
		s, err := x.look(ctx)
		if err != nil {
			return 0, err
		}
		for _, rule := range append(s.ours, s.next...) {
			if strings.Contains(rule, "--match-set "+set+" src") {
				n++
			}
		}
	}
	return n, nil
}

func destroySets(ctx context.Context, names []string) error {
	s, err := dialIPSet(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	var errs []error
	for _, name := range names {
		errs = append(errs, s.destroy(name))
	}
	return together(errs...)
}
