package actions

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// xtTable is the raw table of one family, and the chain in it that is ours.
type xtTable struct {
	xtTool
	ipt   *iptables.IPTables
	chain string
}

const (
	rawTable = "raw"
	hook     = "PREROUTING"
	// nextSuffix names the chain that is built aside and then takes our chain's place.
	nextSuffix = "-new"
)

// xtRule is what follows the name of the chain.
type xtRule []string

func (r xtRule) String() string { return strings.Join(r, " ") }

func jumpTo(chain string) xtRule { return xtRule{"-j", chain} }

// xtState is what the raw table holds at one moment.
type xtState struct {
	hook      []string // the rules of the hook, in order
	ours      []string // the rules of our chain
	next      []string // those of the one that takes its place
	others    []string // the rules of others that lead to one of them
	hasOurs   bool
	hasNext   bool
	jumps     int // from the hook to our chain
	nextJumps int
}

// first says whether a packet comes to our chain before any other rule.
func (s *xtState) first(chain string) bool {
	return len(s.hook) > 0 && s.hook[0] == jumpTo(chain).String()
}

// look reads the table, in one consistent view and without the xtables lock.
func (x *xtTable) look(ctx context.Context) (xtState, error) {
	out, err := printed(ctx, x.save, "-t", rawTable)
	if err != nil {
		return xtState{}, err
	}
	return x.parse(string(out)), nil
}

func (x *xtTable) parse(listing string) xtState {
	var s xtState
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, ":"); ok {
			name, _, _ = strings.Cut(name, " ")
			s.hasOurs = s.hasOurs || name == x.chain
			s.hasNext = s.hasNext || name == x.chain+nextSuffix
			continue
		}
		rest, ok := strings.CutPrefix(line, "-A ")
		if !ok {
			continue
		}
		chain, rule, _ := strings.Cut(rest, " ")
		switch chain {
		case hook:
			s.hook = append(s.hook, rule)
			switch rule {
			case jumpTo(x.chain).String():
				s.jumps++
			case jumpTo(x.chain + nextSuffix).String():
				s.nextJumps++
			}
		case x.chain:
			s.ours = append(s.ours, canonicalRule(rule))
		case x.chain + nextSuffix:
			s.next = append(s.next, canonicalRule(rule))
		}
		if words := strings.Fields(rule); len(words) >= 2 && (chain != hook || len(words) > 2) {
			leads, to := words[len(words)-2], words[len(words)-1]
			if (leads == "-j" || leads == "-g") && (to == x.chain || to == x.chain+nextSuffix) {
				s.others = append(s.others, rest)
			}
		}
	}
	return s
}

// canonicalRule writes a source address as we do: the C library writes some IPv6 addresses another way.
func canonicalRule(rule string) string {
	words := strings.Split(rule, " ")
	if i := slices.Index(words, "-s"); i >= 0 && i+1 < len(words) {
		if p, err := netip.ParsePrefix(words[i+1]); err == nil {
			words[i+1] = p.String()
		}
	}
	return strings.Join(words, " ")
}

