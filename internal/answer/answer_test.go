package answer_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/internal/answer"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

// words are how the rules of these tests speak.
var words = map[string]answer.Rule{
	"missing-manifest":    {Words: "asked {count} times for {what}, which does not exist", Limit: 5},
	"token-denied":        {Words: "asked {count} times for a token for {repository}, which is denied", Limit: 5, Token: true},
	"credential-guessing": {Words: "guesses registry credentials ({count} times in {span})", Limit: 1},
	"rate-limited":        {Words: "goes on after the web server answered 429 ({count} times in {span})", Limit: 60},
}

const unblockURL = "https://registry.example.org/unblock/{id}"

func text(t *testing.T, message, url string) *answer.Text {
	t.Helper()
	out, err := answer.NewText(message, url)
	if err != nil {
		t.Fatal(err)
	}
	out.SetRules(words)
	return out
}

// missing is what a swarm with a missing tag is blocked for.
func missing(more ...func(*detector.Cause)) detector.Cause {
	c := detector.Cause{ID: "5f0c31a2b4d6", Rule: "missing-manifest", By: "rule", Reason: `keeps asking for a manifest that does not exist: 45 times in 9m12s, repository "acme/web", reference "v9"`,
		Scope: detector.ScopeRepository, Strike: 1, Count: 45, Window: 540, First: noon.Add(-9*time.Minute - 12*time.Second), Last: noon, Since: noon, Until: noon.Add(10 * time.Minute),
		Repositories: []string{"acme/web"}, References: []string{"v9"}}
	for _, m := range more {
		m(&c)
	}
	return c
}

func host(c *detector.Cause) { c.Scope = detector.ScopeHost }

func block(target string, causes ...detector.Cause) detector.Block {
	return detector.Block{Target: netip.MustParsePrefix(target), Causes: causes}
}

// ask returns the answer to a request as a client would see it; "" if it passes.
func ask(t *testing.T, x *answer.Text, b detector.Block, method, uri, accept, agent string) string {
	t.Helper()
	held := answer.NewHeld("x")
	if err := held.Sync(t.Context(), []detector.Block{b}); err != nil {
		t.Fatal(err)
	}
	r := answer.ReadRequest(method, uri)
	r.Accept, r.UserAgent = accept, agent
	now := noon.Add(10 * time.Second)
	n, refused := held.Find(x, b.Target.Addr().Next(), r, now)
	if !refused {
		if n, refused = held.Find(x, b.Target.Addr(), r, now); !refused {
			return ""
		}
	}
	a := x.Answer(n, r, now)
	var out strings.Builder
	fmt.Fprintf(&out, "%d\n", a.Status)
	var names []string
	for name := range a.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "%s: %s\n", name, strings.Join(a.Header[name], ", "))
	}
	fmt.Fprintf(&out, "\n%s", a.Body)
	return out.String()
}

const (
	docker  = "docker/27.5.1 go/go1.22.10 git-commit/4c9b3b0 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/27.5.1 \\(linux\\))"
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"
	oci     = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
	html    = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
)

