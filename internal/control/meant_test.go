package control_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/internal/control"
)

func blocksOf(targets ...string) []detector.Block {
	var out []detector.Block
	for _, t := range targets {
		p := netip.MustParsePrefix(t)
		out = append(out, detector.Block{Target: p, Causes: []detector.Cause{{ID: "id-" + p.Addr().String(), Rule: "manual"}}})
	}
	slices.SortFunc(out, func(a, b detector.Block) int { return a.Target.Compare(b.Target) })
	return out
}

func targetsOf(blocks []detector.Block) string {
	var out []string
	for _, b := range blocks {
		out = append(out, control.TargetText(b.Target))
	}
	return strings.Join(out, " ")
}

// An unblock means the target that it names and nobody beside it.
func TestMeant(t *testing.T) {
	all := blocksOf("203.0.112.0/22", "203.0.113.0/24", "203.0.113.10/32", "203.0.113.11/32", "2001:db8::/48", "2001:db8::/64", "2001:db8:0:1::5/128")
	for _, c := range []struct {
		named, want, wider string
		mask               detector.Mask
	}{
		{"203.0.113.10/32", "203.0.113.10", "203.0.112.0/22 203.0.113.0/24", detector.DefaultMask},
		{"203.0.113.12/32", "", "203.0.112.0/22 203.0.113.0/24", detector.DefaultMask},
		{"203.0.113.12/32", "203.0.113.0/24", "203.0.112.0/22 203.0.113.0/24", detector.Mask{V4: 24, V6: 64}},
		{"203.0.113.0/24", "203.0.113.0/24", "203.0.112.0/22", detector.DefaultMask},
		{"203.0.113.0/28", "203.0.113.10 203.0.113.11", "203.0.112.0/22 203.0.113.0/24", detector.DefaultMask},
		{"203.0.113.128/25", "", "203.0.112.0/22 203.0.113.0/24", detector.DefaultMask},
		{"2001:db8::5/128", "2001:db8::/64", "2001:db8::/48 2001:db8::/64", detector.DefaultMask},
		{"2001:db8:0:1::5/128", "2001:db8:0:1::5", "2001:db8::/48", detector.DefaultMask},
		{"2001:db8:0:2::5/128", "", "2001:db8::/48", detector.DefaultMask},
		{"192.0.2.0/24", "", "", detector.DefaultMask},
	} {
		named := netip.MustParsePrefix(c.named)
		if got := targetsOf(control.Meant(all, named, c.mask)); got != c.want {
			t.Errorf("%s: want %q, got %q", c.named, c.want, got)
		}
		got := ""
		if p := control.OnlyWider(all, named, ""); p != nil {
			got = targetsOf(p.StillBlocked)
		}
		if got != c.wider {
			t.Errorf("%s: want wider %q, got %q", c.named, c.wider, got)
		}
	}
	if p := control.OnlyWider(all, netip.MustParsePrefix("203.0.113.12/32"), "other"); p != nil {
		t.Errorf("no wider block has a cause of that rule, got %v", p)
	}
}
