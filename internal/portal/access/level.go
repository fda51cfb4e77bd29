package access

import (
	"errors"
	"fmt"
)

// Level is what somebody may do in a project, in GitLab's numbers. There are more than are named here (5, 15, 25): compare with >=.
type Level int

// The levels. Admin is nobody's level in a project: it stands for the people whom the configuration names.
const (
	None       Level = 0
	Guest      Level = 10
	Reporter   Level = 20
	Developer  Level = 30
	Maintainer Level = 40
	Owner      Level = 50
	Admin      Level = 60
)

var names = []struct {
	level Level
	name  string
}{{Admin, "admin"}, {Owner, "owner"}, {Maintainer, "maintainer"}, {Developer, "developer"}, {Reporter, "reporter"}, {Guest, "guest"}, {None, "none"}}

// String is the name of the highest named level that it reaches.
func (l Level) String() string {
	for _, n := range names {
		if l >= n.level {
			return n.name
		}
	}
	return "none"
}

// ParseLevel reads a level's name as the configuration has it: guest, reporter, developer, maintainer or owner.
func ParseLevel(name string) (Level, error) {
	for _, n := range names {
		if n.name == name && n.level > None && n.level < Admin {
			return n.level, nil
		}
	}
	return None, fmt.Errorf("%q is no role: write guest, reporter, developer, maintainer or owner", name)
}

// What may be the matter. Tell them apart with errors.Is.
var (
	ErrPath       = errors.New("this is no path of a project")                         // 404, the same page as ErrNotFound
	ErrNotFound   = errors.New("there is no such project, or you may not see it")      // 404: who is no member learns nothing
	ErrNotAllowed = errors.New("your role in this project does not allow it")          // 403: sees the project, may not lift
	ErrSignIn     = errors.New("your sign-in is no longer valid: please sign in anew") // 401, or to the login
	ErrAway       = errors.New("the one who knows the members does not answer")        // 503: nothing can be lifted now
)
