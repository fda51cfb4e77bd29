package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// tell runs the whole story. Its first error ends it; what merely differs from what it should be is collected.
func (s *story) tell() error {
	if err := isolate(); err != nil {
		return err
	}
	servers, err := serve()
	s.servers = append(s.servers, servers...)
	if err != nil {
		return err
	}
	if err := s.rule(); err != nil {
		return err
	}
	if err := s.startDaemon(); err != nil {
		return err
	}
	for _, chapter := range []func() error{s.push, s.breakDeployment, s.whatClientsRead, s.oneImageOnly, s.lift, s.byHand, s.daemonAway, s.robust} {
		if err := chapter(); err != nil {
			return err
		}
	}
	return nil
}

// rule puts a faster copy of the shipped rule beside it, if it is not to be taken as it is.
func (s *story) rule() error {
	s.say("A registry with a token service, nginx with TLS before it, regwarden following nginx's log, and a swarm on `%s`. All commands are real, and so is what they print.\n", swarmV4)
	if *shippedRule {
		return os.MkdirAll(dir+"/rules.d", 0o755)
	}
	text, err := os.ReadFile(source + "/rules/missing-manifest.toml")
	if err != nil {
		return err
	}
	fast := strings.NewReplacer("maxretry = 15", "maxretry = 2", `findtime = "3m"`, `findtime = "12s"`).Replace(string(text))
	if strings.Count(fast, `"12s"`) != 1 || strings.Count(fast, "maxretry = 2\n") != 1 {
		return fmt.Errorf("rules/missing-manifest.toml has other windows than the lab knows; correct lab/story.go")
	}
	s.say("\nSo that nobody waits, the rule `missing-manifest` has windows of 12 s here (shipped: 3 min) and counts to 2 in each (15): it blocks after about 30 s, not after 7 minutes. All else is as it is shipped.\n")
	return write("rules.d/missing-manifest.toml", fast)
}

// push makes two images: a program that does nothing.
func (s *story) push() error {
	s.say("\n## An image is pushed\n")
	if out, err := exec.Command("sh", "-c", "mkdir -p "+dir+"/layer && cp "+source+"/lab/out/idle "+dir+"/layer/idle && tar -C "+dir+"/layer -cf "+dir+"/layer.tar idle").CombinedOutput(); err != nil {
		return fmt.Errorf("make an image: %w: %s", err, out)
	}
	api := registryName + "/acme/api:v1"
	if out, err := run("other", "crane", "auth", "login", registryName, "-u", pushUser, "-p", pushPassword); err != nil {
		return fmt.Errorf("crane auth login: %w: %s", err, out)
	}
	if out, err := s.show("other", "crane append --new_layer layer.tar --new_tag "+api, "crane", "append", "--new_layer", dir+"/layer.tar", "--new_tag", api); err != nil {
		return fmt.Errorf("%s", out)
	}
	if out, err := s.show("other", "crane mutate --entrypoint /idle --tag "+api+" "+api, "crane", "mutate", "--entrypoint", "/idle", "--tag", api, api); err != nil {
		return fmt.Errorf("%s", out)
	}
	for _, args := range [][]string{{"crane", "copy", api, registryName + "/acme/web:v8"}, {"crane", "pull", api, dir + "/api.tar"}} {
		if out, err := run("other", args...); err != nil {
			return fmt.Errorf("%v: %s", args, out)
		}
	}
	os.RemoveAll(dir + "/home/.docker") // the swarm has no password
	return nil
}

