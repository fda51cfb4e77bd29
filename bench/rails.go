package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
)

// page is one sort of row of production_json.log.
type page struct {
	method, path, controller, action, category string
	status                                     int
	params                                     string
}

// railsPage makes up what a client asks of GitLab. An abuser guesses passwords of one user after the other at /jwt/auth.
func railsPage(rnd *rand.Rand, r request) page {
	token := page{"GET", "/jwt/auth", "JwtController", "auth", "container_registry", 200, ""}
	if r.attempt > 0 {
		token.status = 401
		token.params = fmt.Sprintf(`{"key":"account","value":"user%d"},{"key":"client_id","value":"docker"},{"key":"offline_token","value":"[FILTERED]"},{"key":"service","value":"container_registry"}`, r.attempt)
		return token
	}
	group, project := rnd.IntN(40), rnd.IntN(20)
	switch n := rnd.IntN(100); {
	case n < 40:
		token.params = fmt.Sprintf(`{"key":"account","value":"user%d"},{"key":"scope","value":"repository:group-%d/project-%d/image:pull"},{"key":"service","value":"container_registry"}`, rnd.IntN(500), group, project)
		return token
	case n < 50: // Git's first step
		path := fmt.Sprintf("/group-%d/project-%d.git/info/refs", group, project)
		return page{"GET", path, "Repositories::GitHttpController", "info_refs", "source_code_management", 401, fmt.Sprintf(`{"key":"service","value":"git-upload-pack"},{"key":"repository_path","value":"group-%d/project-%d.git"}`, group, project)}
	}
	path := fmt.Sprintf("/group-%d/project-%d/-/merge_requests/%d", group, project, rnd.IntN(5000))
	return page{"POST", path, "Projects::MergeRequestsController", "update", "code_review_workflow", 200, fmt.Sprintf(
		`{"key":"merge_request","value":{"title":"fix the build","assignee_ids":["%d"],"labels":{"add":["bug","backend"],"remove":[]}}},{"key":"namespace_id","value":"group-%d"},{"key":"project_id","value":"project-%d"}`, rnd.IntN(900), group, project)}
}

// counters and seconds are the figures at the end of a row; with those in front a row has 61 fields.
var (
	counters = []string{"redis_calls", "redis_read_bytes", "redis_write_bytes", "redis_cache_calls", "redis_shared_state_calls", "redis_sessions_calls", "db_count",
		"db_write_count", "db_cached_count", "db_txn_count", "db_replica_count", "db_replica_cached_count", "db_primary_count", "db_primary_cached_count", "db_main_count",
		"db_main_cached_count", "db_main_wal_count", "gitaly_calls", "mem_objects", "mem_bytes", "mem_mallocs", "mem_total_bytes", "pid", "rack_attack_redis_count"}
	seconds = []string{"redis_duration_s", "redis_cache_duration_s", "gitaly_duration_s", "db_primary_duration_s", "db_main_duration_s", "cpu_s", "db_duration_s", "view_duration_s", "duration_s"}
)

// railsLine is about 1960 bytes, as GitLab writes production_json.log, params nested in it.
func railsLine(w *bufio.Writer, rnd *rand.Rand, r request) {
	p := railsPage(rnd, r)
	fmt.Fprintf(w, `{"method":%q,"path":%q,"format":"html","controller":%q,"action":%q,"status":%d,"time":%q,"params":[%s]`, p.method, p.path, p.controller, p.action, p.status, r.at.Format("2006-01-02T15:04:05.000Z"), p.params)
	user := rnd.IntN(500)
	fmt.Fprintf(w, `,"correlation_id":%q,"meta.organization_id":1,"meta.caller_id":"%s#%s","meta.feature_category":%q,"meta.remote_ip":%q,"meta.user_id":%d,"meta.project":"group-%d/project-%d","meta.root_namespace":"group","meta.client_id":"ip/%s","meta.http_router_rule_action":"classify","meta.http_router_rule_type":"SESSION_PREFIX"`,
		correlation(rnd), p.controller, p.action, p.category, r.client, user, user%40, user%20, r.client)
	fmt.Fprintf(w, `,"remote_ip":%q,"user_id":null,"username":null,"ua":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0","queue_duration_s":0.%06d,"request_urgency":"low","target_duration_s":5`, r.client, rnd.IntN(99999))
	for _, k := range counters {
		fmt.Fprintf(w, `,%q:%d`, k, rnd.IntN(5_000_000))
	}
	fmt.Fprintf(w, `,"worker_id":"puma_%d","rate_limiting_gates":[]`, rnd.IntN(4))
	for _, k := range seconds {
		fmt.Fprintf(w, `,%q:0.%06d`, k, rnd.IntN(999_999))
	}
	w.WriteString("}\n")
}
