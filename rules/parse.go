package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/strict"
)

// file is a rule file as TOML has it. Pointers tell an absent key from a zero.
type file struct {
	Enabled      *bool          `toml:"enabled"`
	Summary      string         `toml:"summary"`
	Source       any            `toml:"source"`
	MaxRetry     *int           `toml:"maxretry"`
	FindTime     any            `toml:"findtime"`
	BanTime      any            `toml:"bantime"`
	Windows      *int           `toml:"windows"`
	Key          []string       `toml:"key"`
	Distinct     string         `toml:"distinct"`
	Attempt      any            `toml:"attempt"`
	SuccessRatio *float64       `toml:"success_ratio"`
	Scope        string         `toml:"scope"`
	Widen        *bool          `toml:"widen"`
	Escalate     []string       `toml:"escalate"`
	Forget       any            `toml:"forget"`
	Weight       *int           `toml:"weight"`
	DryRun       bool           `toml:"dry_run"`
	Storm        *bool          `toml:"storm"`
	Actions      []string       `toml:"actions"`
	Answer       string         `toml:"answer"`
	FailRegex    any            `toml:"failregex"`
	IgnoreRegex  any            `toml:"ignoreregex"`
	Match        map[string]any `toml:"match"`
	Unless       any            `toml:"unless"`
	Reset        any            `toml:"reset"`
	Test         []testEntry    `toml:"test"`
}

type testEntry struct {
	Line   string  `toml:"line"`
	Client *string `toml:"client"`
}

// Limits of what a rule file may hold, so that one file cannot take the time or the memory of all others.
const (
	maxFile    = 1 << 20
	maxPattern = 4096
	maxProgram = 10_000 // instructions of a compiled regular expression
)

// parser reads one file; the first mistake of a key is told, then the next key is read.
type parser struct {
	doc      *strict.Document
	problems strict.Problems
}

// Parse reads one rule file; nil without an error means that it is switched off. The error is strict.Problems.
func Parse(name, origin string, data []byte) (*detector.Rule, error) {
	if len(data) > maxFile {
		return nil, strict.Problems{{File: origin, Text: fmt.Sprintf("the file is larger than %d bytes", maxFile), Hint: "split it: one file a rule"}}
	}
	var f file
	doc, err := strict.Decode(origin, data, &f)
	if err != nil {
		return nil, err
	}
	p := &parser{doc: doc}
	if !validName(name) {
		p.fail("a rule's name is its file's name: lower-case letters, digits and dashes", "rename the file")
	}
	if f.Enabled != nil && !*f.Enabled {
		return nil, p.result()
	}
	r := p.rule(name, origin, &f)
	if err := p.result(); err != nil {
		return nil, err
	}
	return r, nil
}

var nameShape = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

func validName(name string) bool { return nameShape.MatchString(name) }

func (p *parser) fail(text, hint string, key ...string) {
	p.problems = append(p.problems, p.doc.Problem(text, hint, key...)...)
}

func (p *parser) result() error {
	if len(p.problems) > 0 {
		return p.problems
	}
	return nil
}

// rule builds the rule from the decoded file.
func (p *parser) rule(name, origin string, f *file) *detector.Rule {
	r := &detector.Rule{Name: name, Origin: origin, Summary: f.Summary, Windows: 1, Weight: 1, SuccessRatio: 0.5, Widen: true, Storm: true,
		DryRun: f.DryRun, Actions: f.Actions, Answer: f.Answer}
	if strings.TrimSpace(f.Summary) == "" {
		p.fail("is missing", `say in a few words what the client does, as in summary = "keeps asking for a manifest that does not exist"`, "summary")
	}
	p.sources(r, f)
	r.MaxRetry = p.number(f.MaxRetry, 1, detector.MaxMaxRetry, true, "maxretry")
	r.FindTime = p.duration(f.FindTime, true, detector.MaxFindTime, "findtime")
	if f.Windows != nil {
		r.Windows = p.number(f.Windows, 1, detector.MaxWindows, true, "windows")
	}
	if f.Weight != nil {
		r.Weight = p.number(f.Weight, 1, 1000, true, "weight")
	}
	r.Attempt = p.duration(f.Attempt, false, max(r.FindTime, time.Second), "attempt")
	p.keys(r, f)
	if f.SuccessRatio != nil {
		if r.SuccessRatio = *f.SuccessRatio; r.SuccessRatio <= 0 || r.SuccessRatio > 1 {
			p.fail("must be more than 0 and at most 1", "0.5 spares a target of whose requests half succeed; 1 spares only one that never fails", "success_ratio")
		}
	}
	if f.Storm != nil {
		r.Storm = *f.Storm
	}
	if f.Widen != nil {
		r.Widen = *f.Widen
	}
	p.steps(r, f)
	p.regexps(r, f)
	r.Match = p.conditions(f.Match, "match")
	r.Unless = p.alternatives(f.Unless, "unless")
	r.Reset = p.alternatives(f.Reset, "reset")
	p.tests(r, f)
	if len(p.problems) == 0 {
		if err := r.Validate(); err != nil {
			key, text, _ := strings.Cut(err.Error(), ": ")
			p.fail(text, "see the reference", key)
		}
	}
	return r
}

func (p *parser) sources(r *detector.Rule, f *file) {
	for _, s := range p.texts(f.Source, "source") {
		k, ok := detector.ParseKind(s)
		if !ok || k == detector.KindUnknown {
			p.fail(fmt.Sprintf("unknown kind of source %q", s), oneOf(s, detector.KindNames()), "source")
			continue
		}
		r.Sources = append(r.Sources, k)
	}
}

