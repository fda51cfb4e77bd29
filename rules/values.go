package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/strict"
)

// number checks a number that must lie in a range.
func (p *parser) number(n *int, from, to int, required bool, key string) int {
	switch {
	case n == nil && required:
		p.fail("is missing", fmt.Sprintf("write a number from %d to %d", from, to), key)
	case n != nil && (*n < from || *n > to):
		p.fail(fmt.Sprintf("%d is out of range", *n), fmt.Sprintf("write a number from %d to %d", from, to), key)
	case n != nil:
		return *n
	}
	return from
}

// duration reads a duration, a text or a number of seconds.
func (p *parser) duration(v any, required bool, most time.Duration, key string) time.Duration {
	var d time.Duration
	var err error
	switch v := v.(type) {
	case nil:
		if required {
			p.fail("is missing", strict.DurationHint, key)
		}
		return 0
	case string:
		d, err = strict.Duration(v)
	case int64:
		d = time.Duration(v) * time.Second
	default:
		err = fmt.Errorf("%v is no duration", v)
	}
	switch {
	case err != nil && !errors.Is(err, strict.ErrTooLong):
		p.fail(err.Error(), strict.DurationHint, key)
	case err != nil || d <= 0 || d > most:
		p.fail(fmt.Sprintf("%v is out of range", v), fmt.Sprintf("more than 0 and at most %s", strict.FormatDuration(most)), key)
	}
	return d
}

// texts reads a text or a list of texts.
func (p *parser) texts(v any, key ...string) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				p.fail(fmt.Sprintf("%v is no text", e), `write it in quotes`, key...)
				continue
			}
			out = append(out, s)
		}
		return out
	}
	p.fail(fmt.Sprintf("%v is no text and no list of texts", v), `write "…" or ["…", "…"]`, key...)
	return nil
}

// alternatives reads a table, or an array of tables of which any one will do.
func (p *parser) alternatives(v any, key string) []detector.Conditions {
	var tables []map[string]any
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		tables = []map[string]any{v}
	case []map[string]any:
		tables = v
	case []any:
		for _, e := range v {
			t, ok := e.(map[string]any)
			if !ok {
				p.fail("must be a table or a list of tables", fmt.Sprintf(`write [%s] and below it field = value`, key), key)
				return nil
			}
			tables = append(tables, t)
		}
	default:
		p.fail("must be a table", fmt.Sprintf(`write [%s] and below it field = value`, key), key)
		return nil
	}
	var out []detector.Conditions
	for _, t := range tables {
		if cs := p.conditions(t, key); len(cs) > 0 {
			out = append(out, cs)
		} else {
			p.fail("is empty, so it would hold for everything", "name at least one field", key)
		}
	}
	return out
}

// conditions reads a table of fields and values, the cheapest to test first.
func (p *parser) conditions(t map[string]any, table string) detector.Conditions {
	var out detector.Conditions
	for name, v := range t {
		field, ok := detector.ParseField(name)
		if !ok {
			p.fail("unknown field", oneOf(name, detector.FieldNames()), table, name)
			continue
		}
		c := detector.Condition{Field: field, Text: fmt.Sprintf("%s = %s", name, show(v))}
		p.value(&c, v, table, name)
		c.Ready()
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b detector.Condition) int {
		if d := cost(a) - cost(b); d != 0 {
			return d
		}
		return strings.Compare(a.Text, b.Text)
	})
	return out
}

func cost(c detector.Condition) int {
	switch {
	case len(c.Regexps) > 0:
		return 3
	case c.Field.Numeric():
		return 0
	case c.Field == detector.FieldOperation:
		return 1
	}
	return 2
}

// value adds one value, a list of which any one will do, or an inline table, to a condition.
func (p *parser) value(c *detector.Condition, v any, key ...string) {
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			p.fail("an empty list never matches", "remove the key or add values", key...)
		}
		for _, e := range v {
			p.value(c, e, key...)
		}
	case string:
		p.text(c, v, key...)
	case int64:
		if !c.Field.Numeric() {
			p.fail(fmt.Sprintf("%d is a number, %s is text", v, c.Field), `write it in quotes`, key...)
			return
		}
		c.Ranges = append(c.Ranges, detector.Range{From: v, To: v})
	case map[string]any:
		p.inline(c, v, key...)
	default:
		p.fail(fmt.Sprintf("%v is no value for %s", v, c.Field), "write a text, a number, a list, or an inline table such as { prefix = '…' }", key...)
	}
}

