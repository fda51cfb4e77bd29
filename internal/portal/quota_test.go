package portal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
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

// TestAFullQuotaIsToldBeforeTheForm and not after somebody has written a reason and read digits.
func TestAFullQuotaIsToldBeforeTheForm(t *testing.T) {
	s := newSite(t, nil)
	for i := range 3 {
		s.backend.block(fmt.Sprintf("203.0.113.%d/32", i), about(fmt.Sprint("b", i), project))
		s.want("in the quota", s.unblock("developer", fmt.Sprint("b", i)), 200)
	}
	s.pass(15 * time.Minute)
	s.backend.block("203.0.113.9/32", about("b9", project))
	page := "/p/" + project + "/-/blocks/b9"
	s.want("the block's page", s.get("developer", page), 200, "You have unblocked 3 times within an hour", "in 45 min", "203.0.113.9", "!unblock-form", "!challenge-image")
	s.want("the block's page of an admin", s.get("admin", page), 200, "unblock-form")
	sent := s.post("developer", page, map[string][]string{"reason": {"pushed"}})
	s.want("a form that is sent all the same", sent, 429)
	if got := sent.header.Get("Retry-After"); got != "2700" {
		t.Errorf("want Retry-After 2700, got %q", got)
	}
	asked := s.send("", "POST", "/api/v1/projects/acme%2Fweb/blocks/b9/challenge", nil, "PRIVATE-TOKEN", s.gitlab.Token(people["developer"]))
	s.want("the API's human test", asked, 429)
	if got := asked.header.Get("Retry-After"); got != "2700" {
		t.Errorf("the API: want Retry-After 2700, got %q", got)
	}
}

// TestTheLastFailureShowsNoOtherForm since another answer would not be looked at.
func TestTheLastFailureShowsNoOtherForm(t *testing.T) {
	s := newSite(t, nil)
	s.backend.block("203.0.113.7/32", about("b1", project))
	var last reply
	for range 10 {
		last = s.post("developer", blockPath, s.form("developer", blockPath, false))
	}
	s.want("the last", last, 422, "failed the human test 10 times", "!unblock-form", `!href="#unblock"`, "!try the new one")
	if strings.Contains(last.body, "There is no human test") {
		t.Error("the page says that there is no human test, but there is one")
	}
}