func (p *parser) keys(r *detector.Rule, f *file) {
	for _, k := range f.Key {
		field, ok := detector.ParseField(k)
		switch {
		case !ok:
			p.fail(fmt.Sprintf("unknown field %q", k), oneOf(k, detector.FieldNames()), "key")
		case field != detector.FieldClient:
			r.Key = append(r.Key, field)
		}
	}
	if f.Distinct != "" {
		field, ok := detector.ParseField(f.Distinct)
		if !ok || field == detector.FieldClient {
			p.fail(fmt.Sprintf("unknown field %q", f.Distinct), oneOf(f.Distinct, detector.FieldNames()[1:]), "distinct")
		}
		r.Distinct = &field
	}
}

// steps reads bantime, scope and escalate into the answers to the first, second, … block.
func (p *parser) steps(r *detector.Rule, f *file) {
	scope := detector.ScopeHost
	if f.Scope != "" {
		var ok bool
		if scope, ok = detector.ParseScope(f.Scope); !ok {
			p.fail(fmt.Sprintf("unknown scope %q", f.Scope), `known are "host" and "repository"`, "scope")
		}
	}
	longest := time.Duration(0)
	for _, e := range f.Escalate {
		words := strings.Fields(e)
		step := detector.Step{Scope: scope}
		if len(words) == 2 {
			var ok bool
			if step.Firewall = words[1] == "firewall"; step.Firewall {
				step.Scope = detector.ScopeHost
			} else if step.Scope, ok = detector.ParseScope(words[1]); !ok {
				p.fail(fmt.Sprintf("unknown scope %q in %q", words[1], e), `write a step like "10m repository", "12h host" or "1d firewall"`, "escalate")
			}
		}
		if len(words) == 0 || len(words) > 2 {
			p.fail(fmt.Sprintf("%q is no step", e), `write a step like "10m repository", "12h host" or "1d firewall"`, "escalate")
			continue
		}
		d, err := strict.Duration(words[0])
		if errors.Is(err, strict.ErrTooLong) {
			p.fail(err.Error(), "write a shorter time", "escalate")
		} else if err != nil || d <= 0 {
			p.fail(fmt.Sprintf("invalid duration in %q", e), strict.DurationHint, "escalate")
		}
		step.Time = d
		r.Steps = append(r.Steps, step)
		longest = max(longest, d)
	}
	if len(f.Escalate) == 0 {
		longest = p.duration(f.BanTime, true, 366*24*time.Hour, "bantime")
		r.Steps = []detector.Step{{Time: longest, Scope: scope}}
	} else if f.BanTime != nil {
		p.fail("cannot stand beside escalate, which says the times", "remove one of the two", "bantime")
	}
	r.Forget = max(24*time.Hour, 2*longest)
	if f.Forget != nil {
		r.Forget = p.duration(f.Forget, true, 366*24*time.Hour, "forget")
	}
}

// address is what <HOST> and <ADDR> stand for in a failregex: an address as logs write it. The detector parses it afterwards.
const address = `\[?(?P<client>[0-9A-Fa-f:.]{2,45})\]?`

func (p *parser) regexps(r *detector.Rule, f *file) {
	for _, text := range p.texts(f.FailRegex, "failregex") {
		n := strings.Count(text, "<HOST>") + strings.Count(text, "<ADDR>")
		if n != 1 {
			p.fail(fmt.Sprintf("%q names the client %d times", cutText(text), n), "write <HOST> or <ADDR> once, where the client's address stands", "failregex")
			continue
		}
		text = strings.NewReplacer("<HOST>", address, "<ADDR>", address).Replace(text)
		if rx := p.regexp(text, "failregex"); rx != nil {
			r.FailRegex = append(r.FailRegex, rx)
		}
	}
	for _, text := range p.texts(f.IgnoreRegex, "ignoreregex") {
		text = strings.NewReplacer("<HOST>", strings.Replace(address, "?P<client>", "?:", 1), "<ADDR>", strings.Replace(address, "?P<client>", "?:", 1)).Replace(text)
		if rx := p.regexp(text, "ignoreregex"); rx != nil {
			r.IgnoreRegex = append(r.IgnoreRegex, rx)
		}
	}
	if len(r.IgnoreRegex) > 0 && len(r.FailRegex) == 0 {
		p.fail("needs a failregex", "write what it shall not apply to as [unless]", "ignoreregex")
	}
}

// regexp compiles a pattern within the limits; RE2's syntax, so that no line can make it slow.
func (p *parser) regexp(text string, key ...string) *regexp.Regexp {
	if len(text) > maxPattern {
		p.fail(fmt.Sprintf("the pattern is longer than %d bytes", maxPattern), "split it into several", key...)
		return nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		hint := "regular expressions are RE2's; put them in single quotes"
		if strings.Contains(err.Error(), "(?") {
			hint = "look-around and back-references are not there in RE2; say it with [unless] or ignoreregex"
		}
		p.fail(strings.TrimPrefix(err.Error(), "error parsing regexp: "), hint, key...)
		return nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(prog.Inst) > maxProgram {
		p.fail(fmt.Sprintf("the pattern %q is too large when compiled", cutText(text)), "use smaller repetition counts", key...)
		return nil
	}
	return regexp.MustCompile(text)
}

func (p *parser) tests(r *detector.Rule, f *file) {
	for i, t := range f.Test {
		line, _ := p.doc.Nth(i, "test", "line")
		if t.Client == nil {
			line, _ := p.doc.Nth(i, "test")
			p.problems = append(p.problems, strict.Problem{File: p.doc.File, Line: line, Key: "test.client", Text: "is missing",
				Hint: `say which client the line must hit, or client = "" if it must hit nobody`})
		}
		if t.Client != nil {
			r.Tests = append(r.Tests, detector.RuleTest{Line: t.Line, Client: *t.Client, Position: fmt.Sprintf("%s:%d", p.doc.File, line)})
		}
	}
}

func cutText(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
