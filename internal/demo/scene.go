package demo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The scene is the incident for which regwarden was made, and the people around it. Addresses are from the documentation ranges.
const (
	Swarm   = "203.0.113.50" // a swarm asks for a tag that was never pushed, and never stops
	Guesser = "192.0.2.66"   // somebody guesses passwords
	Scanner = "2001:db8:10::bad"
	// Honest clients: a developer with typos, a CI runner, a kubelet that backs off.
	Developer = "192.0.2.10"
	Runner    = "198.51.100.20"
	Kubelet   = "198.51.100.77"
)

// entry is one line that the scene writes at a time.
type entry struct {
	at   time.Time
	log  string
	line string
}

// The logs of the scene, named as GitLab names them.
const (
	accessLog = "gitlab_registry_access.log"
	railsLog  = "production_json.log"
)

// scene makes the lines of length from start on, in order.
func scene(rnd *rand.Rand, start time.Time, length time.Duration) []entry {
	var out []entry
	pull := func(at time.Time, client, method, path string, status int, agent string) {
		out = append(out, entry{at, accessLog, fmt.Sprintf(`%s - - [%s] "%s %s HTTP/1.1" %d 96 "" "%s" -`,
			client, at.UTC().Format("02/Jan/2006:15:04:05 -0700"), method, path, status, agent)})
	}
	token := func(at time.Time, client string, status int, user string) {
		out = append(out, entry{at, railsLog, fmt.Sprintf(`{"method":"GET","path":"/jwt/auth","format":"html","controller":"JwtController","action":"auth","status":%d,"time":"%s","params":[{"key":"account","value":%q},{"key":"service","value":"container_registry"}],"remote_ip":"%s","username":%q,"ua":"docker/27.5.1"}`,
			status, at.UTC().Format("2006-01-02T15:04:05.000Z"), user, client, user)})
	}
	repeat := func(from, mean time.Duration, do func(i int, at time.Time)) {
		for i, at := 0, start.Add(from); at.Before(start.Add(length)); i++ {
			do(i, at)
			at = at.Add(time.Duration((0.8 + 0.4*rnd.Float64()) * float64(mean)))
		}
	}
	repeat(0, 4940*time.Millisecond, func(_ int, at time.Time) {
		pull(at, Swarm, "GET", "/v2/", 401, "docker/27.5.1")
		pull(at, Swarm, "HEAD", "/v2/acme/shop/backend/manifests/release-42", 404, "docker/27.5.1")
		pull(at, Swarm, "GET", "/v2/acme/shop/backend/manifests/release-42", 404, "docker/27.5.1")
	})
	// Late enough that his first block does not end while the scene is still being told.
	repeat(4*time.Minute, 3*time.Second, func(i int, at time.Time) {
		token(at, Guesser, 401, []string{"root", "admin", "deploy", "gitlab", "ci"}[i%5])
	})
	repeat(0, 12*time.Second, func(i int, at time.Time) {
		pull(at, Runner, "GET", "/v2/", 401, "kaniko/1.23")
		token(at, Runner, 200, "gitlab-ci-token")
		pull(at, Runner, "GET", fmt.Sprintf("/v2/acme/shop/backend/manifests/cache-%d", i), 404, "kaniko/1.23")
		for l := range 4 {
			pull(at, Runner, "GET", fmt.Sprintf("/v2/acme/shop/backend/blobs/sha256:%064x", i*10+l), 200, "kaniko/1.23")
		}
	})
	probes := []string{"/v2/_catalog", "/v1/_ping", "/v1/search", "/.env", "/.git/config", "/metrics", "/debug/pprof/", "/wp-login.php"}
	for i, p := range probes {
		pull(start.Add(2*time.Minute+time.Duration(i)*2*time.Second), Scanner, "GET", p, 404, "zgrab/0.x")
	}
	for wait, at := 10*time.Second, start; at.Before(start.Add(length)); wait = min(2*wait, 300*time.Second) {
		pull(at, Kubelet, "HEAD", "/v2/acme/shop/worker/manifests/v2.3.1", 404, "containerd/2.0.4")
		at = at.Add(wait)
	}
	at := start.Add(30 * time.Second)
	token(at, Developer, 401, "alice")
	token(at.Add(9*time.Second), Developer, 200, "alice")
	pull(at.Add(12*time.Second), Developer, "GET", "/v2/acme/shop/backend/manifests/lastest", 404, "docker/27.5.1")
	pull(at.Add(20*time.Second), Developer, "GET", "/v2/acme/shop/backend/manifests/latest", 200, "docker/27.5.1")
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return out
}
