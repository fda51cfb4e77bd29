package access

import (
	"context"
	"slices"
	"strings"

	"regwarden/internal/portal/account"
)

// subjectPrefix marks an admin who is named by the provider's subject.
const subjectPrefix = "sub:"

// Admin says that the configuration names this person, as the login said who it is. For a look only: AdminNow before anything is changed.
func (a *Access) Admin(u account.User) bool {
	if u.Subject == "" {
		return false
	}
	for _, name := range a.policy.Admins {
		if subject, is := strings.CutPrefix(name, subjectPrefix); is {
			if subject == u.Subject {
				return true
			}
		} else if u.Username != "" && (name == u.Username || a.policy.FoldNames && strings.EqualFold(name, u.Username)) {
			return true
		}
	}
	return slices.ContainsFunc(a.policy.AdminGroups, func(g string) bool { return slices.Contains(u.Groups, g) })
}

// AdminNow says that an admin still is who the login said: nil, ErrNotFound for everybody else, ErrSignIn, ErrAway.
func (a *Access) AdminNow(ctx context.Context, u account.User) error {
	if !a.Admin(u) {
		return ErrNotFound
	}
	return a.source.Confirm(ctx, u)
}
