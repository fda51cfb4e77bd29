package access

import (
	"context"
	"errors"
	"strconv"

	"regwarden/internal/portal/account"
)

// Whose says whose a token is that somebody sends to the JSON API: ErrSignIn if nobody's.
func (g *GitLab) Whose(ctx context.Context, token account.Secret) (account.User, error) {
	var who struct {
		ID       int64  `json:"id"`
		Username string `json:"username"`
		Name     string `json:"name"`
		State    string `json:"state"`
	}
	u := account.User{Token: token}
	if _, err := g.api.get(ctx, &u, "/user", &who); err != nil {
		if errors.Is(err, ErrNotFound) {
			return account.User{}, ErrSignIn
		}
		return account.User{}, err
	}
	if who.ID <= 0 || who.State != "active" {
		return account.User{}, ErrSignIn
	}
	return account.User{Subject: strconv.FormatInt(who.ID, 10), Username: who.Username, Name: who.Name, Token: token}, nil
}
