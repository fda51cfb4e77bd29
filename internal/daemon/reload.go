package daemon

import (
	"reflect"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
)

// adopt makes a plan the one in force. What can fail was done when it was made, but for the firewall, which must stand before anything else is
// changed: an error leaves all as it was. What takes a restart is kept as it is and told.
func (c *core) adopt(p *plan) (control.ReloadResult, error) {
	old := c.plan
	result := control.ReloadResult{Rules: len(p.set.Rules), Restart: restarts(old.config, p.config)}
	if old.config.DryRun != p.config.DryRun {
		result.Changed = append(result.Changed, dryChange[p.config.DryRun])
	}
	result.Changed = append(result.Changed, ruleChanges(old.written, p.written)...)
	p.config.Mask, p.config.Memory = old.config.Mask, old.config.Memory
	p.config.MetricsListen = old.config.MetricsListen
	switch {
	case len(portalRestarts(old.config.Portal, p.config.Portal)) > 0:
		p.config.Portal = old.config.Portal // half of a new login beside half of the old one would let the wrong people in
	case !reflect.DeepEqual(old.config.Portal, p.config.Portal):
		result.Changed = append(result.Changed, "the project page")
	}
	p.config.StateFile, p.config.Socket, p.config.Group = old.config.StateFile, old.config.Socket, old.config.Group
	sourcesChanged := !reflect.DeepEqual(old.config.Sources, p.config.Sources)
	actionsChanged := !reflect.DeepEqual(old.config.Actions, p.config.Actions) || old.config.DryRun != p.config.DryRun ||
		p.config.Actions.AnswerEndpoint != nil && !reflect.DeepEqual(old.config.TrustedProxies, p.config.TrustedProxies)
	if actionsChanged && !keepFirewall(old, p) {
		if err := c.bringFirewall(p); err != nil {
			return result, err
		}
	}
	if sourcesChanged {
		c.stopIntake()
		result.Changed = append(result.Changed, "sources")
	}
	if !actionsChanged {
		p.actions = old.actions // those that run; the new ones were made to see whether they can be
		old.text.SetRules(answerRules(p.set))
		p.text = old.text
	}
	c.plan, c.reloadError = p, ""
	c.matcher.Store(detector.NewMatcher(p.set.Rules, p.config.Mask, c.seed, c.detector.Watch()))
	c.detector.SetRules(p.set.Rules, c.options(p))
	if actionsChanged {
		c.stopRunners(false)
		c.emptyRemoved(old.config, p.config)
		c.emptyPlaces(old, p)
		if fw := firewallOf(old); fw != nil && fw != firewallOf(p) {
			closeAction(fw)
		}
		c.protect()
		c.startRunners(p.actions)
		if was, had := firewallPlace(old.config); had && firewallOf(p) == nil {
			c.leftBehind = append(c.leftBehind, was)
		}
		c.leaveOld()
	}
	if !reflect.DeepEqual(old.config.Actions, p.config.Actions) {
		result.Changed = append(result.Changed, "actions")
	}
	if guardsChanged(old.config, p.config) {
		result.Changed = append(result.Changed, "protected addresses or guards")
	}
	c.spareAllowed()
	if sourcesChanged {
		c.ended = map[string]string{}
		c.startIntake()
	}
	if result.Changed == nil {
		result.Changed = []string{}
	}
	return result, nil
}

// dryChange is what a reload tells when dry_run has become so.
var dryChange = map[bool]string{true: "dry_run is on: nobody is blocked", false: "dry_run is off: blocks take effect"}

// ruleChanges tells which rules came, went or are different.
func ruleChanges(old, now []*detector.Rule) []string {
	var out []string
	before, after := ruleNames(old), ruleNames(now)
	for _, name := range sortedKeys(after) {
		switch {
		case before[name] == nil:
			out = append(out, "rule "+name+" is new")
		case !reflect.DeepEqual(before[name], after[name]):
			out = append(out, "rule "+name+" is different")
		}
	}
	for _, name := range sortedKeys(before) {
		if after[name] == nil {
			out = append(out, "rule "+name+" is gone")
		}
	}
	return out
}

func guardsChanged(a, b *config.Config) bool {
	return !reflect.DeepEqual([]any{a.Never(), a.Guards, a.BlockPrivate}, []any{b.Never(), b.Guards, b.BlockPrivate})
}

// restarts lists the keys that differ and are read only at the start.
func restarts(a, b *config.Config) []string {
	var out []string
	for _, k := range []struct {
		key  string
		same bool
	}{
		{"state.path", a.StateFile == b.StateFile}, {"state.memory", a.Memory == b.Memory}, {"control.socket", a.Socket == b.Socket},
		{"control.group", a.Group == b.Group}, {"ipv4_prefix, ipv6_prefix", a.Mask == b.Mask}, {"metrics.listen", a.MetricsListen == b.MetricsListen}, {"log", a.LogLevel == b.LogLevel && a.LogFormat == b.LogFormat},
	} {
		if !k.same {
			out = append(out, k.key)
		}
	}
	return append(out, portalRestarts(a.Portal, b.Portal)...)
}
