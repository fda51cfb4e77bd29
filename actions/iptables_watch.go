package actions

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// xtWatch is what Watch remembers from one look to the next.
type xtWatch struct {
	generation uint32
	known      bool      // nothing of ours was missing at that generation
	moved      time.Time // when our jump was last found behind others
	blind      int       // looks that failed in a row
}

const (
	// xtClockJump is how far wall clock and monotonic clock may part between two looks.
	xtClockJump = 5 * time.Second
	// patience is how long another program that keeps going before our jump is left alone.
	patience = time.Minute
	// blindAtMost is how many looks may fail in a row before that is a doubt of its own.
	blindAtMost = 4
	// samples is how many blocks of each family are looked for in their set.
	samples = 4
)

// Watch looks again and again whether chain, jump, rules and sets are there, and calls doubt with the reason where they are not, or where the
// clock jumped, so that the caller syncs. It returns when ctx ends.
func (t *IPTables) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(t.options.WatchEvery)
	defer tick.Stop()
	wall, monotonic := t.options.Clock().Round(0), time.Now()
	jumped := ""
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, passed := t.options.Clock().Round(0), time.Since(monotonic)
		by := (now.Sub(wall) - passed).Round(time.Second)
		wall, monotonic = now, monotonic.Add(passed)
		if by.Abs() >= xtClockJump {
			jumped = fmt.Sprintf("the clock jumped by %v", by)
		}
		if t.verify(ctx, now, monotonic, jumped) {
			jumped = ""
		}
		if reason := t.reason.Swap(nil); reason != nil {
			doubt(*reason)
		}
	}
}

// verify notes why a Sync is wanted, if it is, and says whether it could look in time; a look that takes longer notes it later. A jump of the
// clock is a reason of its own; if the clock, which was read at that monotonic time, jumps before the look, the next look says so. What it notes once it
// notes again only after a Sync.
func (t *IPTables) verify(ctx context.Context, at, monotonic time.Time, jumped string) bool {
	limited, cancel := context.WithTimeout(ctx, ipsetAnswer)
	defer cancel()
	return nil == t.worker.do(limited, "look at the rules", func(ctx context.Context) error {
		if !t.installed || t.doubted {
			return nil
		}
		reason := jumped
		if reason == "" {
			now := t.options.Clock().Round(0)
			if (now.Sub(at) - time.Since(monotonic)).Abs() >= xtClockJump {
				return nil
			}
			reason = t.wrong(ctx, now)
		}
		if reason != "" {
			t.doubted = true
			t.reason.Store(&reason)
		}
		return nil
	})
}

// wrong says why a Sync is wanted, or "".
func (t *IPTables) wrong(ctx context.Context, now time.Time) string {
	if !t.refresh.IsZero() && now.After(t.refresh) {
		return "a block is longer than a set can hold"
	}
	missing, err := t.missing(ctx, now)
	switch {
	case ctx.Err() != nil:
		return ""
	case err != nil:
		if t.watch.blind++; t.watch.blind >= blindAtMost {
			t.watch.blind = 0
			return fmt.Sprintf("the rules cannot be looked at: %v", err)
		}
		return ""
	}
	t.watch.blind = 0
	if missing == "" {
		return ""
	}
	t.damaged = true
	return missing
}

// missing says what of ours is not as it was made, or "".
func (t *IPTables) missing(ctx context.Context, now time.Time) (string, error) {
	if t.sets {
		missing, err := t.missingInSets(ctx, now)
		if missing != "" || err != nil {
			return missing, err
		}
	}
	generation, moving := t.generation(ctx)
	if moving && t.watch.known && generation == t.watch.generation {
		return "", nil
	}
	for _, f := range t.families {
		s, err := f.look(ctx)
		if err != nil {
			return "", err
		}
		if missing := t.missingInChain(f, &s); missing != "" {
			return missing, nil
		}
	}
	t.watch.generation, t.watch.known = generation, moving
	return "", nil
}

func (t *IPTables) missingInSets(ctx context.Context, now time.Time) (string, error) {
	s, err := dialIPSet(ctx)
	if err != nil {
		return "", err
	}
	defer s.close()
	for _, f := range t.families {
		head, err := s.find(f.set, f.v6)
		if !head.there && err == nil {
			return "set " + f.set + " is gone", nil
		}
		if err != nil {
			return "", err
		}
		for _, target := range f.sample(now) {
			switch there, err := s.has(f.set, target); {
			case err != nil:
				return "", err
			case !there:
				return "blocks are gone from set " + f.set, nil
			}
		}
	}
	return t.prove(s, now)
}

