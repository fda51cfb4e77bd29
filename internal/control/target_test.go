package control_test

import (
	"errors"
	"testing"

	"regwarden/internal/control"
)

func TestTargets(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "192.0.2.7/32": "192.0.2.7", "192.0.2.0/24": "192.0.2.0/24", "192.0.2.7/24": "",
		"2001:DB8::7": "2001:db8::7", "2001:db8:0:1::/64": "2001:db8:0:1::/64",
		"::ffff:192.0.2.7": "192.0.2.7", "::ffff:192.0.2.0/120": "192.0.2.0/24",
		"": "", "192.0.2": "", "192.0.2.007": "", "192.0.2.7/33": "", "192.0.2.7/": "", "::ffff:192.0.2.7/90": "",
		"fe80::1%eth0": "", "example.org": "", " 192.0.2.7": "", "192.0.2.7/24/1": "", "abc": "",
	} {
		p, err := control.ParseTarget(text)
		var problem *control.Problem
		switch {
		case want == "" && !errors.As(err, &problem):
			t.Errorf("%q: want a problem, got %v, %v", text, p, err)
		case want != "" && (err != nil || control.TargetText(p) != want):
			t.Errorf("%q: want %s, got %s, %v", text, want, control.TargetText(p), err)
		}
	}
}

func TestSubjects(t *testing.T) {
	for text, want := range map[string]struct {
		id string
		ok bool
	}{
		"192.0.2.7": {"", true}, "2001:db8::/64": {"", true}, "0a1b2c3d4e5f": {"0a1b2c3d4e5f", true}, "manual-7_x": {"manual-7_x", true},
		"1234": {"1234", true}, "": {}, "a b": {}, "a/b": {}, "a.b": {}, "\x1b": {}, "ä": {},
	} {
		p, id, err := control.ParseSubject(text)
		if id != want.id || (err == nil) != want.ok || want.ok && id == "" && !p.IsValid() {
			t.Errorf("%q: want %+v, got %v %q %v", text, want, p, id, err)
		}
	}
}
