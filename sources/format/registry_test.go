package format_test

import (
	"strings"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

const (
	labkitJSON   = `{"content_type":"application/json","correlation_id":"01M7ZMSFX5JXB41XN0XCXKS3JV","duration_ms":3,"host":"127.0.0.1:5011","level":"info","method":"GET","msg":"access","proto":"HTTP/1.1","read_bytes":81,"referrer":"","remote_addr":"127.0.0.1:56596","remote_ip":"203.0.113.66","status":404,"system":"http","time":"2026-11-21T18:09:42.313Z","ttfb_ms":3,"uri":"/v2/group%2Fproject/manifests/2.0?ns=docker.io","user_agent":"curl/7.88.1","written_bytes":93}`
	labkitText   = `time="2026-11-21T18:09:42.313Z" level=info msg=access content_type=application/json correlation_id=01M7 duration_ms=3 host="127.0.0.1:5011" method=GET proto=HTTP/1.1 read_bytes=81 referrer= remote_addr="127.0.0.1:56596" remote_ip=203.0.113.66 status=404 system=http ttfb_ms=3 uri="/v2/group%2Fproject/manifests/2.0?ns=docker.io" user_agent=curl/7.88.1 written_bytes=93`
	labkitError  = `{"code":"MANIFEST_UNKNOWN","correlation_id":"01M7ZMSJ2DTN0CM9XGY6BXYPQW","detail":"unknown tag=missing","environment":"production","error":"manifest unknown: manifest unknown","go_version":"go1.26.8","host":"127.0.0.1:5011","level":"error","method":"GET","msg":"manifest unknown","remote_addr":"203.0.113.66","root_repo":"group","service":"registry","time":"2026-11-21T18:09:44.529Z","uri":"/v2/group/sub/project/image/manifests/missing","user_agent":"skopeo/1.9.3","vars_name":"group/sub/project/image","vars_reference":"missing","version":"unknown"}`
	completed    = `{"err.code":"manifest unknown","err.detail":"unknown tag=2.0","err.message":"manifest unknown","go.version":"go1.19.8","http.request.host":"127.0.0.1:5001","http.request.id":"1b056959","http.request.method":"HEAD","http.request.remoteaddr":"127.0.0.12:41796","http.request.uri":"/v2/group/sub/project/image/manifests/2.0","http.request.useragent":"docker/24.0.7 (Docker-Client/24.0.7 \\(linux\\))","http.response.contenttype":"application/json; charset=utf-8","http.response.duration":"78.29349ms","http.response.status":404,"http.response.written":93,"level":"error","msg":"response completed with error","time":"2026-11-21T17:45:09.394041814Z","vars.name":"group/sub/project/image","vars.reference":"2.0"}`
	completedTxt = `time="2026-11-21T17:45:09.394041814Z" level=error msg="response completed with error" err.code="manifest unknown" err.detail="unknown tag=2.0" err.message="manifest unknown" go.version=go1.19.8 http.request.host="127.0.0.1:5001" http.request.id=1b056959 http.request.method=HEAD http.request.remoteaddr="127.0.0.12:41796" http.request.uri=/v2/group/sub/project/image/manifests/2.0 http.request.useragent="docker/24.0.7 (Docker-Client/24.0.7 \\(linux\\))" http.response.contenttype="application/json; charset=utf-8" http.response.duration=78.29349ms http.response.status=404 http.response.written=93 vars.name=group/sub/project/image vars.reference=2.0`
)

func TestGitLabRegistry(t *testing.T) {
	want := detector.Event{Time: at("2026-11-21T18:09:42.313Z"), Client: ip("127.0.0.1"), Kind: detector.KindRegistry,
		Operation: detector.OpManifest, Status: 404, Bytes: 93, Method: "GET", Path: "/v2/group%2Fproject/manifests/2.0",
		Repository: "group/project", Reference: "2.0", UserAgent: "curl/7.88.1", Message: "access"}
	forwarded := want
	forwarded.Client = ip("203.0.113.66")
	trust := format.Options{TrustForwarded: true}
	quiet := detector.Event{Kind: detector.KindRegistry}
	runLines(t, []lineCase{
		{name: "json", line: labkitJSON, verdict: format.Parsed, dialect: "gitlab-registry", want: want},
		{name: "logfmt", line: labkitText, verdict: format.Parsed, dialect: "gitlab-registry", want: want},
		{name: "json, header trusted", options: trust, line: labkitJSON, verdict: format.Parsed, dialect: "gitlab-registry", want: forwarded},
		{name: "logfmt, header trusted", options: trust, line: labkitText, verdict: format.Parsed, dialect: "gitlab-registry", want: forwarded},
		{name: "error beside the access line", options: trust, line: labkitError, verdict: format.Noise, dialect: "gitlab-registry", want: quiet},
		{name: "router info", line: `time="2026-11-21T18:09:42.386Z" level=info msg="router info" config_http_host= correlation_id=01M7 method=GET path=/v2/ root_repo= router=gorilla/mux`,
			verdict: format.Noise, dialect: "gitlab-registry", want: quiet},
		{name: "Workhorse", line: `{"correlation_id":"01M7","level":"info","method":"GET","msg":"access","remote_addr":"192.0.2.1:1","remote_ip":"192.0.2.1","route":"^/jwt","status":401,"system":"http","time":"2026-11-21T18:09:42Z","uri":"/jwt/auth"}`,
			verdict: format.Noise, dialect: "gitlab-registry", want: quiet},
	})
}

func TestDistribution(t *testing.T) {
	want := detector.Event{Time: at("2026-11-21T17:45:09.394041814Z"), Client: ip("127.0.0.12"), Kind: detector.KindRegistry,
		Operation: detector.OpManifest, Status: 404, Bytes: 93, Method: "HEAD", Path: "/v2/group/sub/project/image/manifests/2.0",
		Repository: "group/sub/project/image", Reference: "2.0", UserAgent: `docker/24.0.7 (Docker-Client/24.0.7 \(linux\))`,
		Error: "manifest unknown", Message: "response completed with error"}
	nobody, forwarded := want, want
	nobody.Client = noAddr
	forwarded.Client = ip("203.0.113.66")
	trust := format.Options{TrustForwarded: true}
	bare := strings.Replace(completed, "127.0.0.12:41796", "203.0.113.66", 1)
	bareTxt := strings.Replace(completedTxt, "127.0.0.12:41796", "203.0.113.66", 1)
	logstash := strings.NewReplacer(`"time":`, `"@version":"1","@timestamp":`, `"msg":`, `"message":`).Replace(completed)
	ok := func(name, line string, options format.Options, e detector.Event) lineCase {
		return lineCase{name: name, line: line, options: options, verdict: format.Parsed, dialect: "distribution", want: e}
	}
	unauthorized := detector.Event{Time: at("2026-11-21T17:43:00.225518269Z"), Client: ip("2001:db8::1"), Kind: detector.KindRegistry,
		Operation: detector.OpPing, Status: 401, Method: "GET", Path: "/v2/", UserAgent: "curl/7.88.1",
		Error: "authorization token required", Message: "error authorizing context: authorization token required"}
	runLines(t, []lineCase{
		ok("json", completed, format.Options{}, want),
		ok("logfmt", completedTxt, format.Options{}, want),
		ok("logstash", logstash, format.Options{}, want),
		ok("json with the address of a header", bare, format.Options{}, nobody),
		ok("logfmt with the address of a header", bareTxt, format.Options{}, nobody),
		ok("json, header trusted", bare, trust, forwarded),
		ok("logfmt, header trusted", bareTxt, trust, forwarded),
		ok("unauthorized", `{"go.version":"go1.19.8","http.request.host":"127.0.0.1:5005","http.request.id":"2146","http.request.method":"GET","http.request.remoteaddr":"[2001:db8::1]:58720","http.request.uri":"/v2/","http.request.useragent":"curl/7.88.1","level":"warning","msg":"error authorizing context: authorization token required","time":"2026-11-21T17:43:00.225518269Z"}`,
			format.Options{}, unauthorized),
		{name: "wrong password, named beforehand", verdict: format.Noise, dialect: "distribution", want: detector.Event{Kind: detector.KindRegistry},
			line: `{"go.version":"go1.19.8","http.request.remoteaddr":"192.0.2.1:5","level":"error","msg":"error authenticating user \"ci\": authentication failure","time":"2026-11-21T17:43:00Z"}`},
		{name: "junk in a header", verdict: format.Noise, dialect: "distribution", want: detector.Event{Kind: detector.KindRegistry},
			line: `time="2026-11-21T17:45:48.528949636Z" level=warning msg="invalid remote IP address: \"192.0.2.7\\\"}{\\\"x\\\":\\\"\""`},
	})
}

func TestZot(t *testing.T) {
	runLines(t, []lineCase{{
		name: "request", dialect: "zot", verdict: format.Parsed,
		line: `{"level":"info","module":"http","component":"session","clientIP":"203.0.113.7:40112","method":"GET","path":"/v2/a/b/manifests/x?ns=y","statusCode":404,"latency":"0s","bodySize":91,"headers":{"User-Agent":["docker/27.5.1"],"X-Forwarded-For":["198.51.100.1"]},"username":"bob","message":"HTTP API","time":"2026-11-21T18:09:42.313Z"}`,
		want: detector.Event{Time: at("2026-11-21T18:09:42.313Z"), Client: ip("203.0.113.7"), Kind: detector.KindAccess,
			Operation: detector.OpManifest, Status: 404, Bytes: 91, Method: "GET", Path: "/v2/a/b/manifests/x", Repository: "a/b",
			Reference: "x", User: "bob", UserAgent: "docker/27.5.1", Message: "HTTP API"},
	}, {
		name: "anything else", dialect: "zot", verdict: format.Noise, want: detector.Event{Kind: detector.KindAccess},
		line: `{"level":"info","component":"gc","goroutine":12,"caller":"zotregistry.dev/zot/pkg/storage/gc.go:96","message":"garbage collected","time":"2026-11-21T18:09:42.313Z"}`,
	}})
}
