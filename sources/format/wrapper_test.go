package format_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"regwarden/detector"
	"regwarden/sources/format"
)

// ping is an access line; pinged is its event.
const ping = `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /v2/ HTTP/1.1" 401 87 "" "curl/8" -`

var pinged = access("192.0.2.1", "2026-11-21T17:42:57Z", detector.Event{Operation: detector.OpPing, Status: 401, Bytes: 87,
	Method: "GET", Path: "/v2/", UserAgent: "curl/8"})

// timeless is a line whose own time is no time, so that the wrapper's shows.
const timeless = `{"controller":"X","path":"/a","status":200,"remote_ip":"192.0.2.2"}`

func timed(time time.Time) detector.Event {
	return detector.Event{Time: time, Client: ip("192.0.2.2"), Kind: detector.KindRails, Operation: detector.OpWeb, Status: 200, Path: "/a"}
}

func dockerRecord(log string) string {
	return fmt.Sprintf(`{"log":%s,"stream":"stdout","time":"2026-11-21T18:14:28.45839422Z"}`, quote(log))
}

// quote writes text as JSON does.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(text) {
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
			b.WriteByte(c)
		} else if c < ' ' {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func TestWrappers(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  string
		wrapper string
		time    time.Time // what a line without a time of its own gets
	}{
		{"svlogd -tt", "2026-11-21_18:22:24.82440 ", "svlogd", at("2026-11-21T18:22:24.8244Z")},
		{"svlogd -ttt", "2026-11-21T18:22:24.82440 ", "svlogd", at("2026-11-21T18:22:24.8244Z")},
		{"svlogd -t", "@400000006b01e16a3129f9c4 ", "svlogd", at("2026-11-21T18:22:24.824834500Z")},
		{"svlogd with a prefix", "2018-06-19_21:16:54.35155 registry01 registry: ", "svlogd", at("2018-06-19T21:16:54.35155Z")},
		{"CRI", "2026-06-03T10:00:00.123456789Z stdout F ", "cri", at("2026-06-03T10:00:00.123456789Z")},
		{"CRI with an offset", "2026-06-03T12:00:00.123456789+02:00 stderr F ", "cri", at("2026-06-03T10:00:00.123456789Z")},
		{"syslog", "Nov  1 18:12:17 vm nginx[12]: ", "syslog", at("2026-11-01T18:12:17Z")},
		{"syslog with a priority", "<134>Nov  1 18:12:17 vm nginx: ", "syslog", at("2026-11-01T18:12:17Z")},
		{"syslog, RFC 3339", "2026-11-21T18:12:17.124036+01:00 vm nginx[1]: ", "syslog", at("2026-11-21T17:12:17.124036Z")},
		{"syslog, offset without a colon", "2026-11-21T18:12:17+0100 vm nginx[1]: ", "syslog", at("2026-11-21T17:12:17Z")},
		{"syslog, RFC 5424", "<38>1 2026-11-21T18:12:16.620152+00:00 vm nginx 26853 - - ", "syslog", at("2026-11-21T18:12:16.620152Z")},
		{"syslog, RFC 5424 without a priority", `1 2026-11-21T18:12:16Z vm nginx - ID1 [a@1 k="v\"]"][b@1] `, "syslog", at("2026-11-21T18:12:16Z")},
		{"syslog, RFC 5424 without a time", "<38>1 - vm nginx - - - \ufeff", "syslog", time.Time{}},
		{"CRI around svlogd", "2026-06-03T10:00:00.123456789Z stdout F 2026-11-21_18:22:24.82440 ", "cri+svlogd", at("2026-11-21T18:22:24.8244Z")},
		{"svlogd around syslog", "2026-11-21_18:22:24.82440 Nov  1 18:12:17 vm nginx[12]: ", "svlogd+syslog", at("2026-11-01T18:12:17Z")},
	} {
		t.Run(c.name, func(t *testing.T) {
			options := format.Options{Reference: reference}
			lineCase{options: options, line: c.before + ping + "\r", verdict: format.Parsed, dialect: "nginx", wrapper: c.wrapper, want: pinged}.run(t)
			lineCase{options: options, line: c.before + timeless, verdict: format.Parsed, dialect: "gitlab-rails", wrapper: c.wrapper, want: timed(c.time)}.run(t)
		})
	}
}

