package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/answer"
	"regwarden/internal/config"
	"regwarden/internal/strict"
	"regwarden/rules"
	"regwarden/sources/format"
)

// plan is a configuration of which everything that can be made without touching anything was made: what reload must get right before it
// changes a thing.
type plan struct {
	config  *config.Config
	set     *rules.Set
	written []*detector.Rule // the rules as they are written, before dry_run made all of them dry
	actions []actions.Action
	// narrow says that some action can hold a repository block.
	narrow bool
	// spelled says that those which can know no names but a registry's.
	spelled bool
	// answering are the actions that leave a blocked client something to read; empty where none answers.
	answering []string
	text      *answer.Text
	// faults are what a reload would have refused and a start goes on without: rules whose own tests failed, what can never work.
	faults []string
}

// makePlan checks the configuration and makes its rules and actions. The rules' test lines are not run: startPlan and reloadPlan do that, each in its way.
func makePlan(c *config.Config, logger *slog.Logger) (*plan, error) {
	set, err := writtenRules(c)
	if err != nil {
		return nil, err
	}
	return planOf(c, set, logger)
}

// planOf makes the plan of a configuration and its rules.
func planOf(c *config.Config, set *rules.Set, logger *slog.Logger) (*plan, error) {
	var err error
	p := &plan{config: c, set: set, written: slices.Clone(set.Rules)}
	dryRun(c, set)
	if p.text, err = answerText(c, set); err != nil {
		return nil, err
	}
	if p.actions, err = makeActions(c, p.text, logger); err != nil {
		return nil, err
	}
	if err := checkPortal(c, logger); err != nil {
		return nil, err
	}
	for _, s := range c.Sources {
		if _, err := format.New(format.Options{Name: s.Format}); err != nil {
			return nil, strict.Problems{{File: c.Path, Key: "source.format", Text: err.Error(), Hint: "source " + s.Name + ` needs one of them, or "auto"`}}
		}
	}
	for _, a := range p.actions {
		if a.Holds(detector.ScopeRepository) {
			s, ok := a.(actions.Speller)
			only := ok && s.SpelledOnly()
			p.spelled, p.narrow = only && (p.spelled || !p.narrow), true
		}
	}
	p.answering = answering(p.actions)
	return p, nil
}

// LoadRules loads the rules that the configuration puts in force.
func LoadRules(c *config.Config) (*rules.Set, error) {
	set, err := writtenRules(c)
	if err == nil {
		dryRun(c, set)
	}
	return set, err
}

// dryRun makes all rules dry if the configuration says so.
func dryRun(c *config.Config, set *rules.Set) {
	for i, r := range set.Rules {
		if c.DryRun && !r.DryRun {
			dry := *r
			dry.DryRun = true
			set.Rules[i] = &dry
		}
	}
}

// writtenRules are the rules in force, as they are written.
func writtenRules(c *config.Config) (*rules.Set, error) {
	set, err := rules.Load(c.RulesDir)
	var inFiles strict.Problems
	switch {
	case errors.As(err, &inFiles):
		return nil, err
	case err != nil:
		return nil, strict.Problems{c.Problem(0, err.Error(), "make the directory, or remove the key", "rules")}
	}
	for _, name := range c.Disable {
		i := slices.IndexFunc(set.Rules, func(r *detector.Rule) bool { return r.Name == name })
		if i < 0 && !slices.Contains(set.Off, name) {
			_, err := set.Only([]string{name})
			return nil, strict.Problems{c.Problem(0, err.Error(), "remove the name, or correct it", "disable")}
		}
		if i >= 0 {
			set.Rules, set.Off = slices.Delete(set.Rules, i, i+1), append(set.Off, name)
		}
	}
	names := c.ActionNames()
	for _, r := range set.Rules {
		for _, a := range r.Actions {
			if !slices.Contains(names, a) {
				return nil, strict.Problems{{File: r.Origin, Key: "actions", Text: fmt.Sprintf("no action %q is configured", a),
					Hint: "configured are " + strings.Join(names, ", ")}}
			}
		}
	}
	return set, nil
}

// makeActions makes the configured actions; none touches anything yet.
func makeActions(c *config.Config, text *answer.Text, logger *slog.Logger) ([]actions.Action, error) {
	var out []actions.Action
	if c.Actions.Log {
		out = append(out, actions.NewLog("log", logger))
	}
	if len(c.Actions.Blocklists) > 0 {
		o := actions.BlocklistOptions{Name: "blocklist"}
		for _, b := range c.Actions.Blocklists {
			o.Files = append(o.Files, actions.BlocklistFile{Path: b.Path, Format: b.Format, Mode: b.Mode, After: b.After})
			if b.Set != "" {
				o.SetName = b.Set
			}
		}
		a, err := actions.NewBlocklist(o)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	fw, err := makeFirewall(c, logger)
	if err != nil {
		return nil, err
	}
	if fw != nil {
		out = append(out, fw)
	}
	answers, err := makeAnswers(c, text, logger)
	if err != nil {
		return nil, err
	}
	out = append(out, answers...)
	for _, e := range c.Actions.Execs {
		a, err := actions.NewExec(actions.ExecOptions{Name: e.Name, Command: e.Command, Timeout: e.Timeout, HoldsNothing: !e.Holds, DryRun: e.DryRun})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	for _, w := range c.Actions.Webhooks {
		secret, err := webhookSecret(w)
		if err != nil {
			return nil, strict.Problems{{File: c.Path, Key: "actions.webhook.secret_file", Text: err.Error(),
				Hint: "action " + w.Name + ` needs a file that the daemon's user can read, or "credential:NAME" with the NAME of the unit's LoadCredential=`}}
		}
		a, err := actions.NewWebhook(actions.WebhookOptions{Name: w.Name, URL: w.URL, Header: w.Headers, Timeout: w.Timeout, Secret: secret})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// makeFirewall makes the configured action in the kernel, nil if there is none. Whom it must let pass is set later.
func makeFirewall(c *config.Config, logger *slog.Logger) (actions.Firewall, error) {
	if n := c.Actions.NFTables; n != nil {
		return firewall(actions.NewNFTables(actions.NFTablesOptions{Name: "nftables", Table: n.Table, Ports: n.Ports, Mode: n.Mode,
			ElementCounters: n.Counters, Plain: !n.Owner, Never: neverPrefixes(c.Never()), Logger: logger}))
	}
	if n := c.Actions.IPTables; n != nil {
		return firewall(actions.NewIPTables(actions.IPTablesOptions{Name: "iptables", Chain: n.Chain, SetName: n.Set, Ports: n.Ports,
			Variant: n.Variant, PreferIPSet: n.IPSet, RuleCap: n.MaxRules, Never: neverPrefixes(c.Never()), Logger: logger}))
	}
	return nil, nil
}

// firewall keeps a typed nil from becoming an interface that is not nil.
func firewall[F actions.Firewall](f F, err error) (actions.Firewall, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func neverPrefixes(list []detector.Never) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range list {
		out = append(out, n.Prefix)
	}
	return out
}
