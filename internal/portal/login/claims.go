package login

import "strings"

// claims is what a token says, as JSON has it.
type claims map[string]any

func (o Options) groupsClaim() string {
	if o.GroupsClaim == "" {
		return "groups"
	}
	return o.GroupsClaim
}

func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// party is for whom a token was made, where several may read it.
func (c claims) party() string { return c.text("azp") }

// list is the texts of a claim; a single one is a list too. The name may be a way into objects: realm_access.roles. nil is no such claim.
func (c claims) list(name string) []string {
	value, ok := c[name]
	for inner := map[string]any(c); !ok; {
		first, rest, more := strings.Cut(name, ".")
		if inner, ok = inner[first].(map[string]any); !ok || !more {
			return nil
		}
		value, ok = inner[rest]
		name = rest
	}
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		texts := make([]string, 0, min(len(v), maxGroups))
		for _, each := range v {
			if s, ok := each.(string); ok && len(texts) < maxGroups {
				texts = append(texts, s)
			}
		}
		return texts
	}
	return nil
}
