package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/rules"
)

const good = `summary = "s"
maxretry = 3
findtime = "5m"
bantime = "1h"
[match]
status = 404
`

// TestMistakes: each sort of mistake gets one line with file, line, key and what to do.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown key":            {`maxretry`, `maxretri`, `f.toml:2: maxretri: unknown key; did you mean "maxretry"?`},
		"no summary":             {`summary = "s"`, ``, `f.toml: summary: is missing; say in a few words`},
		"no maxretry":            {`maxretry = 3`, ``, `f.toml: maxretry: is missing; write a number`},
		"maxretry of 0":          {`maxretry = 3`, `maxretry = 0`, `f.toml:2: maxretry: 0 is out of range; write a number from 1 to`},
		"maxretry too large":     {`maxretry = 3`, `maxretry = 1000000`, `f.toml:2: maxretry: 1000000 is out of range`},
		"maxretry as text":       {`maxretry = 3`, `maxretry = "3"`, `f.toml:2: maxretry: is text, and a whole number is wanted`},
		"no findtime":            {`findtime = "5m"`, ``, `f.toml: findtime: is missing; write it like`},
		"bad findtime":           {`"5m"`, `"5 min"`, `f.toml:3: findtime: invalid duration "5 min"; write it like`},
		"findtime too short":     {`"5m"`, `"500us"`, `f.toml:3: findtime: must be 1ms to 168h0m0s`},
		"findtime too long":      {`"5m"`, `"30d"`, `f.toml:3: findtime: 30d is out of range; more than 0 and at most 7d`},
		"endless bantime":        {`"1h"`, `"99999d"`, `f.toml:4: bantime: 99999d is out of range; more than 0 and at most 366d`},
		"endless bantime in w":   {`"1h"`, `"999999w"`, `f.toml:4: bantime: 999999w is out of range; more than 0 and at most 366d`},
		"endless seconds":        {`"1h"`, `"99999999999"`, `f.toml:4: bantime: 99999999999 is out of range; more than 0 and at most 366d`},
		"endless step":           {`bantime = "1h"`, `escalate = ["99999d host"]`, `f.toml:4: escalate: "99999d" is longer than 10000 days`},
		"negative bantime":       {`"1h"`, `"-1h"`, `f.toml:4: bantime: -1h is out of range`},
		"no bantime":             {`bantime = "1h"`, ``, `f.toml: bantime: is missing`},
		"bantime and escalate":   {`bantime = "1h"`, "bantime = \"1h\"\nescalate = [\"1h\"]", `f.toml:4: bantime: cannot stand beside escalate`},
		"bad step":               {`bantime = "1h"`, `escalate = ["1h for the host"]`, `f.toml:4: escalate: "1h for the host" is no step; write a step like`},
		"bad scope in a step":    {`bantime = "1h"`, `escalate = ["1h project"]`, `f.toml:4: escalate: unknown scope "project"`},
		"unknown scope":          {`bantime = "1h"`, "bantime = \"1h\"\nscope = \"net\"", `f.toml:5: scope: unknown scope "net"; known are`},
		"unknown source":         {`bantime = "1h"`, "bantime = \"1h\"\nsource = \"nginx\"", `f.toml:5: source: unknown kind of source "nginx"; known are`},
		"near source":            {`bantime = "1h"`, "bantime = \"1h\"\nsource = \"acess\"", `f.toml:5: source: unknown kind of source "acess"; did you mean "access"?`},
		"unknown key field":      {`bantime = "1h"`, "bantime = \"1h\"\nkey = [\"client\", \"repo\"]", `f.toml:5: key: unknown field "repo"; known are`},
		"unknown distinct":       {`bantime = "1h"`, "bantime = \"1h\"\ndistinct = \"paths\"", `f.toml:5: distinct: unknown field "paths"; did you mean "path"?`},
		"ratio out of range":     {`bantime = "1h"`, "bantime = \"1h\"\nsuccess_ratio = 20.0", `f.toml:5: success_ratio: must be more than 0 and at most 1`},
		"windows with distinct":  {`bantime = "1h"`, "bantime = \"1h\"\nwindows = 3\ndistinct = \"path\"", `f.toml:5: windows: cannot be combined with distinct`},
		"attempt too long":       {`bantime = "1h"`, "bantime = \"1h\"\nattempt = \"10m\"", `f.toml:5: attempt: 10m is out of range`},
		"no match":               {"[match]\nstatus = 404\n", ``, `f.toml: match: a rule needs [match] or failregex`},
		"unknown match field":    {`status = 404`, `statsu = 404`, `f.toml:6: match.statsu: unknown field; did you mean "status"?`},
		"bad range":              {`status = 404`, `status = "4xx"`, `f.toml:6: match.status: "4xx" is no number and no range; write 404 or`},
		"range turned round":     {`status = 404`, `status = "499-400"`, `f.toml:6: match.status: the range "499-400" is empty`},
		"number for a text":      {`status = 404`, `user = 7`, `f.toml:6: match.user: 7 is a number, user is text`},
		"unknown operation":      {`status = 404`, `operation = "manifests"`, `f.toml:6: match.operation: unknown operation "manifests"; did you mean "manifest"?`},
		"empty list":             {`status = 404`, `status = []`, `f.toml:6: match.status: an empty list never matches`},
		"unknown test":           {`status = 404`, `path = { glob = "*" }`, `f.toml:6: match.path: unknown test "glob"; known are regex, prefix, not, any`},
		"two tests in one":       {`status = 404`, `path = { regex = 'a', prefix = '/b' }`, `f.toml:6: match.path: an inline table must have one of`},
		"bad regex":              {`status = 404`, `path = { regex = '(' }`, `f.toml:6: match.path: missing closing ): `},
		"look-ahead":             {`status = 404`, `path = { regex = '(?=a)' }`, `look-around and back-references are not there in RE2`},
		"regex too large":        {`status = 404`, `path = { regex = '((a{1,100}){1,100}){1,100}' }`, `f.toml:6: match.path: `},
		"regex on a number":      {`status = 404`, `status = { regex = '4..' }`, `f.toml:6: match.status: regex does not go with status`},
		"bad client":             {`status = 404`, `client = "example.org"`, `f.toml:6: match.client: "example.org" is neither an address nor a network`},
		"failregex without host": {`bantime = "1h"`, "bantime = \"1h\"\nfailregex = 'failed'", `f.toml:5: failregex: "failed" names the client 0 times; write <HOST> or <ADDR> once`},
		"ignoreregex alone":      {`bantime = "1h"`, "bantime = \"1h\"\nignoreregex = 'x'", `f.toml:5: ignoreregex: needs a failregex`},
		"empty unless":           {"[match]", "[unless]\n[match]", `unless: is empty, so it would hold for everything`},
		"test without client":    {"status = 404", "status = 404\n[[test]]\nline = 'x'", `f.toml:7: test.client: is missing; say which client`},
		"unknown test key":       {"status = 404", "status = 404\n[[test]]\nline = 'x'\nhost = ''", `f.toml:9: test.host: unknown key; known keys here: line, client`},
		"no TOML":                {`maxretry = 3`, `maxretry = `, `f.toml:2: maxretry: `},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		_, err := rules.Parse("f", "f.toml", []byte(text))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if got := err.Error(); !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\nwant one line with %s\ngot  %s", name, c.want, got)
		}
	}
	if _, err := rules.Parse("Not A Name", "Not A Name.toml", []byte(good)); err == nil || !strings.Contains(err.Error(), "lower-case letters") {
		t.Errorf("bad name: %v", err)
	}
}

