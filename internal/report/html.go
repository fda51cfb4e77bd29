package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"

	"regwarden/internal/strict"
)

// pageText is the page: one file with its own style, no script, nothing that is fetched from elsewhere.
//
//go:embed page.html
var pageText string

// page escapes whatever is put into it for where it stands (html/template).
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"moment": func(r *Report, t time.Time) string { return r.moment(t) },
	"length": func(seconds int) string {
		if seconds == 0 {
			return "-"
		}
		return strict.FormatDuration(time.Duration(seconds) * time.Second)
	},
	"list": func(names []string) string { return strings.Join(names, ", ") },
	"sum":  func(a, b int) int { return a + b },
	"many": many,
	"share": func(rules []Rule, r Rule) int {
		most := 1
		for _, other := range rules {
			most = max(most, other.Would+other.Blocked+other.Spared)
		}
		return (r.Would + r.Blocked + r.Spared) * 100 / most
	},
}).Parse(pageText))

// WriteHTML writes the report as one page that needs no other file.
func (r *Report) WriteHTML(w io.Writer) error {
	return page.Execute(w, struct {
		*Report
		R     *Report
		Chart *chart
		Zone  string
	}{r, r, r.chart(), r.To.In(r.location).Format("MST")})
}
