package access

import (
	"context"
	"log/slog"
	"net/http"

	"regwarden/internal/portal/account"
)

// GitLabOptions is where GitLab is.
type GitLabOptions struct {
	URL    string       // https://gitlab.example.org, without /api
	Client *http.Client // nil is one of its own, with a limit of 3 s
	// Refresh gets the person of this context a new token when the old one is over: login.Door.Refresh. nil is never.
	Refresh func(context.Context) (account.User, error)
	Log     *slog.Logger // nil is silent
}

// GitLab is a Source that asks GitLab's API with the person's own token.
type GitLab struct{ o GitLabOptions }

// NewGitLab returns a source. It connects at each request.
func NewGitLab(o GitLabOptions) (*GitLab, error) { return &GitLab{o}, nil }

// Level is max(project access, group access), or what the list of all members says if GitLab tells neither.
func (g *GitLab) Level(ctx context.Context, u account.User, project string) (Level, error) {
	panic("not yet")
}

// Mine asks for few projects one by one, and for many through the list of the person's projects.
func (g *GitLab) Mine(ctx context.Context, u account.User, among []string, least Level) ([]string, bool, error) {
	panic("not yet")
}

// Confirm asks GitLab whose token it is.
func (g *GitLab) Confirm(ctx context.Context, u account.User) error { panic("not yet") }
