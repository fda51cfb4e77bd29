package format

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"

	"regwarden/detector"
)

// The values of Event.ThrottleEnv.
const (
	envThrottle  = "throttle"
	envTrack     = "track"
	envBlocklist = "blocklist"
)

// rackAttack reads a request that Rack::Attack, or GitLab's own ban, has refused (throttle, blocklist) or only watched (track).
func (r *Reader) rackAttack(e *detector.Event) {
	rec := &r.record
	e.Throttle = rec.either(keyMatched, keyThrottleType)
	switch env := rec.text(keyEnv); env {
	case "blacklist", envBlocklist:
		e.ThrottleEnv, e.Status = envBlocklist, orStatus(e.Status, 403)
	case envThrottle:
		e.ThrottleEnv, e.Status = env, orStatus(e.Status, 429)
	default:
		e.ThrottleEnv = env
	}
	if login := rec.text(keyLogin); login != "" {
		e.User = login
	}
	r.throttledIdentity(e)
}

// throttledIdentity names the user or the deploy token that was throttled where the row has no name but a number.
func (r *Reader) throttledIdentity(e *detector.Event) {
	rec := &r.record
	switch {
	case e.User != "":
	case rec.filled(keyUserID):
		e.User = r.scratch.identity("user", rec.number(keyUserID))
	case rec.filled(keyDeployTokenID):
		e.User = r.scratch.identity("deploy_token", rec.number(keyDeployTokenID))
	}
}

func (s *scratch) identity(what string, id int64) string {
	mark := len(s.buf)
	s.buf = append(s.buf, what...)
	s.buf = append(s.buf, ':')
	s.buf = strconv.AppendInt(s.buf, id, 10)
	return s.since(mark)
}

// rateLimitBlock reads a request that GitLab's LabKit limiter has refused. It names the user whenever the limit is not counted by
// the address alone, so that a rule can tell.
func (r *Reader) rateLimitBlock(e *detector.Event) {
	rec := &r.record
	e.Throttle, e.ThrottleEnv = rec.either(keyMatched, keyThrottleType), envThrottle
	e.Status = orStatus(e.Status, 429)
	e.Weight = sampleWeight(rec.number(keyCount), rec.number(keyLimit))
	if rec.throttle != nil && !anyBlocks(rec.throttle) {
		e.ThrottleEnv = envTrack
	}
	if rec.has(keyCountedBy) {
		r.countedBy(e)
	} else {
		r.throttledIdentity(e)
	}
}

// countedBy looks at what the limit is counted by. {"ip":"198.51.100.7"} is the address alone, whoever may have been logged in;
// anything else is somebody or something that shares its addresses.
func (r *Reader) countedBy(e *detector.Event) {
	by := r.record.counted.GetObject()
	if by == nil || by.Len() == 0 {
		e.User = cmp.Or(e.User, "unknown")
		return
	}
	if by.Len() == 1 && by.Get("ip") != nil {
		e.User = ""
		return
	}
	by.Visit(func(name []byte, v *fastjson.Value) {
		if string(name) == "ip" || e.User != "" {
			return
		}
		if v.Type() == fastjson.TypeString {
			e.User = r.scratch.join(view(name), ":", view(v.GetStringBytes()))
		} else {
			e.User = r.scratch.identity(view(name), whole(v))
		}
	})
}

// anyBlocks says whether one of the states ends in ":block", as in rack_request:unauthenticated_web:block.
func anyBlocks(states *fastjson.Value) bool {
	list := states.GetArray()
	for _, s := range list {
		if strings.HasSuffix(view(s.GetStringBytes()), ":block") {
			return true
		}
	}
	return len(list) == 0
}

// sampleWeight says how many refused requests a sampled row stands for: those since the row before it.
//
// The limiter writes a row for the first request over the limit and then when the count has reached 2, 4, 8… times the limit. The row at m
// times the limit comes after the one at m/2 times, so it stands for m/2 times the limit; the first stands for the requests over
// the limit, mostly one. The weights of all rows of a period add up to the requests that were refused by the last of them, never more.
func sampleWeight(count, limit int64) int {
	if limit <= 0 || count <= limit {
		return 1
	}
	before := limit // the count at the row before; the one after it was the first refused
	if multiple := count / limit; multiple >= 2 {
		power := int64(1)
		for power <= multiple/2 {
			power *= 2
		}
		before = power/2*limit + 1
	}
	return int(min(max(count-before, 1), MaxWeight))
}
