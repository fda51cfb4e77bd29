package main

import (
	"testing"
	"time"
)

func TestListsOfOtherTools(t *testing.T) {
	now := time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)
	for line, want := range map[string][2]string{
		"203.0.113.7":               {"203.0.113.7", ""},
		"  203.0.113.0/24  # spam ": {"203.0.113.0/24", ""},
		"2001:db8::/64":             {"2001:db8::/64", ""},
		"add f2b-registry 203.0.113.7 timeout 599 packets 3 bytes 180": {"203.0.113.7", "599s"},
		"add f2b-registry 203.0.113.7":                                 {"203.0.113.7", ""},
		"deny 203.0.113.7;":                                            {"203.0.113.7", ""},
		`{"target":"203.0.113.7/32","until":"2026-10-05T08:10:00Z"}`:   {"203.0.113.7/32", "601s"},
		`{"target":"203.0.113.7/32","until":"2026-10-05T07:10:00Z"}`:   {"", ""},
		"# written by regwarden":                                       {"", ""},
		"create f2b-registry hash:ip family inet timeout 600":          {"", ""},
		"": {"", ""},
	} {
		target, own, ok := listedBlock(line, now)
		if target != want[0] || own != want[1] || ok != (want[0] != "") {
			t.Errorf("%q: want %v, got %q %q %v", line, want, target, own, ok)
		}
	}
}
