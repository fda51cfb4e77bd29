package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"regwarden/internal/config"
)

// TestTheReferenceParsesAndTellsTheDefaults: every value in it that is said to be a default is the one that an absent key gives.
func TestTheReferenceParsesAndTellsTheDefaults(t *testing.T) {
	got, err := config.Parse("/etc/regwarden/reference.toml", config.Reference)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Path, want.RulesDir = got.Path, "/etc/regwarden/rules.d"
	want.Sources, want.Actions = got.Sources, got.Actions // examples
	portal := config.DefaultPortal()
	portal.Listen, portal.URL, portal.Issuer, portal.ClientID, portal.SecretFile = got.Portal.Listen, got.Portal.URL, got.Portal.Issuer, got.Portal.ClientID, got.Portal.SecretFile // examples too
	portal.Admins, portal.AdminGroups = got.Portal.Admins, got.Portal.AdminGroups
	want.Portal = &portal
	want.Disable, got.Disable = nil, nil
	want.Lines = got.Lines
	if !reflect.DeepEqual(&want, got) {
		t.Errorf("want %+v\ngot  %+v", want, got)
	}
}

// TestEveryKeyIsInTheReference reads the keys from the struct tags in the source.
func TestEveryKeyIsInTheReference(t *testing.T) {
	source, err := os.ReadFile("file.go")
	if err != nil {
		t.Fatal(err)
	}
	portal, err := os.ReadFile("portal.go")
	if err != nil {
		t.Fatal(err)
	}
	source = append(source, portal...)
	tags := regexp.MustCompile(`toml:"(\w+)"`).FindAllSubmatch(source, -1)
	if len(tags) < 40 {
		t.Fatalf("only %d keys found", len(tags))
	}
	for _, tag := range tags {
		if key := string(tag[1]); !regexp.MustCompile(`(?m)(^|[\[. ])` + key + `\b`).Match(config.Reference) {
			t.Errorf("reference.toml does not name %s", key)
		}
	}
}

