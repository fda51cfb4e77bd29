package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// The logs are made from a seed: 200,000 honest addresses by Zipf, and abusers who ask for a missing tag (or a denied token) every five
// seconds for ten minutes, spread over six hours.
const (
	honestAddresses = 200_000
	abusers         = 100
	attempts        = 120 // of each abuser
	hours           = 6
)

var start = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

// request is one line to be written.
type request struct {
	at     time.Time
	client string
	abuse  bool
	head   bool
}

// generate writes lines of one sort to path, unless a file of an earlier run is there.
func generate(path string, lines int, write func(*bufio.Writer, *rand.Rand, request)) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	rnd := rand.New(rand.NewPCG(42, 42))
	honest := lines - abusers*attempts*2
	step := hours * time.Hour / time.Duration(honest)
	zipf := rand.NewZipf(rnd, 1.1, 8, honestAddresses-1)
	var loops []loop
	for i := range abusers {
		loops = append(loops, loop{client: fmt.Sprintf("203.0.113.%d", i+1), next: start.Add(time.Duration(i) * (hours*time.Hour - 12*time.Minute) / abusers), left: attempts})
	}
	for i := range honest {
		at := start.Add(time.Duration(i) * step)
		for l := range loops {
			loops[l].upTo(at, func(r request) { write(w, rnd, r) })
		}
		n := zipf.Uint64()
		write(w, rnd, request{at: at, client: fmt.Sprintf("198.%d.%d.%d", 18+n>>16, n>>8&255, n&255)})
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// loop is one abuser.
type loop struct {
	client string
	next   time.Time
	left   int
}

func (l *loop) upTo(at time.Time, do func(request)) {
	for l.left > 0 && !l.next.After(at) {
		do(request{at: l.next, client: l.client, abuse: true, head: true})
		do(request{at: l.next, client: l.client, abuse: true})
		l.next = l.next.Add(5 * time.Second)
		l.left--
	}
}

// nginxLine is about 200 bytes, as GitLab's nginx writes it.
func nginxLine(w *bufio.Writer, rnd *rand.Rand, r request) {
	method, path, status := "GET", fmt.Sprintf("/v2/group-%d/project-%d/image/blobs/sha256:%016x%016x%016x%016x", rnd.IntN(40), rnd.IntN(20), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64()), 200
	switch n := rnd.IntN(100); {
	case r.abuse:
		path, status = "/v2/group-1/project-1/broken/manifests/v42", 404
		if r.head {
			method = "HEAD"
		}
	case n < 26:
		path, status = "/v2/", 401
	case n < 57:
		path = fmt.Sprintf("/v2/group-%d/project-%d/image/manifests/v%d", rnd.IntN(40), rnd.IntN(20), rnd.IntN(50))
	case n < 61:
		method, status = "HEAD", 404
	}
	fmt.Fprintf(w, "%s - - [%s] \"%s %s HTTP/1.1\" %d %d \"\" \"docker/27.5.1 go/go1.22.11 git-commit/4c9b3b0 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/27.5.1 \\x5C(linux\\x5C))\" -\n",
		r.client, r.at.Format("02/Jan/2006:15:04:05 -0700"), method, path, status, rnd.IntN(5000))
}

// railsLine is about 1.3 KB, as GitLab writes production_json.log.
func railsLine(w *bufio.Writer, rnd *rand.Rand, r request) {
	controller, action, path, status, params := "ProjectsController", "show", fmt.Sprintf("/group-%d/project-%d", rnd.IntN(40), rnd.IntN(20)), 200, "[]"
	switch n := rnd.IntN(100); {
	case r.abuse:
		controller, action, path, status, params = "JwtController", "auth", "/jwt/auth", 403, `[{"key":"scope","value":"repository:group-1/project-1/private:pull"},{"key":"service","value":"container_registry"}]`
	case n < 40:
		controller, action, path = "JwtController", "auth", "/jwt/auth"
		params = fmt.Sprintf(`[{"key":"account","value":"user%d"},{"key":"scope","value":"repository:group-%d/project-%d/image:pull"},{"key":"service","value":"container_registry"}]`, rnd.IntN(500), rnd.IntN(40), rnd.IntN(20))
	case n < 45:
		controller, action, path, status = "Repositories::GitHttpController", "info_refs", "/group-1/project-2.git/info/refs", 401
	}
	fmt.Fprintf(w, `{"method":"GET","path":%q,"format":"html","controller":%q,"action":%q,"status":%d,"time":"%s","params":%s,"correlation_id":"01JWT%021X","meta.caller_id":"%s#%s","meta.remote_ip":%q,"meta.feature_category":"container_registry","meta.client_id":"ip/%s","remote_ip":%q,"ua":"docker/27.5.1 go/go1.22.11 os/linux arch/amd64","queue_duration_s":0.0%d,"request_urgency":"low","target_duration_s":5`,
		path, controller, action, status, r.at.Format("2006-01-02T15:04:05.000Z"), params, rnd.Uint64(), controller, action, r.client, r.client, r.client, rnd.IntN(99999))
	for _, k := range []string{"redis_calls", "redis_read_bytes", "redis_write_bytes", "redis_cache_calls", "redis_shared_state_calls", "db_count", "db_write_count", "db_cached_count", "db_txn_count",
		"db_replica_count", "db_primary_count", "db_main_count", "db_main_cached_count", "db_main_wal_count", "cpu_ms", "mem_objects", "mem_bytes", "mem_mallocs", "mem_total_bytes", "pid", "rack_attack_redis_count"} {
		fmt.Fprintf(w, `,%q:%d`, k, rnd.IntN(100000))
	}
	w.WriteString(`,"worker_id":"puma_3","rate_limiting_gates":[],"db_duration_s":0.0066,"view_duration_s":0.0,"duration_s":0.07115}` + "\n")
}
