package replay_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scene writes the three logs of a made-up GitLab registry host. Actors add lines in any order; they are written in order of time.
type scene struct {
	rnd   *rand.Rand
	start time.Time
	logs  map[string][]stamped
	want  map[string]verdict
}

type stamped struct {
	at   time.Time
	text string
}

const (
	access = "gitlab_registry_access.log"
	rails  = "production_json.log"
	auth   = "auth.log"
)

func newScene(seed uint64, start time.Time) *scene {
	return &scene{rnd: rand.New(rand.NewPCG(seed, 7)), start: start, logs: map[string][]stamped{}, want: map[string]verdict{}}
}

func (s *scene) add(log string, at time.Time, text string) {
	s.logs[log] = append(s.logs[log], stamped{at, text})
}

// pull adds a line of nginx's log.
func (s *scene) pull(at time.Time, client, method, path string, status int, agent string) {
	s.add(access, at, fmt.Sprintf(`%s - - [%s] "%s %s HTTP/1.1" %d %d "" "%s" -`, client, at.Format("02/Jan/2006:15:04:05 -0700"), method, path, status, s.rnd.IntN(3000), agent))
}

// token adds a row of JwtController.
func (s *scene) token(at time.Time, client string, status int, account, scope string) {
	var params []string
	if account != "" {
		params = append(params, fmt.Sprintf(`{"key":"account","value":%q}`, account))
	}
	if scope != "" {
		params = append(params, fmt.Sprintf(`{"key":"scope","value":"repository:%s:pull"}`, scope))
	}
	user := ""
	if account != "" && status == 200 {
		user = fmt.Sprintf(`"user_id":7,"username":%q,`, account)
	}
	s.add(rails, at, fmt.Sprintf(`{"method":"GET","path":"/jwt/auth","format":"html","controller":"JwtController","action":"auth","status":%d,"time":"%s","params":[%s],"correlation_id":"01M4","meta.caller_id":"JwtController#auth","remote_ip":"%s",%s"ua":"docker/27.5.1"}`,
		status, at.UTC().Format("2006-01-02T15:04:05.000Z"), strings.Join(params, ","), client, user))
}

// authRow adds a row of auth.log.
func (s *scene) authRow(at time.Time, client, fields string) {
	s.add(auth, at, fmt.Sprintf(`{"severity":"ERROR","time":"%s","correlation_id":"01M4",%s,"remote_ip":"%s"}`, at.UTC().Format("2006-01-02T15:04:05.000Z"), fields, client))
}

