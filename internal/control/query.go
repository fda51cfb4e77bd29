package control

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of one page of history.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// The query parameters that routes take.
var (
	blockQuery   = []string{"client", "repository", "project", "rule"}
	historyQuery = append(slices.Clone(blockQuery), "since", "until", "limit", "before_id")
	unblockQuery = []string{"rule", "reason"}
)

// checkQuery refuses a parameter that the route does not have or that comes twice: a filter that is misspelt must not select everything.
func checkQuery(q url.Values, known []string) error {
	for name, values := range q {
		if !slices.Contains(known, name) {
			hint := "it has none"
			if len(known) > 0 {
				hint = "it has: " + strings.Join(known, ", ")
			}
			return bad(hint, "the route has no query parameter %q", cut(name))
		}
		if len(values) > 1 {
			return bad("", "query parameter %q comes %d times", name, len(values))
		}
	}
	return nil
}

// values is the filter as a query; blockFilter reads it.
func (f BlockFilter) values() url.Values {
	q := url.Values{}
	if f.Client.IsValid() {
		q.Set("client", TargetText(f.Client))
	}
	set(q, "repository", f.Repository)
	set(q, "project", f.Project)
	set(q, "rule", f.Rule)
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func blockFilter(q url.Values) (BlockFilter, error) {
	f := BlockFilter{Repository: q.Get("repository"), Project: q.Get("project"), Rule: q.Get("rule")}
	if text := q.Get("client"); text != "" {
		client, err := ParseTarget(text)
		if err != nil {
			return f, err
		}
		f.Client = client
	}
	return f, nil
}

// values is the filter as a query; historyFilter reads it.
func (f HistoryFilter) values() url.Values {
	q := f.BlockFilter.values()
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		q.Set("until", f.Until.Format(time.RFC3339Nano))
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.BeforeID != 0 {
		q.Set("before_id", strconv.FormatInt(f.BeforeID, 10))
	}
	return q
}

func historyFilter(q url.Values) (f HistoryFilter, err error) {
	if f.BlockFilter, err = blockFilter(q); err != nil {
		return f, err
	}
	if f.Since, err = queryTime(q, "since"); err != nil {
		return f, err
	}
	if f.Until, err = queryTime(q, "until"); err != nil {
		return f, err
	}
	limit, err := queryNumber(q, "limit", defaultLimit, maxLimit)
	if err != nil {
		return f, err
	}
	f.Limit = int(limit)
	f.BeforeID, err = queryNumber(q, "before_id", 0, 1<<62)
	return f, err
}

func queryTime(q url.Values, name string) (time.Time, error) {
	text := q.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	// A plus sign that was not written as %2B arrives as a space, and RFC 3339 has no space.
	t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return t, bad("write it like 2026-10-05T08:00:00Z", "query parameter %q: %q is no time", name, cut(text))
	}
	return t, nil
}

// queryNumber reads a number from 1 to most; 0 and nothing mean otherwise.
func queryNumber(q url.Values, name string, otherwise, most int64) (int64, error) {
	text := q.Get(name)
	if text == "" || text == "0" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, bad("", "query parameter %q: %q is no number from 1 to %d", name, cut(text), most)
	}
	return n, nil
}
