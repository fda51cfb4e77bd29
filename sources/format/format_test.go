package format_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"regwarden/detector"
	"regwarden/sources/format"
)

var equateAddr = cmpopts.EquateComparable(netip.Addr{})

var (
	noAddr netip.Addr
	noTime time.Time
)

// reference is the day after the corpus was made.
var reference = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func reader(t testing.TB, options format.Options) *format.Reader {
	t.Helper()
	r, err := format.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads one line with a reader of its own.
func read(t testing.TB, options format.Options, line string) (detector.Event, format.Verdict) {
	t.Helper()
	var e detector.Event
	verdict := reader(t, options).Read([]byte(line), &e)
	return e, verdict
}

// lineCase is a line and all that must be read from it.
type lineCase struct {
	name    string
	options format.Options
	line    string
	verdict format.Verdict
	dialect string
	wrapper string
	want    detector.Event
}

func (c lineCase) run(t *testing.T) {
	t.Helper()
	r := reader(t, c.options)
	var got detector.Event
	if verdict := r.Read([]byte(c.line), &got); verdict != c.verdict {
		t.Fatalf("want %v, got %v for %s", c.verdict, verdict, c.line)
	}
	if r.Dialect() != c.dialect || r.Wrapper() != c.wrapper {
		t.Errorf("want dialect %q in %q, got %q in %q", c.dialect, c.wrapper, r.Dialect(), r.Wrapper())
	}
	if c.want.Weight == 0 {
		c.want.Weight = 1
	}
	if diff := cmp.Diff(c.want, got, equateAddr); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func runLines(t *testing.T, cases []lineCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestUnknownNameNamesTheNearest(t *testing.T) {
	_, err := format.New(format.Options{Name: "gitlab-rail"})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, part := range []string{`"gitlab-rail"`, `"gitlab-rails"`, strings.Join(format.Names(), ", ")} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("want %s in: %v", part, err)
		}
	}
}

func TestEveryNameIsAFormat(t *testing.T) {
	names := format.Names()
	if len(names) != 16 || names[0] != "auto" {
		t.Errorf("got %d names: %v", len(names), names)
	}
	for _, name := range append(names, "") {
		var e detector.Event
		r := reader(t, format.Options{Name: name})
		if verdict := r.Read([]byte("no log at all"), &e); verdict == format.Parsed {
			t.Errorf("%q reads nonsense: %+v", name, e)
		}
	}
}

func TestKindIsReplaced(t *testing.T) {
	e, _ := read(t, format.Options{Kind: detector.KindAPI}, `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "curl/7.88.1" -`)
	if e.Kind != detector.KindAPI {
		t.Errorf("want api, got %v", e.Kind)
	}
}

func TestAConfiguredDialectReadsOnlyItself(t *testing.T) {
	nginx := `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "curl/7.88.1" -`
	rails := `{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":401,"time":"2026-06-03T10:00:20.100Z","remote_ip":"192.0.2.10"}`
	for _, c := range []struct {
		name string
		line string
		want format.Verdict
	}{
		{"nginx", nginx, format.Parsed},
		{"combined", nginx, format.Parsed},
		{"distribution", nginx, format.Parsed},
		{"gitlab-registry", nginx, format.Parsed},
		{"gitlab-rails", nginx, format.Unparsed},
		{"sshd", nginx, format.Noise},
		{"gitlab-rails", rails, format.Parsed},
		{"gitlab-auth", rails, format.Unparsed},
		{"nginx", rails, format.Unparsed},
		{"zot", rails, format.Unparsed},
	} {
		if _, got := read(t, format.Options{Name: c.name}, c.line); got != c.want {
			t.Errorf("%s: want %v, got %v for %s", c.name, c.want, got, c.line)
		}
	}
}

func TestLinesBetweenTheLinesAreNoise(t *testing.T) {
	for _, line := range []string{
		"", "\r", "   ",
		"# Logfile created on 2026-01-01 00:00:00 +0000 by logger.rb/v1.4.3",
		"==> /var/log/gitlab/nginx/gitlab_access.log <==",
	} {
		for _, name := range []string{"auto", "gitlab-rails"} {
			if _, got := read(t, format.Options{Name: name}, line); got != format.Noise {
				t.Errorf("%s: want noise, got %v for %q", name, got, line)
			}
		}
	}
}

func TestALineThatWasCutIsStillReadWhereItCan(t *testing.T) {
	line := `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /v2/a/b/manifests/c HTTP/1.1" 404 93 "` + strings.Repeat(`\xFF`, 20000)
	e, verdict := read(t, format.Options{}, line)
	if verdict != format.Parsed || e.Client != ip("192.0.2.1") || e.Status != 404 || e.Repository != "a/b" {
		t.Errorf("want the request of 192.0.2.1, got %v %+v", verdict, e)
	}
}

func TestTextIsCut(t *testing.T) {
	long := strings.Repeat("x", 3*format.MaxText)
	e, verdict := read(t, format.Options{}, `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /`+long+` HTTP/1.1" 404 93 "" "`+long+`"`)
	if verdict != format.Parsed || len(e.Path) != format.MaxText || len(e.UserAgent) != format.MaxText {
		t.Errorf("want %d bytes, got %v %d %d", format.MaxText, verdict, len(e.Path), len(e.UserAgent))
	}
}

func TestAnEventIsReset(t *testing.T) {
	r := reader(t, format.Options{})
	e := detector.Event{User: "old", Throttle: "old", Status: 500}
	r.Read([]byte("no log at all"), &e)
	if diff := cmp.Diff(detector.Event{Weight: 1}, e, equateAddr); diff != "" {
		t.Error(diff)
	}
}

func TestAnOutlierDoesNotSpoilTheNextLine(t *testing.T) {
	r := reader(t, format.Options{})
	var e detector.Event
	big := `{"controller":"X","path":"/a","status":200,"remote_ip":"192.0.2.1","params":[` + strings.Repeat("0,", 20000) + `0]}`
	if verdict := r.Read([]byte(big), &e); verdict != format.Parsed || e.Path != "/a" {
		t.Fatalf("got %v %+v", verdict, e)
	}
	small := `{"controller":"X","path":"/b","status":200,"remote_ip":"192.0.2.2"}`
	if verdict := r.Read([]byte(small), &e); verdict != format.Parsed || e.Path != "/b" || e.Client != ip("192.0.2.2") {
		t.Errorf("got %v %+v", verdict, e)
	}
}
