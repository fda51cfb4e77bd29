package format_test

import (
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/sources/format"
)

// access returns the event of an access line.
func access(client, time string, e detector.Event) detector.Event {
	e.Kind, e.Time, e.Weight = detector.KindAccess, at(time), 1
	if client != "" {
		e.Client = ip(client)
	}
	return e
}

func missing(e detector.Event) detector.Event {
	e.Operation, e.Status, e.Method = detector.OpManifest, 404, "GET"
	return e
}

func TestAccessLines(t *testing.T) {
	const docker = `docker/24.0.7 UpstreamClient(Docker-Client/24.0.7 \x5C(linux\x5C))`
	runLines(t, []lineCase{{
		name: "GitLab's nginx", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 +0000] "GET /v2/no/such/repo/manifests/latest HTTP/1.1" 404 96 "" "` + docker + `" -`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", missing(detector.Event{Bytes: 96, Path: "/v2/no/such/repo/manifests/latest",
			Repository: "no/such/repo", Reference: "latest", UserAgent: docker})),
	}, {
		name: "with a compression ratio and an offset", dialect: "nginx", verdict: format.Parsed,
		line: `2001:db8::30 - alice [21/Nov/2026:20:00:23 +0200] "GET /jwt/auth?service=container_registry&scope=repository%3Aa%2Fb%3Apull HTTP/2.0" 200 960 "" "curl/8" 2.53`,
		want: access("2001:db8::30", "2026-11-21T18:00:23Z", detector.Event{Operation: detector.OpToken, Status: 200, Bytes: 960,
			Method: "GET", Path: "/jwt/auth", Repository: "a/b", User: "alice", UserAgent: "curl/8"}),
	}, {
		name: "before GitLab 13", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 -0130] "POST /users/sign_in HTTP/1.1" 200 96 "" "-"`,
		want: access("192.0.2.1", "2026-11-21T19:30:23Z", detector.Event{Operation: detector.OpLogin, Status: 200, Bytes: 96,
			Method: "POST", Path: "/users/sign_in"}),
	}, {
		name: "no request", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 +0000] "-  -" 400 157 "" "-" -`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", detector.Event{Status: 400, Bytes: 157}),
	}, {
		name: "TLS to a plain port", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 +0000] "\x16\x03\x01\x00\xDE\x01 \x5C\x22 HTTP/1.1" 400 157 "-" "-"`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", detector.Event{Status: 400, Bytes: 157}),
	}, {
		name: "distribution's own", dialect: "nginx", verdict: format.Parsed,
		line: `127.0.0.12 - - [21/Nov/2026:17:44:10 +0000] "GET /v2/group/sub/project/image/manifests/2.0 HTTP/1.1" 404 93 "" "docker/24.0.7 UpstreamClient(Docker-Client/24.0.7 \\(linux\\) \"x\")"`,
		want: access("127.0.0.12", "2026-11-21T17:44:10Z", missing(detector.Event{Bytes: 93, Path: "/v2/group/sub/project/image/manifests/2.0",
			Repository: "group/sub/project/image", Reference: "2.0", UserAgent: `docker/24.0.7 UpstreamClient(Docker-Client/24.0.7 \\(linux\\) \"x\")`})),
	}, {
		name: "nginx's own default of the container image", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 +0000] "GET /v2/ HTTP/1.1" 401 87 "-" "curl/8" "203.0.113.66, 198.51.100.1"`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", detector.Event{Operation: detector.OpPing, Status: 401, Bytes: 87,
			Method: "GET", Path: "/v2/", UserAgent: "curl/8"}),
	}, {
		name: "unix socket", dialect: "nginx", verdict: format.Parsed,
		line: `unix: - - [21/Nov/2026:18:00:23 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "-" -`,
		want: access("", "2026-11-21T18:00:23Z", detector.Event{Operation: detector.OpPing, Status: 200, Bytes: 2, Method: "GET", Path: "/v2/"}),
	}, {
		name: "a day that is none", dialect: "nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [31/Nov/2026:18:00:23 +0000] "GET /v2 HTTP/1.1" 301 - "" "-" -`,
		want: detector.Event{Client: ip("192.0.2.1"), Kind: detector.KindAccess, Operation: detector.OpPing, Status: 301, Method: "GET", Path: "/v2"},
	}, {
		name: "ingress-nginx", dialect: "ingress-nginx", verdict: format.Parsed,
		line: `192.0.2.1 - - [21/Nov/2026:18:00:23 +0000] "GET /v2/a/b/manifests/c HTTP/1.1" 404 93 "-" "curl/8" 120 0.002 [gitlab-registry-5000] [] 10.0.0.3:5000 93 0.002 404 5f3c`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", missing(detector.Event{Bytes: 93, Path: "/v2/a/b/manifests/c", Repository: "a/b",
			Reference: "c", UserAgent: "curl/8"})),
	}, {
		name: "ingress-nginx of old", dialect: "ingress-nginx", verdict: format.Parsed,
		line: `192.0.2.1 - [203.0.113.66] - bob [21/Nov/2026:18:00:23 +0000] "GET /v2/ HTTP/1.1" 401 93 "-" "curl/8" 120 0.002 [gitlab-registry-5000] [] 10.0.0.3:5000 93 0.002 404 5f3c`,
		want: access("192.0.2.1", "2026-11-21T18:00:23Z", detector.Event{Operation: detector.OpPing, Status: 401, Bytes: 93, Method: "GET",
			Path: "/v2/", User: "bob", UserAgent: "curl/8"}),
	}, {
		name: "Nexus", dialect: "nexus", verdict: format.Parsed,
		line: `203.0.113.7 - - [03/Jun/2025:10:00:00 +0000] "GET /v2/a/b/manifests/x HTTP/1.1" 404 - 92 5 "docker/27.5.1 "quoted"" [qtp123-456]`,
		want: access("203.0.113.7", "2025-06-03T10:00:00Z", missing(detector.Event{Bytes: 92, Path: "/v2/a/b/manifests/x", Repository: "a/b",
			Reference: "x", UserAgent: `docker/27.5.1 "quoted"`})),
	}, {
		name: "Nexus by path", dialect: "nexus", verdict: format.Parsed,
		line: `203.0.113.7 - bob [03/Jun/2025:10:00:00 +0000] "GET /repository/docker-hosted/v2/a/manifests/x HTTP/1.1" 404 0 92 5 "-" [qtp123-456]`,
		want: access("203.0.113.7", "2025-06-03T10:00:00Z", missing(detector.Event{Bytes: 92, Path: "/repository/docker-hosted/v2/a/manifests/x",
			Repository: "docker-hosted/a", Reference: "x", User: "bob"})),
	}, {
		name: "Quay behind the PROXY protocol", dialect: "quay", verdict: format.Parsed,
		line: `198.51.100.66 (203.0.113.7) - - [03/Jun/2025:10:00:00 +0000] "GET /v2/a/b/manifests/x HTTP/1.1" 404 92 "-" "curl/8" (0.010 200 0.009)`,
		want: access("203.0.113.7", "2025-06-03T10:00:00Z", missing(detector.Event{Bytes: 92, Path: "/v2/a/b/manifests/x", Repository: "a/b",
			Reference: "x", UserAgent: "curl/8"})),
	}, {
		name: "Quay without, whose address anybody can choose", dialect: "quay", verdict: format.Parsed,
		line: `198.51.100.66 (-) - - [03/Jun/2025:10:00:00 +0000] "GET /v2/auth?scope=repository:a/b:pull HTTP/1.1" 401 92 "-" "curl/8" (0.010 200 0.009)`,
		want: access("", "2025-06-03T10:00:00Z", detector.Event{Operation: detector.OpToken, Status: 401, Bytes: 92, Method: "GET",
			Path: "/v2/auth", Repository: "a/b", UserAgent: "curl/8"}),
	}, {
		name: "Quay, header trusted", dialect: "quay", verdict: format.Parsed, options: format.Options{TrustForwarded: true},
		line: `198.51.100.66 () - - [03/Jun/2025:10:00:00 +0000] "GET /v2/ HTTP/1.1" 401 92 "-" "curl/8" (0.010 200 0.009)`,
		want: access("198.51.100.66", "2025-06-03T10:00:00Z", detector.Event{Operation: detector.OpPing, Status: 401, Bytes: 92, Method: "GET",
			Path: "/v2/", UserAgent: "curl/8"}),
	}, {
		name: "Gitea", options: format.Options{Name: "gitea"}, dialect: "gitea", verdict: format.Parsed,
		line: `203.0.113.7:51234 - bob [03/Jun/2025:10:00:00 +0200] "GET /v2/token?scope=repository:a/b:pull,push&service=container_registry HTTP/1.1" 401 92 "" "say "hi" docker"`,
		want: access("203.0.113.7", "2025-06-03T08:00:00Z", detector.Event{Operation: detector.OpToken, Status: 401, Bytes: 92, Method: "GET",
			Path: "/v2/token", Repository: "a/b", User: "bob", UserAgent: `say "hi" docker`}),
	}, {
		name: "Artifactory", dialect: "artifactory", verdict: format.Parsed,
		line: `2018-11-18T15:39:04.902Z|d5d75b3c41242768|203.0.113.7|anonymous|GET|api/docker/hub/v2/a/b/manifests/x|404|0|92|0|docker/27.5.1|x`,
		want: access("203.0.113.7", "2018-11-18T15:39:04.902Z", missing(detector.Event{Bytes: 92, Path: "/api/docker/hub/v2/a/b/manifests/x",
			Repository: "hub/a/b", Reference: "x", UserAgent: "docker/27.5.1|x"})),
	}, {
		name: "Artifactory of old", dialect: "artifactory", verdict: format.Parsed,
		options: format.Options{Location: time.FixedZone("", 3600)},
		line:    `20200312164423|93|REQUEST|203.0.113.7|bob|GET|/webapp/|HTTP/1.1|200|17`,
		want: access("203.0.113.7", "2020-03-12T15:44:23Z", detector.Event{Status: 200, Bytes: 17, Method: "GET", Path: "/webapp/",
			User: "bob"}),
	}, {
		name: "Harbor's proxy", dialect: "harbor", wrapper: "syslog", verdict: format.Parsed, options: format.Options{Reference: at("2026-05-17T00:00:00Z")},
		line: `May 16 12:11:39 172.25.0.1 proxy[1160]: 203.0.113.7 - "GET /v2/lib/x/manifests/latest HTTP/1.1" 404 155 "-" "docker/23.0.6" 0.012 0.012, 0.001 .`,
		want: access("203.0.113.7", "2026-05-16T12:11:39Z", missing(detector.Event{Bytes: 155, Path: "/v2/lib/x/manifests/latest",
			Repository: "lib/x", Reference: "latest", UserAgent: "docker/23.0.6"})),
	}})
}