var rangeShape = regexp.MustCompile(`^\s*(\d+)\s*-\s*(\d+)\s*$`)

func (p *parser) text(c *detector.Condition, v string, key ...string) {
	switch {
	case c.Field.Numeric():
		m := rangeShape.FindStringSubmatch(v)
		if m == nil {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				p.fail(fmt.Sprintf("%q is no number and no range", v), `write 404 or "400-499"`, key...)
				return
			}
			c.Ranges = append(c.Ranges, detector.Range{From: n, To: n})
			return
		}
		from, _ := strconv.ParseInt(m[1], 10, 64)
		to, _ := strconv.ParseInt(m[2], 10, 64)
		if from > to {
			p.fail(fmt.Sprintf("the range %q is empty", v), "write the smaller number first", key...)
		}
		c.Ranges = append(c.Ranges, detector.Range{From: from, To: to})
	case c.Field == detector.FieldClient:
		prefix, err := strict.Target(v)
		if err != nil {
			hint := ""
			if errors.Is(err, strict.ErrNoTarget) {
				hint = `write "203.0.113.7" or "203.0.113.0/24"`
			}
			p.fail(fmt.Sprintf("%q is %v", v, err), hint, key...)
			return
		}
		c.Networks = append(c.Networks, prefix)
	case c.Field == detector.FieldOperation:
		if _, ok := detector.ParseOperation(v); !ok {
			p.fail(fmt.Sprintf("unknown operation %q", v), oneOf(v, detector.OperationNames()), key...)
		}
		c.Equals = append(c.Equals, v)
	case c.Field == detector.FieldSource:
		if _, ok := detector.ParseKind(v); !ok {
			p.fail(fmt.Sprintf("unknown kind of source %q", v), oneOf(v, detector.KindNames()), key...)
		}
		c.Equals = append(c.Equals, v)
	case v == "any" && (c.Field == detector.FieldSafelist || c.Field == detector.FieldThrottle):
		c.Any = true
	default:
		c.Equals = append(c.Equals, v)
	}
}

// inline reads { regex = '…' }, { prefix = '…' }, { not = … } and { any = true }.
func (p *parser) inline(c *detector.Condition, t map[string]any, key ...string) {
	if len(t) != 1 {
		p.fail("an inline table must have one of regex, prefix, not, any", `as in { prefix = '/v2/' }`, key...)
		return
	}
	for name, v := range t {
		switch name {
		case "not":
			if c.Not || len(c.Equals)+len(c.Ranges)+len(c.Networks)+len(c.Prefixes)+len(c.Regexps) > 0 {
				p.fail("not must stand alone", "write { not = [ … ] } for several values", key...)
				return
			}
			c.Not = true
			p.value(c, v, key...)
		case "any":
			if v != true {
				p.fail("any must be true", "write { not = { any = true } } for an empty field", key...)
			}
			c.Any = true
		case "regex", "prefix":
			p.pattern(c, name, v, key...)
		default:
			p.fail(fmt.Sprintf("unknown test %q", name), oneOf(name, []string{"regex", "prefix", "not", "any"}), key...)
		}
	}
}

func (p *parser) pattern(c *detector.Condition, name string, v any, key ...string) {
	if c.Field.Numeric() || c.Field == detector.FieldClient {
		p.fail(fmt.Sprintf("%s does not go with %s", name, c.Field), `write numbers as 404 or "400-499", clients as addresses or networks`, key...)
		return
	}
	for _, text := range p.texts(v, key...) {
		if name == "prefix" {
			c.Prefixes = append(c.Prefixes, text)
		} else if rx := p.regexp(text, key...); rx != nil {
			c.Regexps = append(c.Regexps, rx)
		}
	}
}

// oneOf is the hint that names the nearest of the known words, or all.
func oneOf(word string, known []string) string {
	if near := strict.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(known, ", ")
}

// show writes a decoded value much as TOML has it.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, show(e))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case map[string]any:
		for name, e := range v {
			return "{ " + name + " = " + show(e) + " }"
		}
	}
	return fmt.Sprint(v)
}
