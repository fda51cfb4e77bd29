package reference

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"regwarden/detector"
)

// request is what one client does at one time; each log writes it in its own way.
type request struct {
	at                  time.Time
	client, method, uri string
	operation           string // ping, manifest, blob, upload, tags, token, web, login, git, api, scan, ssh
	status              int
	user, agent         string
	repository          string
}

// maker makes up requests and lines from a seed.
type maker struct {
	*rand.Rand
	honest *rand.Zipf
	start  time.Time
	length time.Duration
	// abusers is how many addresses most of the abuse comes from.
	abusers int
	// sorts are the sorts of abuse that there are.
	sorts []string
	made  []request
	// sample are events that the logs have, for the rules to be like; like is the one that the present conditions follow.
	sample []*detector.Event
	like   *facts
}

func newMaker(seed uint64, start time.Time, length time.Duration) *maker {
	rnd := rand.New(rand.NewPCG(seed, 17))
	return &maker{Rand: rnd, honest: rand.NewZipf(rnd, 1.1, 8, 299), start: start, length: length, abusers: 180, sorts: allSorts}
}

func pick[T any](m *maker, from ...T) T { return from[m.IntN(len(from))] }

func (m *maker) chance(percent float64) bool { return m.Float64()*100 < percent }

func (m *maker) some(from, to time.Duration) time.Duration {
	return from + time.Duration(m.Int64N(int64(to-from)+1))
}

var (
	repositories = []string{"acme/web", "acme/shop/backend", "grp/app", "grp/private/api", "a/b", "library/nginx", "x%2Fy/z", "caf%C3%A9/app", "b%ffd/app", "api"}
	users        = []string{"alice", "bob", "root", "deploy", "gitlab-ci-token", "", "", "admin", "k8s-pull"}
	agents       = []string{"docker/27.5.1 go/go1.22.11 os/linux", "containerd/2.0.4", "curl/8.5.0", ""}
	weak         = []string{"/v2/_catalog", "/.env", "/.git/config", "/metrics", "/wp-login.php", "/v1/_ping", "/debug/pprof/", "/config.json", "/solr/admin", "/a/.ssh/id_rsa"}
)

// honestClient is one of a few hundred, the first of them much more often than the last.
func (m *maker) honestClient() string {
	if n := m.honest.Uint64(); n < 240 {
		return fmt.Sprintf("198.51.100.%d", n+1)
	} else {
		return fmt.Sprintf("2001:db8:%x:%x::%x", n/16, n%16, m.IntN(9)+1)
	}
}

// abuser is one of fewer, some in one IPv6 network.
func (m *maker) abuser() string {
	n := m.IntN(240)
	switch {
	case n < 180:
		return fmt.Sprintf("203.0.113.%d", n%m.abusers+1)
	case n < 220:
		return fmt.Sprintf("2001:db8:bad:%x::%x", n%m.abusers, m.IntN(3)+1)
	}
	return pick(m, "203.0.113.7", "192.0.2.7", "10.1.2.3", "127.0.0.1", "2001:db8:77::1", "100.64.1.1")
}

func (m *maker) add(r request) { m.made = append(m.made, r) }

// every repeats something at about the given pace for a while.
func (m *maker) every(pace, length time.Duration, do func(at time.Time)) {
	from := m.start.Add(m.some(0, m.length))
	for at := from; at.Before(from.Add(length)); at = at.Add(m.some(pace/2, pace*3/2)) {
		do(at)
	}
}

func (m *maker) digest() string { return fmt.Sprintf("sha256:%064x", m.Uint64()) }

// pull is what an honest client does.
func (m *maker) pull(at time.Time, client string) {
	repository, agent := pick(m, repositories...), pick(m, agents...)
	r := request{at: at, client: client, method: "GET", agent: agent, repository: repository, status: 200, user: pick(m, users...)}
	switch m.IntN(8) {
	case 0:
		r.operation, r.uri, r.status = "ping", "/v2/", pick(m, 401, 401, 200)
	case 1:
		r.operation, r.uri = "token", "/jwt/auth?service=container_registry&scope=repository:"+repository+":pull"
	case 2, 3:
		r.operation, r.uri, r.method = "manifest", "/v2/"+repository+"/manifests/"+pick(m, "latest", "v1", m.digest()), pick(m, "GET", "HEAD")
	case 4:
		r.operation, r.uri, r.method, r.status = "blob", "/v2/"+repository+"/blobs/"+m.digest(), "HEAD", pick(m, 404, 404, 200)
	case 5:
		r.operation, r.uri, r.method, r.status = "upload", "/v2/"+repository+"/blobs/uploads/", "POST", 202
	case 6:
		r.operation, r.uri = "web", "/"+repository+"/-/tree/main"
	case 7:
		r.operation, r.uri = "blob", "/v2/"+repository+"/blobs/"+m.digest()
	}
	if m.chance(4) {
		r.status = pick(m, 404, 403, 500, 502, 429, 301, 499)
	}
	m.add(r)
}

