package actions

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
)

// Placeholders are what an argument of a command may name in braces; the environment has them in capitals after REGWARDEN_.
// {until} is RFC 3339, {seconds} what is left until then, {repository} all of them with commas between.
var Placeholders = []string{"verb", "target", "address", "prefix_length", "until", "seconds", "rule", "reason", "repository"}

// template is an argument: text and placeholders in turn, text first.
type template []string

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

func parseTemplate(text string) (template, error) {
	var t template
	end := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		if !slices.Contains(Placeholders, name) {
			return nil, fmt.Errorf("unknown placeholder {%s}, known are %s", name, strings.Join(Placeholders, ", "))
		}
		t = append(t, text[end:m[0]], name)
		end = m[1]
	}
	return append(t, text[end:]), nil
}

// fill returns the argument. A value at its beginning loses leading dashes: repositories are a client's to name, and must not become options.
func (t template) fill(v values) string {
	var b strings.Builder
	for i, part := range t {
		switch {
		case i%2 == 0:
			b.WriteString(part)
		case b.Len() == 0:
			b.WriteString(strings.TrimLeft(v[part], "-"))
		default:
			b.WriteString(v[part])
		}
	}
	return b.String()
}

// values are the texts for the placeholders.
type values map[string]string

func valuesOf(c detector.Change, now time.Time) values {
	v := values{
		"verb":          c.Verb,
		"target":        c.Block.Target.String(),
		"address":       c.Block.Target.Addr().String(),
		"prefix_length": strconv.Itoa(c.Block.Target.Bits()),
		"seconds":       "0",
		"until":         "",
		"rule":          clean(c.Cause.Rule, 200),
		"reason":        clean(c.Cause.Reason, 1000),
		"repository":    clean(strings.Join(c.Cause.Repositories, ","), 4000),
	}
	if until := c.Block.Until; !until.IsZero() {
		v["until"] = until.UTC().Format(time.RFC3339)
		v["seconds"] = strconv.FormatInt(max(0, int64(until.Sub(now)/time.Second)), 10)
	}
	return v
}

// baseEnvironment is what any command gets of an environment.
func baseEnvironment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
}

// environment is all that the command gets of one: nothing of the daemon's own.
func (v values) environment() []string {
	env := baseEnvironment()
	for _, name := range Placeholders {
		env = append(env, "REGWARDEN_"+strings.ToUpper(name)+"="+v[name])
	}
	return env
}
