package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
)

func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.Out, format+"\n", args...)
}

func (d *demo) greet(c *config.Config) {
	d.say(`regwarden demo: a registry's last ten minutes, told in half a minute. Nobody is really blocked; no root is needed.

  %-18s a swarm asks every 5 s for acme/shop/backend:release-42, which was never pushed
  %-18s somebody guesses passwords
  %-18s somebody probes for weak spots
  %-18s a developer who mistypes a password and a tag     (honest)
  %-18s a CI runner whose cache images are not there yet  (honest)
  %-18s a kubelet that backs off                          (honest)

  logs and blocklist are in %s
  the project page is at    http://%s
`, Swarm, Guesser, Scanner, Developer, Runner, Kubelet, filepath.Dir(c.Path), d.page)
}

// tell shows what is decided as it happens, and what to try once the swarm is blocked.
func (d *demo) tell(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last, suggested := int64(0), false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		entries, err := d.client.History(ctx, control.HistoryFilter{Limit: 50})
		if err != nil {
			continue
		}
		for i := len(entries) - 1; i >= 0; i-- {
			e := entries[i]
			if e.ID <= last {
				continue
			}
			last = e.ID
			d.event(e)
			if e.Target.Addr().String() == Swarm && !suggested {
				suggested = true
				d.suggest()
			}
		}
	}
}

// event shows one change.
func (d *demo) event(e control.HistoryEntry) {
	target := e.Target.String()
	if e.Target.IsSingleIP() {
		target = e.Target.Addr().String()
	}
	switch e.Verb {
	case detector.ChangeBlock, detector.ChangeExtend:
		d.say("%s  BLOCKED   %-18s by %s, until %s\n                    %s", e.Time.Local().Format(time.TimeOnly), target, e.Cause.Rule,
			e.Cause.Until.Local().Format(time.TimeOnly), e.Cause.Reason)
	case detector.ChangeUnblock, detector.ChangeShorten, detector.ChangeExpire:
		d.say("%s  %-9s %-18s by %s", time.Now().Format(time.TimeOnly), map[string]string{detector.ChangeExpire: "ENDED"}[e.Verb]+
			map[bool]string{true: "LIFTED"}[e.Verb != detector.ChangeExpire], target, e.By)
	default:
		d.say("%s  %-9s %-18s by %s: %s", e.Time.Local().Format(time.TimeOnly), strings.ToUpper(e.Verb), target, e.Cause.Rule, e.Cause.Reason)
	}
}

// suggest says what to try next, in commands that can be copied.
func (d *demo) suggest() {
	run := fmt.Sprintf("%s --socket %s", d.Program, filepath.Join(d.dir, "regwarden.sock"))
	d.say(`
The honest clients are free. Try, in another terminal:
  cat %[2]s
  %[1]s status
  %[1]s blocks show %[3]s
  %[1]s unblock %[3]s --reason "image is pushed now"
  %[1]s block 198.51.100.7 --for 10m --reason "trying it out"
  %[1]s history
Or in a browser, as a member of the project would: http://%[4]s
  sign in as Dana, open acme/shop, read why, and press Unblock (or look at it as Remy, Otis, and Ada, who has the admin page)
The swarm goes on asking: once unblocked it is blocked again within minutes, and for longer. Ctrl-C ends the demo.
`, run, filepath.Join(d.dir, "blocklist.txt"), Swarm, d.page)
}