// breakDeployment deploys a tag that was never pushed.
func (s *story) breakDeployment() error {
	s.say("\n## A deployment whose image was never pushed\n")
	swarm, err := startSwarm(*group)
	if swarm != nil {
		s.servers = append(s.servers, swarm)
	}
	if err != nil {
		return err
	}
	begun := time.Now()
	out, err := run("swarm", "docker", "-H", "unix://"+dir+"/docker.sock", "service", "create", "--detach", "--name", "web", "--network", "host", image)
	s.say("\n```\n$ docker service create --detach --name web %s\n%s```\n", image, out)
	if err != nil {
		return fmt.Errorf("docker service create: %s", out)
	}
	patience := 3 * time.Minute
	if *shippedRule {
		patience = 15 * time.Minute
	}
	if err := waitFor("the rule blocks the swarm", patience, func() bool { return s.block() != "" }); err != nil {
		return fmt.Errorf("%w; the access log is:\n%s", err, accessLog())
	}
	waited := time.Since(begun)
	log := accessLog()
	attempts := strings.Count(asked(log, "docker/"), "GET /v2/acme/web/manifests/v9 404")
	s.say("\nThe swarm tries again and again. %v later, after %d attempts (GET) of it in nginx's log, the rule has blocked it:\n", waited.Round(time.Second), attempts)
	if _, err := s.show("", "regwarden blocks show "+swarmV4, regwarden("blocks", "show", swarmV4)...); err != nil {
		return err
	}
	return nil
}

// block is the id of the swarm's block; "" if there is none.
func (s *story) block() string {
	out, err := run("", regwarden("blocks", "show", swarmV4, "--json")...)
	if err != nil {
		return ""
	}
	id := regexp.MustCompile(`"id": ?"([0-9a-f]+)"`).FindStringSubmatch(out)
	if id == nil {
		return ""
	}
	return id[1]
}

var failedPull = regexp.MustCompile(`msg="pulling image failed" error="([^"\\]|\\.)*"`)

// whatClientsRead shows every client's own output.
func (s *story) whatClientsRead() error {
	s.say("\n## What the blocked server's clients print\n")
	id := s.block()
	s.everyClient(id)
	s.say("\ncontainerd 1.6 asks by HEAD, whose answer has no body, and gives up: it cannot show more than the status. containerd 2.4 asks by GET then and shows the text.\n")
	var line string
	err := waitFor("dockerd's log tells the reason for the swarm", 30*time.Second, func() bool {
		text, _ := os.ReadFile(dir + "/dockerd.log")
		for _, found := range failedPull.FindAllString(string(text), -1) {
			if strings.Contains(found, "BLOCKED until") && strings.Contains(found, id) {
				line = found
			}
		}
		return line != ""
	})
	if err != nil {
		return err
	}
	s.say("\nThe swarm's own attempts, in the log of dockerd:\n\n```\n%s\n```\n", line)
	s.golden("dockerd-log", normal(line)+"\n")
	tasks, err := docker("service", "ps", "web", "--no-trunc", "--format", "{{.Error}}")
	if err != nil {
		return fmt.Errorf("docker service ps: %s", tasks)
	}
	said, _, _ := strings.Cut(strings.TrimLeft(tasks, "\n"), "\n")
	s.say("\nThis Docker (20.10) tells the same in `docker service ps` for every pull that fails; from 29 on the reason stands there:\n\n```\n$ docker service ps web --no-trunc --format '{{.Error}}'\n%s\n```\n", said)
	s.golden("docker-service-ps", normal(said)+"\n")
	if parseErrors.MatchString(line + said) {
		s.fail("the swarm reports an error of its own: %s %s", line, said)
	}
	return nil
}

// token is for reading all of the lab's images.
func token() string {
	r, err := http.Get("http://127.0.0.1:5001/jwt/auth?scope=repository:acme/web:pull&scope=repository:acme/api:pull")
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	var t struct{ Token string }
	_ = json.NewDecoder(r.Body).Decode(&t)
	return t.Token
}

// get asks a front end as a host: the status, or what curl said.
func get(host string, f frontEnd, token, path string, more ...string) (status, body string) {
	file := dir + "/body"
	args := append([]string{"curl", "-sS", "-m", "3", "--cacert", dir + "/ca.crt", "-o", file, "-w", "%{http_code}", "-H", "Authorization: Bearer " + token,
		"-H", "Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"}, more...)
	os.Remove(file)
	out, _ := run(host, append(args, fmt.Sprintf("https://%s:%d%s", registryName, f.port, path))...)
	text, _ := os.ReadFile(file)
	return strings.TrimSpace(out), string(text)
}

