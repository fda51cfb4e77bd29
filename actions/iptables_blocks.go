package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setTmpSuffix names the set that is filled aside and then swapped in.
const setTmpSuffix = "-tmp"

// beforeRefresh is when a block that is longer than a set can hold is entered again.
const beforeRefresh = longestTimeout / 2 * time.Second

// rewrite makes everything right: chain, jump, sets, blocks.
func (t *IPTables) rewrite(ctx context.Context) error {
	if !t.installed {
		if err := t.survey(ctx); err != nil {
			return err
		}
	}
	sets, err := t.rewriteAsPreferred(ctx)
	t.doubted = err != nil && unfit(err) == 0
	if err != nil && unfit(err) == 0 {
		return err
	}
	if !t.installed {
		t.clearOther(ctx)
	}
	if t.damaged {
		t.healed.Add(1)
	}
	t.installed, t.sets, t.damaged = true, sets, false
	t.watch.known = false
	return err
}

// rewriteAsPreferred says whether blocks are elements of sets now.
func (t *IPTables) rewriteAsPreferred(ctx context.Context) (bool, error) {
	if t.options.PreferIPSet == ipsetNever {
		return false, t.rewriteRules(ctx)
	}
	err := t.rewriteSets(ctx)
	if t.options.PreferIPSet == ipsetRequire || !errors.Is(err, errNoSets) {
		if err == nil {
			t.fallback = ""
		}
		return true, err
	}
	if why := err.Error(); why != t.fallback {
		t.fallback = why
		t.log.Warn("sets cannot be used, each block is a rule of its own", "error", err, "max_rules", t.options.RuleCap)
	}
	return false, t.rewriteRules(ctx)
}

