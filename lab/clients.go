package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const image = registryName + "/acme/web:v9"

// attempt is a command of a blocked client, in whose golden file stand its words and its requests.
type attempt struct {
	name  string
	agent string // what the user agent of its requests has in it
	typed string
	args  []string
	// shows says that the client can show the text; the others are those that are too old for it.
	shows bool
}

func attempts() []attempt {
	docker := []string{"docker", "-H", "unix://" + dir + "/docker.sock"}
	return []attempt{
		{"docker-pull", "UpstreamClient(Docker-Client", "docker pull " + image, append(docker, "pull", image), true},
		{"docker-build", "UpstreamClient(Docker-Client", "echo FROM " + image + " | docker build -", []string{"sh", "-c", "echo FROM " + image + " | DOCKER_BUILDKIT=0 docker -H unix://" + dir + "/docker.sock build -q -"}, true},
		{"docker-push", "UpstreamClient(Docker-Client", "docker push " + registryName + "/acme/web:v10", append(docker, "push", registryName+"/acme/web:v10"), true},
		{"containerd", "containerd/", "ctr images pull " + image, []string{"ctr", "-a", dir + "/exec/containerd/containerd.sock", "-n", "lab", "images", "pull", "--snapshotter", "native", image}, false},
		{"skopeo", "skopeo/", "skopeo inspect docker://" + image, []string{"skopeo", "--insecure-policy", "inspect", "docker://" + image}, true},
		{"skopeo-push", "skopeo/", "skopeo copy docker-archive:api.tar docker://" + registryName + "/acme/web:v10", []string{"skopeo", "--insecure-policy", "copy", "-q", "docker-archive:" + dir + "/api.tar", "docker://" + registryName + "/acme/web:v10"}, true},
		{"crane", "crane/", "crane manifest " + image, []string{"crane", "manifest", image}, true},
		{"crane-digest", "crane/", "crane digest " + image, []string{"crane", "digest", image}, true},
		{"crane-push", "crane/", "crane push api.tar " + registryName + "/acme/web:v10", []string{"crane", "push", dir + "/api.tar", registryName + "/acme/web:v10"}, true},
		{"curl", "curl/", "curl https://" + registryName + "/v2/acme/web/manifests/v9", []string{"curl", "-sS", "https://" + registryName + "/v2/acme/web/manifests/v9", "--cacert", dir + "/ca.crt"}, true},
	}
}

var (
	varying = []struct {
		pattern *regexp.Regexp
		by      string
	}{
		{regexp.MustCompile(`20\d\d-\d\d-\d\d \d\d:\d\d UTC`), "TIME"},
		{regexp.MustCompile(`20\d\d[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
		{regexp.MustCompile(`asked \d+ times`), "asked N times"},
		{regexp.MustCompile(`(Block |unblock/|block_id[":]+)[0-9a-f]{8,}`), "${1}ID"},
		{regexp.MustCompile(`(elapsed|time): [0-9.]+ ?m?s|total: .*`), "..."},
		{regexp.MustCompile(`sha256:[0-9a-f]{12,64}`), "sha256:DIGEST"},
		{regexp.MustCompile(`\b[0-9a-f]{12}: (Preparing|Waiting|Layer already exists)`), "LAYER: $1"},
		{regexp.MustCompile(`blobs/uploads/[0-9a-f-]{36}`), "blobs/uploads/UUID"},
	}
	parseErrors = regexp.MustCompile(`(?i)invalid character|parsing HTTP|unmarshal|unexpected end|unknown:`)
)

// normal takes out what differs from run to run.
func normal(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.by)
	}
	return text
}

// golden holds a text against its file.
func (s *story) golden(name, got string) {
	file := filepath.Join(source, "lab/testdata", name+".txt")
	if *update {
		if err := write(file, got); err != nil {
			s.fail("%v", err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.fail("%v; if it is right so, run: lab/run -update", err)
		return
	}
	if string(want) != got {
		s.fail("%s: want\n%s\ngot\n%s\nif it is right so, run: lab/run -update", file, want, got)
	}
}

// everyClient lets each client run into the block once.
func (s *story) everyClient(id string) {
	for _, a := range attempts() {
		if a.name == "docker-push" { // the swarm has an image under that name
			for _, args := range [][]string{{"pull", "-q", registryName + "/acme/api:v1"}, {"tag", registryName + "/acme/api:v1", registryName + "/acme/web:v10"}} {
				if out, err := docker(args...); err != nil {
					s.fail("docker %v: %v: %s", args, err, out)
				}
			}
		}
		before := len(accessLog())
		out, err := run("swarm", a.args...)
		out = strings.ReplaceAll(out, dir+"/", "")
		requests := asked(accessLog()[before:], a.agent)
		s.say("\n```\n$ %s\n%s```\n", a.typed, ensureLine(out))
		if err == nil && a.name != "curl" {
			s.fail("%s was not refused: %s", a.typed, out)
		}
		if shows := strings.Contains(out, "BLOCKED until 20") && strings.Contains(out, id); shows != a.shows {
			s.fail("%s: shows the reason, the end and the id: %v, want %v: %s", a.typed, shows, a.shows, out)
		}
		if parseErrors.MatchString(out) {
			s.fail("%s: an error of its own: %s", a.typed, out)
		}
		refused := map[string]int{}
		for line := range strings.Lines(requests) {
			if strings.Contains(line, " 403") {
				refused[line]++
			}
		}
		for line, n := range refused {
			// A push begins an upload for each of its two blobs, or for one after it was not allowed to take the blob from another repository.
			if n > 1 && (n > 2 || !strings.HasPrefix(line, "POST ")) {
				s.fail("%s asks again: %s", a.typed, requests)
			}
		}
		if requests == "" {
			s.fail("%s: no request of it is in the log", a.typed)
		}
		if len(refused) == 0 {
			s.fail("%s: none of its requests was refused: %s", a.typed, requests)
		}
		if strings.HasSuffix(a.name, "-push") {
			requests = strings.Join(slices.Compact(slices.Sorted(strings.Lines(normal(requests)))), "") // several at once
		}
		s.golden(a.name, fmt.Sprintf("$ %s\n%s\nrequests:\n%s", a.typed, normal(ensureLine(out)), normal(requests)))
	}
}