// TestAnswers holds every kind of answer against its golden file, word for word.
func TestAnswers(t *testing.T) {
	byHand := detector.Cause{ID: "m0123456789ab", Rule: "manual", By: "uid 0 (root)", Reason: `scans "us"; see <ticket> $5 \ née`, Since: noon, Until: noon.Add(90 * time.Minute)}
	short := detector.Cause{ID: "77aa00bb11cc", Rule: "rate-limited", By: "rule", Count: 91, First: noon.Add(-time.Minute), Last: noon, Since: noon, Until: noon.Add(20 * time.Second)}
	guesser := detector.Cause{ID: "c0ffee00c0de", Rule: "credential-guessing", By: "rule", Count: 12, First: noon.Add(-3 * time.Hour), Last: noon, Since: noon, Until: noon.Add(12 * time.Hour), Repositories: []string{"acme/secret"}}
	digest := missing(func(c *detector.Cause) {
		c.References = []string{"sha256:c36767394c42efc36767394c42efc36767394c42efc36767394c42efc3676739"}
	})
	several := missing(func(c *detector.Cause) { c.References = []string{"v9", "v10"} })
	odd := missing(func(c *detector.Cause) { c.References = []string{"v9\" \x1b[2J"} })
	long := missing(func(c *detector.Cause) {
		c.Repositories = []string{"acme/" + strings.Repeat("x", 120)}
		c.References = []string{strings.Repeat("y", 128)}
	})
	denied := missing(func(c *detector.Cause) { c.Rule, c.References = "token-denied", nil })
	v4 := "203.0.113.7/32"
	for name, c := range map[string]struct {
		block                     detector.Block
		method, uri, accept, user string
		message, url              string
	}{
		"manifest":              {block(v4, missing()), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"manifest-head":         {block(v4, missing()), "HEAD", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"manifest-other-tag":    {block(v4, missing()), "GET", "/v2/acme/web/manifests/v8", oci, docker, "", unblockURL},
		"manifest-digest":       {block(v4, digest), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"manifest-several-tags": {block(v4, several), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"manifest-odd-tag":      {block(v4, odd), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"manifest-long-names":   {block(v4, long), "GET", "/v2/acme/" + strings.Repeat("x", 120) + "/manifests/v9", oci, docker, "", unblockURL},
		"manifest-without-page": {block(v4, missing()), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", ""},
		"blob-head":             {block(v4, missing()), "HEAD", "/v2/acme/web/blobs/sha256:aa", oci, docker, "", unblockURL},
		"blob":                  {block(v4, missing()), "GET", "/v2/acme/web/blobs/sha256:aa", oci, docker, "", unblockURL},
		"upload":                {block(v4, missing()), "POST", "/v2/acme/web/blobs/uploads/", "", docker, "", unblockURL},
		"host-ping":             {block(v4, missing(host)), "GET", "/v2/", "", docker, "", unblockURL},
		"host-ping-head":        {block(v4, missing(host)), "HEAD", "/v2", "", docker, "", unblockURL},
		"host-same":             {block(v4, missing(host)), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"host-other":            {block(v4, missing(host)), "GET", "/v2/beta/api/manifests/v1", oci, docker, "", unblockURL},
		"host-token":            {block(v4, guesser), "GET", "/jwt/auth?service=container_registry&scope=repository:beta/api:pull", "", docker, "", unblockURL},
		"host-catalog":          {block(v4, guesser), "GET", "/v2/_catalog", "", docker, "", unblockURL},
		"token-denied":          {block(v4, denied), "GET", "/jwt/auth?scope=repository%3Aacme%2Fweb%3Apull", "", docker, "", unblockURL},
		"ipv6":                  {block("2001:db8:0:1::/64", missing()), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"browser":               {block(v4, missing(host)), "GET", "/acme/web", html, firefox, "", unblockURL + "?a=1&b=2"},
		"browser-registry":      {block(v4, missing(host)), "GET", "/v2/_catalog", html, firefox, "", unblockURL},
		"git":                   {block(v4, guesser), "GET", "/acme/web.git/info/refs?service=git-upload-pack", "*/*", "git/2.47.0", "", unblockURL},
		"curl":                  {block(v4, missing()), "GET", "/v2/acme/web/manifests/v9", "*/*", "curl/8.5.0", "", unblockURL},
		"curl-json":             {block(v4, missing()), "GET", "/v2/acme/web/manifests/v9", "application/json", "curl/8.5.0", "", unblockURL},
		"by-hand":               {block(v4, byHand), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"throttle":              {block(v4, short), "GET", "/v2/acme/web/manifests/v9", oci, docker, "", unblockURL},
		"throttle-head":         {block(v4, short), "HEAD", "/v2/acme/web/blobs/sha256:aa", oci, docker, "", unblockURL},
		"retry-later":           {block(v4, missing()), "GET", "/v2/acme/web/manifests/v9", oci, docker, "Retry later", unblockURL},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, text(t, c.message, c.url), c.block, c.method, c.uri, c.accept, c.user)
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
			wellFormed(t, got)
		})
	}
}

// wellFormed holds what is true of every answer.
func wellFormed(t *testing.T, got string) {
	t.Helper()
	head, body, _ := strings.Cut(got, "\n\n")
	if strings.HasPrefix(head, "401") || strings.Contains(got, "UNAUTHORIZED") || strings.Contains(strings.ToLower(head), "www-authenticate") {
		t.Error("it would make a client ask for a password")
	}
	if !strings.Contains(head, "Cache-Control: no-store") {
		t.Error("a cache may keep it")
	}
	if !strings.Contains(head, "application/json; charset") {
		return
	}
	var doc struct {
		Errors []struct {
			Code, Message string
			Detail        map[string]string
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || len(doc.Errors) != 1 || strings.Count(body, "\n") != 1 {
		t.Fatalf("it is no line of OCI JSON: %v", err)
	}
	m := doc.Errors[0].Message
	if len(m) > answer.MaxMessage || strings.ContainsAny(m, "\"'\\$|;<>{}") {
		t.Errorf("%d characters, or some that need quoting: %s", len(m), m)
	}
}

// TestWhoIsRefused: a repository block closes its repositories and nothing else, however their path is written.
func TestWhoIsRefused(t *testing.T) {
	x := text(t, "", unblockURL)
	for _, row := range []struct {
		scope, method, uri string
		refused            bool
	}{
		{"repository", "GET", "/v2/", false},
		{"repository", "GET", "/v2/acme/web/manifests/v9", true},
		{"repository", "GET", "/v2/acme/web/manifests/v8", true},
		{"repository", "PUT", "/v2/acme/web/manifests/v9", true},
		{"repository", "GET", "/v2/acme/web/tags/list?n=10", true},
		{"repository", "PATCH", "/v2/acme/web/blobs/uploads/0b1c", true},
		{"repository", "GET", "/v2/acme%2Fweb/manifests/v9", true},
		{"repository", "GET", "//v2//acme/./web/manifests/v9", true},
		{"repository", "GET", "/v2/acme/x/../web/manifests/v9", true},
		{"repository", "GET", "/v2/acme/%2e/web/manifests/v9", true},
		{"repository", "GET", "/v2/acme/web2/manifests/v9", false},
		{"repository", "GET", "/v2/acme/web/sub/manifests/v9", false},
		{"repository", "GET", "/v2/acme/manifests/v9", false},
		{"repository", "GET", "/v2/_catalog", false},
		{"repository", "GET", "/jwt/auth?scope=repository:acme/web:pull", false},
		{"repository", "GET", "/", false},
		{"repository", "", "", false},
		{"host", "GET", "/v2/", true},
		{"host", "GET", "/v2/other/manifests/v9", true},
		{"host", "GET", "/jwt/auth?scope=repository:other:pull", true},
		{"host", "GET", "/", true},
		{"host", "", "", true},
	} {
		c := missing()
		c.Scope, _ = detector.ParseScope(row.scope)
		if got := ask(t, x, block("203.0.113.7/32", c), row.method, row.uri, "", "") != ""; got != row.refused {
			t.Errorf("%s block, %s %s: want refused %v, got %v", row.scope, row.method, row.uri, row.refused, got)
		}
	}
}

// TestNobodyReadsOfAnothersRepository: the addresses of clients are shared.
func TestNobodyReadsOfAnothersRepository(t *testing.T) {
	x := text(t, "", unblockURL)
	c := missing(host, func(c *detector.Cause) { c.Repositories = []string{"acme/secret", "acme/web"} })
	for _, uri := range []string{"/v2/beta/api/manifests/v9", "/v2/acme/web/manifests/v9", "/v2/_catalog", "/jwt/auth?scope=repository:beta/api:pull", "/"} {
		for _, accept := range []string{oci, html, "*/*"} {
			got := ask(t, x, block("203.0.113.7/32", c), "GET", uri, accept, "")
			if strings.Contains(got, "secret") || !strings.Contains(got, "BLOCKED until") {
				t.Errorf("%s: %s", uri, got)
			}
		}
	}
}

// TestTheOperatorsWords are refused where they would break a client or a server on the way.
func TestTheOperatorsWords(t *testing.T) {
	for _, row := range []struct{ message, url, want string }{
		{"gone until {end}", "", "message: unknown placeholder {end}; known are {until}, {address},"},
		{"lift it at {unblock_url}", "", "message: names {unblock_url}, and unblock_url is not set"},
		{`say "please"`, "", `message: must not contain '"'`},
		{"gesperrt für {reason}", "", "message: must not contain 'ü'"},
		{"two\nlines", "", `message: must not contain '\n'`},
		{"costs $5", "", "message: must not contain '$'"},
		{"an open {until", "", "message: must not contain '{'"},
		{"   ", "", "message: is empty"},
		{strings.Repeat("x", 301), "", "message: may become 301 characters long"},
		{strings.Repeat("x", 200) + "{address}{reason}{until}", "", "message: may become 319 characters long"},
		{"", "registry.example.org/unblock", "unblock_url: \"registry.example.org/unblock\" is no http(s) address"},
		{"", "https://registry.example.org/{address}", "unblock_url: unknown placeholder {address}; {id} is the only one, as in \"https://registry.example.org/unblock/{id}\""},
		{"", "{address}", "unblock_url: unknown placeholder {address}; {id} is the only one"},
		{"", "https://registry.example.org/a'b", "unblock_url: must not contain '\\''"},
		{"", "https://registry.example.org/" + strings.Repeat("x", 200), "unblock_url: is longer than 125 characters"},
		{"Retry later", "", ""},
		{"BLOCKED until {until}: {address} broke {rule}. Block {id}: ask ops@example.org", "", ""},
	} {
		_, err := answer.NewText(row.message, row.url)
		if got := fmt.Sprint(err); (row.want == "") != (err == nil) || !strings.HasPrefix(got, row.want) && err != nil {
			t.Errorf("%q %q: want %q, got %v", row.message, row.url, row.want, err)
		}
	}
	for words, want := range map[string]string{
		"asked {count} times for {what}": "<nil>", "asked for {tag}": "unknown placeholder {tag}; known are {count}, {span}, {what} and {repository}",
		"said \"no\"": "must not contain '\"'; write one line of plain ASCII", strings.Repeat("x", 81): "is longer than 80 characters, which is what a message has room for",
	} {
		if got := fmt.Sprint(answer.ValidWords(words)); got != want {
			t.Errorf("%q: want %s, got %s", words, want, got)
		}
	}
}

// TestTheLatestEndIsTold, of all blocks that cover the client.
func TestTheLatestEndIsTold(t *testing.T) {
	x := text(t, "", "")
	held := answer.NewHeld("x")
	late := missing(host, func(c *detector.Cause) { c.ID, c.Until = "late", noon.Add(5*time.Hour) })
	over := missing(host, func(c *detector.Cause) { c.ID, c.Until = "over", noon })
	if err := held.Sync(t.Context(), []detector.Block{block("203.0.113.7/32", missing(), over), block("203.0.113.0/24", late), block("2001:db8::/64", missing(host))}); err != nil {
		t.Fatal(err)
	}
	r := answer.ReadRequest("GET", "/v2/acme/web/manifests/v9")
	for client, want := range map[string]string{"203.0.113.7": "late", "::ffff:203.0.113.7": "late", "203.0.113.8": "late", "203.0.114.7": "", "2001:db8::1234:5": "5f0c31a2b4d6", "2001:db8:0:1::1": ""} {
		n, _ := held.Find(x, netip.MustParseAddr(client), r, noon)
		if n.Cause.ID != want {
			t.Errorf("%s: want cause %q, got %q", client, want, n.Cause.ID)
		}
	}
	if err := held.Apply(t.Context(), []detector.Change{{Verb: detector.ChangeUnblock, Block: detector.Block{Target: netip.MustParsePrefix("203.0.113.0/24")}}}); err != nil {
		t.Fatal(err)
	}
	if n, _ := held.Find(x, netip.MustParseAddr("203.0.113.7"), r, noon); n.Cause.ID != "5f0c31a2b4d6" {
		t.Errorf("want the narrow block after the wide one is lifted, got %q", n.Cause.ID)
	}
	if _, refused := held.Find(x, netip.MustParseAddr("203.0.113.7"), r, noon.Add(time.Hour)); refused {
		t.Error("a block goes on after its end")
	}
}

// TestAReasonByHandStaysReadable in plain ASCII, whatever it is written in.
func TestAReasonByHandStaysReadable(t *testing.T) {
	x := text(t, "", "")
	for reason, want := range map[string]string{
		"Größe überschritten, Straße":        "Groesse ueberschritten, Strasse",
		"façade – “très” élevé…":             "facade - tres eleve...",
		"cafe\u0301 5 €":                     "cafe 5  EUR",
		"東京 ok":                              "[U+6771][U+4EAC] ok",
		"a\xffb\x00c\u0085d\u202ee":          "a?b?c?d[U+202E]e",
		"it's \"{id}\"; $(x)":                "its ?id?, ?(x)",
		strings.Repeat("ä", 400):             strings.Repeat("ae", 60),
		"zażółć gęślą jaźń, Škoda, İstanbul": "zazolc gesla jazn, Skoda, Istanbul",
	} {
		message := x.Message(answer.Notice{Target: netip.MustParsePrefix("203.0.113.7/32"), Cause: detector.Cause{ID: "m1", Rule: "manual", By: "uid 0 (root)", Reason: reason, Until: noon}})
		if !strings.Contains(message, "was blocked by the operator: "+want) || len(message) > answer.MaxMessage || !strings.HasSuffix(message, ". Block m1") {
			t.Errorf("%q: want %q, got %q", reason, want, message)
		}
		for _, c := range message {
			if c < ' ' || c > '~' {
				t.Errorf("%q: %q is no ASCII", reason, message)
			}
		}
	}
}

// TestRemarksOnTheOperatorsWords: what is taken, and serves the client badly.
func TestRemarksOnTheOperatorsWords(t *testing.T) {
	const page = "https://registry.example.org/unblock/{id}"
	for _, row := range []struct{ message, url, want string }{
		{"", "", ""}, {"", page, ""}, {"BLOCKED until {until}: {address} {reason}. Block {id}", "", ""}, {"BLOCKED, see {unblock_url}", page, ""},
		{"Retry later", "", "answers.message: names none of {until}"},
		{"BLOCKED until {until}", "", "answers.message: names neither {id} nor {unblock_url}"},
		{"BLOCKED {id}", page, "answers.message: does not name {unblock_url}"},
		{"", "https://registry.example.org/unblock", "answers.unblock_url: does not name {id}"},
	} {
		got := strings.Join(answer.Remarks(row.message, row.url), "\n")
		if (row.want == "") != (got == "") || !strings.HasPrefix(got, row.want) {
			t.Errorf("%q %q: want %q, got %q", row.message, row.url, row.want, got)
		}
	}
}
