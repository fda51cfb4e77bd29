package daemon

import (
	"errors"
	"log/slog"
	"strings"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/rules"
	"regwarden/sources/format"
)

// startPlan is the plan for a start. A rule whose own [[test]] fails does not what its author means: it is left out, and said so. The daemon runs all
// the same, since one that does not protects nobody. A shipped rule stays: its tests were run before it was shipped.
func startPlan(c *config.Config, logger *slog.Logger) (*plan, error) {
	set, err := writtenRules(c)
	if err != nil {
		return nil, err
	}
	var faults []string
	kept := set.Rules[:0]
	for _, r := range set.Rules {
		failed := rules.Test(r, readLine)
		switch {
		case len(failed) == 0:
			kept = append(kept, r)
		case strings.HasPrefix(r.Origin, rules.ShippedPrefix):
			logger.Error("a shipped rule's own test fails; it stays in force", "rule", r.Name, "failed", strings.Join(failed, "; "))
			kept = append(kept, r)
		default:
			logger.Error("a rule's own test fails; the rule is left out, all else runs", "rule", r.Name, "failed", strings.Join(failed, "; "),
				"hint", "correct the rule or its test (regwarden check), then regwarden reload")
			faults = append(faults, "rule "+r.Name+" is left out, since its own test fails: "+strings.Join(failed, "; ")+"; correct it, then regwarden reload")
		}
	}
	set.Rules = kept
	p, err := planOf(c, set, logger)
	if err != nil {
		return nil, err
	}
	for _, n := range neverWork(c) {
		logger.Error("the configuration names what cannot work here; all else runs", "problem", n.Error())
		faults = append(faults, n.Error()+"; then regwarden reload")
	}
	p.faults = faults
	return p, nil
}

// reloadPlan is the plan for a reload, which takes all or nothing: what check refuses is refused here, and the old configuration goes on.
func reloadPlan(c *config.Config, logger *slog.Logger) (*plan, error) {
	p, err := makePlan(c, logger)
	if err != nil {
		return nil, err
	}
	if never := neverWork(c); len(never) > 0 {
		return nil, never
	}
	if failed, _ := CheckRules(p.set); len(failed) > 0 {
		return nil, errors.New(strings.Join(failed, "\n"))
	}
	return p, nil
}

// CheckRules runs the [[test]] lines of all rules, as `check` does.
func CheckRules(set *rules.Set) (failed []string, tests int) {
	for _, r := range set.Rules {
		failed = append(failed, rules.Test(r, readLine)...)
		tests += len(r.Tests)
	}
	return failed, tests
}

// readLine reads one line as a source with format = "auto" would.
func readLine(line []byte) (*detector.Event, bool) {
	e := &detector.Event{}
	r, err := format.New(format.Options{})
	if err != nil {
		return e, false
	}
	return e, r.Read(line, e) == format.Parsed
}
