package format_test

import (
	"fmt"
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

func TestRails(t *testing.T) {
	rails := func(e detector.Event) detector.Event {
		e.Kind = detector.KindRails
		return e
	}
	runLines(t, []lineCase{{
		name: "failed web login", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"POST","path":"/users/sign_in","format":"html","controller":"SessionsController","action":"create","status":0,"time":"2022-04-15T12:59:36.195Z","params":[{"key":"authenticity_token","value":"[FILTERED]"},{"key":"user","value":{"login":"test","password":"[FILTERED]","remember_me":"0"}}],"meta.client_id":"ip/192.0.2.1","meta.remote_ip":"192.0.2.1","remote_ip":"192.0.2.1","ua":"Mozilla/5.0","rack_attack_redis_count":2,"duration_s":0.01291}`,
		want: rails(detector.Event{Time: at("2022-04-15T12:59:36.195Z"), Client: ip("192.0.2.1"), Operation: detector.OpLogin,
			Method: "POST", Path: "/users/sign_in", User: "test", UserAgent: "Mozilla/5.0", Error: "login failed"}),
	}, {
		name: "failed second factor", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"POST","path":"/users/sign_in","controller":"SessionsController","action":"create","status":200,"time":"2022-04-15T12:59:36.195Z","params":[{"key":"user","value":{"otp_attempt":"[FILTERED]"}}],"remote_ip":"192.0.2.1"}`,
		want: rails(detector.Event{Time: at("2022-04-15T12:59:36.195Z"), Client: ip("192.0.2.1"), Operation: detector.OpLogin,
			Status: 200, Method: "POST", Path: "/users/sign_in", Error: "login failed"}),
	}, {
		name: "login that went well", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"POST","path":"/users/sign_in","controller":"SessionsController","action":"create","status":302,"location":"https://gitlab.example.org/","time":"2022-04-15T12:59:36.195Z","params":[{"key":"user","value":{"login":"test","password":"[FILTERED]"}}],"remote_ip":"192.0.2.1","user_id":7,"username":"tester"}`,
		want: rails(detector.Event{Time: at("2022-04-15T12:59:36.195Z"), Client: ip("192.0.2.1"), Operation: detector.OpLogin,
			Status: 302, Method: "POST", Path: "/users/sign_in", User: "test"}),
	}, {
		name: "failed LDAP login", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"POST","path":"/users/auth/ldapmain/callback","format":"html","controller":"OmniauthCallbacksController","action":"failure","status":302,"location":"https://gitlab.example.org/users/sign_in","time":"2025-04-15T12:59:36.195Z","params":[{"key":"username","value":"bob"},{"key":"password","value":"[FILTERED]"}],"remote_ip":"2001:db8::15"}`,
		want: rails(detector.Event{Time: at("2025-04-15T12:59:36.195Z"), Client: ip("2001:db8::15"), Operation: detector.OpLogin,
			Status: 302, Method: "POST", Path: "/users/auth/ldapmain/callback", User: "bob", Error: "login failed"}),
	}, {
		name: "page", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/gitlab/gitlab-foss/issues/1234","format":"html","controller":"Projects::IssuesController","action":"show","status":200,"time":"2017-08-08T20:15:54.821Z","params":[{"key":"param_key","value":"param_value"}],"remote_ip":"198.51.100.5","user_id":1,"username":"admin","meta.project":"gitlab/gitlab-foss","throttle_safelist":"throttle_bypass_header","correlation_id":"O1SdybnnIq7"}`,
		want: rails(detector.Event{Time: at("2017-08-08T20:15:54.821Z"), Client: ip("198.51.100.5"), Operation: detector.OpWeb,
			Status: 200, Method: "GET", Path: "/gitlab/gitlab-foss/issues/1234", User: "admin", Project: "gitlab/gitlab-foss",
			Safelist: "throttle_bypass_header"}),
	}, {
		name: "git while banned", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/group/project.git/info/refs","format":"*/*","controller":"Repositories::GitHttpController","action":"info_refs","status":403,"time":"2023-04-19T22:14:25.894Z","remote_ip":"192.0.2.9","ua":"git/2.39.2","correlation_id":"01GYDSAKAN2SPZPAMJNRWW5H8S","duration_s":0.00875}`,
		want: rails(detector.Event{Time: at("2023-04-19T22:14:25.894Z"), Client: ip("192.0.2.9"), Operation: detector.OpGit,
			Status: 403, Method: "GET", Path: "/group/project.git/info/refs", UserAgent: "git/2.39.2"}),
	}, {
		name: "token refused to a user", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/jwt/auth","format":"html","controller":"JwtController","action":"auth","status":401,"time":"2025-06-03T10:00:20.100Z","params":[{"key":"account","value":"alice"},{"key":"client_id","value":"docker"},{"key":"offline_token","value":"[FILTERED]"},{"key":"service","value":"container_registry"}],"correlation_id":"01JWT","meta.caller_id":"JwtController#auth","meta.remote_ip":"192.0.2.10","remote_ip":"192.0.2.10","ua":"docker/27.5.1"}`,
		want: rails(detector.Event{Time: at("2025-06-03T10:00:20.1Z"), Client: ip("192.0.2.10"), Operation: detector.OpToken,
			Status: 401, Method: "GET", Path: "/jwt/auth", User: "alice", UserAgent: "docker/27.5.1"}),
	}, {
		name: "token with a scope", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":403,"time":"2025-06-03T10:00:20.100Z","params":[{"key":"scope","value":"repository:acme/private/api:pull"},{"key":"service","value":"container_registry"}],"remote_ip":"203.0.113.51","user_id":null,"username":null}`,
		want: rails(detector.Event{Time: at("2025-06-03T10:00:20.1Z"), Client: ip("203.0.113.51"), Operation: detector.OpToken,
			Status: 403, Method: "GET", Path: "/jwt/auth", Repository: "acme/private/api"}),
	}, {
		name: "dependency proxy", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/v2/acme/dependency_proxy/containers/alpine/manifests/3","controller":"Groups::DependencyProxyForContainersController","action":"manifest","status":404,"time":"2025-06-03T10:00:20.100Z","params":[],"remote_ip":"203.0.113.51"}`,
		want: rails(detector.Event{Time: at("2025-06-03T10:00:20.1Z"), Client: ip("203.0.113.51"), Operation: detector.OpManifest,
			Status: 404, Method: "GET", Path: "/v2/acme/dependency_proxy/containers/alpine/manifests/3",
			Repository: "acme/dependency_proxy/containers/alpine", Reference: "3"}),
	}, {
		name: "ActionCable", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":null,"path":null,"format":null,"controller":null,"action":null,"status":200,"time":"2025-06-03T10:00:20.100Z","params":[],"remote_ip":null,"meta.remote_ip":"203.0.113.51"}`,
		want: rails(detector.Event{Time: at("2025-06-03T10:00:20.1Z"), Client: ip("203.0.113.51"), Status: 200}),
	}, {
		name: "status null and a wrong time", dialect: "gitlab-rails", verdict: format.Parsed,
		line: `{"method":"GET","path":"/a","controller":"X","action":"y","status":null,"time":"yesterday","remote_ip":"unknown"}`,
		want: rails(detector.Event{Operation: detector.OpWeb, Method: "GET", Path: "/a"}),
	}})
}

func TestAPI(t *testing.T) {
	runLines(t, []lineCase{{
		name: "old row", dialect: "gitlab-api", verdict: format.Parsed,
		line: `{"time":"2018-10-29T12:49:42.123Z","severity":"INFO","duration":709.08,"db":14.59,"view":694.49,"status":200,"method":"GET","path":"/api/v4/projects","params":[{"key":"action","value":"git-upload-pack"}],"host":"localhost","remote_ip":"::1","ua":"Ruby","route":"/api/:version/projects","user_id":1,"username":"root","queue_duration":100.31}`,
		want: detector.Event{Time: at("2018-10-29T12:49:42.123Z"), Client: ip("::1"), Kind: detector.KindAPI, Operation: detector.OpAPI,
			Status: 200, Method: "GET", Path: "/api/v4/projects", User: "root", UserAgent: "Ruby"},
	}})
}

func TestAuth(t *testing.T) {
	auth := func(e detector.Event) detector.Event {
		e.Kind = detector.KindAuth
		return e
	}
	const exceeded = "Rack_Attack: Git auth failures has exceeded the threshold. IP has been temporarily banned from Git auth."
	runLines(t, []lineCase{{
		name: "blocklist without status", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2023-04-19T22:14:25.893Z","correlation_id":"01GYDSAKAN2SPZPAMJNRWW5H8S","message":"Rack_Attack","env":"blocklist","remote_ip":"192.0.2.9","request_method":"GET","path":"/group/project.git/info/refs?service=git-upload-pack"}`,
		want: auth(detector.Event{Time: at("2023-04-19T22:14:25.893Z"), Client: ip("192.0.2.9"), Operation: detector.OpGit,
			Status: 403, Method: "GET", Path: "/group/project.git/info/refs", ThrottleEnv: "blocklist", Message: "Rack_Attack"}),
	}, {
		name: "the names of old", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2019-04-19T22:14:25.893Z","correlation_id":null,"message":"Rack_Attack","env":"blacklist","ip":"192.0.2.9","method":"GET","fullpath":"/jwt/auth?account=root&scope=repository:a/b:pull","throttle_type":"throttle_unauthenticated"}`,
		want: auth(detector.Event{Time: at("2019-04-19T22:14:25.893Z"), Client: ip("192.0.2.9"), Operation: detector.OpToken,
			Status: 403, Method: "GET", Path: "/jwt/auth", Repository: "a/b", Throttle: "throttle_unauthenticated",
			ThrottleEnv: "blocklist", Message: "Rack_Attack"}),
	}, {
		name: "throttle", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:01:00.000Z","correlation_id":"01M4","message":"Rack_Attack","env":"throttle","remote_ip":"203.0.113.9","request_method":"GET","path":"/acme/shop/-/tree/main","matched":"throttle_unauthenticated_web","rate_limiting_gates":[]}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:01:00Z"), Client: ip("203.0.113.9"), Status: 429, Method: "GET",
			Path: "/acme/shop/-/tree/main", Throttle: "throttle_unauthenticated_web", ThrottleEnv: "throttle", Message: "Rack_Attack"}),
	}, {
		name: "throttle of a deploy token", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:01:23.000Z","message":"Rack_Attack","env":"throttle","remote_ip":"198.51.100.32","request_method":"GET","path":"/api/v4/projects/7/repository/files/a%2Eyml","matched":"throttle_authenticated_api","status":429,"deploy_token_id":12}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:01:23Z"), Client: ip("198.51.100.32"), Operation: detector.OpAPI,
			Status: 429, Method: "GET", Path: "/api/v4/projects/7/repository/files/a%2Eyml", User: "deploy_token:12",
			Throttle: "throttle_authenticated_api", ThrottleEnv: "throttle", Message: "Rack_Attack"}),
	}, {
		name: "throttle of a user", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:01:20.000Z","message":"Rack_Attack","env":"throttle","remote_ip":"198.51.100.31","request_method":"GET","path":"/api/v4/projects/7/packages/npm/foo","matched":"throttle_authenticated_packages_api","status":429,"user_id":88,"meta.user":"buildfarm"}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:01:20Z"), Client: ip("198.51.100.31"), Operation: detector.OpAPI,
			Status: 429, Method: "GET", Path: "/api/v4/projects/7/packages/npm/foo", User: "buildfarm",
			Throttle: "throttle_authenticated_packages_api", ThrottleEnv: "throttle", Message: "Rack_Attack"}),
	}, {
		name: "dry run", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:01:50.000Z","message":"Rack_Attack","env":"track","remote_ip":"198.51.100.33","request_method":"GET","path":"/api/v4/projects","matched":"throttle_unauthenticated_api"}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:01:50Z"), Client: ip("198.51.100.33"), Operation: detector.OpAPI,
			Method: "GET", Path: "/api/v4/projects", Throttle: "throttle_unauthenticated_api", ThrottleEnv: "track", Message: "Rack_Attack"}),
	}, {
		name: "banned from git", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:02:21.575Z","message":"` + exceeded + `","env":"blocklist","remote_ip":"192.0.2.66","request_method":"GET","path":"/jwt/auth?account=root&client_id=docker&offline_token=%5BFILTERED%5D&service=container_registry","login":"root"}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:02:21.575Z"), Client: ip("192.0.2.66"), Operation: detector.OpToken,
			Status: 403, Method: "GET", Path: "/jwt/auth", User: "root", ThrottleEnv: "blocklist", Message: exceeded}),
	}, {
		name: "wrong password for a token", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"WARN","time":"2026-10-05T08:00:20.100Z","meta.caller_id":"JwtController#auth","meta.remote_ip":"192.0.2.10","meta.client_id":"ip/192.0.2.10","message":"JWT authentication failed","http_user":"alice","remote_ip":"192.0.2.10","auth_service":"container_registry","auth_result.type":null}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:00:20.1Z"), Client: ip("192.0.2.10"), Operation: detector.OpToken,
			Status: 401, User: "alice", Error: "JWT authentication failed", Message: "JWT authentication failed"}),
	}, {
		name: "permission denied, which names no address", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"WARN","time":"2026-10-05T08:02:40.000Z","message":"Denied container registry permissions","scope_type":"repository","requested_project_path":"acme/private","requested_actions":["pull","push"],"authorized_actions":["pull"],"username":"deploy","user_id":90}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:02:40Z"), Operation: detector.OpToken, User: "deploy",
			Project: "acme/private", Message: "Denied container registry permissions"}),
	}, {
		name: "limit of one feature", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"ERROR","time":"2026-10-05T08:02:20.000Z","message":"Application_Rate_Limiter_Request","env":"raw_blob_request_limit","remote_ip":"203.0.113.12","method":"GET","path":"/acme/shop/-/raw/main/big.bin"}`,
		want: auth(detector.Event{Time: at("2026-10-05T08:02:20Z"), Client: ip("203.0.113.12"), Status: 429, Method: "GET",
			Path: "/acme/shop/-/raw/main/big.bin", Throttle: "raw_blob_request_limit", ThrottleEnv: "application",
			Message: "Application_Rate_Limiter_Request"}),
	}, {
		name: "allowlist at boot", dialect: "gitlab-auth", verdict: format.Noise,
		line: `{"severity":"INFO","time":"2026-10-05T08:00:00.200Z","correlation_id":"01M4","gitlab_throttle_user_allowlist":[1,53,217]}`,
		want: auth(detector.Event{}),
	}, {
		name: "something else", dialect: "gitlab-auth", verdict: format.Noise,
		line: `{"severity":"INFO","time":"2026-10-05T08:00:00.200Z","message":"Dependency proxy missing authentication abilities"}`,
		want: auth(detector.Event{}),
	}, {
		name: "failed login in application_json.log", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `{"severity":"INFO","time":"2025-06-03T10:00:20.100Z","correlation_id":"01JWT","message":"Failed Login: username=admin ip=192.0.2.12"}`,
		want: auth(detector.Event{Time: at("2025-06-03T10:00:20.1Z"), Client: ip("192.0.2.12"), Operation: detector.OpLogin,
			Status: 401, User: "admin", Error: "login failed", Message: "Failed Login"}),
	}, {
		name: "failed login in application.log", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `2020-04-09T14:04:00.667Z: Failed Login: username=user name ip=192.0.2.12`,
		want: auth(detector.Event{Time: at("2020-04-09T14:04:00.667Z"), Client: ip("192.0.2.12"), Operation: detector.OpLogin,
			Status: 401, User: "user name", Error: "login failed", Message: "Failed Login"}),
	}, {
		name: "ban in production.log", dialect: "gitlab-auth", verdict: format.Parsed,
		line: `IP 192.0.2.4 failed to login as bob but has been temporarily banned from Git auth`,
		want: auth(detector.Event{Client: ip("192.0.2.4"), Operation: detector.OpGit, Status: 403, User: "bob",
			ThrottleEnv: "blocklist", Error: "login failed", Message: "temporarily banned from Git auth"}),
	}})
}

// rateLimit is a row of the LabKit limiter.
func rateLimit(count, limit int, by string) string {
	return fmt.Sprintf(`{"severity":"ERROR","time":"2026-10-05T08:02:20.000Z","message":"Rate_Limit_Block","status":429,"matched":"throttle_unauthenticated_web","rule":"unauthenticated_web","limit":%d,"period_s":60,"count":%d,"counted_by":%s,"remote_ip":"198.51.100.7","path":"/acme?x=1","method":"GET","meta.user":"alice","rate_limit_state":["rack_request:unauthenticated_web:block"]}`, limit, count, by)
}

func TestRateLimitBlock(t *testing.T) {
	runLines(t, []lineCase{{
		name: "by address", dialect: "gitlab-auth", verdict: format.Parsed,
		line: rateLimit(501, 500, `{"ip":"198.51.100.7"}`),
		want: detector.Event{Time: at("2026-10-05T08:02:20Z"), Client: ip("198.51.100.7"), Kind: detector.KindAuth, Status: 429,
			Method: "GET", Path: "/acme", Throttle: "throttle_unauthenticated_web", ThrottleEnv: "throttle", Message: "Rate_Limit_Block"},
	}})
	for by, want := range map[string]string{
		`{"ip":"198.51.100.7"}`:           "",
		`{"user":42}`:                     "alice",
		`{"ip":"198.51.100.7","user":42}`: "alice",
		`{"deploy_token":12}`:             "alice",
		`{}`:                              "alice",
		`"ip"`:                            "alice",
	} {
		if e, _ := read(t, format.Options{}, rateLimit(501, 500, by)); e.User != want {
			t.Errorf("counted by %s: want user %q, got %q", by, want, e.User)
		}
	}
	e, _ := read(t, format.Options{}, `{"severity":"ERROR","message":"Rate_Limit_Block","limit":5,"count":6,"counted_by":{"deploy_token":12},"remote_ip":"198.51.100.7"}`)
	if e.User != "deploy_token:12" || e.Status != 429 {
		t.Errorf("got user %q, status %d", e.User, e.Status)
	}
	e, _ = read(t, format.Options{}, `{"severity":"ERROR","message":"Rate_Limit_Block","limit":5,"count":6,"remote_ip":"198.51.100.7","rate_limit_state":["rack_request:x:log"]}`)
	if e.ThrottleEnv != "track" {
		t.Errorf("a limit that only logs: want track, got %q", e.ThrottleEnv)
	}
}

// TestSampledRowsAddUp: the rows that the limiter samples stand for every refused request up to the last of them.
func TestSampledRowsAddUp(t *testing.T) {
	const limit = 100
	total := 0
	for _, c := range []struct{ count, want int }{{101, 1}, {201, 100}, {401, 200}, {801, 400}, {1601, 800}} {
		e, _ := read(t, format.Options{}, rateLimit(c.count, limit, `{"ip":"198.51.100.7"}`))
		if e.Weight != c.want {
			t.Errorf("count %d: want weight %d, got %d", c.count, c.want, e.Weight)
		}
		if total += e.Weight; total != c.count-limit {
			t.Errorf("count %d: want %d requests in all, got %d", c.count, c.count-limit, total)
		}
	}
	for _, c := range []struct{ count, limit, want int }{
		{0, 0, 1}, {5, 0, 1}, {5, -1, 1}, {100, 100, 1}, {103, 100, 3}, {200, 100, 99}, {2, 1, 1}, {1 << 40, 1, 10000},
	} {
		if e, _ := read(t, format.Options{}, rateLimit(c.count, c.limit, `{"ip":"198.51.100.7"}`)); e.Weight != c.want {
			t.Errorf("count %d, limit %d: want weight %d, got %d", c.count, c.limit, c.want, e.Weight)
		}
	}
}
