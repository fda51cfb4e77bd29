package daemon_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"regwarden/detector"
	"regwarden/internal/control"
)

const answered = simple + `
[answers]
unblock_url = "https://registry.example.org/unblock/{id}"
[actions.answer-files]
path = "answers"
[actions.answer-endpoint]
socket = "a"
`

// stepsRule closes the repository first, then the host, then the firewall.
const stepsRule = `summary = "test"
answer = "asked {count} times for {what}"
source = "access"
maxretry = 5
findtime = "1d"
key = ["client", "repository"]
escalate = ["1h repository", "1h host", "1h firewall"]
success_ratio = 1.0
[match]
status = 404
`

// asks the daemon's endpoint as nginx does.
func (h *host) asks(client, path string) (status int, message string) {
	h.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.path("a"))
	}}}
	r, err := http.NewRequestWithContext(h.t.Context(), "GET", "http://x/auth", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("X-Real-IP", client)
	r.Header.Set("X-Original-Method", "GET")
	r.Header.Set("X-Original-URI", path)
	response, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("X-Regwarden-Message")
}

// file says whether an answer file is there.
func (h *host) file(name string) bool {
	_, err := os.Stat(h.path("answers/" + name))
	return err == nil
}

// TestABlockGrowsFromTheRepositoryToTheHostToTheFirewall, and the client reads why until the last step; lifted, it is gone everywhere.
func TestABlockGrowsFromTheRepositoryToTheHostToTheFirewall(t *testing.T) {
	t.Parallel()
	h := newHost(t, answered, map[string]string{"steps": stepsRule})
	h.run()
	const narrow, wide = "203.0.113.7/a/b.DENIED", "203.0.113.7/DENIED"
	for step, want := range []struct {
		same, other          int
		narrow, wide, listed bool
	}{
		{403, 204, true, false, false}, {403, 403, true, true, false}, {403, 403, true, true, true},
	} {
		h.append("access.log", strings.Repeat(line("203.0.113.7"), 5))
		h.until(fmt.Sprintf("step %d is there", step), func() bool {
			status, _ := h.asks("203.0.113.7", "/v2/a/b/manifests/c")
			return status == want.same && h.file(narrow) && (!want.listed || h.listed("203.0.113.7"))
		})
		_, message := h.asks("203.0.113.7", "/v2/a/b/manifests/c")
		if !strings.HasPrefix(message, "BLOCKED until ") || !strings.Contains(message, " UTC: 203.0.113.7 asked 5 times for a/b:c. Block ") || !strings.Contains(message, ", lift it at https://registry.example.org/unblock/") {
			t.Errorf("step %d: it reads %q", step, message)
		}
		if got, _ := h.asks("203.0.113.7", "/v2/x/y/manifests/c"); got != want.other {
			t.Errorf("step %d: another repository: want %d, got %d", step, want.other, got)
		}
		if h.file(wide) != want.wide || h.listed("203.0.113.7") != want.listed {
			t.Errorf("step %d: want the host's file %v and it in the list %v, got %v and %v", step, want.wide, want.listed, h.file(wide), h.listed("203.0.113.7"))
		}
		if step == 1 { // what is told survives a crash
			h.kill(syscall.SIGKILL)
			if !h.file(narrow) || !h.file(wide) {
				t.Error("the answers went with the daemon")
			}
			h.run()
			h.until("the endpoint answers again", func() bool { status, _ := h.asks("203.0.113.7", "/v2/a/b/manifests/c"); return status == 403 })
			if _, again := h.asks("203.0.113.7", "/v2/a/b/manifests/c"); again != message {
				t.Errorf("want %q after a crash too, got %q", message, again)
			}
		}
		if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.7"}); err != nil {
			t.Fatal(err)
		}
		lifted := time.Now().Unix()
		h.until("it is lifted everywhere", func() bool {
			status, _ := h.asks("203.0.113.7", "/v2/a/b/manifests/c")
			return status == 204 && !h.file("203.0.113.7") && !h.listed("203.0.113.7")
		})
		h.until("the next second: what came before is forgiven", func() bool { return time.Now().Unix() > lifted })
	}
}

// TestAReloadTakesAnswersAway that are no longer configured, and changes what is said.
func TestAReloadTakesAnswersAway(t *testing.T) {
	t.Parallel()
	h := newHost(t, answered, map[string]string{"steps": stepsRule})
	h.run()
	if _, err := h.client.Block(t.Context(), control.BlockRequest{Target: "203.0.113.9", For: "1h", Reason: "scans us"}); err != nil {
		t.Fatal(err)
	}
	h.until("it is answered", func() bool {
		status, _ := h.asks("203.0.113.9", "/")
		return status == 403 && h.file("203.0.113.9/DENIED")
	})
	text, err := os.ReadFile(h.path("regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("regwarden.toml", strings.Replace(string(text), "[answers]\n", "[answers]\nmessage = \"say \\\"please\\\"\"\n", 1))
	if _, err := h.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "regwarden.toml:") || !strings.Contains(err.Error(), `answers.message: must not contain '"': `) {
		t.Errorf("a bad message: %v", err)
	}
	h.write("regwarden.toml", strings.NewReplacer("[answers]\n", "[answers]\nmessage = \"Retry later\"\n", "[actions.answer-files]\npath = \"answers\"\n", "").Replace(string(text)))
	if _, err := h.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.until("it reads the new text", func() bool { _, message := h.asks("203.0.113.9", "/"); return message == "Retry later" })
	if h.file("203.0.113.9") {
		t.Error("the files stay though nobody would take them away")
	}
}

