package detector

import "strings"

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

// maxNamePart is the longest part of a name that a file may be named after with an ending of its own: file systems end at 255 bytes.
const maxNamePart = 248

// ValidRepository says whether a repository may have the name by the distribution specification, or nearly so: nothing in it climbs up a directory.
func ValidRepository(name string) bool {
	if len(name) > 255 {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxNamePart {
			return false
		}
		separator := true // at the beginning and after a separator comes a letter or a digit
		for i := 0; i < len(part); i++ {
			switch c := part[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
				separator = false
			case c == '.' || c == '_' || c == '-':
				if separator && (c == '.' || i == 0) {
					return false
				}
				separator = true
			default:
				return false
			}
		}
		if separator {
			return false
		}
	}
	return true
}
