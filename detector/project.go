package detector

import (
	"slices"
	"strings"
)

// ProjectCandidates returns the GitLab projects that a repository may belong to: the full path, and the path less one and less
// two segments, each at least two segments long. Which one it is only GitLab's database knows
// (GitLab allows image names up to two levels below the project, container_registry/path.rb).
func ProjectCandidates(repository string) []string {
	var out []string
	for range 3 {
		if strings.Count(repository, "/") < 1 {
			break
		}
		out = append(out, strings.ToLower(repository))
		repository = repository[:strings.LastIndexByte(repository, '/')]
	}
	return out
}

// Share is how much of a cause a project has.
type Share uint8

// The shares.
const (
	// ShareNone: nothing in the cause is known to be about the project.
	ShareNone Share = iota
	// SharePart: the project is among what the cause is about. The rule counts over other things too, so that it is not the project's to lift.
	SharePart
	// ShareWhole: every request that counted was for a repository of the project.
	ShareWhole
)

// Share says how much of the cause the project of that path has. The path must be known to be a project's: GitLab lets no project be a group as well, so that
// all below it is its own, while of a repository's name alone nobody could tell where the project ends. Only a count that is about one repository
// (Cause.About) is wholly somebody's: the evidence of others names the last repositories, and what came before may have been anybody's.
func (c *Cause) Share(project string) Share {
	if project == "" {
		return ShareNone
	}
	switch {
	case c.About != "" && below(c.About, project):
		return ShareWhole
	case c.About != "":
		return ShareNone // its projects are guesses from this one name
	case slices.ContainsFunc(c.Repositories, func(r string) bool { return below(r, project) }):
		return SharePart
	case len(c.Repositories) == 0 && slices.ContainsFunc(c.Projects, func(p string) bool { return strings.EqualFold(p, project) }):
		return SharePart // the log itself named the project
	}
	return ShareNone
}

// below says whether a repository is the project's: its own name or one under it.
func below(repository, project string) bool {
	rest, ok := cutPrefixFold(repository, project)
	return ok && (rest == "" || rest[0] == '/')
}

// cutPrefixFold is strings.CutPrefix for names, whose capitals mean nothing. They are ASCII; others match only as they are.
func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// MayConcern are the paths that may be projects which have a share of the cause.
func (c *Cause) MayConcern() []string {
	if c.About != "" {
		return ProjectCandidates(c.About)
	}
	return c.Projects
}

// Above calls do with every path, in small letters, of which the project would have a share of the cause: it may do so more than once with one.
func (c *Cause) Above(do func(path string)) {
	switch {
	case c.About != "":
		above(c.About, do)
	case len(c.Repositories) > 0:
		for _, r := range c.Repositories {
			above(r, do)
		}
	default:
		for _, p := range c.Projects {
			do(strings.ToLower(p))
		}
	}
}

// above calls do with a repository's path and all that it lies below.
func above(repository string, do func(path string)) {
	for path := strings.ToLower(repository); ; {
		do(path)
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return
		}
		path = path[:i]
	}
}
