package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// agents are the user agents of honest clients, by how often they are seen with a registry.
var agents = []string{
	"docker/27.5.1 go/go1.22.11 git-commit/4c9b3b0 kernel/6.1.0-35-amd64 os/linux arch/amd64 UpstreamClient(Docker-Client/27.5.1 (linux))",
	"containerd/v1.7.24", "containerd/v2.0.1", "cri-o/1.31.3", "kaniko/v1.23.2", "containers/5.33.0 (github.com/containers/image)",
	"buildkit/v0.18", "Go-http-client/1.1", "skopeo/1.9.3", "curl/8.5.0",
}

// doors are what a scanner tries one after the other; the rule registry-scan is about these.
var doors = []struct {
	path   string
	status int
}{
	{"/v2/_catalog", 401}, {"/.env", 404}, {"/.git/config", 404}, {"/wp-login.php", 404}, {"/v1/_ping", 404}, {"/actuator/health", 404}, {"/metrics", 403},
	{"/server-status", 403}, {"/phpmyadmin/", 404}, {"/debug/pprof", 404}, {"/.aws/credentials", 404}, {"/api/v2.0/systeminfo", 404}, {"/config.json", 404},
	{"/manager/html", 404}, {"/.ssh/id_rsa", 404}, {"/cgi-bin/luci", 404}, {"/xmlrpc.php", 404}, {"/solr/admin", 404}, {"/jenkins/login", 404}, {"/.svn/entries", 404},
}

func repository(rnd *rand.Rand) string {
	return fmt.Sprintf("group-%d/project-%d/image", rnd.IntN(40), rnd.IntN(20))
}

// ask makes up what a client asks of a registry. An abuser tries well-known doors and missing tags by turns. The honest are told 401 on /v2/, as a
// client's first step is, and 404 when they look for a layer before they push it; no manifest is missing.
func ask(rnd *rand.Rand, r request) (method, path string, status, bytes int) {
	if r.attempt > 0 {
		if r.attempt%2 == 0 {
			return "GET", fmt.Sprintf("/v2/%s/manifests/v%d", repository(rnd), r.attempt), 404, 93
		}
		d := doors[r.attempt/2%len(doors)]
		return "GET", d.path, d.status, 19
	}
	switch n := rnd.IntN(100); {
	case n < 26:
		return "GET", "/v2/", 401, 87
	case n < 57:
		return []string{"GET", "HEAD"}[n&1], fmt.Sprintf("/v2/%s/manifests/v%d", repository(rnd), rnd.IntN(50)), 200, 1000 + rnd.IntN(2000)
	case n < 61:
		return "HEAD", blob(rnd), 404, 0
	case n < 75:
		return "GET", blob(rnd), 307, 0
	}
	return "GET", blob(rnd), 200, rnd.IntN(50_000_000)
}

func blob(rnd *rand.Rand) string {
	return fmt.Sprintf("/v2/%s/blobs/sha256:%016x%016x%016x%016x", repository(rnd), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
}

func agent(rnd *rand.Rand, r request) string {
	if r.attempt > 0 {
		return "python-requests/2.31"
	}
	return agents[rnd.IntN(10)*rnd.IntN(10)/9]
}

// nginxLine is about 200 bytes: nginx's "combined".
func nginxLine(w *bufio.Writer, rnd *rand.Rand, r request) {
	method, path, status, bytes := ask(rnd, r)
	fmt.Fprintf(w, "%s - - [%s] \"%s %s HTTP/1.1\" %d %d \"-\" \"%s\"\n", r.client, r.at.Format("02/Jan/2006:15:04:05 -0700"), method, path, status, bytes, agent(rnd, r))
}

// registryLine is about 509 bytes, as GitLab's registry writes its access lines: the client is remote_addr, with its port.
func registryLine(w *bufio.Writer, rnd *rand.Rand, r request) {
	method, path, status, bytes := ask(rnd, r)
	peer := net.JoinHostPort(r.client, strconv.Itoa(1024+rnd.IntN(60_000)))
	fmt.Fprintf(w, `{"content_type":"application/json","correlation_id":"%s","duration_ms":%d,"host":"registry","level":"info","method":%q,"msg":"access","proto":"HTTP/1.1","read_bytes":%d,"referrer":"","remote_addr":%q,"remote_ip":%q,"status":%d,"system":"http","time":%q,"ttfb_ms":%d,"uri":%q,"user_agent":%q,"written_bytes":%d}`+"\n",
		correlation(rnd), rnd.IntN(400), method, rnd.IntN(900), peer, r.client, status, r.at.Format("2006-01-02T15:04:05.000Z"), rnd.IntN(300), path, agent(rnd, r), bytes)
}

func correlation(rnd *rand.Rand) string { return fmt.Sprintf("01M7ZM%020X", rnd.Uint64()) }
