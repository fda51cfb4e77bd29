// Package access says what somebody may do: see a project's blocks, lift them, see everything. Whether somebody may is asked of those who
// know (GitLab's project API with the person's own token, or the groups that a login gave), is kept for a minute for looking, and is
// asked anew for each lifting. Nobody who may not see a project learns that there is one.
package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"regwarden/internal/portal/account"
)

const (
	maxAnswers = 20_000 // of each kind that are kept: a few MB
	maxAmong   = 1000   // projects that Mine looks at
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
	// OnlySubjects refuses usernames in Admins: at many OpenID providers people choose theirs.
	OnlySubjects bool
	// FoldNames takes names in Admins that differ in case only for the same, as GitLab does.
	FoldNames bool
}

// Access decides by a policy over a source. It is safe for concurrent use.
type Access struct {
	source Source
	policy Policy
	levels *cache[Level]
	mine   *cache[bool]
}

// New returns the decisions of a policy.
func New(source Source, p Policy) (*Access, error) {
	p.View, p.Lift = cmp.Or(p.View, Reporter), cmp.Or(p.Lift, Developer)
	p.CacheFor = cmp.Or(p.CacheFor, time.Minute)
	if p.View < Guest || p.Lift > Owner {
		return nil, fmt.Errorf("the roles that view and lift must be between guest and owner")
	}
	if p.Lift < p.View {
		return nil, fmt.Errorf("%s may lift but only %s may view: who lifts a block must see it", p.Lift, p.View)
	}
	for _, a := range p.Admins {
		if strings.TrimSpace(strings.TrimPrefix(a, subjectPrefix)) == "" {
			return nil, fmt.Errorf("admins: %q names nobody", a)
		}
		if p.OnlySubjects && !strings.HasPrefix(a, subjectPrefix) {
			return nil, fmt.Errorf("admins: %q is a username, which people may choose at this provider: write %sSUBJECT, or name a group", a, subjectPrefix)
		}
	}
	if slices.Contains(p.AdminGroups, "") {
		return nil, errors.New("admin groups: one is empty")
	}
	return &Access{source, p, newCache[Level](maxAnswers, p.CacheFor), newCache[bool](maxAnswers, p.CacheFor)}, nil
}

// View says at which level somebody sees a project. Errors: ErrPath, ErrNotFound, ErrSignIn, ErrAway. The answer may be CacheFor old.
func (a *Access) View(ctx context.Context, u account.User, project string) (Level, error) {
	if err := CheckPath(project); err != nil {
		return None, err
	}
	if a.Admin(u) {
		return Admin, nil
	}
	l, known := a.levels.get(question{u.Subject, project})
	if !known {
		var err error
		if l, err = a.ask(ctx, u, project); err != nil {
			return None, err
		}
	}
	if l < a.policy.View {
		return None, ErrNotFound
	}
	return l, nil
}

// Lift says at which level somebody lifts a project's blocks, asked now. Errors: those of View, and ErrNotAllowed with the level at which
// the person sees the project.
func (a *Access) Lift(ctx context.Context, u account.User, project string) (Level, error) {
	if err := CheckPath(project); err != nil {
		return None, err
	}
	if a.Admin(u) {
		if err := a.source.Confirm(ctx, u); err != nil {
			return None, err
		}
		return Admin, nil
	}
	l, err := a.ask(ctx, u, project)
	switch {
	case err != nil:
		return None, err
	case l < a.policy.View:
		return None, ErrNotFound
	case l < a.policy.Lift:
		return l, ErrNotAllowed
	}
	return l, nil
}

// ask asks the source now and keeps the answer for later looks. Who is no member has no level; that is an answer too.
func (a *Access) ask(ctx context.Context, u account.User, project string) (Level, error) {
	if u.Subject == "" {
		return None, ErrSignIn
	}
	l, err := a.source.Level(ctx, u, project)
	if errors.Is(err, ErrNotFound) {
		l, err = None, nil
	}
	if err != nil {
		return None, err
	}
	l = min(max(l, None), Owner)
	a.levels.put(question{u.Subject, project}, l)
	return l, nil
}

// Mine is which of these projects somebody sees, in the order given; whole is false if there were too many to ask for. Admins see all.
// What is no path of a project is left out.
func (a *Access) Mine(ctx context.Context, u account.User, among []string) (mine []string, whole bool, err error) {
	among, whole = a.askable(among)
	if a.Admin(u) {
		return among, whole, nil
	}
	if u.Subject == "" {
		return nil, false, ErrSignIn
	}
	sees := make(map[string]bool, len(among))
	var unknown []string
	for _, p := range among {
		yes, known := a.mine.get(question{u.Subject, p})
		if !known {
			unknown = append(unknown, p)
		}
		sees[p] = yes
	}
	if len(unknown) > 0 {
		asked, all, err := a.source.Mine(ctx, u, unknown, a.policy.View)
		if err != nil {
			return nil, false, err
		}
		whole = whole && all
		for _, p := range asked {
			sees[p] = true
		}
		for _, p := range unknown {
			if sees[p] || all { // else it may be one that was not asked for
				a.mine.put(question{u.Subject, p}, sees[p])
			}
		}
	}
	return slices.DeleteFunc(among, func(p string) bool { return !sees[p] }), whole, nil
}

// askable is a copy of the projects without doubles and without what is none.
func (a *Access) askable(among []string) (projects []string, whole bool) {
	seen := make(map[string]bool, min(len(among), maxAmong))
	for _, p := range among {
		if seen[p] || CheckPath(p) != nil {
			continue
		}
		if len(projects) == maxAmong {
			return projects, false
		}
		seen[p] = true
		projects = append(projects, p)
	}
	return projects, true
}
