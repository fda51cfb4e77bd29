package access_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"regwarden/internal/portal/access"
)

func TestPathsOfProjects(t *testing.T) {
	for _, good := range []string{"acme/web", "acme/sub/group/web", "a/b", "acme/web.app", "acme/my-app", "acme/my__app", "acme/a---b", "0/1", "library",
		strings.Repeat("a", 127) + "/" + strings.Repeat("b", 127)} {
		if err := access.CheckPath(good); err != nil {
			t.Errorf("%q: want a path, got %v", good, err)
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "slash": "/", "leading slash": "/acme/web", "trailing slash": "acme/web/", "empty component": "acme//web", "dots": "acme/../web",
		"dots first": "../acme/web", "dot": "acme/./web", "only dots": "..", "escaped slash": "acme%2fweb", "escaped dots": "acme/%2e%2e/web", "query": "acme/web?private_token=x",
		"fragment": "acme/web#x", "upper case": "Acme/web", "semicolon": "acme/web;x", "backslash": `acme\web`, "at": "acme@web", "colon": "acme:web", "space": "acme /web",
		"newline": "acme/web\n", "header": "acme/web\r\nX: y", "null": "acme/web\x00", "escape": "acme/\x1b[31mweb", "no UTF-8": "acme/\xff\xfe", "look-alike": "аcme/web",
		"right to left": "acme/\u202eweb", "dash only": "acme/-/web", "leading dot": "acme/.git", "trailing dot": "acme/web.", "leading dash": "acme/-web", "two dots inside": "acme/we..b",
		"too long": strings.Repeat("a", 128) + "/" + strings.Repeat("b", 127),
	} {
		if err := access.CheckPath(bad); !errors.Is(err, access.ErrPath) {
			t.Errorf("%s: want %q refused, got %v", name, bad, err)
		}
	}
}

// FuzzCheckPath holds that a path that is taken means itself in every place of a URL.
func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"acme/web", "../x", "a%2fb", "a/b?c#d", "A/b", "a//b", "a/b/", "a\\b", "a/\x00", "a/..%2f..", "a/b;c", "١/٢"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if access.CheckPath(s) != nil {
			return
		}
		if len(s) > 255 || s != strings.ToLower(s) || strings.Contains(s, "..") || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-/") != "" {
			t.Errorf("took %q", s)
		}
		escaped := url.PathEscape(s)
		if back, err := url.PathUnescape(escaped); err != nil || back != s || escaped != strings.ReplaceAll(s, "/", "%2F") {
			t.Errorf("%q becomes %q in a URL", s, escaped)
		}
		u, err := url.Parse("https://gitlab.example.org/p/" + s)
		if err != nil || u.Path != "/p/"+s || u.JoinPath().Path != "/p/"+s || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q is something else in a URL: %v %v", s, u, err)
		}
	})
}
