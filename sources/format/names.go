package format

import "slices"

// auto is the name under which every line's dialect is recognised.
const auto = "auto"

// Names returns every name that Options.Name may have, "auto" first.
func Names() []string {
	names := []string{auto}
	for _, d := range dialects {
		names = append(names, d.name)
	}
	slices.Sort(names[1:])
	return names
}

// nearest returns the name that needs the fewest edits to become the wanted one.
func nearest(wanted string, names []string) string {
	best, least := "", -1
	for _, name := range names {
		if n := distance(wanted, name); least < 0 || n < least {
			best, least = name, n
		}
	}
	return best
}

// distance is the Levenshtein distance.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
