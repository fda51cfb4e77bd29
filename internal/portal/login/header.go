package login

import (
	"context"
	"net/http"
	"strings"

	"regwarden/internal/portal/account"
)

const maxGroups = 1000 // of one person, 200 bytes each

// believe puts the person whom a trusted proxy names into the context. From others the headers are taken away, so that nothing behind us reads them.
func (d *Door) believe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.trusted(r) {
			r = r.Clone(r.Context())
			for _, name := range []string{d.o.UserHeader, d.o.NameHeader, d.o.GroupsHeader} {
				r.Header.Del(name)
			}
		} else if u, ok := d.named(r.Header); ok {
			r = r.WithContext(context.WithValue(r.Context(), proxied{}, u))
		}
		next.ServeHTTP(w, r)
	})
}

// proxied is the context's key of the person whom a proxy named.
type proxied struct{}

func (d *Door) trusted(r *http.Request) bool {
	a, tcp := peer(r)
	if !tcp {
		return true
	}
	for _, p := range d.o.TrustedPeers {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// named is the person in the headers. Two users are none: a proxy that adds its header to the visitor's own would let anybody say who they are.
func (d *Door) named(h http.Header) (u account.User, ok bool) {
	users := h.Values(d.o.UserHeader)
	if len(users) != 1 {
		return u, false
	}
	name := tidy(users[0])
	if name == "" || name != strings.TrimSpace(users[0]) {
		return u, false
	}
	u = account.User{Subject: name, Username: name, Name: name}
	if shown := tidy(h.Get(d.o.NameHeader)); d.o.NameHeader != "" && shown != "" {
		u.Name = shown
	}
	if d.o.GroupsHeader != "" {
		u.Groups = someGroups(strings.Split(strings.Join(h.Values(d.o.GroupsHeader), ","), ","))
	}
	return u, true
}

// someGroups is the groups that can be ones, and not too many.
func someGroups(all []string) (groups []string) {
	for _, g := range all {
		if g = strings.TrimSpace(g); g != "" && len(g) <= maxName && len(groups) < maxGroups {
			groups = append(groups, g)
		}
	}
	return groups
}
