package portal_test

import (
	"net/netip"
	"testing"
)

// TestAdminsHaveNoQuotas since they are who is asked when those of the members are full; and what an admin lifts takes nothing from the members'.
func TestAdminsHaveNoQuotas(t *testing.T) {
	s := newSite(t, nil)
	for range 12 {
		s.backend.block("203.0.113.7/32", about("b1", project))
		s.want("an admin's", s.unblock("admin", "b1"), 200)
	}
	s.backend.ledger.Discharge(netip.MustParsePrefix("203.0.113.7/32"))
	s.backend.block("203.0.113.7/32", about("b1", project))
	s.want("a member's after it", s.unblock("developer", "b1"), 200)
}

// TestAnAdminsFailuresCount as everybody's.
func TestAnAdminsFailuresCount(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", project))
	for range 10 {
		s.want("a failure", s.post("admin", blockPath, s.form("admin", blockPath, false)), 422)
	}
	s.want("one more", s.unblock("admin", "b1"), 429, "failed the human test 10 times")
}