func (t *IPTables) rewriteSets(ctx context.Context) error {
	s, err := dialIPSet(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.supported(); err != nil {
		return err
	}
	t.refresh = time.Time{}
	var errs []error
	for _, f := range t.families {
		errs = append(errs, t.rewriteSet(ctx, s, f))
	}
	return together(errs...)
}

// rewriteSet makes chain and set right. A chain that asks the set, or is empty, comes first, for what the set holds already is better than
// nothing; one that holds a rule a block goes only when the set is full.
func (t *IPTables) rewriteSet(ctx context.Context, s *ipsetConn, f *xtFamily) error {
	head, err := s.find(f.set, f.v6)
	if err == nil && !head.there {
		err = s.create(f.set, f.v6, len(f.held))
	}
	if err != nil {
		return err
	}
	state, err := f.look(ctx)
	if err == nil {
		state, err = f.settle(ctx, state)
	}
	if err != nil {
		return err
	}
	chain := func() error { return t.ensureSetRule(ctx, f, state) }
	fill := func() error { return t.fill(s, f) }
	if slices.ContainsFunc(state.ours, dropsOne) {
		return steps(ctx, fill, chain)
	}
	return steps(ctx, chain, fill)
}

// dropsOne says whether a rule of our chain is a block of its own.
func dropsOne(rule string) bool {
	return strings.HasPrefix(rule, "-s ") && strings.HasSuffix(rule, " -j DROP")
}

// ensureSetRule makes our chain hold the one rule (for ports: two) that asks the set.
func (t *IPTables) ensureSetRule(ctx context.Context, f *xtFamily, s xtState) (err error) {
	want := append(t.head(f.v6), t.drops(nil, xtRule{"-m", "set", "--match-set", f.set, "src"})...)
	right := s.hasOurs && (reads(s.ours, want) || t.sets && f.sealed != nil && slices.Equal(s.ours, f.sealed))
	switch {
	case right && s.first(f.chain):
		f.sealed = s.ours
		return nil
	case right:
		err = f.hooked(ctx, s)
	default:
		err = f.rebuild(ctx, s, want)
		if errors.Is(err, errNotThere) { // the set is there: so it is the match that the kernel lacks
			return caused{err, errNoSets}
		}
	}
	if err != nil {
		return err
	}
	return f.seal(ctx, len(want))
}

// seal reads our chain back, so that Watch compares with what this version of iptables prints.
func (f *xtFamily) seal(ctx context.Context, rules int) error {
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	if len(s.ours) < rules || !s.first(f.chain) {
		return fmt.Errorf("%s: chain %s is not as it was just made: another program changes it", f.path, f.chain)
	}
	f.sealed = s.ours[:rules]
	return nil
}

func reads(lines []string, want []xtRule) bool {
	return slices.EqualFunc(lines, want, func(line string, r xtRule) bool { return line == r.String() })
}

// fill writes the blocks to a second set and swaps it in at once.
func (t *IPTables) fill(s *ipsetConn, f *xtFamily) error {
	aside := f.set + setTmpSuffix
	elements := t.elements(f)
	if err := s.destroy(aside); err != nil { // an earlier run was killed
		return err
	}
	if err := s.create(aside, f.v6, len(elements)); err != nil {
		return err
	}
	err := s.add(aside, elements)
	if err == nil {
		err = s.swap(aside, f.set)
	}
	return together(err, s.destroy(aside))
}

// elements are the blocks that have not ended.
func (t *IPTables) elements(f *xtFamily) []element {
	now := t.options.Clock()
	list := make([]element, 0, len(f.held))
	for target, until := range f.held {
		if seconds := t.seconds(until, now); seconds > 0 {
			list = append(list, element{target, seconds})
		}
	}
	return list
}

// seconds is what is left of a block, rounded up; 0 if it has ended. One that is longer than a set can hold will be entered again.
func (t *IPTables) seconds(until, now time.Time) uint32 {
	left := until.Sub(now)
	if left <= 0 {
		return 0
	}
	if left > longestTimeout*time.Second {
		if again := now.Add(beforeRefresh); t.refresh.IsZero() || again.Before(t.refresh) {
			t.refresh = again
		}
		return longestTimeout
	}
	return uint32((left + time.Second - 1) / time.Second)
}

// applyToSets brings the elements of these targets up to date.
func (t *IPTables) applyToSets(ctx context.Context, touched map[*xtFamily]map[netip.Prefix]bool) error {
	s, err := dialIPSet(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	now := t.options.Clock()
	var errs []error
	for f, targets := range touched {
		var add, remove []element
		for target := range targets {
			if seconds := t.seconds(f.held[target], now); seconds > 0 {
				add = append(add, element{target, seconds})
			} else {
				remove = append(remove, element{target, 0})
			}
		}
		errs = append(errs, s.remove(f.set, remove), s.add(f.set, add))
	}
	return together(errs...)
}

// head are the rules of our chain that come before those that drop: what is never blocked returns.
func (t *IPTables) head(v6 bool) []xtRule {
	rules := []xtRule{{"-i", "lo", "-j", "RETURN"}}
	for _, p := range t.options.Never {
		if p.Addr().Is6() == v6 {
			rules = append(rules, xtRule{"-s", p.String(), "-j", "RETURN"})
		}
	}
	return rules
}

// drops are the rules that drop what matches, on our ports; iptables prints the source before the protocol, and other matches after it.
func (t *IPTables) drops(source, match xtRule) []xtRule {
	target := xtRule{"-j", "DROP"}
	if len(t.options.Ports) == 0 {
		return []xtRule{slices.Concat(source, match, target)}
	}
	ports := make([]string, len(t.options.Ports))
	for i, p := range t.options.Ports {
		ports[i] = strconv.Itoa(int(p))
	}
	var rules []xtRule
	for _, protocol := range []string{"tcp", "udp"} {
		multiport := xtRule{"-p", protocol, "-m", "multiport", "--dports", strings.Join(ports, ",")}
		rules = append(rules, slices.Concat(source, multiport, match, target))
	}
	return rules
}

func (t *IPTables) dropsOf(target netip.Prefix) []xtRule {
	return t.drops(xtRule{"-s", target.String()}, nil)
}

// rewriteRules is for hosts without sets. Rules that stand and are wanted stay.
func (t *IPTables) rewriteRules(ctx context.Context) error {
	var errs []error
	over := &Unfit{}
	var texts []string
	for _, f := range t.families {
		err := t.ensureBlockRules(ctx, f)
		if n := unfit(err); n > 0 {
			over.Blocks += n
			texts = append(texts, err.Error())
			continue
		}
		errs = append(errs, err)
	}
	if err := together(errs...); err != nil || over.Blocks == 0 {
		return err
	}
	over.text = strings.Join(texts, "; ")
	return over
}

// ensureBlockRules makes our chain hold the head and then the rules of the blocks, up to the cap.
func (t *IPTables) ensureBlockRules(ctx context.Context, f *xtFamily) error {
	s, err := f.look(ctx)
	if err == nil {
		s, err = f.settle(ctx, s)
	}
	if err != nil {
		return err
	}
	head := t.head(f.v6)
	there, right := t.standing(f, s, head)
	want, over := t.wanted(f, there)
	if right {
		err = t.adjust(ctx, f, there, want)
		if err == nil {
			err = f.hooked(ctx, s)
		}
	} else {
		all := head
		for _, target := range sortedTargets(want) {
			all = append(all, t.dropsOf(target)...)
		}
		err = f.rebuild(ctx, s, all)
	}
	if err != nil {
		return err
	}
	f.standing = want
	if err := f.seal(ctx, len(head)); err != nil || len(over) == 0 {
		return err
	}
	family := "IPv4"
	if f.v6 {
		family = "IPv6"
	}
	hint := "load the kernel module ip_set_hash_net"
	if t.options.PreferIPSet == ipsetNever {
		hint = `set ipset = "auto"`
	}
	return &Unfit{Blocks: len(over), text: fmt.Sprintf("%d of %d %s blocks do not stand (%s): without sets each is a rule, and %d are the most (max_rules): %s, raise max_rules, or use the nftables action",
		len(over), len(over)+len(want), family, someTargets(over), t.options.RuleCap, hint)}
}

// Unfit is the error of an action that has carried out what it was told, except for some blocks for which there is no room.
type Unfit struct {
	Blocks int
	text   string
}

func (u *Unfit) Error() string { return u.text }

// unfit is how many blocks found no room, where that is all that is wrong; 0 for any other error.
func unfit(err error) int {
	if u := (*Unfit)(nil); errors.As(err, &u) {
		return u.Blocks
	}
	return 0
}

// someTargets names a few.
func someTargets(all []netip.Prefix) string {
	const some = 5
	var names []string
	for _, target := range all[:min(some, len(all))] {
		names = append(names, target.String())
	}
	if len(all) > some {
		names = append(names, fmt.Sprintf("and %d more", len(all)-some))
	}
	return strings.Join(names, ", ")
}

// standing returns the blocks that stand as rules, and whether the chain can be put right by single rules.
func (t *IPTables) standing(f *xtFamily, s xtState, head []xtRule) (there map[netip.Prefix]bool, right bool) {
	there = make(map[netip.Prefix]bool)
	rules := make(map[string]int)
	n := len(head)
	right = s.hasOurs && len(s.ours) >= n && (reads(s.ours[:n], head) || f.sealed != nil && slices.Equal(s.ours[:n], f.sealed))
	for i, line := range s.ours {
		words := strings.Fields(line)
		if len(words) >= 2 && words[0] == "-s" && words[len(words)-1] == "DROP" {
			if target, err := netip.ParsePrefix(words[1]); err == nil {
				there[target] = true
				rules[line]++
				continue
			}
		}
		right = right && i < n // behind the head there are only blocks
	}
	for target := range there {
		for _, r := range t.dropsOf(target) {
			right = right && rules[r.String()] == 1
			delete(rules, r.String())
		}
	}
	return there, right && len(rules) == 0
}

// wanted returns the blocks that should stand, and those that find no room. Those that stand keep their place; of others, the longest come first.
func (t *IPTables) wanted(f *xtFamily, there map[netip.Prefix]bool) (want map[netip.Prefix]bool, over []netip.Prefix) {
	now := t.options.Clock()
	var all []netip.Prefix
	for target, until := range f.held {
		if until.After(now) {
			all = append(all, target)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if there[a] != there[b] {
			if there[a] {
				return -1
			}
			return 1
		}
		return cmp.Or(f.held[b].Compare(f.held[a]), a.Compare(b))
	})
	n := min(len(all), t.options.RuleCap)
	want = make(map[netip.Prefix]bool, n)
	for _, target := range all[:n] {
		want[target] = true
	}
	return want, all[n:]
}

// adjust deletes the rules that are not wanted and appends those that are not there.
func (t *IPTables) adjust(ctx context.Context, f *xtFamily, there, want map[netip.Prefix]bool) error {
	change := func(targets map[netip.Prefix]bool, not map[netip.Prefix]bool, do func(string, xtRule) error) error {
		for _, target := range sortedTargets(targets) {
			if not[target] {
				continue
			}
			for _, r := range t.dropsOf(target) {
				if err := steps(ctx, func() error { return do(f.chain, r) }); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := change(there, want, f.remove); err != nil {
		return err
	}
	return change(want, there, f.append)
}

func sortedTargets(set map[netip.Prefix]bool) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(set))
	for target := range set {
		list = append(list, target)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return list
}
