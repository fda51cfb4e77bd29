// Package access says what somebody may do: see a project's blocks, lift them, see everything. Whether somebody may is asked of those who
// know (GitLab's project API with the person's own token, or the groups that a login gave), is kept for a minute for looking, and is
// asked anew for each lifting. Nobody who may not see a project learns that there is one.
package access

import (
	"context"
	"log/slog"
	"time"

	"regwarden/internal/portal/account"
)

// Source knows the members of projects. Its projects are paths that CheckPath took. ErrNotFound means no access at all.
type Source interface {
	// Level asks now, whatever was asked before.
	Level(ctx context.Context, u account.User, project string) (Level, error)
	// Mine says which of the projects somebody has at least this level in; whole is false if there were too many to ask for.
	Mine(ctx context.Context, u account.User, among []string, least Level) (mine []string, whole bool, err error)
	// Confirm asks whether the person still is who the login said: ErrSignIn if not. Admins are asked for with it.
	Confirm(ctx context.Context, u account.User) error
}

// Policy is what the operator decided. The zero value is made whole by New.
type Policy struct {
	View        Level         // sees a project's blocks; default Reporter
	Lift        Level         // lifts them; default Developer
	Admins      []string      // usernames, or sub:... for the subject, which nobody else can get later
	AdminGroups []string      // values of the groups claim or header
	CacheFor    time.Duration // how long a look may rely on an earlier answer; default 60 s
}

// Access decides by a policy over a source. It is safe for concurrent use.
type Access struct {
	source Source
	policy Policy
	log    *slog.Logger
}

// New returns the decisions of a policy. log may be nil.
func New(source Source, p Policy, log *slog.Logger) (*Access, error) {
	return &Access{source, p, log}, nil
}

// View says at which level somebody sees a project. Errors: ErrPath, ErrNotFound, ErrSignIn, ErrAway. The answer may be CacheFor old.
func (a *Access) View(ctx context.Context, u account.User, project string) (Level, error) {
	panic("not yet")
}

// Lift says at which level somebody lifts a project's blocks, asked now. Errors: those of View, and ErrNotAllowed with the level at which
// the person sees the project.
func (a *Access) Lift(ctx context.Context, u account.User, project string) (Level, error) {
	panic("not yet")
}

// Mine is which of these projects somebody sees, in the order given; whole is false if there were too many to ask for. Admins see all.
func (a *Access) Mine(ctx context.Context, u account.User, among []string) (mine []string, whole bool, err error) {
	panic("not yet")
}

// Admin says that the configuration names this person, as the login said who it is. For a look only: AdminNow before anything is changed.
func (a *Access) Admin(u account.User) bool { panic("not yet") }

// AdminNow says that an admin still is who the login said: nil, ErrNotFound for everybody else, ErrSignIn, ErrAway.
func (a *Access) AdminNow(ctx context.Context, u account.User) error { panic("not yet") }
