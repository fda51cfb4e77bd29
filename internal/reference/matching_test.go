package reference

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"regwarden/detector"
)

// facts are an event, and its fields as texts under the names that rules have for them. A number is its decimal; the client has no text.
type facts struct {
	*detector.Event
	texts map[string]string
}

func factsOf(e *detector.Event) *facts {
	return &facts{e, map[string]string{"source": e.Kind.String(), "operation": e.Operation.String(), "status": fmt.Sprint(e.Status), "bytes": fmt.Sprint(e.Bytes),
		"method": e.Method, "path": e.Path, "repository": e.Repository, "reference": e.Reference, "user": e.User, "user_agent": e.UserAgent,
		"project": e.Project, "throttle": e.Throttle, "throttle_env": e.ThrottleEnv, "safelist": e.Safelist, "error": e.Error, "message": e.Message}}
}

// exempt says that GitLab's own word takes the request out of all counting: its operator let it pass, it was only watched, or it was counted by
// something else than the address.
func exempt(e *facts) bool {
	byAddress := strings.Contains(e.Throttle, "unauthenticated") && e.User == ""
	return e.Safelist != "" || e.ThrottleEnv == "track" || e.ThrottleEnv == "throttle" && e.Throttle != "" && !byAddress
}

// holds says whether an event meets one condition: any of its values, turned round by not.
func holds(c *detector.Condition, e *facts) bool {
	return met(c, e) != c.Not
}

func met(c *detector.Condition, e *facts) bool {
	switch name := c.Field.String(); name {
	case "client":
		inside := func(p netip.Prefix) bool { return p.Contains(e.Client.Unmap()) }
		return c.Any && e.Client.IsValid() || slices.ContainsFunc(c.Networks, inside)
	case "status", "bytes":
		n := map[string]int64{"status": int64(e.Status), "bytes": e.Bytes}[name]
		inside := func(r detector.Range) bool { return r.From <= n && n <= r.To }
		return c.Any && n != 0 || slices.ContainsFunc(c.Ranges, inside)
	default:
		text := e.texts[name]
		begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
		matches := func(r *regexp.Regexp) bool { return r.MatchString(text) }
		return c.Any && text != "" || slices.Contains(c.Equals, text) || slices.ContainsFunc(c.Prefixes, begins) || slices.ContainsFunc(c.Regexps, matches)
	}
}

func allHold(cs detector.Conditions, e *facts) bool {
	for i := range cs {
		if !holds(&cs[i], e) {
			return false
		}
	}
	return true
}

func anyHolds(alternatives []detector.Conditions, e *facts) bool {
	return slices.ContainsFunc(alternatives, func(cs detector.Conditions) bool { return allHold(cs, e) })
}

// taken says for which client a rule counts the event; false when it does not.
func taken(r *detector.Rule, line []byte, e *facts) (netip.Addr, bool) {
	client := e.Client
	if len(r.FailRegex) > 0 {
		client = named(r.FailRegex, line)
	}
	ignored := slices.ContainsFunc(r.IgnoreRegex, func(rx *regexp.Regexp) bool { return rx.Match(line) })
	wanted := len(r.Sources) == 0 || slices.Contains(r.Sources, e.Kind)
	return client, wanted && allHold(r.Match, e) && !anyHolds(r.Unless, e) && !ignored && client.IsValid()
}

// named is the address that the first of the patterns which names one finds in the line.
func named(patterns []*regexp.Regexp, line []byte) netip.Addr {
	for _, rx := range patterns {
		found := rx.FindSubmatch(line)
		if found == nil {
			continue
		}
		if a, err := netip.ParseAddr(string(found[rx.SubexpIndex("client")])); err == nil {
			return a.Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}
