package portal

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal/access"
)

// blockView is a blocked server as a project's members see it.
type blockView struct {
	ID      string
	Address string
	// Link leads to the block's own page.
	Link         string
	Since, Until moment
	Causes       []causeView
	// Elsewhere says that it is blocked for other reasons too, which are not this project's.
	Elsewhere bool
	// Liftable says that there is something of it which the project's members may lift; Who may, in words, and May says whether this one.
	Liftable bool
	Who      string
	May      bool
	Reblock  int
}

// causeView is one reason, in words. Of a reason that is not the project's alone nothing is told that names others.
type causeView struct {
	ID, Rule, Why, Fix string
	Evidence           []string
	Repositories       []string
	References         []string
	Since, Until       moment
	Count              int
	Scope              string
	Whole              bool
	Reblock            int
}

// moment is a time, with the time of which it is told.
type moment struct{ At, Now time.Time }

// UTC is for people, Machine for the datetime attribute and JSON.
func (m moment) UTC() string     { return m.At.UTC().Format("2 Jan 2006 15:04 UTC") }
func (m moment) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// Relative is "in 11 h 40 min" or "12 min ago".
func (m moment) Relative() string {
	d := m.At.Sub(m.Now)
	if d < 0 {
		return span(-d) + " ago"
	}
	return "in " + span(d)
}

// span is a length of time in at most two units.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		if m := int(d.Minutes()) % 60; m > 0 {
			return fmt.Sprintf("%d h %d min", int(d.Hours()), m)
		}
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int((d+12*time.Hour).Hours())/24)
}

// addressText is a target as people write it: an address alone, or a network.
func addressText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// viewBlock is a block as the members of a project see it; false if there is nothing of it that they may see.
func viewBlock(b detector.Block, project string, level access.Level, o *Options, now time.Time) (blockView, bool) {
	v := blockView{Address: addressText(b.Target)}
	var since, until time.Time
	for _, c := range b.Causes {
		share := c.Share(project)
		if share == detector.ShareNone || !now.Before(c.Until) {
			v.Elsewhere = v.Elsewhere || now.Before(c.Until)
			continue
		}
		if share == detector.ShareWhole {
			v.Reblock = max(v.Reblock, c.Reblock)
			if !v.Liftable {
				v.Liftable, v.ID = true, c.ID
			}
		} else {
			v.Elsewhere = true
		}
		v.Causes = append(v.Causes, viewCause(c, project, share == detector.ShareWhole, now))
		if since.IsZero() || c.Since.Before(since) {
			since = c.Since
		}
		if c.Until.After(until) {
			until = c.Until
		}
	}
	if len(v.Causes) == 0 {
		return v, false
	}
	if v.ID == "" {
		v.ID = v.Causes[0].ID
	}
	v.Since, v.Until = moment{since, now}, moment{until, now}
	v.Link = projectLink(project) + "/-/blocks/" + url.PathEscape(v.ID)
	need := o.needs(v.Reblock)
	v.May, v.Who = v.Liftable && level >= need, levelWords(need)
	return v, true
}

// viewCause tells a reason. Only one that is wholly the project's is told with its evidence: the lines of others may name anybody.
func viewCause(c detector.Cause, project string, whole bool, now time.Time) causeView {
	v := causeView{ID: c.ID, Rule: c.Rule, Since: moment{c.Since, now}, Until: moment{c.Until, now}, Whole: whole, Reblock: c.Reblock, Scope: "the whole registry"}
	if c.Closes() == detector.ScopeRepository {
		v.Scope = "only the repository"
	}
	if !whole {
		v.Why = "ran into the rule " + c.Rule + ", which counts requests over the whole registry and not for one project"
		v.Fix = "Ask an admin: only they see all of it."
		for _, r := range c.Repositories {
			if one := (detector.Cause{About: r}); one.Share(project) == detector.ShareWhole {
				v.Repositories = append(v.Repositories, r)
			}
		}
		return v
	}
	v.Why, v.Evidence, v.Repositories, v.References, v.Count = c.Reason, c.Samples, c.Repositories, c.References, c.Count
	v.Fix = fix(c)
	return v
}