// prove compares every element of the sets with the blocks, and when it ends, as often as that costs little.
func (t *IPTables) prove(s *ipsetConn, now time.Time) (string, error) {
	if !t.proofs.due() {
		return "", nil
	}
	defer t.proofs.spent(time.Now())
	for _, f := range t.families {
		var what string
		err := s.elements(f.set, func(e element) {
			until, held := f.held[e.network]
			switch left := time.Duration(e.seconds) * time.Second; {
			case !held:
				what = "set " + f.set + " has elements that are not ours"
			case e.seconds == 0 || !endsAt(left, until.Sub(now), longestTimeout*time.Second):
				what = "elements of set " + f.set + " end at another time"
			}
		})
		if errors.Is(err, errDumpMoved) {
			continue
		}
		if what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

// sample returns a few blocks, each time others (Go walks maps in random order), that do not end at this moment.
func (f *xtFamily) sample(now time.Time) []netip.Prefix {
	var some []netip.Prefix
	looked := 0
	for target, until := range f.held {
		if until.Sub(now) > 2*time.Second {
			some = append(some, target)
		}
		if looked++; len(some) == samples || looked == 10*samples {
			break
		}
	}
	return some
}

func (t *IPTables) missingInChain(f *xtFamily, s *xtState) string {
	program := "iptables"
	if f.v6 {
		program = "ip6tables"
	}
	switch {
	case !s.hasOurs:
		return fmt.Sprintf("%s: chain %s is gone", program, f.chain)
	case s.jumps == 0:
		return fmt.Sprintf("%s: the jump to chain %s is gone", program, f.chain)
	case !t.rulesStand(f, s):
		return fmt.Sprintf("%s: rules of chain %s are gone or changed", program, f.chain)
	case !s.first(f.chain):
		return t.displaced(program, f.chain)
	}
	return ""
}

func (t *IPTables) rulesStand(f *xtFamily, s *xtState) bool {
	if t.sets {
		return slices.Equal(s.ours, f.sealed)
	}
	n := len(f.sealed)
	if len(s.ours) < n || !slices.Equal(s.ours[:n], f.sealed) {
		return false
	}
	there := make(map[string]bool)
	for _, line := range s.ours[n:] {
		there[line] = true
	}
	if len(s.ours[n:]) != len(f.standing)*len(t.dropsOf(netip.Prefix{})) {
		return false // a block that is not ours is one that nobody can explain or lift
	}
	for target := range f.standing {
		for _, r := range t.dropsOf(target) {
			if !there[r.String()] && !slices.ContainsFunc(s.ours[n:], func(line string) bool { return strings.HasPrefix(line, "-s "+target.String()+" ") }) {
				return false
			}
		}
	}
	return true
}

// displaced is for a jump that stands behind others. Where another program insists on the first place too, the two must not drive each other.
func (t *IPTables) displaced(program, chain string) string {
	now := t.options.Clock()
	if now.Sub(t.watch.moved).Abs() < patience {
		return ""
	}
	t.watch.moved = now
	return fmt.Sprintf("%s: the jump to chain %s is not first", program, chain)
}

// generation is the number that nf_tables counts up with every change of rules; false for the legacy variant, which has none.
func (t *IPTables) generation(ctx context.Context) (uint32, bool) {
	if t.families[0].variant != variantNFT {
		return 0, false
	}
	s, err := dialIPSet(ctx) // the same socket family
	if err != nil {
		return 0, false
	}
	defer s.close()
	m := netlink.Message{Data: []byte{unix.AF_UNSPEC, 0, 0, 0}}
	m.Header.Type = netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN)
	m.Header.Flags = netlink.Request
	answer, err := s.execute(m)
	if err != nil || len(answer) != 1 || len(answer[0].Data) < 4 {
		return 0, false
	}
	attributes, err := netlink.UnmarshalAttributes(answer[0].Data[4:])
	if err != nil {
		return 0, false
	}
	for _, a := range attributes {
		if a.Type == unix.NFTA_GEN_ID && len(a.Data) == 4 {
			return binary.BigEndian.Uint32(a.Data), true
		}
	}
	return 0, false
}
