package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// chainShape are the rules that a regwarden of any version and options puts into its chain, as iptables prints them; %s stands for one word.
var chainShape = []string{
	"-i lo -j RETURN",
	"-s %s -j RETURN",
	"-s %s -j DROP",
	"-s %s -p %s -m multiport --dports %s -j DROP",
	"-m set --match-set %s src -j DROP",
	"-p %s -m multiport --dports %s -m set --match-set %s src -j DROP",
}

func hasShape(rule, shape string) bool {
	return slices.EqualFunc(strings.Fields(rule), strings.Fields(shape), func(word, want string) bool { return want == "%s" || word == want })
}

// regwardens says whether a chain is one that a regwarden made: it has the rule with which each of them begins, and all others are of their shapes, or
// one asks our set. An empty one may be taken too: ours is empty after a flush of its table, and there is nothing in it to be lost. Somebody else's chain of
// the same name must not be taken.
func regwardens(rules []string, set string) bool {
	if len(rules) == 0 {
		return true
	}
	known := func(rule string) bool {
		return slices.ContainsFunc(chainShape, func(shape string) bool { return hasShape(rule, shape) })
	}
	asks := func(rule string) bool { return strings.Contains(rule, "--match-set "+set+" src") }
	return slices.ContainsFunc(rules, asks) || slices.Contains(rules, chainShape[0]) && !slices.ContainsFunc(rules, func(r string) bool { return !known(r) })
}

// foreign is an error if a chain of our names is somebody else's.
func (x *xtTable) foreign(s *xtState, set string) error {
	for _, c := range []struct {
		name  string
		rules []string
	}{{x.chain, s.ours}, {x.chain + nextSuffix, s.next}} {
		if !regwardens(c.rules, set) {
			return fmt.Errorf("chain %s in the raw table of %s: %w: nothing of it is touched; choose a chain of another name (chain in [actions.iptables]), or remove that one",
				c.name, x.path, ErrForeign)
		}
	}
	return nil
}

// survey looks at all that has our names before anything is changed: a chain or set of somebody else's is an error.
func (t *IPTables) survey(ctx context.Context) error {
	var errs []error
	for _, f := range t.families {
		s, err := f.look(ctx)
		if err == nil {
			err = f.foreign(&s, f.set)
		}
		errs = append(errs, err)
	}
	if err := together(errs...); err != nil || t.options.PreferIPSet == ipsetNever {
		return err
	}
	s, err := dialIPSet(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if s.supported() != nil {
		return nil // to use the sets will fail in its own words
	}
	for _, f := range t.families {
		_, err := s.own(f.set, f.v6)
		errs = append(errs, err)
	}
	return together(errs...)
}

// owned explains why the place of an IPTables cannot be had.
func (t *IPTables) take(parts ...string) error {
	err := t.place.take(t.options.Namespace, parts...)
	if errors.Is(err, ErrOwned) {
		return fmt.Errorf("chain %s, sets %s4 and %s6: %w: end that one, or give this one a chain and sets of other names (chain and set in [actions.iptables])",
			t.options.Chain, t.options.SetName, t.options.SetName, ErrOwned)
	}
	return err
}

func chainPlace(chain string) string { return "iptables/" + chain }
func setPlace(set string) string     { return "ipset/" + set }
