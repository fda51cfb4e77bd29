package format_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

// records are sorts of records as a log has them again and again; %[1]d is what changes.
var records = []string{
	`{"content_type":"application/json","correlation_id":"01M7ZM%08[1]d","duration_ms":%[1]d,"host":"registry","level":"info","method":"GET","msg":"access","proto":"HTTP/1.1","read_bytes":%[1]d,"referrer":"","remote_addr":"203.0.113.%[2]d:7541","remote_ip":"203.0.113.%[2]d","status":401,"system":"http","time":"2026-10-05T08:00:01.000Z","ttfb_ms":18,"uri":"/v2/a/b/manifests/v%[1]d","user_agent":"docker/%[2]d","written_bytes":%[1]d}`,
	`{"method":"GET","path":"/jwt/auth","format":"html","controller":"JwtController","action":"auth","status":200,"time":"2026-10-05T08:00:01.000Z","params":[{"key":"scope","value":"repository:a/b%[1]d:pull"}],"remote_ip":"203.0.113.%[2]d","user_id":null,"username":null,"ua":"docker/27","queue_duration_s":0.1,"cpu_s":0.2}`,
	`{"method":"GET","path":"/a/b","controller":"ProjectsController","action":"show","time":"2026-10-05T08:00:01.000Z","remote_ip":"203.0.113.%[2]d","ua":"x%[1]d","status":200}`,
	`{"method":"GET","path":"/a/%[1]d","controller":"ProjectsController","action":"show","status":200,"time":"2026-10-05T08:00:01.000Z","remote_ip":"203.0.113.%[2]d","ua":"always the same"}`,
}

// taught returns a reader that has made its plan of a record's sort.
func taught(t testing.TB, sort int) *format.Reader {
	r := reader(t, format.Options{Reference: reference})
	var g detector.Glance
	for i := range 300 {
		r.Skim(fmt.Appendf(nil, records[sort], i, i%256), &g)
	}
	return r
}

// TestAPlanIsFollowedToTheEndOfAValue: what goes on where a value that never changes ended is another value.
func TestAPlanIsFollowedToTheEndOfAValue(t *testing.T) {
	for sort := range records {
		line := fmt.Sprintf(records[sort], 301, 7)
		for _, more := range []string{"0", ".5", "-1", "x", "\"", `\"`, "null", " ", "}", ","} {
			for at := range len(line) {
				odd := []byte(line[:at] + more + line[at:])
				agrees(t, taught(t, sort), reader(t, format.Options{Reference: reference}), odd)
			}
		}
	}
}

// FuzzPlannedSkim changes a record of which there is a plan.
func FuzzPlannedSkim(f *testing.F) {
	for sort := range records {
		for _, odd := range []string{`0`, `"`, `\"`, `,"status":404`, `,"remote_ip":"192.0.2.1"`, `{"ua":"x"},`, `],`, `}`, "\\", "null"} {
			f.Add(byte(sort), uint16(strings.Index(records[sort], `"status"`)), byte(0), []byte(odd))
			f.Add(byte(sort), uint16(strings.Index(records[sort], `"remote_ip"`)), byte(3), []byte(odd))
		}
	}
	f.Fuzz(func(t *testing.T, sort byte, at uint16, drop byte, put []byte) {
		n := int(sort) % len(records)
		line := fmt.Sprintf(records[n], 301, 7)
		from := int(at) % len(line)
		odd := []byte(line[:from] + string(put) + line[min(from+int(drop), len(line)):])
		if len(odd) == 0 || bytes.IndexByte(odd, '\n') >= 0 {
			return
		}
		agrees(t, taught(t, n), reader(t, format.Options{Reference: reference}), odd)
	})
}
