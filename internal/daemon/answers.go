package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"regwarden/actions"
	"regwarden/detector"
	"regwarden/internal/answer"
	"regwarden/internal/config"
	"regwarden/internal/strict"
	"regwarden/rules"
)

// answerText makes what blocked clients read of the configuration and the rules.
func answerText(c *config.Config, set *rules.Set) (*answer.Text, error) {
	text, err := answer.NewText(c.Actions.Answers.Message, c.Actions.Answers.UnblockURL)
	if err != nil {
		return nil, c.AnswersProblem(err)
	}
	for _, r := range set.Rules {
		if err := answer.ValidWords(r.Answer); err != nil {
			return nil, strict.Problems{{File: r.Origin, Key: "answer", Text: err.Error(), Hint: `as in answer = "asked {count} times for {what}, which does not exist"`}}
		}
	}
	text.SetRules(answerRules(set))
	return text, nil
}

// answerRules is how the rules speak of themselves to blocked clients.
func answerRules(set *rules.Set) map[string]answer.Rule {
	out := map[string]answer.Rule{}
	for _, r := range set.Rules {
		words := r.Answer
		if words == "" {
			words = answer.Plain(r.Summary) + " ({count} times in {span})"
		}
		out[r.Name] = answer.Rule{
			Words: words,
			Limit: max(1, int(time.Duration(r.MaxRetry)*time.Minute/r.FindTime)),
			Token: slices.ContainsFunc(r.Match, func(c detector.Condition) bool {
				return c.Field == detector.FieldOperation && slices.Contains(c.Equals, detector.OpToken.String())
			}),
		}
	}
	return out
}

// makeAnswers makes the actions that answer blocked clients.
func makeAnswers(c *config.Config, text *answer.Text, logger *slog.Logger) ([]actions.Action, error) {
	var out []actions.Action
	say := func(b detector.Block, repository string, now time.Time) (actions.Answer, bool) {
		n, concerned := text.Concerning(&b, repository, false, now)
		if !concerned {
			return actions.Answer{}, false
		}
		message, body := text.JSON(n)
		return actions.Answer{Body: body, Message: message, Until: n.Cause.Until}, true
	}
	if f := c.Actions.AnswerFiles; f != nil {
		a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: f.Path, Answers: say, Logger: logger})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if e := c.Actions.AnswerEndpoint; e != nil {
		out = append(out, answer.NewEndpoint(answer.EndpointOptions{Name: "answer-endpoint", Text: text, Socket: e.Socket, Group: e.Group, Listen: e.Listen,
			ClientHeader: e.ClientHeader, TrustedProxies: c.TrustedProxies, FailClosed: e.FailClosed, Logger: logger}))
	}
	if g := c.Actions.NginxGeo; g != nil {
		a, err := actions.NewNginxGeo(actions.NginxGeoOptions{Name: "nginx-geo", Path: g.Path, Test: g.Test, Reload: g.Reload, Interval: g.Interval, Answers: say})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	if h := c.Actions.HAProxy; h != nil {
		a, err := actions.NewHAProxy(actions.HAProxyOptions{Name: "haproxy", Socket: h.Socket, Map: h.Map, Repositories: h.Repositories, Answers: say, Logger: logger})
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// refusals are warnings of the actions that cannot hold a target.
func refusals(list []actions.Action, target netip.Prefix) []string {
	var out, holding []string
	for _, a := range list {
		if !a.Holds(detector.ScopeHost) {
			continue
		}
		why := refuses(a, target)
		if why == "" {
			holding = append(holding, a.Name())
			continue
		}
		out = append(out, fmt.Sprintf("action %s does not hold %v: %s", a.Name(), target, why))
	}
	for i := range out {
		if len(holding) == 0 {
			out[i] += "; nothing else does, so nobody is stopped: block parts of it, or add a firewall or actions.answer-endpoint"
			continue
		}
		out[i] += "; it is held by " + strings.Join(holding, ", ")
	}
	return out
}

// refuses says why an action does not hold a target; "" if it does, or would.
func refuses(a actions.Action, target netip.Prefix) string {
	if r, ok := a.(actions.Refuser); ok {
		return r.Refuses(target)
	}
	return ""
}

// answering are the names of all actions but those that would shut a client off without a word; none where no action answers.
func answering(list []actions.Action) []string {
	var out []string
	some := false
	for _, a := range list {
		answerer, ok := a.(actions.Answerer)
		answers := ok && answerer.Answers()
		some = some || answers
		if answers || !a.Holds(detector.ScopeHost) {
			out = append(out, a.Name())
		}
	}
	if !some {
		return nil
	}
	return out
}

// checkAnswers looks whether this host has what the answering actions name.
func checkAnswers(c *config.Config) []string {
	var out []string
	if f := c.Actions.AnswerFiles; f != nil {
		if a, err := actions.NewAnswerFiles(actions.AnswerFilesOptions{Name: "answer-files", Path: f.Path}); err == nil {
			for _, line := range a.Check() {
				out = append(out, "action answer-files: "+line)
			}
		}
	}
	out = append(out, answer.Remarks(c.Actions.Answers.Message, c.Actions.Answers.UnblockURL)...)
	if e := c.Actions.AnswerEndpoint; e != nil && e.Group != "" {
		if _, err := user.LookupGroup(e.Group); err != nil {
			out = append(out, fmt.Sprintf("action answer-endpoint: the group %s is not there; name the web server's", e.Group))
		}
	}
	if g := c.Actions.NginxGeo; g != nil {
		if info, err := os.Stat(filepath.Dir(g.Path)); err != nil || !info.IsDir() {
			out = append(out, fmt.Sprintf("action nginx-geo: the directory of %s is not there; create it", g.Path))
		}
	}
	if h := c.Actions.HAProxy; h != nil {
		if info, err := os.Stat(h.Socket); err != nil || info.Mode().Type() != os.ModeSocket {
			out = append(out, fmt.Sprintf("action haproxy: no HAProxy answers on %s; its configuration needs: stats socket %s mode 660 level admin", h.Socket, h.Socket))
		}
	}
	return out
}
