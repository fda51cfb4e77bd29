package report

import (
	"fmt"
	"slices"
	"strings"

	"regwarden/detector"
)

// advice is what to change, the most pressing first.
func advice(r *Report, o *Options) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	config := o.Config
	if config == "" {
		config = "your configuration"
	}
	for _, s := range o.Sources {
		switch {
		case s.Error != "":
			add("%s is not read: %s.", o.Printable(s.Path), o.Printable(s.Error))
		case mostlyUnknown(s):
			add("Nearly all lines of %s (%d of %d) are in a form that regwarden does not know, so this report says nothing of them; show it one: regwarden explain 'a line'.", o.Printable(s.Path), s.Unparsed, s.Lines)
		case s.Lines >= 100 && s.Unparsed*20 > s.Lines:
			add("%d of %d lines of %s are in a form that regwarden does not know; show it one: regwarden explain 'a line'.", s.Unparsed, s.Lines, o.Printable(s.Path))
		}
	}
	for _, g := range r.Guards {
		if text := guardAdvice[g.Name]; text != "" {
			add("%s (%s): "+text, g.Name, clients(g.Clients))
		}
	}
	if r.TakenBack > 0 {
		add("%s taken back by the storm guard, because too many clients failed at once; see whether the registry was at fault then.", many(r.TakenBack, "block was", "blocks were"))
	}
	if len(r.Lifted) > 0 {
		add("%s lifted by hand: if they were wrong, give those clients an ignoreip or the rule a higher threshold (docs/tuning-a-rule.md).", many(len(r.Lifted), "block was", "blocks were"))
	}
	if r.Clients > 0 {
		add("Look at every client of this report. One that you know and want to spare: regwarden allow add ADDRESS --comment \"who it is\", or its network in ignoreip in %s.", config)
	}
	switch {
	case r.Clients == 0 && r.SparedClients == 0 && o.Origin == FromHistory && silent(o.Sources):
		add("No line was read: see regwarden status, and the paths of [[source]] in %s.", config)
	case r.Clients == 0 && r.SparedClients == 0 && !slices.ContainsFunc(o.Sources, mostlyUnknown):
		add("Nobody did enough for a rule. If you expected somebody, ask why with regwarden explain 'a line of your log'.")
	}
	switch {
	case o.DryRun:
		add("Nobody is blocked yet. To enforce: remove the line dry_run = true from %s, then run regwarden check and regwarden reload. dry_run is the only key for it.", config)
	case r.Would > 0 && o.Origin == FromHistory:
		add("The configuration enforces, but these rules are dry runs of their own: %s. To enforce them too, remove dry_run = true from their files and run regwarden reload.", dryRules(r))
	case r.Would > 0:
		add("This was a replay of logs: nobody was blocked by it.")
	}
	return out
}

// guardAdvice says what a held block tells about the host.
var guardAdvice = map[string]string{
	detector.GuardNever: "protected addresses ran into rules. If these are your proxies or load balancers, the log has them in place of the clients: docs/behind-a-load-balancer.md. " +
		"If the registry's clients really have private addresses, set block_private = true.",
	detector.GuardProxy: "one address carries most of the traffic with many user agents, so it is a proxy. Put it into trusted_proxies and let the log have the real clients: docs/behind-a-load-balancer.md.",
	detector.GuardCrowd: "most requests of these addresses succeed, so several people share them. They are not shut out of the whole host; an answering action ([actions.answer-files] and others) can hold only the one repository.",
	detector.GuardStorm: "so many clients failed at once that the registry seemed to be at fault. Look at its own log of that time.",
	detector.GuardScope: "a rule asks for a block of one repository and says widen = false, and no action can hold one: configure an answering action.",
}

// mostlyUnknown says that so few lines were understood that nothing follows from what was not found in them.
func mostlyUnknown(s Source) bool { return s.Lines > 0 && s.Unparsed*10 >= s.Lines*9 }

func silent(sources []Source) bool {
	for _, s := range sources {
		if s.Lines > 0 {
			return false
		}
	}
	return true
}

func dryRules(r *Report) string {
	var names []string
	for _, rule := range r.Rules {
		if rule.Would > 0 {
			names = append(names, rule.Name)
		}
	}
	return strings.Join(names, ", ")
}

func clients(n int) string { return many(n, "client", "clients") }

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// Headline says the whole in one or two sentences.
func (r *Report) Headline() string {
	var parts []string
	if r.Would > 0 {
		parts = append(parts, fmt.Sprintf("%s would have been blocked (%s)", clients(r.WouldClients), many(r.Would, "decision", "decisions")))
	}
	if r.Blocked > 0 {
		parts = append(parts, fmt.Sprintf("%s blocked (%s)", many(r.BlockedClients, "client was", "clients were"), many(r.Blocked, "decision", "decisions")))
	}
	if len(parts) == 0 {
		parts = append(parts, "Nobody would have been blocked")
	}
	if r.Spared > 0 {
		parts = append(parts, fmt.Sprintf("the guards spared %s (%s)", clients(r.SparedClients), many(r.Spared, "decision", "decisions")))
	}
	return strings.Join(parts, "; ") + "."
}