func TestLoginsInApplicationLogs(t *testing.T) {
	const core = `May 16 12:11:39 172.25.0.1 core[1160]: 2026-05-16T12:11:38Z [ERROR] [/server/middleware/security/basic_auth.go:72][client IP="203.0.113.7, 192.168.32.1" requestID="dfdfecc8" user agent="docker/23.0.6"]: failed to authenticate user:test, error:Failed to authenticate user, due to error 'Invalid credentials'`
	login := func(e detector.Event) detector.Event {
		e.Kind, e.Operation, e.Status, e.Error = detector.KindAuth, detector.OpLogin, 401, "login failed"
		return e
	}
	refused := login(detector.Event{Time: at("2026-05-16T12:11:38Z"), User: "test", Message: "failed to authenticate user"})
	refusedTrusted := refused
	refusedTrusted.Client = ip("203.0.113.7")
	runLines(t, []lineCase{
		{name: "Harbor", dialect: "harbor", wrapper: "syslog", verdict: format.Parsed, line: core, want: refused},
		{name: "Harbor, header trusted", dialect: "harbor", wrapper: "syslog", verdict: format.Parsed, line: core,
			options: format.Options{TrustForwarded: true}, want: refusedTrusted},
		{name: "Harbor, anything else", dialect: "harbor", verdict: format.Noise, want: detector.Event{Kind: detector.KindAccess, Time: noTime},
			line: `2026-05-16T12:11:39Z [INFO] [/core/main.go:139]: initializing`},
		{name: "Gitea", dialect: "gitea", verdict: format.Parsed, options: format.Options{Location: time.FixedZone("", 7200)},
			line: `2025/04/29 12:33:54 ...ers/web/auth/auth.go:217:SignInPost() [W] Failed authentication attempt for test@example.org from 192.0.2.1:48560: Email address does not exist [email: test@example.org]`,
			want: login(detector.Event{Time: at("2025-04-29T10:33:54Z"), Client: ip("192.0.2.1"), User: "test@example.org", Message: "Failed authentication attempt"})},
		{name: "Gitea over IPv6", dialect: "gitea", verdict: format.Parsed,
			line: `2025/04/29 12:33:54 ...ers/web/auth/auth.go:217:SignInPost() [W] Failed authentication attempt for bob from [2001:db8::5678]:0: user's password is invalid`,
			want: login(detector.Event{Time: at("2025-04-29T12:33:54Z"), Client: ip("2001:db8::5678"), User: "bob", Message: "Failed authentication attempt"})},
		{name: "Gitea, anything else", dialect: "gitea", verdict: format.Noise, want: detector.Event{Kind: detector.KindAccess},
			line: `2025/04/29 12:33:54 cmd/web.go:242:runWeb() [I] Starting Gitea on PID: 7`},
	})
}