// steps runs commands until one fails or the context ends.
func steps(ctx context.Context, all ...func() error) error {
	for _, step := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (x *xtTable) append(chain string, r xtRule) error {
	return xtError(fmt.Sprintf("%s: append %q to %s", x.path, r, chain), x.ipt.Append(rawTable, chain, r...))
}

// remove takes one rule away; one that is not there is no error.
func (x *xtTable) remove(chain string, r xtRule) error {
	err := xtError(fmt.Sprintf("%s: delete %q from %s", x.path, r, chain), x.ipt.Delete(rawTable, chain, r...))
	if errors.Is(err, errNotThere) {
		return nil
	}
	return err
}

func (x *xtTable) empty(chain string) error {
	return xtError(x.path+": make chain "+chain, x.ipt.ClearChain(rawTable, chain))
}

func (x *xtTable) discard(chain string) error {
	if err := x.empty(chain); err != nil {
		return err
	}
	return xtError(x.path+": delete chain "+chain, x.ipt.DeleteChain(rawTable, chain))
}

func (x *xtTable) rename(from, to string) error {
	return xtError(x.path+": rename chain "+from, x.ipt.RenameChain(rawTable, from, to))
}

// unhook takes n jumps to the chain away.
func (x *xtTable) unhook(ctx context.Context, chain string, n int) error {
	for range n {
		if err := steps(ctx, func() error { return x.remove(hook, jumpTo(chain)) }); err != nil {
			return err
		}
	}
	return nil
}

// hookFirst puts a jump to the chain before every other rule.
func (x *xtTable) hookFirst(chain string) error {
	return xtError(x.path+": insert the jump to "+chain, x.ipt.Insert(rawTable, hook, 1, jumpTo(chain)...))
}

// settle ends what an earlier rebuild left half done: of the two chains, the one that packets come to stays.
func (x *xtTable) settle(ctx context.Context, s xtState) (xtState, error) {
	next := x.chain + nextSuffix
	if !s.hasNext {
		return s, nil
	}
	var err error
	if s.nextJumps > 0 && s.jumps == 0 || !s.hasOurs {
		if s.hasOurs {
			err = steps(ctx, func() error { return x.discard(x.chain) })
		}
		if err == nil {
			err = steps(ctx, func() error { return x.rename(next, x.chain) })
		}
	} else {
		err = steps(ctx, func() error { return x.unhook(ctx, next, s.nextJumps) }, func() error { return x.discard(next) })
	}
	if err != nil {
		return s, err
	}
	return x.look(ctx)
}

// rebuild replaces our chain by one with these rules. It is built aside and hooked in before the old one goes, so that no packet passes
// between them.
func (x *xtTable) rebuild(ctx context.Context, s xtState, rules []xtRule) error {
	next := x.chain + nextSuffix
	all := []func() error{func() error { return x.empty(next) }}
	for _, r := range rules {
		all = append(all, func() error { return x.append(next, r) })
	}
	all = append(all,
		func() error { return x.hookFirst(next) },
		func() error { return x.unhook(ctx, x.chain, s.jumps) })
	if s.hasOurs {
		all = append(all, func() error { return x.discard(x.chain) })
	}
	return steps(ctx, append(all, func() error { return x.rename(next, x.chain) })...)
}

// hooked makes our chain the first that a packet comes to.
func (x *xtTable) hooked(ctx context.Context, s xtState) error {
	if s.first(x.chain) {
		return nil
	}
	if err := steps(ctx, func() error { return x.hookFirst(x.chain) }); err != nil {
		return err
	}
	return x.unhookLater(ctx, s.jumps)
}

// unhookLater takes n jumps away from the end; deleting by content would take the first one, which is to stay.
func (x *xtTable) unhookLater(ctx context.Context, n int) error {
	for range n {
		s, err := x.look(ctx)
		if err != nil {
			return err
		}
		last := -1
		for i, r := range s.hook {
			if r == jumpTo(x.chain).String() {
				last = i
			}
		}
		if last < 1 {
			return nil
		}
		err = xtError(x.path+": delete an older jump to "+x.chain, x.ipt.DeleteById(rawTable, hook, last+1))
		if err != nil && !errors.Is(err, errNotThere) {
			return err
		}
	}
	return nil
}

// clear removes all that is ours from the table and nothing else.
func (x *xtTable) clear(ctx context.Context) error {
	s, err := x.look(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		there bool
		jumps int
	}{{x.chain, s.hasOurs, s.jumps}, {x.chain + nextSuffix, s.hasNext, s.nextJumps}} {
		if err := x.unhook(ctx, c.name, c.jumps); err != nil {
			return err
		}
		if c.there {
			if err := steps(ctx, func() error { return x.discard(c.name) }); err != nil {
				return err
			}
		}
	}
	return nil
}
