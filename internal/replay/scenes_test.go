package replay_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"regwarden/detector"
)

// TestOtherIncidents: made-up incidents with other addresses, rates, durations and starts give the same verdicts, so nothing is tuned to the recorded one.
func TestOtherIncidents(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			zone := time.FixedZone("", int(seed%5)*3600-7200)
			s := newScene(seed, time.Date(2026, time.Month(1+seed), 3+int(seed), int(seed*2), 57, 31, 0, zone))
			length := time.Duration(15+s.rnd.IntN(60)) * time.Minute
			v4 := func(i int) string { return fmt.Sprintf("198.51.100.%d", (int(seed)*17+i)%250+1) }
			s.swarm(v4(1), "grp/app", "rel-1", []int{1, 3, 10}[seed%3], 3+s.rnd.Float64()*7, length)
			s.anonymousSwarm(v4(2), "grp/private/api", 2.5+s.rnd.Float64()*7, length)
			s.kubelet(v4(3), "grp/worker", "v2", 1+s.rnd.IntN(20), length)
			s.guesser(v4(4), 0.4+s.rnd.Float64()*3, 30+s.rnd.IntN(60))
			s.slowGuesser(v4(5), length)
			s.scanner(fmt.Sprintf("2001:db8:%x:7:", 100+seed), true, 2.3)
			s.scanner(v4(6), false, 2.3)
			s.crawler(v4(7), 0.5+s.rnd.Float64()*4, 32+s.rnd.IntN(200))
			s.webGuesser(v4(8), 0.5+s.rnd.Float64()*4)
			s.runner(v4(9), length)
			s.developer(v4(10))
			s.exempt(v4(11), v4(12), v4(13))
			for i := range 10 {
				s.is(v4(20+i), "honest", "pulls now and then")
				s.every(300, 100, 20, s.start, length, func(at time.Time) { s.image(at, v4(20+i), "grp/app") })
			}
			files := s.write(t)
			decisions, _ := run(t, files...)
			check(t, s.want, blocked(decisions))
			if t.Failed() {
				for _, d := range decisions {
					t.Log(d.Time.Format(time.TimeOnly), d.Verb, d.Target, d.Rule, d.Reason)
				}
			}
		})
	}
}

// honest checks that a scene blocks nobody and returns the decisions.
func honest(t *testing.T, s *scene) []detector.Decision {
	t.Helper()
	decisions, _ := run(t, s.write(t)...)
	if got := blocked(decisions); len(got) > 0 {
		t.Errorf("blocked: %v", got)
		for _, d := range decisions {
			t.Log(d.Time.Format(time.TimeOnly), d.Verb, d.Target, d.Rule, d.Reason)
		}
	}
	return decisions
}

var morning = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

func TestAPullOfSixtyLayersIsHonest(t *testing.T) {
	s := newScene(1, morning)
	for i := range 60 {
		s.pull(morning.Add(time.Duration(i)*160*time.Millisecond), "203.0.113.20", "GET", "/v2/acme/big/blobs/"+s.digest(), 200, docker)
	}
	honest(t, s)
}

func TestAPushThatLooksForNinetyLayersIsHonest(t *testing.T) {
	s := newScene(1, morning)
	for i := range 90 {
		s.pull(morning.Add(time.Duration(i)*100*time.Millisecond), "203.0.113.20", "HEAD", "/v2/acme/new/blobs/"+s.digest(), 404, docker)
	}
	honest(t, s)
}

func TestFortyParallelPullsWithTheirChallengesAreHonest(t *testing.T) {
	s := newScene(1, morning)
	for i := range 40 {
		at := morning.Add(time.Duration(i) * 10 * time.Millisecond)
		s.pull(at, "203.0.113.20", "GET", "/v2/", 401, docker)
		s.pull(at, "203.0.113.21", "GET", "/v2/", 401, "containerd/2.0.4")
		s.pull(at, "203.0.113.21", "HEAD", fmt.Sprintf("/v2/acme/app-%d/manifests/latest", i), 401, "containerd/2.0.4")
	}
	honest(t, s)
}

func TestTwelveMissingTagsADayAreNoAbuse(t *testing.T) {
	s := newScene(1, morning)
	for i := range 12 {
		s.pull(morning.Add(time.Duration(i)*2*time.Hour), "203.0.113.20", "GET", fmt.Sprintf("/v2/acme/web/manifests/v%d", i), 404, docker)
	}
	honest(t, s)
}