const web, api = "/v2/acme/web/manifests/v9", "/v2/acme/api/manifests/v1"

// expect asks and says what is not as it should be.
func (s *story) expect(when, host string, f frontEnd, path, want string, more ...string) {
	if got, body := get(host, f, token(), path, more...); got != want && !(want == "no answer" && strings.HasPrefix(got, "curl: (28)")) {
		s.fail("%s: %s, %s asks for %s: want %s, got %s %s", when, f.name, host, path, want, got, body)
	}
}

// oneImageOnly shows that the block is as narrow as what the swarm asks for.
func (s *story) oneImageOnly() error {
	s.say("\n## The block is for this one image\n")
	docker("rmi", "-f", registryName+"/acme/api:v1", registryName+"/acme/web:v10")
	if out, err := s.show("swarm", "docker pull "+registryName+"/acme/api:v1", "docker", "-H", "unix://"+dir+"/docker.sock", "pull", registryName+"/acme/api:v1"); err != nil {
		s.fail("another image: %s", out)
	}
	for _, f := range frontEnds {
		s.expect("with the narrow block", "swarm", f, api, "200")
		s.expect("with the narrow block", "other", f, "/v2/acme/web/manifests/v8", "200")
		s.expect("with the narrow block", "swarm", f, web, map[bool]string{true: "403", false: "404"}[f.narrow])
	}
	s.say("\nSo it is at every front end but nginx with geo, which cannot know repositories.\n")
	return nil
}

// lift repairs the deployment, lifts the block and sees that pulls work.
func (s *story) lift() error {
	s.say("\n## The image is pushed, and the block is lifted\n")
	if out, err := run("other", "crane", "auth", "login", registryName, "-u", pushUser, "-p", pushPassword); err != nil {
		return fmt.Errorf("crane auth login: %w: %s", err, out)
	}
	if out, err := s.show("other", "crane copy "+registryName+"/acme/api:v1 "+image, "crane", "copy", registryName+"/acme/api:v1", image); err != nil {
		return fmt.Errorf("%s", out)
	}
	os.RemoveAll(dir + "/home/.docker")
	for _, f := range frontEnds {
		if f.narrow {
			s.expect("before it is lifted", "swarm", f, web, "403")
		}
	}
	if out, err := s.show("", "regwarden unblock "+swarmV4+` --reason "pushed now"`, regwarden("unblock", swarmV4, "--reason", "pushed now")...); err != nil {
		return fmt.Errorf("%s", out)
	}
	lifted := time.Now()
	if out, err := s.show("swarm", "docker pull "+image, "docker", "-H", "unix://"+dir+"/docker.sock", "pull", image); err != nil {
		s.fail("the pull after the block was lifted, begun at once: %s", out)
	}
	s.say("\nThis pull began with the unblock and was done %v after it.\n", time.Since(lifted).Round(10*time.Millisecond))
	for _, f := range frontEnds {
		s.expect("after it is lifted", "swarm", f, web, "200")
	}
	if err := waitFor("the service runs", time.Minute, func() bool {
		out, _ := docker("service", "ls", "--format", "{{.Replicas}}")
		return strings.TrimSpace(out) == "1/1"
	}); err != nil {
		return err
	}
	s.say("\nThe swarm comes up by itself:\n\n```\n$ docker service ls --format '{{.Name}} {{.Replicas}}'\nweb 1/1\n```\n")
	return nil
}

