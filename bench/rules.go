package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// family is one sort of rule, of which words make several. A field rule asks for status and path; its twin in the style of a fail2ban filter says the
// same of the raw line.
type family struct {
	status, statusRegex string
	method              string
	path                string // of the field rule, with %s for the word
	request             string // the same in the raw line, up to the blank after it
	words               [5]string
}

// families are the mixture. The first rule of the first family finds every abuser, and no rule finds anybody else. Some name no status, so that they have
// to look at the path of every line.
var families = []family{
	{"404", "404", "GET|HEAD", `^/v2/.+/%s/`, `/v2/\S+/%s/\S+`, [5]string{"manifests", "tags", "referrers", "uploads", "mounts"}},
	{"404", "404", "GET|HEAD|POST", `/\.%s(/|$)`, `/\S*\.%s(?:/\S*)?`, [5]string{"env", "git", "aws", "ssh", "svn"}},
	{"404", "404", "GET|POST", `%s\.php$`, `\S*%s\.php`, [5]string{"wp-login", "xmlrpc", "shell", "eval-stdin", "setup"}},
	{"401", "401", "GET", `^/v2/%s`, `/v2/%s\S*`, [5]string{"_catalog", "_internal", "_admin", "_users", "_events"}},
	{"400-499", `4\d\d`, "GET|HEAD", `(?i)^/%s(/|$)`, `(?i:/%s)(?:/\S*)?`, [5]string{"actuator", "server-status", "phpmyadmin", "solr", "jenkins"}},
	{"403", "403", "GET|POST|PUT", `^/api/v[0-9]+/%s`, `/api/v[0-9]+/%s\S*`, [5]string{"users", "tokens", "keys", "runners", "hooks"}},
	{"", `\d+`, "GET|POST", `(?i)\.(%s)$`, `\S+(?i:\.(?:%s))`, [5]string{"asp|aspx", "jsp|do", "cgi|pl", "bak|old", "sql|gz"}},
	{"500-599", `5\d\d`, "POST|PATCH|PUT", `^/v2/.+/blobs/uploads/%s`, `/v2/\S+/blobs/uploads/%s\S*`, [5]string{"0", "1", "2", "3", "4"}},
	{"", `\d+`, "GET|POST", `(?i)(%s)`, `\S*(?i:%s)\S*`, [5]string{`union.+select`, `/etc/passwd`, `<script`, `\.\./\.\.`, `jndi:`}},
	{"400-499", `4\d\d`, "CONNECT|TRACE|GET", `^/%s`, `/%s\S*`, [5]string{"manager/", "cgi-bin/", "console/", "owa/", "debug/"}},
}

const (
	ruleRetries = 5
	ruleWindow  = "10m"
	ruleSeconds = 600
	mostRules   = 50
)

func ruleName(i int) string { return fmt.Sprintf("bench-%02d", i) }

// failregex is rule i in the style of a fail2ban filter. In brackets is the date, which fail2ban has cut out when it looks.
func failregex(i int) string {
	f := families[i%len(families)]
	return fmt.Sprintf(`^<HOST> \S+ \S+ \[[^\]]*\] "(?:%s) %s HTTP/[0-9.]+" %s `, f.method, fmt.Sprintf(f.request, f.words[i/len(families)]), f.statusRegex)
}

// fieldRule is rule i on the fields of a line.
func fieldRule(i int) string {
	f := families[i%len(families)]
	match := fmt.Sprintf("method = [\"%s\"]\npath = { regex = '%s' }\n", strings.ReplaceAll(f.method, "|", `", "`), fmt.Sprintf(f.path, f.words[i/len(families)]))
	if f.status != "" {
		match += fmt.Sprintf("status = %q\n", f.status)
	}
	return ruleHead(i) + "\n[match]\n" + match
}

func rawRule(i int) string {
	return ruleHead(i) + fmt.Sprintf("failregex = '%s'\n", failregex(i))
}

// ruleHead is what both have. The peers have no guard against storms, so these rules do without it.
func ruleHead(i int) string {
	return fmt.Sprintf("summary = \"rule %d of the measurement\"\nsource = \"access\"\nmaxretry = %d\nfindtime = %q\nbantime = \"1h\"\nstorm = false\nsuccess_ratio = 1.0\n", i, ruleRetries, ruleWindow)
}

// writeRules writes the rules as regwarden wants them to field/ and raw/, and lists of the expressions for fail2ban.
func writeRules(dir string) error {
	for sort, text := range map[string]func(int) string{"field": fieldRule, "raw": rawRule} {
		if err := os.MkdirAll(filepath.Join(dir, sort), 0o755); err != nil {
			return err
		}
		for i := range mostRules {
			if err := os.WriteFile(filepath.Join(dir, sort, ruleName(i)+".toml"), []byte(text(i)), 0o644); err != nil {
				return err
			}
		}
	}
	for _, n := range []int{1, 10} {
		list := ""
		for i := range n {
			list += failregex(i) + "\n"
		}
		if err := os.WriteFile(expressions(dir, n), []byte(list), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func expressions(dir string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("failregex-%d.txt", n))
}

// ruleArguments tell `regwarden replay` to use the first n rules of a sort.
func ruleArguments(dir, sort string, n int) []string {
	args := []string{"--rules", filepath.Join(dir, sort)}
	for i := range n {
		args = append(args, "--rule", ruleName(i))
	}
	return args
}