func TestDockerRecords(t *testing.T) {
	when := at("2026-11-21T18:14:28.45839422Z")
	syslog := "Nov  1 18:12:17 vm nginx[12]: "
	runLines(t, []lineCase{
		{name: "text", line: dockerRecord(ping + "\n"), verdict: format.Parsed, dialect: "nginx", wrapper: "docker", want: pinged},
		{name: "JSON in JSON", line: dockerRecord(timeless + "\r\n"), verdict: format.Parsed, dialect: "gitlab-rails", wrapper: "docker", want: timed(when)},
		{name: "attributes", line: `{"log":"` + strings.ReplaceAll(ping, `"`, `\"`) + `\n","stream":"stderr","attrs":{"tag":"x"},"time":"2026-11-21T18:14:28.45839422Z"}`,
			verdict: format.Parsed, dialect: "nginx", wrapper: "docker", want: pinged},
		{name: "syslog inside", line: dockerRecord(syslog + ping + "\n"), verdict: format.Parsed, dialect: "nginx", wrapper: "docker+syslog", want: pinged},
		{name: "not docker's", line: `{"log":"` + strings.ReplaceAll(ping, `"`, `\"`) + `\n"}`, verdict: format.Unparsed},
	})
}

// feed reads the lines with one reader and returns the verdicts and the last event.
func feed(r *format.Reader, all ...string) (verdicts []format.Verdict, e detector.Event) {
	for _, line := range all {
		verdicts = append(verdicts, r.Read([]byte(line), &e))
	}
	return verdicts, e
}

func cri(tag, stream, text string) string {
	return "2026-06-03T10:00:00.123456789Z " + stream + " " + tag + " " + text
}