// TestABlockIsNotForgottenWithTheAnswers: one that was left to them goes to all that is there when they are gone. A rule's bad words keep a reload from being
// taken over.
func TestABlockIsNotForgottenWithTheAnswers(t *testing.T) {
	t.Parallel()
	h := newHost(t, answered, map[string]string{"steps": strings.Replace(stepsRule, `"1h repository", `, "", 1)})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 5))
	h.until("it is answered", func() bool { return h.file("203.0.113.7/DENIED") })
	if h.listed("203.0.113.7") {
		t.Error("the list hides the answer")
	}
	h.write("rules.d/steps.toml", strings.Replace(stepsRule, "{what}", "{tag}", 1))
	if _, err := h.client.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "steps.toml: answer: unknown placeholder {tag}; known are {count}, {span}, {what} and {repository}") {
		t.Errorf("bad words: %v", err)
	}
	h.write("rules.d/steps.toml", stepsRule)
	text, err := os.ReadFile(h.path("regwarden.toml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("regwarden.toml", strings.NewReplacer("[actions.answer-files]\npath = \"answers\"\n", "", "[actions.answer-endpoint]\nsocket = \"a\"\n", "").Replace(string(text)))
	if _, err := h.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.until("the list has it", func() bool { return h.listed("203.0.113.7") })
}

// TestABlockNamesTheActionsThatHoldIt: a list of addresses holds no block of a repository.
func TestABlockNamesTheActionsThatHoldIt(t *testing.T) {
	t.Parallel()
	h := newHost(t, answered+"\n[actions.nginx-geo]\npath = \"geo\"\nreload = [\"/bin/true\"]\n", map[string]string{"steps": stepsRule})
	h.run()
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 5))
	h.until("it is answered", func() bool { return h.file("203.0.113.7/a/b.DENIED") })
	for name, ask := range map[string]func() ([]detector.Block, error){
		"find": func() ([]detector.Block, error) { return h.client.Find(t.Context(), "203.0.113.7") },
		"list": func() ([]detector.Block, error) { return h.client.Blocks(t.Context(), control.BlockFilter{}) },
	} {
		blocks, err := ask()
		if err != nil || len(blocks) != 1 {
			t.Fatalf("%s: %v, %v", name, blocks, err)
		}
		if held := blocks[0].Causes[0].Actions; !slices.Equal(held, []string{"answer-files", "answer-endpoint"}) {
			t.Errorf("%s: want those that hold a repository, got %v", name, held)
		}
	}
}

// TestABlockThatAnActionCannotHoldSaysSo in the answer to whoever makes it, and in what is shown of it.
func TestABlockThatAnActionCannotHoldSaysSo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		strings.Replace(simple, "[[actions.blocklist]]\npath = \"blocklist.txt\"\n", "[actions.answer-files]\npath = \"answers\"\n", 1): "nothing else does, so nobody is stopped: block parts of it, or add a firewall or actions.answer-endpoint",
		simple + "[actions.answer-files]\npath = \"answers\"\n":                                                                         "it is held by blocklist",
	} {
		h := newHost(t, text, nil)
		h.run()
		for target, warned := range map[string]bool{"2001:db8::/48": true, "2001:db8::/52": false, "198.0.0.0/11": true, "2001:db8:1::/100": true, "2001:db8:1::/116": false, "203.0.113.0/24": false} {
			done, err := h.client.Block(t.Context(), control.BlockRequest{Target: target, For: "1h", Reason: "x"})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(done.Warnings, "\n"); warned != (got != "") || warned && (!strings.HasPrefix(got, "action answer-files does not hold "+target+": it would take more than 4096 files; ") || !strings.HasSuffix(got, want)) {
				t.Errorf("%s: want it warned %v: %s, got %q", target, warned, want, got)
			}
			blocks, err := h.client.Find(t.Context(), target)
			if err != nil || len(blocks) == 0 || slices.Contains(blocks[0].Causes[0].Actions, "answer-files") == warned {
				t.Errorf("%s: %v %v", target, blocks, err)
			}
			if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: target}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestALiftBeginsANewCount, also over a crash: one more request of somebody who went on during the block does not block again.
func TestALiftBeginsANewCount(t *testing.T) {
	t.Parallel()
	h := newHost(t, answered, map[string]string{"steps": stepsRule})
	h.run()
	blocked := func() bool { return len(h.blocked()) > 0 }
	h.append("access.log", strings.Repeat(line("203.0.113.7"), 9))
	h.until("five lines block, and four more are counted", func() bool { return blocked() && h.lines() == 9 })
	if _, err := h.client.Unblock(t.Context(), control.UnblockRequest{Target: "203.0.113.7"}); err != nil {
		t.Fatal(err)
	}
	lifted := time.Now().Unix()
	h.until("the next second", func() bool { return time.Now().Unix() > lifted })
	for n, crash := range []bool{false, true, true, false} {
		if crash {
			h.kill(syscall.SIGKILL)
			h.run()
		}
		before := h.lines()
		h.append("access.log", line("203.0.113.7"))
		h.until("the line is counted", func() bool { return h.lines() > before })
		if blocked() {
			t.Fatalf("blocked again by line %d after the lift: %v", n+1, h.blocked())
		}
	}
	h.append("access.log", line("203.0.113.7"))
	h.until("the fifth blocks", blocked)
}