// write writes the logs and returns their paths.
func (s *scene) write(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for name, lines := range s.logs {
		slices.SortStableFunc(lines, func(a, b stamped) int { return a.at.Compare(b.at) })
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(l.text + "\n")
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// every calls do at normally distributed intervals until the end.
func (s *scene) every(mean, deviation, least float64, from time.Time, length time.Duration, do func(time.Time)) {
	for at := from; at.Before(from.Add(length)); {
		do(at)
		at = at.Add(time.Duration(math.Max(least, mean+s.rnd.NormFloat64()*deviation) * float64(time.Second)))
	}
}

func (s *scene) is(client, word, why string) { s.want[client] = verdict{word, why} }

const docker = "docker/27.5.1 go/go1.22.11 os/linux arch/amd64"

// swarm is a service whose image was never pushed, with credentials.
func (s *scene) swarm(client, repository, tag string, tasks int, mean float64, length time.Duration) {
	s.is(client, "abuse", fmt.Sprintf("swarm with %d tasks every %.1f s for %v", tasks, mean, length))
	for range tasks {
		offset := time.Duration(s.rnd.IntN(5000)) * time.Millisecond
		s.every(mean, 0.8, 1.3, s.start.Add(offset), length, func(at time.Time) {
			s.pull(at, client, "GET", "/v2/", 401, docker)
			s.token(at, client, 200, "deploy", repository)
			s.pull(at, client, "HEAD", "/v2/"+repository+"/manifests/"+tag, 404, docker)
			s.pull(at, client, "GET", "/v2/"+repository+"/manifests/"+tag, 404, docker)
		})
	}
}

// anonymousSwarm is the same without credentials: it never comes as far as the manifest.
func (s *scene) anonymousSwarm(client, repository string, mean float64, length time.Duration) {
	s.is(client, "abuse", "swarm without credentials")
	s.every(mean, 0.8, 1.3, s.start, length, func(at time.Time) {
		s.pull(at, client, "GET", "/v2/", 401, docker)
		s.token(at, client, 403, "", repository)
	})
}

// kubelet is a node with pods in ImagePullBackOff: 10 s, doubled up to 300 s.
func (s *scene) kubelet(client, repository, tag string, pods int, length time.Duration) {
	s.is(client, "honest", fmt.Sprintf("kubelet with %d pods in back-off", pods))
	for range pods {
		at := s.start.Add(time.Duration(s.rnd.IntN(60)) * time.Second)
		for wait := 10.0; at.Before(s.start.Add(length)); wait = math.Min(300, wait*2) {
			s.pull(at, client, "GET", "/v2/", 401, "containerd/2.0.4")
			s.token(at, client, 200, "k8s-pull", repository)
			s.pull(at, client, "HEAD", "/v2/"+repository+"/manifests/"+tag, 404, "containerd/2.0.4")
			at = at.Add(time.Duration(wait * (0.95 + 0.1*s.rnd.Float64()) * float64(time.Second)))
		}
	}
}

// guesser tries passwords until GitLab bans it, and goes on.
func (s *scene) guesser(client string, mean float64, attempts int) {
	s.is(client, "abuse", "guesses passwords")
	users := []string{"root", "admin", "deploy", "gitlab", "ci", "alice", "bob", "test"}
	at := s.start.Add(time.Minute)
	for i := range attempts {
		s.pull(at, client, "GET", "/v2/", 401, docker)
		if i < 30 {
			s.token(at, client, 401, users[i%len(users)], "")
			s.authRow(at, client, fmt.Sprintf(`"message":"JWT authentication failed","http_user":%q,"auth_service":"container_registry"`, users[i%len(users)]))
		} else {
			s.token(at, client, 403, users[i%len(users)], "")
			s.authRow(at, client, `"message":"Rack_Attack","env":"blocklist","request_method":"GET","path":"/jwt/auth?service=container_registry"`)
		}
		at = at.Add(time.Duration(s.rnd.ExpFloat64() * mean * float64(time.Second)))
	}
}

// slowGuesser stays below what a forgetful person makes.
func (s *scene) slowGuesser(client string, length time.Duration) {
	s.is(client, "watch", "one wrong password every 40 s")
	s.every(40, 2, 35, s.start, length, func(at time.Time) {
		s.token(at, client, 401, "alice", "")
		s.authRow(at, client, `"message":"JWT authentication failed","http_user":"alice","auth_service":"container_registry"`)
	})
}

// scanner works off a list of paths; an IPv6 one with a new address each time.
func (s *scene) scanner(network string, v6 bool, pause float64) {
	client := network
	paths := []string{"/", "/v2/", "/v2/_catalog", "/v1/_ping", "/v1/search?q=a", "/.env", "/.git/config", "/v2/_catalog?n=1000", "/metrics",
		"/debug/pprof/", "/v2/library/nginx/manifests/latest", "/v2/admin/admin/tags/list", "/api/v2.0/projects", "/v2/root/test/manifests/latest", "/wp-login.php"}
	if s.rnd.IntN(2) == 0 {
		s.rnd.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
	}
	at := s.start.Add(2 * time.Minute)
	for i, p := range paths {
		if v6 {
			client = fmt.Sprintf("%s:%x", network, i+1)
		}
		status := 404
		switch {
		case p == "/":
			status = 200
		case strings.HasPrefix(p, "/v2"):
			status = 401
		}
		s.pull(at, client, "GET", p, status, "Mozilla/5.0 zgrab/0.x")
		at = at.Add(time.Duration((0.2 + s.rnd.Float64()*pause) * float64(time.Second)))
	}
	s.is(client, "abuse", "scanner")
}

// crawler goes on over GitLab's throttle.
func (s *scene) crawler(client string, mean float64, rows int) {
	s.is(client, "abuse", "crawler over the throttle")
	at := s.start.Add(time.Minute)
	for range rows {
		s.authRow(at, client, fmt.Sprintf(`"message":"Rack_Attack","env":"throttle","request_method":"GET","path":"/explore/projects?page=%d","matched":"throttle_unauthenticated_web","status":429`, s.rnd.IntN(90)))
		at = at.Add(time.Duration(s.rnd.ExpFloat64() * mean * float64(time.Second)))
	}
}

// webGuesser guesses at the login page until the protected paths' throttle comes.
func (s *scene) webGuesser(client string, mean float64) {
	s.is(client, "abuse", "guesses at the login page")
	at := s.start.Add(3 * time.Minute)
	for i := range 18 {
		if i < 11 {
			s.add(rails, at, fmt.Sprintf(`{"method":"POST","path":"/users/sign_in","format":"html","controller":"SessionsController","action":"create","status":0,"time":"%s","params":[{"key":"user","value":{"login":"admin%d","password":"[FILTERED]"}}],"remote_ip":"%s","ua":"python-requests/2.31"}`,
				at.UTC().Format("2006-01-02T15:04:05.000Z"), i, client))
		} else {
			s.authRow(at, client, `"message":"Rack_Attack","env":"throttle","request_method":"POST","path":"/users/sign_in","matched":"throttle_unauthenticated_protected_paths","status":429`)
		}
		at = at.Add(time.Duration(s.rnd.ExpFloat64() * mean * float64(time.Second)))
	}
}

// runner is a CI runner behind NAT: pulls, and pushes whose layers are looked for first.
func (s *scene) runner(client string, length time.Duration) {
	s.is(client, "honest", "CI runner")
	repositories := []string{"acme/shop/backend", "acme/shop/frontend", "acme/tools/node"}
	s.every(50, 20, 5, s.start, length, func(at time.Time) {
		r := repositories[s.rnd.IntN(len(repositories))]
		s.pull(at, client, "GET", "/v2/", 401, "kaniko/v1.23.2")
		s.token(at, client, 200, "gitlab-ci-token", r)
		s.pull(at, client, "GET", "/v2/"+r+"/manifests/cache-"+fmt.Sprint(s.rnd.IntN(1000)), 404, "kaniko/v1.23.2")
		s.image(at, client, r)
		if s.rnd.IntN(2) == 0 {
			for range 3 {
				d := s.digest()
				s.pull(at, client, "HEAD", "/v2/"+r+"/blobs/"+d, 404, "kaniko/v1.23.2")
				s.pull(at, client, "POST", "/v2/"+r+"/blobs/uploads/", 202, "kaniko/v1.23.2")
				s.pull(at, client, "PUT", "/v2/"+r+"/blobs/uploads/7b0e?digest="+d, 201, "kaniko/v1.23.2")
			}
			s.pull(at, client, "PUT", "/v2/"+r+"/manifests/latest", 201, "kaniko/v1.23.2")
		}
	})
}

// image is an honest pull.
func (s *scene) image(at time.Time, client, repository string) {
	s.pull(at, client, "HEAD", "/v2/"+repository+"/manifests/latest", 200, docker)
	s.pull(at, client, "GET", "/v2/"+repository+"/manifests/"+s.digest(), 200, docker)
	for range 3 {
		s.pull(at, client, "GET", "/v2/"+repository+"/blobs/"+s.digest(), 200, docker)
	}
}

func (s *scene) digest() string {
	return fmt.Sprintf("sha256:%016x%016x%016x%016x", s.rnd.Uint64(), s.rnd.Uint64(), s.rnd.Uint64(), s.rnd.Uint64())
}

// developer mistypes a password and two tags and then succeeds.
func (s *scene) developer(client string) {
	s.is(client, "honest", "developer with typos")
	at := s.start.Add(20 * time.Second)
	s.token(at, client, 401, "alice", "")
	s.authRow(at, client, `"message":"JWT authentication failed","http_user":"alice","auth_service":"container_registry"`)
	s.token(at.Add(11*time.Second), client, 200, "alice", "acme/shop/backend")
	for i, tag := range []string{"lastest", "v1"} {
		s.pull(at.Add(time.Duration(20+7*i)*time.Second), client, "HEAD", "/v2/acme/shop/backend/manifests/"+tag, 404, docker)
		s.pull(at.Add(time.Duration(20+7*i)*time.Second), client, "GET", "/v2/acme/shop/backend/manifests/"+tag, 404, docker)
	}
	s.image(at.Add(40*time.Second), client, "acme/shop/backend")
}

// exempt are the clients that GitLab's own words exempt.
func (s *scene) exempt(track, user, bypass string) {
	s.is(track, "honest", "throttles in dry run")
	s.is(user, "honest-user-limit", "throttle by user")
	s.is(bypass, "honest", "bypass header")
	s.every(3, 1, 1, s.start, 10*time.Minute, func(at time.Time) {
		s.authRow(at, track, `"message":"Rack_Attack","env":"track","request_method":"GET","path":"/api/v4/projects","matched":"throttle_unauthenticated_api"`)
		s.authRow(at, user, `"message":"Rack_Attack","env":"throttle","request_method":"GET","path":"/api/v4/projects","matched":"throttle_authenticated_api","status":429,"user_id":9,"meta.user":"bob"`)
		s.add(rails, at, fmt.Sprintf(`{"method":"GET","path":"/jwt/auth","controller":"JwtController","action":"auth","status":403,"time":"%s","params":[{"key":"scope","value":"repository:a/b:pull"}],"remote_ip":"%s","throttle_safelist":"throttle_bypass_header"}`,
			at.UTC().Format("2006-01-02T15:04:05.000Z"), bypass))
	})
}
