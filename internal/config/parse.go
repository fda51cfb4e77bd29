package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/strict"
)

// Load reads a configuration file. The error is strict.Problems, or says why the file cannot be read.
func Load(path string) (*Config, error) {
	data, err := readPlain(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("config %s: %w", path, err)
	}
	return Parse(path, data)
}

// readPlain refuses a pipe, which would be waited for, and a device, which may not end.
func readPlain(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() && !info.IsDir() { // that it is a directory is told when it is read
		err = errors.New("it is no plain file")
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// parser turns the decoded file into a Config and collects what is wrong with it.
type parser struct {
	doc      *strict.Document
	problems strict.Problems
	out      Config
}

// Parse reads a configuration; path is for messages.
func Parse(path string, data []byte) (*Config, error) {
	var f file
	doc, err := strict.Decode(path, data, &f)
	if err != nil {
		return nil, err
	}
	p := &parser{doc: doc, out: Default()}
	p.out.Path, p.out.Lines = path, map[string]int{}
	p.note(0, "rules")
	p.note(0, "disable")
	p.top(&f)
	p.guards(&f)
	p.state(&f)
	for i := range f.Source {
		p.source(i, &f.Source[i])
	}
	if len(f.Source) == 0 {
		p.fail("there is no [[source]], so nothing would be read", `add [[source]] and below it path = "/var/log/gitlab/nginx/gitlab_registry_access.log"`, "source")
	}
	p.actions(&f)
	p.answers(&f)
	p.metrics(&f)
	p.portal(&f)
	p.unique()
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return &p.out, nil
}

func (p *parser) fail(text, hint string, key ...string) {
	p.problems = append(p.problems, p.doc.Problem(text, hint, key...)...)
}

// failAt is fail for the n-th table of an array.
func (p *parser) failAt(n int, text, hint string, key ...string) {
	problem := p.doc.At(key...)
	problem.Line, _ = p.doc.Nth(n, key...)
	problem.Text, problem.Hint = text, hint
	p.problems = append(p.problems, problem)
}

func (p *parser) top(f *file) {
	c := &p.out
	if f.Rules != nil {
		c.RulesDir = p.path(*f.Rules, "rules")
	}
	c.Disable, c.DryRun, c.BlockPrivate = f.Disable, f.DryRun, f.BlockPrivate
	c.IgnoreIP = p.prefixes(f.IgnoreIP, "ignoreip")
	c.TrustedProxies = p.prefixes(f.TrustedProxies, "trusted_proxies")
	if n := f.IPv4Prefix; n != nil {
		if c.Mask.V4 = *n; *n < 16 || *n > 32 {
			p.fail(fmt.Sprintf("%d is out of range", *n), "16 to 32; 32 counts and blocks single addresses", "ipv4_prefix")
		}
	}
	if n := f.IPv6Prefix; n != nil {
		if c.Mask.V6 = *n; *n < 32 || *n > 64 {
			p.fail(fmt.Sprintf("%d is out of range", *n), "32 to 64; 64 is what one customer has at least", "ipv6_prefix")
		}
	}
}

func (p *parser) guards(f *file) {
	g := &p.out.Guards
	if f.Guards.Storm != nil {
		g.Storm = *f.Guards.Storm
	}
	if n := f.Guards.StormLimit; n != nil {
		if g.StormLimit = *n; *n < 1 {
			p.fail(fmt.Sprintf("%d is out of range", *n), "write at least 1; a large number switches the limit off", "guards", "storm_limit")
		}
	}
	if f.Guards.StormWindow != nil {
		g.StormWindow = p.duration(*f.Guards.StormWindow, "guards", "storm_window")
	}
	if n := f.Guards.ProxyShare; n != nil {
		if g.ProxyShare = *n; *n <= 0 || *n > 1 {
			p.fail(fmt.Sprintf("%v is out of range", *n), "more than 0 and at most 1, the share of all requests; 1 switches the guard off", "guards", "proxy_share")
		}
	}
}

// Bounds of the memory of the process.
const (
	leastMemory = 64 << 20
	mostMemory  = 2 << 30 // what the database can hold of it in one piece
)

func (p *parser) state(f *file) {
	c := &p.out
	if f.State.Path != nil {
		c.StateFile = p.path(*f.State.Path, "state", "path")
	}
	if f.State.HistoryKeep != nil {
		c.HistoryKeep = p.duration(*f.State.HistoryKeep, "state", "history_keep")
	}
	if f.State.Memory != nil {
		n, err := bytes(*f.State.Memory)
		if c.Memory = n; err != nil || n < leastMemory || n > mostMemory {
			p.fail(fmt.Sprintf("%q is no size from 64MiB to 2GiB", *f.State.Memory), `write it like "256MiB"`, "state", "memory")
		}
	}
	if f.Control.Socket != nil {
		c.Socket = p.path(*f.Control.Socket, "control", "socket")
		if len(c.Socket) > 107 {
			p.fail("the path is longer than the 107 bytes that a socket may have", "choose a shorter one", "control", "socket")
		}
	}
	if f.Control.Group != nil {
		c.Group = *f.Control.Group
	}
	if f.Log.Level != nil {
		c.LogLevel = p.choice(*f.Log.Level, []string{"debug", "info", "warn", "error"}, "log", "level")
	}
	if f.Log.Format != nil {
		c.LogFormat = p.choice(*f.Log.Format, []string{"auto", "text", "json"}, "log", "format")
	}
}

func (p *parser) metrics(f *file) {
	text := f.Metrics.Listen
	if p.out.MetricsListen = text; text == "" {
		return
	}
	if at, err := netip.ParseAddrPort(text); err != nil || at.Port() == 0 {
		p.fail(fmt.Sprintf("%q is no address and port", text), `write it like "127.0.0.1:9442"; names are not looked up`, "metrics", "listen")
	}
	if e := p.out.Actions.AnswerEndpoint; e != nil && e.Listen == text {
		p.fail(text+" is where actions.answer-endpoint listens", "choose another port", "metrics", "listen")
	}
}

func (p *parser) source(i int, f *fileSource) {
	s := Source{Name: f.Name, Type: f.Type, Paths: f.Paths, Units: f.Units, Matches: f.Matches, Format: f.Format,
		From: f.From, TrustForwarded: f.TrustForwarded, TrustOwnAccess: f.TrustOwnAccess, Poll: f.Poll}
	if f.Path != "" {
		s.Paths = append([]string{f.Path}, s.Paths...)
	}
	if s.Type == "" {
		s.Type = "file"
	}
	if !slices.Contains([]string{"file", "journal", "stdin"}, s.Type) {
		p.failAt(i, fmt.Sprintf("unknown type %q", s.Type), `known are "file", "journal" and "stdin"`, "source", "type")
	}
	p.ofOtherTypes(i, s.Type, f)
	if s.Type == "file" && len(s.Paths) == 0 {
		p.failAt(i, "has no path", `write path = "/var/log/…" or paths = ["…", "…"]`, "source", "path")
	}
	for j, path := range s.Paths {
		if s.Paths[j] = p.relative(path); badGlob(path) {
			p.failAt(i, fmt.Sprintf("%q is no valid glob", path), "a [ needs its ]", "source", "paths")
		}
	}
	switch {
	case s.From == "":
		s.From = "end"
	case s.From != "end" && s.From != "start":
		p.failAt(i, fmt.Sprintf("unknown place %q", s.From), `"end" leaves what was written before the first start, "start" reads it`, "source", "from")
	}
	if f.Kind != "" {
		k, ok := detector.ParseKind(f.Kind)
		if s.Kind = k; !ok {
			p.failAt(i, fmt.Sprintf("unknown kind %q", f.Kind), "known are "+strings.Join(detector.KindNames(), ", "), "source", "kind")
		}
	}
	if f.TimeZone != "" {
		loc, err := time.LoadLocation(f.TimeZone)
		if s.Location = loc; err != nil {
			p.failAt(i, fmt.Sprintf("unknown time zone %q", f.TimeZone), `write it like "Europe/Berlin"`, "source", "timezone")
		}
	}
	if s.Name == "" {
		s.Name = sourceName(&s)
	}
	if s.TrustForwarded && len(p.out.TrustedProxies) == 0 {
		p.failAt(i, "needs trusted_proxies", "without it any client could name any address as its own; list the proxies in front of the registry", "source", "trust_forwarded")
	}
	p.out.Sources = append(p.out.Sources, s)
}

// ofOtherTypes refuses keys that a source of this type would not heed.
func (p *parser) ofOtherTypes(i int, kind string, f *fileSource) {
	for _, k := range []struct {
		key, of string
		set     bool
	}{
		{"path", "file", f.Path != ""}, {"paths", "file", len(f.Paths) > 0}, {"from", "file", f.From != ""}, {"poll", "file", f.Poll},
		{"units", "journal", len(f.Units) > 0}, {"matches", "journal", len(f.Matches) > 0},
	} {
		if takes, known := sourceKeys[kind]; known && k.set && k.of != kind {
			p.failAt(i, fmt.Sprintf("is not for type = %q, which takes %s", kind, takes), "remove it, or write another type", "source", k.key)
		}
	}
}

// sourceKeys are the keys that say what a source of a type reads.
var sourceKeys = map[string]string{"file": "path, paths, from and poll", "journal": "units and matches", "stdin": "none of path, paths, from, poll, units and matches"}

// sourceName names a source that has no name after its first file.
func sourceName(s *Source) string {
	switch {
	case len(s.Paths) > 0:
		return filepath.Base(s.Paths[0])
	case len(s.Units) > 0:
		return s.Units[0]
	}
	return s.Type
}

func badGlob(path string) bool {
	_, err := filepath.Match(path, "")
	return err != nil
}

func (p *parser) actions(f *file) {
	a := &p.out.Actions
	if f.Actions.Log != nil {
		a.Log = *f.Actions.Log
	}
	p.firewalls(&f.Actions)
	for i, b := range f.Actions.Blocklist {
		out := Blocklist{Path: p.relative(b.Path), Format: b.Format, Set: b.Set, After: b.After}
		if len(b.After) > 0 && !filepath.IsAbs(b.After[0]) {
			p.failAt(i, "must be a list that begins with the program's full path", `as in after = ["/usr/sbin/nginx", "-s", "reload"]; it is run without a shell`, "actions", "blocklist", "after")
		}
		if b.Path == "" {
			p.failAt(i, "is missing", "say which file to write", "actions", "blocklist", "path")
		}
		if out.Format == "" {
			out.Format = "plain"
		}
		if !slices.Contains(BlocklistFormats, out.Format) {
			p.failAt(i, fmt.Sprintf("unknown format %q", out.Format), "known are "+strings.Join(BlocklistFormats, ", "), "actions", "blocklist", "format")
		}
		if b.Mode != "" {
			m, err := strconv.ParseUint(b.Mode, 8, 12)
			if out.Mode = fs.FileMode(m); err != nil || m == 0 || m > 0o777 {
				p.failAt(i, fmt.Sprintf("%q is no file mode", b.Mode), `write it like "0644"`, "actions", "blocklist", "mode")
			}
		}
		p.note(i, "actions", "blocklist", "after")
		a.Blocklists = append(a.Blocklists, out)
	}
	for i, e := range f.Actions.Exec {
		out := Exec{Name: e.Name, Command: e.Command, Holds: e.Holds == nil || *e.Holds, DryRun: e.DryRun}
		if len(e.Command) == 0 || !filepath.IsAbs(e.Command[0]) {
			p.failAt(i, "must be a list that begins with the program's full path", `as in command = ["/usr/local/bin/block", "{verb}", "{target}"]; it is run without a shell`, "actions", "exec", "command")
		}
		out.Timeout = p.optional(i, e.Timeout, 10*time.Second, "actions", "exec", "timeout")
		p.note(i, "actions", "exec", "command")
		a.Execs = append(a.Execs, out)
	}
	for i, w := range f.Actions.Webhook {
		out := Webhook{Name: w.Name, URL: w.URL, Secret: w.Secret, Headers: w.Headers}
		if !strings.HasPrefix(w.URL, "http://") && !strings.HasPrefix(w.URL, "https://") {
			p.failAt(i, fmt.Sprintf("%q is no http(s) address", w.URL), `as in url = "https://hooks.example.org/regwarden"`, "actions", "webhook", "url")
		}
		if name, ok := strings.CutPrefix(w.SecretFile, CredentialPrefix); !ok {
			out.SecretFile = p.relative(w.SecretFile)
		} else if out.SecretFile = w.SecretFile; name == "" || strings.ContainsAny(name, "/\x00") {
			p.failAt(i, fmt.Sprintf("%q names no credential", w.SecretFile), `write "credential:NAME", with the NAME of the unit's LoadCredential=`, "actions", "webhook", "secret_file")
		}
		if w.Secret != "" && w.SecretFile != "" {
			p.failAt(i, "cannot stand beside secret", "keep one of them", "actions", "webhook", "secret_file")
		}
		out.Timeout = p.optional(i, w.Timeout, 10*time.Second, "actions", "webhook", "timeout")
		a.Webhooks = append(a.Webhooks, out)
	}
	p.nameActions()
}

// firewallName is what tables, chains and sets may be called: short enough for ipset's 31 bytes with a suffix, and nothing that needs quoting.
var firewallName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,19}$`)

// builtinChains are the names of chains and targets that iptables has already.
var builtinChains = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", "ACCEPT", "DROP", "RETURN", "QUEUE", "REJECT", "LOG"}

func (p *parser) firewalls(f *fileActions) {
	if n := f.NFTables; n != nil {
		out := &NFTables{Table: given(n.Table, "regwarden"), Mode: given(n.Mode, "drop"), Counters: n.Counters, Owner: n.Owner == nil || *n.Owner}
		out.Ports = p.ports(n.Ports, "actions", "nftables", "ports")
		p.choice(out.Mode, []string{"drop", "reject"}, "actions", "nftables", "mode")
		p.firewallName(out.Table, "actions", "nftables", "table")
		p.out.Actions.NFTables = out
	}
	if n := f.IPTables; n != nil {
		out := &IPTables{Chain: given(n.Chain, "REGWARDEN"), Set: given(n.Set, "regwarden"), Variant: given(n.Variant, "auto"), IPSet: given(n.IPSet, "auto"), MaxRules: 500}
		out.Ports = p.ports(n.Ports, "actions", "iptables", "ports")
		p.choice(out.Variant, []string{"auto", "nft", "legacy"}, "actions", "iptables", "variant")
		p.choice(out.IPSet, []string{"auto", "require", "never"}, "actions", "iptables", "ipset")
		p.firewallName(out.Chain, "actions", "iptables", "chain")
		if slices.Contains(builtinChains, out.Chain) {
			p.fail(fmt.Sprintf("%q is taken by iptables itself", out.Chain), `give it a chain of its own, as in chain = "REGWARDEN"`, "actions", "iptables", "chain")
		}
		p.firewallName(out.Set, "actions", "iptables", "set")
		if n.Rules != nil {
			if out.MaxRules = *n.Rules; *n.Rules < 1 || *n.Rules > 5000 {
				p.fail(fmt.Sprintf("%d is out of range", *n.Rules), "1 to 5000; every rule makes every packet dearer", "actions", "iptables", "max_rules")
			}
		}
		p.out.Actions.IPTables = out
	}
	if f.NFTables != nil && f.IPTables != nil {
		p.fail("cannot stand beside actions.nftables: both would drop the same packets", "keep one; nftables where the kernel has it", "actions", "iptables")
	}
}

// given is a value that the file has, an empty one too, or else the standard.
func given(text *string, standard string) string {
	if text == nil {
		return standard
	}
	return *text
}

func (p *parser) firewallName(name string, key ...string) {
	if !firewallName.MatchString(name) {
		p.fail(fmt.Sprintf("%q is no name for it", name), "write a letter and up to 19 letters, digits and underscores, or leave the key out", key...)
	}
}

func (p *parser) ports(list []int, key ...string) []uint16 {
	var out []uint16
	for _, n := range list {
		if n < 1 || n > 65535 {
			p.fail(fmt.Sprintf("%d is no port", n), "1 to 65535, as the client sees it; none means all", key...)
			continue
		}
		out = append(out, uint16(n))
	}
	return out
}

// nameActions names the actions that have no name after their kind.
func (p *parser) nameActions() {
	for i := range p.out.Actions.Execs {
		if e := &p.out.Actions.Execs[i]; e.Name == "" {
			e.Name = numbered("exec", i)
		}
	}
	for i := range p.out.Actions.Webhooks {
		if w := &p.out.Actions.Webhooks[i]; w.Name == "" {
			w.Name = numbered("webhook", i)
		}
	}
}

func numbered(kind string, i int) string {
	if i == 0 {
		return kind
	}
	return fmt.Sprintf("%s%d", kind, i+1)
}

// unique refuses two sources, actions or files of the same name.
func (p *parser) unique() {
	seen := map[string]bool{}
	for i, s := range p.out.Sources {
		if seen["s "+s.Name] {
			p.failAt(i, fmt.Sprintf("there are two sources %q", s.Name), `give one another name = "…"`, "source", "name")
		}
		seen["s "+s.Name] = true
	}
	for _, name := range p.out.ActionNames() {
		if seen["a "+name] {
			p.fail(fmt.Sprintf("there are two actions %q", name), `give one another name = "…"`, "actions")
		}
		seen["a "+name] = true
	}
	for i, b := range p.out.Actions.Blocklists {
		if seen["f "+b.Path] {
			p.failAt(i, fmt.Sprintf("two blocklists write %s", b.Path), "one file a blocklist", "actions", "blocklist", "path")
		}
		seen["f "+b.Path] = true
		if what := p.out.owner(b.Path); what != "" {
			p.failAt(i, fmt.Sprintf("%s is %s, which the blocklist would replace", b.Path, what), "write the blocklist to a file of its own", "actions", "blocklist", "path")
		}
	}
}

// owner says what else of this configuration a path is; "" for nothing.
func (c *Config) owner(path string) string {
	switch path {
	case c.Path:
		return "this configuration"
	case c.StateFile, c.StateFile + "-wal", c.StateFile + "-shm", c.StateFile + ".lock":
		return "the database"
	case c.Socket, c.Socket + ".lock":
		return "the control socket"
	}
	for _, s := range c.Sources {
		for _, pattern := range s.Paths {
			if ok, _ := filepath.Match(pattern, path); ok || pattern == path {
				return "a log of source " + s.Name
			}
		}
	}
	return ""
}

// ActionNames returns the names by which rules may speak of the configured actions.
func (c *Config) ActionNames() []string {
	var names []string
	if c.Actions.Log {
		names = append(names, "log")
	}
	if len(c.Actions.Blocklists) > 0 {
		names = append(names, "blocklist")
	}
	if c.Actions.NFTables != nil {
		names = append(names, "nftables")
	}
	if c.Actions.IPTables != nil {
		names = append(names, "iptables")
	}
	for _, a := range []struct {
		name string
		set  bool
	}{{"answer-files", c.Actions.AnswerFiles != nil}, {"answer-endpoint", c.Actions.AnswerEndpoint != nil},
		{"nginx-geo", c.Actions.NginxGeo != nil}, {"haproxy", c.Actions.HAProxy != nil}} {
		if a.set {
			names = append(names, a.name)
		}
	}
	for _, e := range c.Actions.Execs {
		names = append(names, e.Name)
	}
	for _, w := range c.Actions.Webhooks {
		names = append(names, w.Name)
	}
	return names
}
