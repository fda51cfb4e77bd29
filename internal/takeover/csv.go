package takeover

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"regwarden/internal/strict"
)

// columns are the names that a CSV's header may give to what we read; the first is what we call it.
var columns = [][]string{
	{"target", "ip", "address", "addr", "value", "ip_address", "network", "cidr", "prefix", "range"},
	{"reason", "comment", "scenario"},
	{"left", "expiration", "duration", "timeout", "until", "expires"},
	{"scope"},
	{"action", "type"},
	{"simulated"},
}

func isCSV(text string) bool {
	before := text
	if at := strings.IndexAny(text, "#;"); at >= 0 {
		before = text[:at]
	}
	return strings.Contains(before, ",") && !isHostsDeny(text)
}

// readCSV reads a line of "address,reason", or a header and all that follows it.
func (r *reader) readCSV(text string) {
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		r.refuse(r.line, text, "is broken CSV: %v", plain(err))
		return
	}
	if header := headerOf(fields); header["target"] > 0 {
		r.readRecords(header)
		return
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	rest := slices.DeleteFunc(fields[1:], func(f string) bool { return f == "" })
	if len(rest) == 0 || !slices.ContainsFunc(rest, func(f string) bool { _, why := targets(f); return why == notTarget }) {
		r.readPlain(fields[0] + " " + strings.Join(rest, " "))
		return
	}
	if _, why := targets(fields[0]); why == notTarget {
		r.refuse(r.line, text, "does not begin with an address or a network, and there is no header that names its columns")
		return
	}
	r.take(fields[0], 0, rest[0])
}

// headerOf says in which field a line has each column, from 1.
func headerOf(fields []string) map[string]int {
	header := map[string]int{}
	for i, f := range fields {
		f = strings.ToLower(strings.TrimSpace(f))
		for _, names := range columns {
			if slices.Contains(names, f) && header[names[0]] == 0 {
				header[names[0]] = i + 1
			}
		}
	}
	return header
}

// readRecords reads what follows a header, to the end: a field in quotes may have several lines.
func (r *reader) readRecords(header map[string]int) {
	in := csv.NewReader(r.in)
	in.FieldsPerRecord = -1
	in.Comment = '#'
	above := r.line
	for len(r.list.Entries) <= mostEntries {
		fields, err := in.Read()
		var broken *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			r.done = true
			return
		case errors.As(err, &broken):
			r.line = above + broken.StartLine
			r.refuse(r.line, strings.Join(fields, ","), "is broken CSV: %v; a quote that is not closed takes the lines behind it with it", broken.Err)
			continue
		case err != nil:
			return // readAll meets it again
		}
		line, _ := in.FieldPos(0)
		r.line = above + line
		r.readRecord(func(column string) string {
			if at := header[column]; at > 0 && at <= len(fields) {
				return strings.TrimSpace(fields[at-1])
			}
			return ""
		})
	}
}

// readRecord reads one line below a header. CrowdSec writes Ip:192.0.2.1 where it has no column for the scope, and has other answers than a ban.
func (r *reader) readRecord(field func(string) string) {
	target, scope, left := field("target"), field("scope"), field("left")
	if before, after, ok := strings.Cut(target, ":"); ok && scope == "" {
		if _, why := targets(target); why == notTarget {
			scope, target = before, after
		}
	}
	switch action := field("action"); {
	case scope != "" && !strings.EqualFold(scope, "ip") && !strings.EqualFold(scope, "range"):
		r.refuse(r.line, scope+":"+target, "is neither an address nor a network but a scope of its own")
		return
	case action != "" && !slices.Contains([]string{"ban", "block", "drop", "deny", "reject"}, strings.ToLower(action)):
		r.refuse(r.line, target, "is not blocked: its action is %q", cut(action, mostText))
		return
	case strings.EqualFold(field("simulated"), "true"):
		r.refuse(r.line, target, "is not blocked: it is simulated")
		return
	}
	if left == "" {
		r.take(target, 0, field("reason"))
		return
	}
	if until, err := time.Parse(time.RFC3339, left); err == nil {
		r.takeUntil(target, until, field("reason"))
		return
	}
	switch d, err := strict.Duration(left); {
	case err != nil:
		r.refuse(r.line, target, "has no end that can be read: %q", cut(left, mostText))
	case d <= 0:
		r.expire(target)
	default:
		r.take(target, d, field("reason"))
	}
}

// plain is a CSV's error without its line, which is the refusal's.
func plain(err error) error {
	var broken *csv.ParseError
	if errors.As(err, &broken) {
		return broken.Err
	}
	return err
}
