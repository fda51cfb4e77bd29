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