// The sorts of abuse that abuse knows, and those that an access log shows.
var (
	allSorts    = append(accessSorts, "denied", "users", "password", "login", "ssh")
	accessSorts = []string{"swarm", "swarm", "swarm", "scan", "throttled", "tags", "repositories", "unauthorized"}
)

// abuse is one client that goes on with one thing, up to the given number of times.
func (m *maker) abuse(most int) {
	client, repository, tag, agent, user := m.abuser(), pick(m, repositories...), pick(m, "v9", "rel-1", "missing"), pick(m, agents...), pick(m, users...)
	pace := m.some(200*time.Millisecond, 10*time.Second)
	length := pace * time.Duration(10+m.IntN(most))
	do := func(method, operation, uri string, status int) func(time.Time) {
		return func(at time.Time) {
			r := request{at: at, client: client, method: method, uri: uri, operation: operation, status: status, agent: agent, repository: repository, user: user}
			switch m.IntN(60) {
			case 0:
				r.status = pick(m, 200, 302, 401, 404, 403)
			case 1:
				r.client = m.abuser()
			case 2:
				r.user = pick(m, users...)
			}
			m.add(r)
		}
	}
	denied := "/jwt/auth?service=container_registry&scope=repository:" + repository + ":pull"
	switch pick(m, m.sorts...) {
	case "swarm": // asks twice an attempt
		head, get := do("HEAD", "manifest", "/v2/"+repository+"/manifests/"+tag, 404), do("GET", "manifest", "/v2/"+repository+"/manifests/"+tag, 404)
		m.every(pace, length, func(at time.Time) { head(at); get(at.Add(m.some(0, 3*time.Second))) })
	case "denied":
		m.every(pace, length, do("GET", "token", denied, 403))
	case "users":
		m.every(pace, length, func(at time.Time) {
			user = fmt.Sprint(pick(m, users...), m.IntN(20))
			do("GET", "token", denied, 401)(at)
		})
	case "password":
		m.every(pace, length, do("GET", "token", denied, 401))
	case "scan":
		m.every(pace, length/4, func(at time.Time) {
			do("GET", "scan", pick(m, weak...)+pick(m, "", "?a=b"), pick(m, 404, 403, 401))(at)
		})
	case "throttled":
		m.every(pace, length, do("GET", "web", "/"+repository+"/-/tree/main?page=2", 429))
	case "login":
		m.every(pace, length, do("POST", "login", "/users/sign_in", pick(m, 0, 401, 200)))
	case "tags": // one after the other
		m.every(pace/4, length, func(at time.Time) {
			tag = fmt.Sprint("t", m.IntN(400))
			do("GET", "manifest", "/v2/"+repository+"/manifests/"+tag, 404)(at)
		})
	case "repositories": // one after the other
		operation, format, status := "token", "/jwt/auth?scope=repository:%s:pull", 403
		if m.chance(50) {
			operation, format, status = "manifest", "/v2/%s/manifests/latest", 404
		}
		m.every(pace/4, length, func(at time.Time) {
			repository = fmt.Sprint("grp/p", m.IntN(400))
			do("GET", operation, fmt.Sprintf(format, repository), status)(at)
		})
	case "ssh":
		m.every(pace, length, do("GET", "ssh", "", pick(m, 401, 401, 499, 404)))
	case "unauthorized":
		m.every(pace, length, do("GET", pick(m, "manifest", "tags"), "/v2/"+repository+pick(m, "/manifests/", "/referrers/")+tag, 401))
	}
}

// crowd is one address with many users, behind a proxy with very many agents.
func (m *maker) crowd(length time.Duration) {
	client, proxy := m.abuser(), m.chance(40)
	m.every(2*time.Second, length, func(at time.Time) {
		before := len(m.made)
		m.pull(at, client)
		if proxy {
			m.made[before].agent = fmt.Sprint("tool/", m.IntN(200))
		}
	})
}

// outage lets what was made so far fail for a while.
func (m *maker) outage(length time.Duration) {
	from, status := m.start.Add(m.some(0, m.length)), pick(m, 404, 500, 403)
	for i := range m.made {
		if r := &m.made[i]; r.at.After(from) && r.at.Before(from.Add(length)) && r.operation != "ping" && m.chance(95) {
			r.status = status
		}
	}
}

// requests returns about n requests in order of time; late of a hundred stand a few seconds too late.
func (m *maker) requests(n int, late float64) []request {
	m.made = nil
	for range n / 3 {
		m.pull(m.start.Add(m.some(0, m.length)), m.honestClient())
	}
	for m.chance(70) {
		m.outage(m.some(m.length/20, m.length/5))
	}
	for len(m.made) < n {
		if m.chance(8) {
			m.crowd(m.length / 4)
		} else {
			m.abuse(max(n/200, 20))
		}
	}
	slices.SortStableFunc(m.made, func(a, b request) int { return a.at.Compare(b.at) })
	m.made = m.made[:n]
	for i := range m.made {
		if m.chance(late) {
			m.made[i].at = m.made[i].at.Add(-m.some(0, 20*time.Second))
		}
	}
	return m.made
}
