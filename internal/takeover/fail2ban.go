package takeover

import (
	"regexp"
	"strings"
	"time"
)

// statusLine is a line of `fail2ban-client status`, whose tree is drawn with these.
var statusLine = regexp.MustCompile("^(\\|  )?[|`]- ")

// banned is what `fail2ban-client banned` prints, a list of Python: [{'sshd': ['192.0.2.1']}, {'recidive': []}].
var banned = regexp.MustCompile(`^\[(\{'.*\}|)\]$`)

// jail is one jail of it, and quoted one of its addresses.
var jail = regexp.MustCompile(`\{'[^']*': \[([^\]]*)\]\}`)

func isFail2ban(text string) bool {
	return statusLine.MatchString(text) || text == "Status" || strings.HasPrefix(text, "Status for the jail: ") || banned.MatchString(text)
}

// readFail2ban reads what `fail2ban-client` prints for status JAIL and for banned.
func (r *reader) readFail2ban(text string) {
	if _, list, ok := strings.Cut(text, "Banned IP list:"); ok {
		for _, w := range strings.Fields(list) {
			r.take(w, 0, "")
		}
		return
	}
	if text[0] != '[' {
		return
	}
	for _, j := range jail.FindAllStringSubmatch(text, -1) {
		for w := range strings.SplitSeq(j[1], ",") {
			if w = strings.Trim(strings.TrimSpace(w), "'"); w != "" {
				r.take(w, 0, "")
			}
		}
	}
	if rest := strings.Trim(jail.ReplaceAllString(text, ""), "[], "); rest != "" {
		r.refuse(r.line, rest, "is no jail with its addresses")
	}
}

// banTime is a line of `fail2ban-client get JAIL banip --with-time`: address, begin + seconds = end, in the host's own time. A ban for ever ends in the year 9999.
var banTime = regexp.MustCompile(`^(\S+)\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+ (-?\d+) = (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$`)

func isBanTime(text string) bool { return banTime.MatchString(text) }

func (r *reader) readBanTime(text string) {
	m := banTime.FindStringSubmatch(text)
	end, err := time.ParseInLocation(time.DateTime, m[3], r.now.Location())
	switch {
	case strings.HasPrefix(m[2], "-"):
		r.take(m[1], 0, "")
	case err != nil:
		r.refuse(r.line, m[1], "has no end that can be read: %q", m[3])
	default:
		r.takeUntil(m[1], end, "")
	}
}