// fix says what to do before anybody unblocks the server: otherwise it is blocked again at once, and for longer.
func fix(c detector.Cause) string {
	what := "what it asks for"
	if len(c.References) == 1 && len(c.Repositories) == 1 {
		what = fmt.Sprintf("%s:%s", c.Repositories[0], c.References[0])
		if strings.Contains(c.References[0], ":") {
			what = fmt.Sprintf("%s@%s", c.Repositories[0], c.References[0])
		}
	}
	switch c.Rule {
	case "missing-manifest":
		return "Push " + what + " or stop the service that keeps pulling it."
	case "tag-scan":
		return "Stop what tries one tag after the other; have it ask for the list of tags instead."
	case "token-denied":
		return "Give the server credentials that may pull from this project, or stop what pulls from it."
	}
	return "Stop what sends these requests."
}

// needs is the level that lifts a block, which was the n-th of a probation.
func (o *Options) needs(reblock int) access.Level {
	switch {
	case reblock >= 3:
		return access.Admin
	case reblock == 2:
		return max(o.LiftFrom, access.Maintainer)
	}
	return o.LiftFrom
}

// reblocks is up to which block of a probation somebody of that level may lift.
func (o *Options) reblocks(level access.Level) int {
	switch {
	case level >= access.Admin:
		return 1 << 30
	case level >= o.needs(2):
		return 2
	}
	return 1
}

func levelWords(l access.Level) string {
	switch {
	case l >= access.Admin:
		return "an admin of this page"
	case l >= access.Owner:
		return "an Owner of the project"
	case l >= access.Maintainer:
		return "a Maintainer of the project"
	case l >= access.Developer:
		return "a Developer of the project"
	case l >= access.Reporter:
		return "a Reporter of the project"
	}
	return "a member of the project"
}

// projectLink is the path of a project's page. The project's path has been checked: it has no sign that means something to a URL.
func projectLink(project string) string {
	steps := strings.Split(project, "/")
	for i := range steps {
		steps[i] = url.PathEscape(steps[i])
	}
	return "/p/" + strings.Join(steps, "/")
}

// entryView is a row of the history.
type entryView struct {
	ID      int64
	At      moment
	Address string
	What    string
	Why     string
	Who     string // only for those who may know
	Note    string
	BlockID string
}

// verbWords say what happened.
var verbWords = map[string]string{
	detector.ChangeBlock: "blocked", detector.ChangeExtend: "blocked for another reason", detector.ChangeShorten: "one of its reasons ended", detector.ChangeUnblock: "unblocked",
	detector.ChangeExpire: "the block ended by itself", detector.ChangeDryRun: "would have been blocked (dry run)", detector.ChangeSpared: "spared by a guard",
}

// viewEntry is an entry of the history as a project's members see it; false for one that is not theirs to see.
func viewEntry(e Entry, project string, level access.Level, now time.Time) (entryView, bool) {
	share := e.Cause.Share(project)
	if share == detector.ShareNone {
		return entryView{}, false
	}
	v := entryView{ID: e.ID, At: moment{e.Time, now}, Address: addressText(e.Target), What: verbWords[e.Verb], BlockID: e.Cause.ID, Who: byWhom(e.By, level)}
	whole := share == detector.ShareWhole
	v.Why = viewCause(e.Cause, project, whole, now).Why
	if lifted := slices.Contains([]string{detector.ChangeUnblock, detector.ChangeShorten}, e.Verb); lifted && whole && level >= access.Maintainer {
		v.Note = e.Note
	}
	return v, true
}

// byWhom is who did it: people by name only for Maintainers and up.
func byWhom(by string, level access.Level) string {
	switch {
	case by == "rule" || by == "expiry" || by == "storm guard" || by == "never-block":
		return "regwarden (" + by + ")"
	case level >= access.Maintainer:
		return by
	case strings.HasPrefix(by, "web:"):
		return "a member of the project"
	}
	return "an operator"
}
