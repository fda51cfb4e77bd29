package strict_test

import (
	"strings"
	"testing"

	"regwarden/internal/strict"
)

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.7/32": "192.0.2.7/32", "192.0.2.0/24": "192.0.2.0/24", "0.0.0.0/0": "0.0.0.0/0",
		"2001:DB8::7": "2001:db8::7/128", "2001:db8:0:1::/64": "2001:db8:0:1::/64", "::/0": "::/0",
		"::ffff:192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.0/120": "192.0.2.0/24", "::ffff:0:0/96": "0.0.0.0/0",
	} {
		if p, err := strict.Target(text); err != nil || p.String() != want {
			t.Errorf("%q: want %s, got %v, %v", text, want, p, err)
		}
	}
	for text, want := range map[string]string{
		"": "neither", "192.0.2": "neither", "192.0.2.007": "neither", "192.0.2.7/33": "neither", "192.0.2.7/": "neither", "192.0.2.0/024": "neither",
		"192.0.2.7/24/1": "neither", " 192.0.2.7": "neither", "example.org": "neither", "::ffff:0:0/90": "neither", "::ffff:192.0.2.7/90": "neither",
		"fe80::1%eth0": "one interface", "fe80::%eth0/64": "one interface",
		"192.0.2.7/24":         "write 192.0.2.7 for the address or 192.0.2.0/24 for all of the network",
		"::ffff:192.0.2.7/120": "write 192.0.2.7 for the address or 192.0.2.0/24 for all of the network",
		"2001:db8::7/64":       "write 2001:db8::7 for the address or 2001:db8::/64 for all of the network",
	} {
		if p, err := strict.Target(text); err == nil || !strings.Contains(err.Error(), want) || p.IsValid() {
			t.Errorf("%q: want %s, got %v, %v", text, want, p, err)
		}
	}
}