// TestADirectoryReplacesAndSwitchesOff shipped rules by file name.
func TestADirectoryReplacesAndSwitchesOff(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"sshd.toml": good, "web-login.toml": "enabled = false\n", "own.toml": good, ".hidden.toml": "x", "notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := rules.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*detector.Rule{}
	for _, r := range set.Rules {
		by[r.Name] = r
	}
	if by["sshd"].Summary != "s" || by["own"] == nil || by["web-login"] != nil || by["missing-manifest"] == nil {
		t.Errorf("got %v, off %v", by, set.Off)
	}
	if _, err := set.Only([]string{"mising-manifest"}); err == nil || !strings.Contains(err.Error(), `did you mean "missing-manifest"?`) {
		t.Errorf("got %v", err)
	}
	if _, err := set.Only([]string{"web-login"}); err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("got %v", err)
	}
	if _, err := rules.Load(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("escalate = [\"10m repository\"]\nfailregex = ['^<HOST> x']\n[match]\npath = { not = [ 'a', { prefix = 'b' } ] }\n[[test]]\nline='x'\nclient=''\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := rules.Parse("f", "f.toml", data)
		if err == nil && r != nil && r.Validate() != nil {
			t.Errorf("a rule is taken that is not valid: %v", r.Validate())
		}
	})
}
