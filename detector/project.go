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
