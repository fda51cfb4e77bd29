package daemon_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rotations are the ways in which a log is rotated, by somebody who loses no line himself.
var rotations = map[string]func(h *host, n int) error{
	"renamed": func(h *host, n int) error {
		return os.Rename(h.path("access.log"), h.path(fmt.Sprintf("access.log.%d", n)))
	},
	"renamed and compressed": func(h *host, n int) error {
		old := h.path(fmt.Sprintf("access.log.%d", n))
		if err := os.Rename(h.path("access.log"), old); err != nil {
			return err
		}
		return compress(old)
	},
	"copied and truncated": func(h *host, n int) error {
		from, err := os.ReadFile(h.path("access.log"))
		if err == nil {
			err = os.WriteFile(h.path(fmt.Sprintf("access.log.%d", n)), from, 0o600)
		}
		if err != nil {
			return err
		}
		return os.Truncate(h.path("access.log"), 0)
	},
	"linked anew": func(h *host, n int) error {
		target := fmt.Sprintf("access-20261105-%04d.log", n)
		h.append(target, "")
		os.Remove(h.path("next"))
		if err := os.Symlink(target, h.path("next")); err != nil {
			return err
		}
		return os.Rename(h.path("next"), h.path("access.log"))
	},
}

func compress(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path + ".gz")
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Remove(path)
}

// TestEveryLineCountsOnce: lines are written while the log is rotated 20 times and the daemon is stopped and killed ten times. Every client has exactly as
// many lines as one rule wants, and one fewer than another rule wants: a lost line leaves somebody free, a doubled one shows in the other rule.
func TestEveryLineCountsOnce(t *testing.T) {
	clients, each := 100, 200
	if os.Getenv("REGWARDEN_STRESS") != "" {
		clients, each = 200, 1000
	} else {
		t.Log("with REGWARDEN_STRESS=1 this writes 200,000 lines a way of rotation; make test does")
	}
	for way, rotate := range rotations {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, strings.Replace(simple, `disable = [`, `disable = ["unauthorized-storm", `, 1),
				map[string]string{"exact": countRule(each), "over": countRule(each + 1)})
			if way == "linked anew" {
				h.append("access-20261105-0000.log", "")
				if err := os.Symlink("access-20261105-0000.log", h.path("access.log")); err != nil {
					t.Fatal(err)
				}
			}
			h.run()
			h.append("access.log", line("203.0.113.200")) // what is rotated away before it was ever seen cannot be found again
			h.until("the log is read", func() bool { return h.lines() == 1 })
			h.storm(rotate, clients, each)
			total := uint64(clients*each) + 1
			h.until("every line is counted", func() bool { return h.lines() >= total })
			if n := h.lines(); n != total {
				t.Errorf("%d lines were written and %d counted", total, n)
			}
			exact, over := 0, 0
			for _, rules := range h.blocked() {
				exact += strings.Count(rules, "exact")
				over += strings.Count(rules, "over")
			}
			if exact != clients || over != 0 {
				t.Errorf("%d of %d clients have all their lines, %d have more", exact, clients, over)
			}
		})
	}
}

// storm writes each client's lines in random order and pieces, and meanwhile rotates the log 20 times and stops the daemon 10 times.
func (h *host) storm(rotate func(*host, int) error, clients, each int) {
	h.t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	order := rnd.Perm(clients * each)
	piece := len(order) / 200
	for step := range 200 {
		var b strings.Builder
		for _, n := range order[step*piece : (step+1)*piece] {
			b.WriteString(line(fmt.Sprintf("198.51.100.%d", n%clients+1)))
		}
		text := b.String()
		cut := rnd.IntN(len(text)) // in two writes, so that a reader sees half a line
		h.append("access.log", text[:cut])
		if step%20 == 13 {
			sig := syscall.SIGKILL
			if step%40 == 13 {
				sig = syscall.SIGTERM
			}
			h.kill(sig)
		}
		h.append("access.log", text[cut:])
		if step%10 == 7 {
			h.nextTick()
			if err := rotate(h, step/10+1); err != nil {
				h.t.Fatal(err)
			}
		}
		if step%20 == 18 && h.cmd == nil {
			h.run()
		}
	}
	if h.cmd == nil {
		h.run()
	}
	h.append("access.log", "")
}

// nextTick returns when the file system's clock has moved on: files that are written and renamed within one of its ticks (up to 10 ms) have no order
// that anybody could find again.
func (h *host) nextTick() {
	h.t.Helper()
	stamp := func() time.Time {
		h.append("tick", ".")
		info, err := os.Stat(h.path("tick"))
		if err != nil {
			h.t.Fatal(err)
		}
		return info.ModTime()
	}
	first := stamp()
	h.until("the file system's clock ticks", func() bool { return stamp().After(first) })
}
