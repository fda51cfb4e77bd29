package replay_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/replay"
	"regwarden/rules"
)

// run replays files by the shipped rules and returns the decisions.
func run(t *testing.T, files ...string) ([]detector.Decision, replay.Summary) {
	t.Helper()
	set, err := rules.Load("")
	if err != nil {
		t.Fatal(err)
	}
	var decisions []detector.Decision
	summary, err := replay.Run(t.Context(), replay.Options{Files: files, Rules: set.Rules, Now: time.Now(), Seed: detector.Seed{1, 2},
		Detector: detector.Options{Guards: detector.DefaultGuards, Mask: detector.DefaultMask, Memory: 8 << 20}},
		func(d detector.Decision) { decisions = append(decisions, d) })
	if err != nil {
		t.Fatal(err)
	}
	return decisions, summary
}

// blocked says which targets are blocked, by which rules, when all has happened.
func blocked(decisions []detector.Decision) map[netip.Prefix][]string {
	ids := map[string]detector.Decision{}
	for _, d := range decisions {
		switch d.Verb {
		case detector.VerbBlock:
			ids[d.ID] = d
		case detector.VerbUnblock:
			delete(ids, d.ID)
		}
	}
	out := map[netip.Prefix][]string{}
	for _, d := range ids {
		out[d.Target] = append(out[d.Target], d.Rule)
	}
	return out
}

type verdict struct{ Verdict, Why string }

// TestTheLabelledIncident: every abusive client of a recorded incident is blocked and nobody else is.
func TestTheLabelledIncident(t *testing.T) {
	text, err := os.ReadFile("testdata/incident/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]verdict{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/incident/*.log")
	decisions, summary := run(t, files...)
	for _, d := range decisions {
		t.Log(d.Time.Format(time.TimeOnly), d.Verb, d.Target, d.Rule, d.Scope, d.Widened, d.Reason)
	}
	t.Logf("%+v", summary)
	check(t, want, blocked(decisions))
}

func check(t *testing.T, want map[string]verdict, got map[netip.Prefix][]string) {
	t.Helper()
	for client, v := range want {
		target := detector.DefaultMask.Target(netip.MustParseAddr(client))
		rules, hit := got[target]
		if hit != (v.Verdict == "abuse") {
			t.Errorf("%s is %s (%s): blocked by %v", client, v.Verdict, v.Why, rules)
		}
		delete(got, target)
	}
	if len(got) > 0 {
		t.Errorf("targets that nobody named are blocked: %v", got)
	}
}