// byHand blocks the host, and its IPv6 net, and measures how soon each front end knows that it ended.
func (s *story) byHand() error {
	s.say("\n## A host block, at each front end\n")
	const v6 = "2001:db8:7:1::/64"
	neighbour := []string{"--interface", "2001:db8:7:1:ffff::9", "--connect-to", "::[2001:db8:7::1]:"}
	for _, target := range []string{swarmV4, v6} {
		if out, err := s.show("", "regwarden block "+target+` --reason "tries every password"`, regwarden("block", target, "--reason", "tries every password")...); err != nil {
			return fmt.Errorf("%s", out)
		}
	}
	for _, f := range frontEnds {
		if f.port == 443 {
			s.expect("with a host block", "swarm", f, api, "no answer") // nftables
			continue
		}
		if err := waitFor(f.name+" knows the block", 10*time.Second, func() bool { got, _ := get("swarm", f, token(), api); return got == "403" }); err != nil {
			s.fail("%v", err)
		}
		s.expect("with a host block", "swarm", f, "/v2/", "200")
		if err := waitFor(f.name+" refuses another address of the /64", 10*time.Second, func() bool { got, _ := get("swarm", f, token(), api, neighbour...); return got == "403" }); err != nil {
			s.fail("%v", err)
		}
		s.expect("with a host block", "other", f, api, "200")
		if f.port == 8443 {
			_, body := get("swarm", f, token(), api)
			s.say("\n```\n$ curl https://%s:%d%s\n%s```\n", registryName, f.port, api, body)
		}
	}
	s.say("\nPort 443 does not answer at all: a block by hand is nftables' as well here.\n")
	for _, target := range []string{swarmV4, v6} {
		if out, err := run("", regwarden("unblock", target, "--reason", "that was me")...); err != nil {
			return fmt.Errorf("%s", out)
		}
	}
	for _, f := range frontEnds { // one by one, so that no front end waits for another's turn
		if err := waitFor(f.name+" has heard of the lifts before", 15*time.Second, func() bool { got, _ := get("swarm", f, token(), api, "-m", "0.3"); return got == "200" }); err != nil {
			s.fail("%v", err)
		}
		if out, err := run("", regwarden("block", swarmV4, "--reason", "tries every password")...); err != nil {
			return fmt.Errorf("%s", out)
		}
		if err := waitFor(f.name+" knows the block", 15*time.Second, func() bool { got, _ := get("swarm", f, token(), api, "-m", "0.3"); return got != "200" }); err != nil {
			s.fail("%v", err)
		}
		if f.port == 8443 {
			time.Sleep(5 * time.Second) // the least time between two reloads of nginx; who lifts sooner waits for it
		}
		t := token()
		if out, err := run("", regwarden("unblock", swarmV4, "--reason", "that was me")...); err != nil {
			return fmt.Errorf("%s", out)
		}
		lifted := time.Now()
		if err := waitFor(f.name+" lets the client in", 10*time.Second, func() bool { got, _ := get("swarm", f, t, api, "-m", "0.3"); return got == "200" }); err != nil {
			s.fail("%v", err)
			continue
		}
		took := time.Since(lifted)
		if took > 2*time.Second {
			s.fail("%s: the next pull works %v after the unblock", f.name, took)
		}
		s.say("\n- %s: the next pull works %v after the unblock.", f.name, took.Round(10*time.Millisecond))
	}
	s.say("\n")
	return nil
}