// TestAMinimalFile is what the README shows.
func TestAMinimalFile(t *testing.T) {
	c, err := config.Parse("/etc/regwarden/regwarden.toml", []byte("[[source]]\npath = \"a.log\"\n[[actions.blocklist]]\npath = \"list\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Sources[0].Paths[0] != "/etc/regwarden/a.log" || c.Sources[0].Name != "a.log" || c.Actions.Blocklists[0].Path != "/etc/regwarden/list" {
		t.Errorf("got %+v", c)
	}
}

// TestPathAndPathsAreBothRead: neither of the two is left out without a word.
func TestPathAndPathsAreBothRead(t *testing.T) {
	c, err := config.Parse("/c/f.toml", []byte("[[source]]\npath = \"a.log\"\npaths = [\"b.log\", \"c.log\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/c/a.log", "/c/b.log", "/c/c.log"}; !reflect.DeepEqual(want, c.Sources[0].Paths) {
		t.Errorf("want %v, got %v", want, c.Sources[0].Paths)
	}
}

// TestMistakes: each sort of mistake gets one line with file, line, key and what to do.
func TestMistakes(t *testing.T) {
	const good = "[[source]]\npath = \"a.log\"\n"
	const onSocket = good + "[portal]\nurl = \"https://b.example.org\"\n"
	const proxied = onSocket + "socket = \"/run/page.sock\"\nlogin = \"header\"\nuser_header = \"X-User\"\n"
	const oneGrant = "[[portal.grant]]\ngroup = \"g\"\nnamespace = \"n\"\nrole = \"owner\"\n"
	const page = good + "[portal]\nlisten = \"127.0.0.1:9443\"\nurl = \"https://b.example.org\"\nissuer = \"https://g.example.org\"\nclient_id = \"x\"\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":            {"dryrun = true\n" + good, `f.toml:1: dryrun: unknown key; did you mean "dry_run"?`},
		"unknown table":          {good + "[guard]\nstorm_limit = 3\n", `f.toml:3: guard: unknown key; did you mean "guards"?`},
		"unknown key in a table": {good + "[guards]\nstorm_limits = 3\n", `f.toml:4: guards.storm_limits: unknown key; did you mean "storm_limit"?`},
		"unknown key in a list":  {"[[source]]\npath = \"a\"\n[[source]]\npath = \"b\"\nformt = \"auto\"\n", `f.toml:5: source.formt: unknown key; did you mean "format"?`},
		"no TOML":                {"dry_run = yes\n" + good, `f.toml:1: dry_run: `},
		"text for a number":      {"ipv4_prefix = \"32\"\n" + good, `f.toml:1: ipv4_prefix: is text, and a whole number is wanted; write`},
		"a key twice":            {"dry_run = true\ndry_run = true\n" + good, `f.toml:2: dry_run: `},
		"no source":              {"dry_run = true\n", `f.toml: source: there is no [[source]]`},
		"source without a path":  {"[[source]]\nname = \"x\"\n", `f.toml:1: source.path: has no path; write path = `},
		"a journal's path":       {"[[source]]\ntype = \"journal\"\npath = \"x\"\n", `f.toml:3: source.path: is not for type = "journal", which takes units and matches; remove it`},
		"a journal's paths":      {good + "[[source]]\ntype = \"journal\"\nunits = [\"u\"]\npaths = [\"x\"]\n", `f.toml:6: source.paths: is not for type = "journal"`},
		"a journal's place":      {"[[source]]\ntype = \"journal\"\nfrom = \"start\"\n", `f.toml:3: source.from: is not for type = "journal"`},
		"polling a journal":      {"[[source]]\ntype = \"journal\"\npoll = true\n", `f.toml:3: source.poll: is not for type = "journal"`},
		"units of a file":        {good + "units = [\"ssh.service\"]\n", `f.toml:3: source.units: is not for type = "file", which takes path, paths, from and poll; remove it, or write another type`},
		"matches of a file":      {good + "type = \"file\"\nmatches = [\"a=b\"]\n", `f.toml:4: source.matches: is not for type = "file"`},
		"a path of stdin":        {"[[source]]\ntype = \"stdin\"\npath = \"x\"\n", `f.toml:3: source.path: is not for type = "stdin", which takes none of path, paths, from, poll, units and matches`},
		"unknown type":           {"[[source]]\ntype = \"files\"\npath = \"a\"\n", `f.toml:2: source.type: unknown type "files"`},
		"bad glob":               {"[[source]]\npaths = [\"a[b\"]\n", `f.toml:2: source.paths: "a[b" is no valid glob`},
		"bad from":               {"[[source]]\npath = \"a\"\nfrom = \"begin\"\n", `f.toml:3: source.from: unknown place "begin"`},
		"bad kind":               {"[[source]]\npath = \"a\"\nkind = \"nginx\"\n", `f.toml:3: source.kind: unknown kind "nginx"; known are `},
		"bad zone":               {"[[source]]\npath = \"a\"\ntimezone = \"Mars\"\n", `f.toml:3: source.timezone: unknown time zone "Mars"`},
		"trust without proxies":  {"[[source]]\npath = \"a\"\ntrust_forwarded = true\n", `f.toml:3: source.trust_forwarded: needs trusted_proxies`},
		"two sources of a name":  {good + good, `there are two sources "a.log"; give one another name`},
		"files for wide targets": {"ipv4_prefix = 16\n" + good + "[actions.answer-files]\n", `f.toml:4: actions.answer-files: cannot stand beside so wide an ipv4_prefix`},
		"an endpoint for all":    {good + "[actions.answer-endpoint]\nlisten = \"0.0.0.0:9441\"\n", `f.toml:4: actions.answer-endpoint.listen: "0.0.0.0:9441" is no address on loopback`},
		"a header that is none":  {good + "[actions.answer-endpoint]\nclient_header = \"X Real\"\n", `f.toml:4: actions.answer-endpoint.client_header: "X Real" is no header's name`},
		"geo without a reload":   {good + "[actions.nginx-geo]\npath = \"/x\"\n", `f.toml:3: actions.nginx-geo.reload: must be a list that begins with the program's full path; as in reload = [`},
		"geo without a path":     {good + "[actions.nginx-geo]\nreload = [\"/bin/true\"]\n", `f.toml:3: actions.nginx-geo.path: is missing; write a path, such as /var/opt`},
		"haproxy without socket": {good + "[actions.haproxy]\nmap = \"/x\"\n", `f.toml:3: actions.haproxy.socket: is missing`},
		"haproxy, one map twice": {good + "[actions.haproxy]\nsocket = \"/s\"\nmap = \"/x\"\nrepositories = \"/x\"\n", `f.toml:6: actions.haproxy.repositories: is the map of addresses`},
		"a mistyped answer key":  {good + "[answers]\nmesage = \"x\"\n", `f.toml:4: answers.mesage: unknown key; did you mean "message"?`},
		"bad address":            {"ignoreip = [\"example.org\"]\n" + good, `f.toml:1: ignoreip: "example.org" is neither an address nor a network`},
		"address in a network":   {"ignoreip = [\"192.0.2.7/24\"]\n" + good, `f.toml:1: ignoreip: "192.0.2.7/24" is an address within a network: write 192.0.2.7 for the address or 192.0.2.0/24 for all`},
		"all of IPv4 and more":   {"ignoreip = [\"::ffff:0:0/90\"]\n" + good, `f.toml:1: ignoreip: "::ffff:0:0/90" is neither an address nor a network`},
		"a list of a firewall":   {good + "[[actions.nftables]]\nmode = \"drop\"\n", `f.toml:3: actions.nftables: is written as a list, [[actions.nftables]], and there can be only one; write [actions.nftables]`},
		"a list of the state":    {good + "[[state]]\npath = \"x\"\n", `f.toml:3: state: is written as a list, [[state]]`},
		"one table for a list":   {"[source]\npath = \"a.log\"\n", `f.toml:1: source: is written as one table, [source], and there may be several; write [[source]]`},
		"a value for a table":    {good + "[actions]\nnftables = true\n", `f.toml:4: actions.nftables: is true or false, and a table is wanted`},
		"bad network":            {"trusted_proxies = [\"192.0.2.0/33\"]\n" + good, `f.toml:1: trusted_proxies: "192.0.2.0/33" is neither an address`},
		"prefix out of range":    {"ipv6_prefix = 128\n" + good, `f.toml:1: ipv6_prefix: 128 is out of range; 32 to 64`},
		"bad duration":           {good + "[guards]\nstorm_window = \"5 minutes\"\n", `f.toml:4: guards.storm_window: "5 minutes" is no duration; write it like`},
		"no unit":                {good + "[guards]\nstorm_window = \"10\"\n", `f.toml:4: guards.storm_window: "10" has no unit; write it like "90s"`},
		"no unit in a list":      {good + "[[actions.exec]]\ncommand = [\"/bin/x\"]\ntimeout = \"10\"\n", `f.toml:5: actions.exec.timeout: "10" has no unit`},
		"too long":               {good + "[state]\nhistory_keep = \"99999d\"\n", `f.toml:4: state.history_keep: "99999d" is longer than 10000 days; write a shorter time`},
		"answers in the root":    {good + "[actions.answer-files]\npath = \"//\"\n", `f.toml:4: actions.answer-files.path: "//" is no directory for it; write one of its own`},
		"half a table":           {good + "[actions.nftables\nmode = \"drop\"\n", `f.toml:3: expected '.' or ']' to end table name, but got '\n' instead; the name of a table stands in brackets`},
		"a key once more":        {"dry_run = true\ndry_run = true\n" + good, `already been defined; a key may stand only once`},
		"share out of range":     {good + "[guards]\nproxy_share = 50.0\n", `f.toml:4: guards.proxy_share: 50 is out of range`},
		"limit out of range":     {good + "[guards]\nstorm_limit = 0\n", `f.toml:4: guards.storm_limit: 0 is out of range`},
		"bad size":               {good + "[state]\nmemory = \"lots\"\n", `f.toml:4: state.memory: "lots" is no size`},
		"too little memory":      {good + "[state]\nmemory = \"1MiB\"\n", `f.toml:4: state.memory: "1MiB" is no size from 64MiB`},
		"a log as blocklist":     {good + "[[actions.blocklist]]\npath = \"a.log\"\n", `f.toml:4: actions.blocklist.path: /c/a.log is a log of source a.log, which the blocklist would replace`},
		"after in a shell":       {good + "[[actions.blocklist]]\npath = \"l\"\nafter = [\"nginx -s reload\"]\n", `f.toml:5: actions.blocklist.after: must be a list that begins`},
		"empty path":             {good + "[state]\npath = \"\"\n", `f.toml:4: state.path: is empty`},
		"socket path too long":   {good + "[control]\nsocket = \"/" + strings.Repeat("x", 120) + "\"\n", `f.toml:4: control.socket: the path is longer`},
		"metrics by name":        {good + "[metrics]\nlisten = \"localhost:9442\"\n", `f.toml:4: metrics.listen: "localhost:9442" is no address and port; write it like "127.0.0.1:9442"`},
		"metrics on no port":     {good + "[metrics]\nlisten = \"127.0.0.1:0\"\n", `f.toml:4: metrics.listen: "127.0.0.1:0" is no address and port`},
		"metrics on the answers": {good + "[actions.answer-endpoint]\nlisten = \"127.0.0.1:9441\"\n[metrics]\nlisten = \"127.0.0.1:9441\"\n", `f.toml:6: metrics.listen: 127.0.0.1:9441 is where actions.answer-endpoint listens`},
		"bad level":              {good + "[log]\nlevel = \"trace\"\n", `f.toml:4: log.level: unknown value "trace"; known are debug`},
		"blocklist without path": {good + "[[actions.blocklist]]\nformat = \"plain\"\n", `f.toml:3: actions.blocklist.path: is missing`},
		"unknown format":         {good + "[[actions.blocklist]]\npath = \"l\"\nformat = \"apache\"\n", `f.toml:5: actions.blocklist.format: unknown format "apache"; known are plain`},
		"bad mode":               {good + "[[actions.blocklist]]\npath = \"l\"\nmode = \"rw\"\n", `f.toml:5: actions.blocklist.mode: "rw" is no file mode`},
		"one list twice":         {good + "[[actions.blocklist]]\npath = \"l\"\n[[actions.blocklist]]\npath = \"l\"\n", `actions.blocklist.path: two blocklists write /c/l`},
		"a shell command":        {good + "[[actions.exec]]\ncommand = [\"block {target}\"]\n", `f.toml:4: actions.exec.command: must be a list that begins with the program's full path`},
		"bad time limit":         {good + "[[actions.exec]]\ncommand = [\"/bin/x\"]\ntimeout = \"soon\"\n", `f.toml:5: actions.exec.timeout: "soon" is no duration`},
		"bad hook":               {good + "[[actions.webhook]]\nurl = \"hooks.example.org\"\n", `f.toml:4: actions.webhook.url: "hooks.example.org" is no http(s) address`},
		"bad port":               {good + "[actions.nftables]\nports = [70000]\n", `f.toml:4: actions.nftables.ports: 70000 is no port; 1 to 65535`},
		"bad firewall mode":      {good + "[actions.nftables]\nmode = \"block\"\n", `f.toml:4: actions.nftables.mode: unknown value "block"; known are drop, reject`},
		"bad table name":         {good + "[actions.nftables]\ntable = \"my table\"\n", `f.toml:4: actions.nftables.table: "my table" is no name for it`},
		"empty table name":       {good + "[actions.nftables]\ntable = \"\"\n", `f.toml:4: actions.nftables.table: "" is no name for it; write a letter and up to 19 letters, digits and underscores, or leave the key out`},
		"empty chain name":       {good + "[actions.iptables]\nset = \"a\"\nchain = \"\"\n", `f.toml:5: actions.iptables.chain: "" is no name for it`},
		"empty set name":         {good + "[actions.iptables]\nset = \"\"\n", `f.toml:4: actions.iptables.set: "" is no name for it`},
		"a chain of iptables":    {good + "[actions.iptables]\nset = \"a\"\nchain = \"INPUT\"\n", `f.toml:5: actions.iptables.chain: "INPUT" is taken by iptables itself; give it a chain of its own`},
		"empty variant":          {good + "[actions.iptables]\nvariant = \"\"\n", `f.toml:4: actions.iptables.variant: unknown value ""`},
		"empty firewall mode":    {good + "[actions.nftables]\nmode = \"\"\n", `f.toml:4: actions.nftables.mode: unknown value ""`},
		"bad variant":            {good + "[actions.iptables]\nvariant = \"new\"\n", `f.toml:4: actions.iptables.variant: unknown value "new"; known are auto`},
		"two firewalls":          {good + "[actions.nftables]\n[actions.iptables]\n", `f.toml:4: actions.iptables: cannot stand beside actions.nftables`},
		"a page nowhere":         {good + "[portal]\nurl = \"https://b.example.org\"\nissuer = \"https://g.example.org\"\nclient_id = \"x\"\n", `f.toml:3: portal.listen: neither listen nor socket is set; write listen = `},
		"a page in two places":   {page + "socket = \"s\"\n", `f.toml:8: portal.socket: cannot stand beside listen`},
		"a page without TLS":     {strings.ReplaceAll(page, "127.0.0.1", "0.0.0.0"), `f.toml:4: portal.listen: "0.0.0.0:9443" is open to the network without TLS`},
		"half a certificate":     {page + "cert_file = \"c\"\n", `f.toml:8: portal.cert_file: one of cert_file and key_file is missing`},
		"a page by http":         {strings.ReplaceAll(page, "https://b", "http://b"), `f.toml:5: portal.url: "http://b.example.org" is without TLS`},
		"a page with a path":     {strings.ReplaceAll(page, "b.example.org", "b.example.org/x"), `f.toml:5: portal.url: "https://b.example.org/x" is no address of a web server`},
		"no issuer":              {strings.ReplaceAll(page, "issuer = \"https://g.example.org\"\n", ""), `f.toml:3: portal.issuer: is missing; write it like "https://gitlab.example.org"`},
		"no client":              {strings.ReplaceAll(page, "client_id = \"x\"\n", ""), `f.toml:3: portal.client_id: is missing; make an application`},
		"an unknown login":       {page + "login = \"ldap\"\n", `f.toml:8: portal.login: unknown value "ldap"; known are gitlab, oidc, header`},
		"headers of anybody":     {onSocket + "listen = \"127.0.0.1:9443\"\nlogin = \"header\"\ngroups_header = \"G\"\n" + oneGrant, `f.toml:6: portal.login: login = "header" believes whoever connects; set trusted_peers`},
		"a page at a short path": {onSocket + "socket = \"page.sock\"\nissuer = \"https://g.example.org\"\nclient_id = \"x\"\n", `f.toml:5: portal.socket: "page.sock" is no full path; write it like "/run/regwarden/portal.sock"`},
		"grants without groups":  {proxied + oneGrant, `f.toml:3: portal.groups_header: is missing, so that nobody has a group and [[portal.grant]] gives nobody a role; write the header`},
		"admins without groups":  {proxied + "groups_header = \"\"\nadmin_groups = [\"wheel\"]\n" + oneGrant, `f.toml:8: portal.groups_header: is missing`},
		"a header for GitLab":    {page + "user_header = \"X-User\"\n", `f.toml:8: portal.user_header: has no effect with login = "gitlab"; remove it, or write login = "header"`},
		"peers for GitLab":       {page + "trusted_peers = [\"192.0.2.1\"]\n", `f.toml:8: portal.trusted_peers: has no effect with login = "gitlab"; remove it, or write login = "header"`},
		"a claim for GitLab":     {page + "groups_claim = \"roles\"\n", `f.toml:8: portal.groups_claim: has no effect with login = "gitlab"; remove it, or write login = "oidc"`},
		"an issuer for headers":  {proxied + "issuer = \"https://g.example.org\"\ngroups_header = \"G\"\n" + oneGrant, `f.toml:8: portal.issuer: has no effect with login = "header"; remove it, or write login = "gitlab" or "oidc"`},
		"a grant of nothing":     {page + "login = \"oidc\"\n" + oneGrant + "[[portal.grant]]\ngroup = \"g\"\nrole = \"owner\"\n", `f.toml:13: portal.grant.namespace: is missing`},
		"half of secret_file":    {page + "secret = \"abc\"\n", `f.toml:8: portal.secret: unknown key; did you mean "secret_file"?`},
		"nobody sees anything":   {page + "login = \"oidc\"\n", `portal.grant: nobody would see anything: there is no [[portal.grant]]`},
		"a role that is none":    {page + "lift = \"boss\"\n", `f.toml:8: portal.lift: unknown value "boss"; known are guest, reporter`},
		"lift before view":       {page + "lift = \"guest\"\n", `f.toml:8: portal.lift: a guest may lift but only a reporter may view`},
		"a grant in GitLab":      {page + "[[portal.grant]]\ngroup = \"g\"\nnamespace = \"n\"\nrole = \"owner\"\n", `portal.grant: GitLab itself says who is in a project`},
		"a grant of no role":     {page + "login = \"oidc\"\n[[portal.grant]]\ngroup = \"g\"\nnamespace = \"n\"\nrole = \"boss\"\n", `f.toml:12: portal.grant.role: unknown role "boss"`},
		"an admin by name":       {page + "login = \"oidc\"\nadmins = [\"dana\"]\n[[portal.grant]]\ngroup = \"g\"\nnamespace = \"n\"\nrole = \"owner\"\n", `f.toml:9: portal.admins: "dana" is a username, which people may choose`},
		"a test without keys":    {page + "[portal.human]\ntest = \"turnstile\"\nsecret_file = \"s\"\n", `f.toml:8: portal.human.site_key: is missing`},
		"no such test":           {page + "[portal.human]\ntest = \"altcha\"\n", `f.toml:9: portal.human.test: unknown value "altcha"; known are image, hcaptcha`},
		"too much work":          {page + "[portal.human]\nwork = 40\n", `f.toml:9: portal.human.work: 40 is out of range; 0 to 24`},
		"a limit of nothing":     {page + "[portal.limits]\nuser_hour = 0\n", `f.toml:9: portal.limits.user_hour: 0 is out of range`},
		"a long probation":       {page + "[portal.limits]\nprobation = \"30d\"\n", `f.toml:9: portal.limits.probation: "30d" is longer than 7 days`},
		"two actions of a name":  {good + "[[actions.exec]]\nname = \"log\"\ncommand = [\"/bin/x\"]\n", `there are two actions "log"`},
	} {
		_, err := config.Parse("/c/f.toml", []byte(c.text))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		got := strings.ReplaceAll(err.Error(), "/c/f.toml", "f.toml")
		if !strings.Contains(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\nwant one line with %s\ngot  %s", name, c.want, got)
		}
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none.toml"), t.TempDir()} {
		if _, err := config.Load(path); err == nil || !strings.HasPrefix(err.Error(), "config "+path+": ") {
			t.Errorf("got %v", err)
		}
	}
}
