package access

import "regexp"

// maxPath is the longest path of a project, in bytes: GitLab's own limit and that of the registry's repositories.
const maxPath = 255

// projectPath is the grammar of the registry's repository names (distribution's reference), without a host.
var projectPath = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)

// CheckPath is nil if a text is the path of a project as registries write it: lower case components of letters, digits and single
// separators, with / between them, 255 bytes at most. Nothing else is ever asked for, so that no path can mean something to a URL.
func CheckPath(project string) error {
	if len(project) > maxPath || !projectPath.MatchString(project) {
		return ErrPath
	}
	return nil
}