// daemonAway stops the daemon in three ways.
func (s *story) daemonAway() error {
	s.say("\n## The daemon hangs, and dies\n")
	if out, err := run("", regwarden("block", swarmV4, "--reason", "tries every password")...); err != nil {
		return fmt.Errorf("%s", out)
	}
	known := func() error {
		for _, f := range frontEnds {
			if err := waitFor(f.name+" knows the block", 15*time.Second, func() bool { got, _ := get("swarm", f, token(), api, "-m", "1"); return got != "200" }); err != nil {
				return err
			}
		}
		return nil
	}
	if err := known(); err != nil {
		return err
	}
	away := func(how string) {
		for _, f := range frontEnds {
			innocent, blocked := "200", "403"
			switch {
			case f.port == 443:
				blocked = "no answer"
			case f.closed:
				innocent, blocked = "503", "503"
			case f.asks:
				blocked = "200"
			}
			s.expect(how, "other", f, api, innocent)
			s.expect(how, "swarm", f, api, blocked)
		}
		if _, err := os.Stat(filepath.Join("/run/regwarden/answers", swarmV4, "DENIED")); err != nil {
			s.fail("%s: the answer has gone: %v", how, err)
		}
	}
	_ = s.daemon.Process.Signal(syscall.SIGSTOP)
	away("the daemon hangs")
	_, body := get("other", frontEnds[3], token(), api)
	s.say("\nWhile it hangs (SIGSTOP) and after it was killed (SIGKILL), innocent pulls go on at every front end; files, lists and maps hold, and those that ask let everybody in. With fail_closed:\n\n```\n%s```\n", body)
	_ = s.daemon.Process.Signal(syscall.SIGCONT)
	s.daemon.stop(syscall.SIGKILL)
	away("the daemon was killed")
	if err := s.startDaemon(); err != nil {
		return err
	}
	if err := known(); err != nil {
		return err
	}
	for _, f := range frontEnds {
		if f.port != 443 {
			s.expect("the daemon is back", "swarm", f, api, "403")
		}
	}
	s.say("\nStarted again, it holds the same blocks at once.\n")
	return nil
}

// robust sends what a hostile client would, to every front end.
func (s *story) robust() error {
	s.say("\n## A hostile client\n")
	if err := exec.Command("sh", "-c", "head -c 104857600 /dev/zero > "+dir+"/big; head -c 1000000 /dev/zero | tr '\\0' x > "+dir+"/long; (printf 'X-Long: '; cat "+dir+"/long) > "+dir+"/header").Run(); err != nil {
		return err
	}
	for _, f := range frontEnds {
		if f.port == 443 {
			continue
		}
		for _, forged := range []string{"X-Forwarded-For: " + otherV4, "X-Real-IP: " + otherV4, "Forwarded: for=" + otherV4, "X-Original-URI: /", "X-Forwarded-Uri: /", "X-Forwarded-Method: OPTIONS"} {
			s.expect(forged, "swarm", f, api, "403", "-H", forged)
		}
		forged := "X-Forwarded-For: " + swarmV4
		s.expect("an innocent one with "+forged, "other", f, api, "200", "-H", forged)
		for _, odd := range []string{"/v2/acme%2fapi/manifests/v1", "/v2//acme/./api/manifests/v1", "/v2/acme/../acme/api/manifests/v1?a=/v2/"} {
			if got, _ := get("swarm", f, token(), odd, "--path-as-is"); got == "200" {
				s.fail("%s lets the blocked client in by %s", f.name, odd)
			}
		}
		if got, _ := get("swarm", f, token(), api, "-H", "@"+dir+"/header"); got == "200" {
			s.fail("%s lets the blocked client in by a header of 1 MB", f.name)
		}
		begun := time.Now()
		got, body := get("swarm", f, token(), "/v2/acme/api/blobs/uploads/1?digest=sha256:aa", "-X", "PUT", "-T", dir+"/big", "-m", "20", "--http1.1", "-w", "%{http_code} %{size_upload}")
		var status string
		var sent int
		_, _ = fmt.Sscan(got, &status, &sent)
		s.say("\n- %s: 100 MB from a blocked client: %s after %v, of which %d KiB were sent.", f.name, status, time.Since(begun).Round(10*time.Millisecond), sent>>10)
		if !strings.Contains(got, "403") || !strings.Contains(body, "BLOCKED until") {
			s.fail("%s: an upload of 100 MB: %s %s", f.name, got, body)
		}
		s.expect("afterwards", "other", f, api, "200")
	}
	s.say("\n\nForged headers, doubled slashes, climbing paths and a header of 1 MB let no blocked client in and no innocent one out.\n")
	_, err := run("", regwarden("unblock", swarmV4, "--reason", "the end")...)
	return err
}
