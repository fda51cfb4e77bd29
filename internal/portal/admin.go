package portal

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"regwarden/detector"
	"regwarden/internal/portal/access"
)

// ranges are over how long the admin page's charts may go, and in what spans.
var ranges = []struct {
	Name, Text string
	Length     time.Duration
	Span       time.Duration
}{
	{"day", "the last day", 24 * time.Hour, time.Hour},
	{"week", "the last week", 7 * 24 * time.Hour, 6 * time.Hour},
	{"month", "the last 30 days", 30 * 24 * time.Hour, 24 * time.Hour},
}

// adminBody is the admin page.
type adminBody struct {
	Overview
	Range        string
	Ranges       []rangeLink
	Over         chart
	Rules        chart
	Repositories chart
	Storms       []stormView
	Search       string
	Found        bool
	Blocks       []blockView
	History      []entryView
	More         int
	Started      moment
}

type rangeLink struct {
	Name, Text string
	Now        bool
}

type stormView struct {
	Rule, Why string
	At        moment
}

// charts keep an overview of each range for a minute: it counts through all of the history.
type charts struct {
	mu   sync.Mutex
	kept map[string]keptOverview
}

type keptOverview struct {
	at time.Time
	Overview
}

const keepCharts = time.Minute

// overview is at most a minute old in its charts, and of this moment in all else that is cheap to ask.
func (p *Portal) overview(ctx context.Context, name string, length, span time.Duration) (Overview, error) {
	o := p.o.Load()
	p.charts.mu.Lock()
	defer p.charts.mu.Unlock()
	now := o.Clock()
	if k, ok := p.charts.kept[name]; ok && now.Sub(k.at) < keepCharts && !now.Before(k.at) {
		return k.Overview, nil
	}
	v, err := o.Backend.Overview(ctx, since(now, length, span), span)
	if err != nil {
		return v, err
	}
	if p.charts.kept == nil {
		p.charts.kept = map[string]keptOverview{}
	}
	p.charts.kept[name] = keptOverview{now, v}
	return v, nil
}

// since is where a chart begins, so that its last span holds this moment.
func since(now time.Time, length, span time.Duration) time.Time {
	return now.UTC().Truncate(span).Add(span).Add(-length)
}

// admin shows everything to the few whom the configuration names. Everybody else finds no such page.
func (p *Portal) admin(w http.ResponseWriter, r *http.Request) {
	u, ok := p.user(w, r)
	if !ok {
		return
	}
	o := p.o.Load()
	if !o.Rights.Admin(u) {
		p.notFound(w, r)
		return
	}
	chosen := ranges[0]
	for _, each := range ranges {
		if each.Name == r.URL.Query().Get("range") {
			chosen = each
		}
	}
	v, err := p.overview(r.Context(), chosen.Name, chosen.Length, chosen.Span)
	if err != nil {
		p.fail(w, r, err, "")
		return
	}
	now := o.Clock()
	body := adminBody{Overview: v, Range: chosen.Text, Search: tidy(r.URL.Query().Get("q"), 255), Started: moment{v.Since, now}}
	for _, each := range ranges {
		body.Ranges = append(body.Ranges, rangeLink{each.Name, each.Text, each.Name == chosen.Name})
	}
	for _, s := range v.Storms {
		body.Storms = append(body.Storms, stormView{s.Rule, s.Why, moment{s.At, now}})
	}
	body.Over = overTime(v.Made, since(now, chosen.Length, chosen.Span), chosen.Span, int(chosen.Length/chosen.Span))
	body.Rules = byName("rule", sums(v.Made))
	body.Repositories = byName("repository", v.Most)
	if body.Search != "" {
		if err := p.search(r, &body, now); err != nil {
			p.fail(w, r, err, "")
			return
		}
	}
	p.show(w, r, http.StatusOK, "admin", "Admin", body)
}

// search fills in what was looked for: by an address, or by the path of a project or a repository.
func (p *Portal) search(r *http.Request, body *adminBody, now time.Time) error {
	o := p.o.Load()
	address, path := parseSearch(body.Search)
	var blocks []detector.Block
	var err error
	q := HistoryQuery{Limit: pageOfHistory, Address: address, Within: path}
	if address.IsValid() {
		blocks, err = o.Backend.BlocksOf(r.Context(), address)
	} else {
		blocks, err = o.Backend.Search(r.Context(), path)
	}
	if err != nil {
		return err
	}
	entries, err := o.Backend.History(r.Context(), q)
	if err != nil {
		return err
	}
	body.Found = true
	body.More = max(0, len(blocks)-mostBlocks)
	for _, b := range blocks[:len(blocks)-body.More] {
		v := blockView{Address: addressText(b.Target), Since: moment{b.Causes[0].Since, now}, Until: moment{b.Until, now}}
		for _, c := range b.Causes {
			v.Causes = append(v.Causes, viewCause(c, "", true, now))
			if paths := c.MayConcern(); v.Link == "" && c.About != "" && len(paths) > 0 {
				// Which of them is the project only GitLab knows; for an admin each of them opens.
				v.Link, v.ID = projectLink(paths[len(paths)-1])+"/-/blocks/"+c.ID, c.ID
			}
		}
		body.Blocks = append(body.Blocks, v)
	}
	for _, e := range entries {
		body.History = append(body.History, entryView{ID: e.ID, At: moment{e.Time, now}, Address: addressText(e.Target), What: verbWords[e.Verb],
			Why: e.Cause.Reason, Who: byWhom(e.By, access.Admin), Note: e.Note, BlockID: e.Cause.ID})
	}
	return nil
}

// sums are the blocks by rule, the most first.
func sums(made []Made) []Made {
	of := map[string]int{}
	for _, m := range made {
		of[m.Name] += m.N
	}
	var out []Made
	for name, n := range of {
		out = append(out, Made{Name: name, N: n})
	}
	slices.SortFunc(out, func(a, b Made) int { return cmp.Or(b.N-a.N, cmp.Compare(a.Name, b.Name)) })
	return out
}
