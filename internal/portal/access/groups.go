package access

import (
	"context"
	"fmt"
	"strings"

	"regwarden/internal/portal/account"
)

// Grant gives the people of a group a level in a project or in everything below a namespace. A * in Group stands for any text, which a *
// in Namespace then is: {"registry:*:developer", "*", Developer}.
type Grant struct {
	Group     string // a value of the groups claim or header
	Namespace string // acme gives acme and acme/..., acme/web gives that project; a single * here and none in Group is every project
	Level     Level
}

// Groups is a Source that reads levels from the groups that came with the login. It asks nobody, so its answers are as old as the login,
// or as the request behind a proxy.
type Groups struct{ grants []Grant }

// NewGroups returns a source; its errors say which grant is wrong.
func NewGroups(grants []Grant) (*Groups, error) {
	for i, g := range grants {
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("grant %d: %w", i+1, err)
		}
	}
	return &Groups{grants}, nil
}

func (g Grant) check() error {
	if strings.Trim(g.Group, "* ") == "" {
		return fmt.Errorf("group %q would be everybody: name one", g.Group)
	}
	if strings.Count(g.Group, "*") > 1 || strings.Count(g.Namespace, "*") > 1 {
		return fmt.Errorf("group %q, namespace %q: only one * each", g.Group, g.Namespace)
	}
	if g.Namespace != "*" {
		if strings.Contains(g.Namespace, "*") && !strings.Contains(g.Group, "*") {
			return fmt.Errorf("namespace %q has a *, which group %q does not fill", g.Namespace, g.Group)
		}
		if CheckPath(strings.Replace(g.Namespace, "*", "x", 1)) != nil {
			return fmt.Errorf("namespace %q is no path: write it as the registry does, in lower case, like acme or acme/web", g.Namespace)
		}
	}
	if g.Level < Guest || g.Level > Owner {
		return fmt.Errorf("level %d is none between guest and owner", g.Level)
	}
	return nil
}

// Level is the highest that any of the person's groups gives.
func (g *Groups) Level(_ context.Context, u account.User, project string) (Level, error) {
	best := None
	for _, grant := range g.grants {
		for _, group := range u.Groups {
			if grant.Level > best && grant.covers(group, project) {
				best = grant.Level
			}
		}
	}
	if best == None {
		return None, ErrNotFound
	}
	return best, nil
}

// covers says that membership in a group gives the grant's level in a project.
func (g Grant) covers(group, project string) bool {
	before, after, wild := strings.Cut(g.Group, "*")
	if !wild {
		return g.Group == group && (g.Namespace == "*" || below(g.Namespace, project))
	}
	if len(group) < len(before)+len(after) || !strings.HasPrefix(group, before) || !strings.HasSuffix(group, after) {
		return false
	}
	filled := strings.Replace(g.Namespace, "*", group[len(before):len(group)-len(after)], 1)
	return CheckPath(filled) == nil && below(filled, project)
}

// below says that a project is a namespace or in it.
func below(namespace, project string) bool {
	rest, ok := strings.CutPrefix(project, namespace)
	return ok && (rest == "" || rest[0] == '/')
}

// Mine looks at each of them.
func (g *Groups) Mine(ctx context.Context, u account.User, among []string, least Level) (mine []string, whole bool, err error) {
	for _, p := range among {
		if l, _ := g.Level(ctx, u, p); l >= least {
			mine = append(mine, p)
		}
	}
	return mine, true, nil
}

// Confirm has nobody to ask.
func (g *Groups) Confirm(context.Context, account.User) error { return nil }