// TestAnOutageBlocksNobody: for a while every client gets 404 and retries as its kind does; the registry is at fault.
func TestAnOutageBlocksNobody(t *testing.T) {
	for _, length := range []time.Duration{5 * time.Minute, 30 * time.Minute} {
		for _, clients := range []int{6, 40, 120} {
			if clients > 100 && length > 10*time.Minute {
				continue // it would show nothing more
			}
			t.Run(fmt.Sprintf("%d clients for %v", clients, length), func(t *testing.T) {
				t.Parallel()
				s := newScene(uint64(clients), morning)
				for c := range clients {
					client := fmt.Sprintf("203.0.%d.%d", 113-c/200, c%200+1)
					s.every(60, 20, 5, morning.Add(-30*time.Minute), 30*time.Minute, func(at time.Time) { s.image(at, client, "acme/web") })
					s.every(5, 1, 1, morning, length, func(at time.Time) {
						for r := range 10 { // an orchestrator asks for all its images again and again
							s.pull(at, client, "GET", fmt.Sprintf("/v2/acme/app-%d/manifests/v%d", (c+r)%60, r), 404, docker)
						}
						s.pull(at, client, "GET", "/v2/acme/web/manifests/latest", 404, docker)
					})
				}
				spared := map[string]int{}
				for _, d := range honest(t, s) {
					if d.Verb == detector.VerbSpared {
						spared[d.Guard]++
					}
				}
				if spared[detector.GuardStorm] == 0 {
					t.Errorf("want the storm guard to say so, got %v", spared)
				}
			})
		}
	}
}

// TestACrowdIsSpared: 200 honest users behind one address, and one broken deployment among them.
func TestACrowdIsSpared(t *testing.T) {
	s := newScene(3, morning)
	const nat = "203.0.113.99"
	for range 200 {
		from := morning.Add(time.Duration(s.rnd.IntN(600)) * time.Second)
		s.every(240, 60, 10, from, 40*time.Minute, func(at time.Time) { s.image(at, nat, fmt.Sprintf("acme/app-%d", s.rnd.IntN(40))) })
	}
	s.swarm(nat, "acme/broken", "v0", 1, 4.94, 40*time.Minute)
	spared := 0
	for _, d := range honest(t, s) {
		if d.Verb == detector.VerbSpared && d.Rule == "missing-manifest" && (d.Guard == detector.GuardCrowd || d.Guard == detector.GuardProxy) {
			spared++
			t.Log(d.Reason)
		}
	}
	if spared == 0 {
		t.Error("nothing says that the crowd was spared, and why")
	}
}

// verdicts replays a scene and says how many of the clients are blocked at the end, and how many decisions were spared by the storm guard.
func verdicts(t *testing.T, s *scene, clients []string) (hit, storms int) {
	t.Helper()
	decisions, _ := run(t, s.write(t)...)
	got := blocked(decisions)
	for _, c := range clients {
		if len(got[detector.DefaultMask.Target(netip.MustParseAddr(c))]) > 0 {
			hit++
		}
	}
	for _, d := range decisions {
		if d.Guard == detector.GuardStorm {
			storms++
		}
	}
	return hit, storms
}

func clientsOf(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i+1))
	}
	return list
}

// TestAnOutageOfTheRegistryIsSeenThroughABusyWebSite: people on the web pages are no sign that the registry serves anybody.
func TestAnOutageOfTheRegistryIsSeenThroughABusyWebSite(t *testing.T) {
	for _, n := range []int{3, 6, 10, 29} {
		s := newScene(uint64(n), morning)
		clients := clientsOf("203.0.113.%d", n)
		for i, c := range clients {
			s.every(60, 20, 5, morning.Add(-30*time.Minute), 30*time.Minute, func(at time.Time) { s.image(at, c, "acme/web") })
			s.every(5, 1, 1, morning, 30*time.Minute, func(at time.Time) {
				s.pull(at, c, "GET", fmt.Sprintf("/v2/acme/app-%d/manifests/latest", i%9), 404, docker)
			})
		}
		for _, c := range clientsOf("198.51.100.%d", 100) {
			s.every(20, 5, 1, morning.Add(-30*time.Minute), time.Hour, func(at time.Time) {
				s.add(rails, at, fmt.Sprintf(`{"method":"GET","path":"/acme/web","controller":"ProjectsController","action":"show","status":200,"time":"%s","params":[],"remote_ip":"%s","ua":"Mozilla/5.0"}`, at.UTC().Format("2006-01-02T15:04:05.000Z"), c))
			})
		}
		if hit, storms := verdicts(t, s, clients); hit > 0 || storms == 0 {
			t.Errorf("%d clients: %d blocked, %d spared by the storm guard", n, hit, storms)
		}
	}
}

