package format

import (
	"fmt"
	"strings"
	"testing"

	"regwarden/detector"
)

// registryLine is an access line of GitLab's registry of which some parts change from line to line.
func registryLine(i int, odd string) string {
	return fmt.Sprintf(`{"content_type":"application/json","correlation_id":"01M7ZM%08d","duration_ms":%d,"host":"registry","level":"info","method":"GET","msg":"access","proto":"HTTP/1.1",%s"read_bytes":%d,"referrer":"","remote_addr":"203.0.113.%d:7541","remote_ip":"203.0.113.%d","status":401,"system":"http","time":"2026-10-05T08:00:%02d.000Z","ttfb_ms":18,"uri":"/v2/_catalog","user_agent":"curl/%d","written_bytes":19}`,
		i, i%700, odd, i, i%256, i%256, i%60, i)
}

// planned says whether the lines' own layout has a plan, in which what does not change is compared at once.
func planned(r *Reader, line string) bool {
	p := r.registryLayouts.find(line).plan
	return p != nil && len(p.steps) <= 11 && p.whole
}

// TestRecordsAreReadAsPlanned: constant values become text of a plan, changing ones never, and the glance stays what it is without.
func TestRecordsAreReadAsPlanned(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	odd := []string{"", "", "", "", "", "", "", "", "", "", "", `"msg":"access",`, `"method":"HEAD",`, `"route":"x",`, `"new":[1,{"a":"]"}],`, `"msg":"other",`, `"status":200,`, `"k":"\"",`}
	ran := 0
	for i := range 2*learnEvery + 1000 {
		line := registryLine(i, odd[0])
		if i%7 == 0 {
			line = registryLine(i, odd[i/7%len(odd)])
		}
		if i%11 == 0 {
			line = strings.Replace(line, `"GET"`, `"HEAD"`, 1)
		}
		if i%13 == 0 {
			line = strings.Replace(line, `"msg":"access"`, `"msg":"authorized request"`, 1)
		}
		if i%17 == 0 {
			line = strings.Replace(line, `"status":401`, `"status":404`, 1)
		}
		if planned(r, line) {
			ran++
		}
		var g detector.Glance
		_, verdict := r.Skim([]byte(line), &g)
		if verdict == Unparsed {
			continue
		}
		fresh, _ := New(Options{}) // it has no plan
		var want detector.Glance
		if _, v := fresh.Skim([]byte(line), &want); v != verdict || verdict == Parsed && g != want {
			t.Fatalf("line %d %s\nwant %v %+v\n got %v %+v", i, line, v, want, verdict, g)
		}
	}
	if ran < learnEvery {
		t.Errorf("a plan was there for %d lines only", ran)
	}
}
