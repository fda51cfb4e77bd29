package actions

import (
	"fmt"
	"strconv"
	"time"
)

const (
	// setSize is the most elements of a set. It takes no memory before it is used, and must be the same in every create:
	// the kernel refuses to create a set that exists with another.
	setSize = 1 << 20
	// longestTimeout is the most seconds that ipset takes.
	longestTimeout = 2147483
)

// renderIPSet writes commands for `ipset restore`. Each family is filled in a second set and swapped in at once, so that no client
// slips through meanwhile; the elements end by themselves in the kernel.
func renderIPSet(r rendering) []byte {
	text := head("for ipset restore")
	if !r.now.IsZero() {
		text = append(text, "# timeouts count from "+r.now.UTC().Format(time.RFC3339)+"\n"...)
	}
	for _, f := range []struct {
		suffix, name string
		is4          bool
	}{{"4", "inet", true}, {"6", "inet6", false}} {
		text = appendSet(text, r, r.setName+f.suffix, f.name, f.is4)
	}
	return text
}

func appendSet(text []byte, r rendering, set, family string, is4 bool) []byte {
	next := set + "-new"
	for _, name := range []string{set, next} {
		text = fmt.Appendf(text, "create %s hash:net family %s maxelem %d timeout 0 -exist\n", name, family, setSize)
	}
	text = append(text, "flush "+next+"\n"...)
	for _, b := range r.blocks {
		if b.Target.Addr().Is4() != is4 {
			continue
		}
		text = append(text, "add "+next+" "...)
		text = append(appendTarget(text, b.Target), " timeout "...)
		text = strconv.AppendInt(text, secondsLeft(b.Until, r.now), 10)
		text = append(text, " -exist\n"...)
	}
	return append(text, "swap "+next+" "+set+"\ndestroy "+next+"\n"...)
}

// secondsLeft is at least 1: 0 would be for ever. Without a now it is the time itself, which tells two lists apart whenever they are compared.
func secondsLeft(until, now time.Time) int64 {
	if now.IsZero() {
		return until.Unix()
	}
	return min(longestTimeout, max(1, int64(until.Sub(now)/time.Second)))
}