func TestSplitRecordsAreJoined(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"docker", []string{dockerRecord(ping[:20]), dockerRecord(ping[20:60]), dockerRecord(ping[60:] + "\n")}},
		{"CRI", []string{cri("P", "stdout", ping[:20]), cri("P", "stdout", ping[20:60]), cri("F", "stdout", ping[60:])}},
		{"CRI, last part empty", []string{cri("P", "stdout", ping[:20]), cri("P", "stdout", ping[20:]), cri("F", "stdout", "")}},
		{"CRI, two streams", []string{cri("P", "stdout", ping[:20]), cri("P", "stderr", "x"), cri("F", "stdout", ping[20:])}},
	} {
		t.Run(c.name, func(t *testing.T) {
			verdicts, e := feed(reader(t, format.Options{}), c.lines...)
			for i, v := range verdicts {
				if want := i == len(verdicts)-1; want != (v == format.Parsed) || !want && v != format.Noise {
					t.Errorf("record %d: got %v", i, v)
				}
			}
			if diff := cmp.Diff(pinged, e, equateAddr); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
		t.Run(c.name+" over a restart", func(t *testing.T) {
			var state []byte
			var e detector.Event
			for _, line := range c.lines {
				r := reader(t, format.Options{})
				r.SetPending(state)
				r.Read([]byte(line), &e)
				state = r.Pending()
			}
			if diff := cmp.Diff(pinged, e, equateAddr); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if c.name != "CRI, two streams" && state != nil {
				t.Errorf("want nothing pending, got %q", state)
			}
		})
	}
}

func TestTheEndOfAStreamDoesNotSpoilTheNextLine(t *testing.T) {
	verdicts, e := feed(reader(t, format.Options{}), dockerRecord("no newline at end"), dockerRecord(ping+"\n"))
	if diff := cmp.Diff([]format.Verdict{format.Noise, format.Parsed}, verdicts); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(pinged, e, equateAddr); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestPendingIsBounded(t *testing.T) {
	r := reader(t, format.Options{})
	var e detector.Event
	long := strings.Repeat("x", 20000)
	for range 5 {
		r.Read([]byte(cri("P", "stdout", long)), &e)
		r.Read([]byte(cri("P", "stderr", long)), &e)
		if n := len(r.Pending()); n == 0 || n > format.MaxPending {
			t.Fatalf("got %d bytes", n)
		}
	}
	other := reader(t, format.Options{})
	other.SetPending(r.Pending())
	if string(other.Pending()) != string(r.Pending()) {
		t.Error("what is pending does not survive")
	}
	if v, _ := feed(r, cri("F", "stdout", long), cri("F", "stderr", long)); v[0] != format.Unparsed || v[1] != format.Unparsed {
		t.Errorf("want unparsed, got %v", v)
	}
	if r.Pending() != nil {
		t.Error("want nothing pending")
	}
	if v, _ := feed(r, cri("P", "stdout", ping[:20]), cri("F", "stdout", ping[20:])); v[1] != format.Parsed {
		t.Errorf("want the next line parsed, got %v", v)
	}
}

func TestALongSplitLineIsStillReadWhereItCan(t *testing.T) {
	head := `192.0.2.1 - - [21/Nov/2026:17:42:57 +0000] "GET /v2/ HTTP/1.1" 401 87 "" "`
	long := strings.Repeat("x", 16000)
	_, e := feed(reader(t, format.Options{}), cri("P", "stdout", head+long), cri("P", "stdout", long), cri("P", "stdout", long),
		cri("P", "stdout", long), cri("P", "stdout", long), cri("F", "stdout", `" -`))
	if e.Client != ip("192.0.2.1") || e.Status != 401 {
		t.Errorf("got %+v", e)
	}
}

func TestPendingOfAnotherKindIsForgotten(t *testing.T) {
	r := reader(t, format.Options{})
	r.Read([]byte(cri("P", "stdout", "x")), new(detector.Event))
	good := r.Pending()
	for _, state := range [][]byte{nil, {}, {9}, good[:len(good)-1], append(append([]byte(nil), good...), 'x'), make([]byte, 1<<20)} {
		r := reader(t, format.Options{})
		r.SetPending(state)
		if _, e := feed(r, cri("F", "stdout", ping)); e.Client != ip("192.0.2.1") {
			t.Errorf("state %.20q: got %+v", state, e)
		}
	}
}

// TestYearOfSyslog: the year is the latest in which the line is no more than a day after the reference.
func TestYearOfSyslog(t *testing.T) {
	line := func(stamp string) string { return stamp + " vm nginx: " + timeless }
	for _, c := range []struct{ reference, stamp, want string }{
		{"2026-11-22T00:00:00Z", "Nov 22 23:00:00", "2026-11-22T23:00:00Z"},
		{"2026-11-22T00:00:00Z", "Nov 23 00:00:01", "2025-11-23T00:00:01Z"},
		{"2026-01-01T00:00:00Z", "Dec 31 23:59:59", "2025-12-31T23:59:59Z"},
		{"2025-12-31T23:59:59Z", "Jan  1 00:00:07", "2026-01-01T00:00:07Z"},
		{"2026-11-22T00:00:00Z", "Feb 29 10:00:00", "2024-02-29T10:00:00Z"},
		{"2026-11-22T00:00:00Z", "Nov  3 10:00:00.25", "2026-11-03T10:00:00.25Z"},
	} {
		e, _ := read(t, format.Options{Reference: at(c.reference)}, line(c.stamp))
		if !e.Time.Equal(at(c.want)) {
			t.Errorf("%s from %s: want %s, got %s", c.stamp, c.reference, c.want, e.Time)
		}
	}
	for _, stamp := range []string{"Feb 30 10:00:00", "Nov  1 25:00:00"} {
		if e, v := read(t, format.Options{Reference: reference}, line(stamp)); v != format.Parsed || !e.Time.IsZero() {
			t.Errorf("%s: want an event without time, got %v %v", stamp, v, e.Time)
		}
	}
	if e, v := read(t, format.Options{}, line("Nov  3 10:00:00")); v != format.Parsed || !e.Time.IsZero() {
		t.Errorf("without reference: got %v %v", v, e.Time)
	}
}

func TestReferenceMovesWithTheLines(t *testing.T) {
	r := reader(t, format.Options{Reference: at("2026-12-30T00:00:00Z")})
	_, e := feed(r, "Dec 30 12:00:00 vm nginx: "+timeless, "Dec 31 10:00:00 vm nginx: "+timeless, "Jan  1 09:00:00 vm nginx: "+timeless)
	if !e.Time.Equal(at("2027-01-01T09:00:00Z")) {
		t.Errorf("got %s", e.Time)
	}
	r.SetReference(at("2027-03-01T00:00:00Z"))
	if _, e = feed(r, "Feb 28 09:00:00 vm nginx: "+timeless); !e.Time.Equal(at("2027-02-28T09:00:00Z")) {
		t.Errorf("after a silence: got %s", e.Time)
	}
}

func TestLocalTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zone data on this machine: install tzdata and run go test ./sources/format")
	}
	for stamp, want := range map[string]string{
		"Jul  1 12:00:00": "2026-07-01T10:00:00Z",
		"Jan  1 12:00:00": "2026-01-01T11:00:00Z",
	} {
		e, _ := read(t, format.Options{Reference: reference, Location: berlin}, stamp+" vm nginx: "+timeless)
		if !e.Time.Equal(at(want)) {
			t.Errorf("%s: want %s, got %s", stamp, want, e.Time)
		}
	}
}