// TestABrokenDeploymentOnSeveralNodesIsNoOutage as long as others are served.
func TestABrokenDeploymentOnSeveralNodesIsNoOutage(t *testing.T) {
	for nodes, healthy := range map[int]int{6: 5, 9: 8, 12: 10} {
		s := newScene(uint64(nodes), morning)
		swarm := clientsOf("203.0.113.%d", nodes)
		for _, c := range swarm {
			s.image(morning.Add(-time.Minute), c, "acme/other")
			s.swarm(c, "acme/shop", "v42", 1, 4.94, 20*time.Minute)
		}
		for _, c := range clientsOf("198.51.100.%d", healthy) {
			s.every(120, 30, 5, morning.Add(-10*time.Minute), 30*time.Minute, func(at time.Time) { s.image(at, c, "acme/web") })
		}
		if hit, storms := verdicts(t, s, swarm); hit != nodes || storms > 0 {
			t.Errorf("%d nodes beside %d healthy clients: %d blocked, %d spared by the storm guard", nodes, healthy, hit, storms)
		}
	}
}

// TestManyGuessersAreNoOutage: neither over ssh, where the registry has no say, nor at the token service while others get their tokens.
func TestManyGuessersAreNoOutage(t *testing.T) {
	s := newScene(1, morning)
	bots := clientsOf("203.0.113.%d", 20)
	for _, c := range bots {
		s.every(10, 2, 1, morning, time.Hour, func(at time.Time) {
			s.add("auth.log", at, fmt.Sprintf("%s vm sshd[1]: Failed password for root from %s port 4242 ssh2", at.UTC().Format("2006-01-02T15:04:05.000000+00:00"), c))
		})
	}
	if hit, storms := verdicts(t, s, bots); hit != len(bots) || storms > 0 {
		t.Errorf("ssh: %d of %d blocked, %d spared by the storm guard", hit, len(bots), storms)
	}
	s = newScene(2, morning)
	guessers := clientsOf("203.0.113.%d", 8)
	for _, c := range guessers {
		s.guesser(c, 1.5, 60)
	}
	for _, c := range clientsOf("198.51.100.%d", 5) {
		s.every(120, 30, 5, morning.Add(-10*time.Minute), 30*time.Minute, func(at time.Time) { s.token(at, c, 200, "alice", "acme/web") })
	}
	if hit, storms := verdicts(t, s, guessers); hit != len(guessers) || storms > 0 {
		t.Errorf("tokens: %d of %d blocked, %d spared by the storm guard", hit, len(guessers), storms)
	}
}

// TestABlockedClientCannotClearItsCounts with the ping that the front end answers to it: any password gets 200 there, and the log has its user. The lines are nginx's own.
func TestABlockedClientCannotClearItsCounts(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		s := newScene(1, morning)
		line := func(at time.Duration, user, request string, status, size int) {
			s.add(access, morning.Add(at), fmt.Sprintf(`203.0.113.8 - %s [%s] "%s HTTP/1.1" %d %d "-" "%s"`, user, morning.Add(at).Format("02/Jan/2006:15:04:05 -0700"), request, status, size, docker))
		}
		if blocked { // by registry-scan, for an hour
			for i, path := range []string{"/v1/_ping", "/.env", "/.git/config", "/wp-login.php", "/metrics", "/actuator/env", "/server-status"} {
				line(time.Duration(i)*time.Second, "-", "GET "+path, 404, 153)
			}
		}
		for i := range 300 { // where the front end does not answer it, such as another server of the same nginx
			line(time.Minute+time.Duration(i)*2*time.Second, "admin", "GET /v2/", 401, 179)
			if i%20 == 0 {
				line(time.Minute+time.Duration(i)*2*time.Second, "made-up", "GET /v2/", 200, 2)
			}
		}
		decisions, _ := run(t, s.write(t)...)
		guessed := slices.ContainsFunc(decisions, func(d detector.Decision) bool { return d.Rule == "basic-auth-guessing" && d.Verb == detector.VerbBlock })
		if guessed != blocked {
			t.Errorf("blocked %v: want its guesses counted: %v, got %v", blocked, blocked, guessed)
		}
	}
}
