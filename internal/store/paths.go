package store

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"regwarden/detector"
)

// paths are what a cause's entry in the history is found by: its repositories, and what may be their projects. Of a path with many steps only the lowest ones
// that GitLab allows and the two highest are taken, since a client may ask for any name.
func paths(c *detector.Cause) []string {
	var out []string
	add := func(list ...string) {
		for _, p := range list {
			if p = strings.ToValidUTF8(strings.ToLower(p), "�"); p != "" && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	for _, r := range append([]string{c.About}, c.Repositories...) {
		add(r)
		add(detector.ProjectCandidates(r)...)
		steps := strings.SplitN(r, "/", 3)
		for n := 1; n < len(steps); n++ {
			add(strings.Join(steps[:n], "/"))
		}
	}
	add(c.Projects...)
	return out
}

// targetsAround are all targets that could hold the address, as a JSON list.
func targetsAround(a netip.Addr) string {
	var out []string
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, err := a.Prefix(bits)
		if err != nil {
			break
		}
		out = append(out, p.String())
	}
	text, _ := json.Marshal(out)
	return string(text)
}
