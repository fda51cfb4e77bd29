package format

import (
	"time"
)

// The parsers of this file return the zero time for what they cannot read: a wrong time is no reason to lose an event.

// civil is a calendar time without a zone.
type civil struct {
	year, month, day, hour, minute, second int
	nano                                   int
}

func (c civil) valid() bool {
	return c.year >= 1 && c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= daysIn(c.year, c.month) &&
		c.hour >= 0 && c.hour < 24 && c.minute >= 0 && c.minute < 60 && c.second >= 0 && c.second <= 60
}

// utc returns the time for an offset east of UTC in seconds.
func (c civil) utc(offset int) time.Time {
	if !c.valid() {
		return time.Time{}
	}
	seconds := ((daysSinceEpoch(c.year, c.month, c.day)*24+int64(c.hour))*60+int64(c.minute))*60 + int64(c.second)
	return time.Unix(seconds-int64(offset), int64(c.nano)).UTC()
}

// in returns the time in a zone with its own daylight saving rules.
func (c civil) in(zone *time.Location) time.Time {
	if zone == time.UTC {
		return c.utc(0)
	}
	if !c.valid() {
		return time.Time{}
	}
	return time.Date(c.year, time.Month(c.month), c.day, c.hour, c.minute, c.second, c.nano, zone).UTC()
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSinceEpoch counts days of the Gregorian calendar from 1970-01-01, in years that begin in March so that the leap day is last.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	const beforeEpoch = 719468 // days from 0000-03-01 to 1970-01-01
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - beforeEpoch)
}

// digits reads n digits at i; -1 when there are none.
func digits(s string, i, n int) int {
	if i < 0 || len(s) < i+n {
		return -1
	}
	v := 0
	for _, c := range []byte(s[i : i+n]) {
		if c < '0' || c > '9' {
			return -1
		}
		v = v*10 + int(c-'0')
	}
	return v
}

// month reads the English abbreviation at i; 0 when there is none.
func month(s string, i int) int {
	if len(s) < i+3 {
		return 0
	}
	switch s[i : i+3] {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

// hms reads "15:04:05" at i into c.
func (c *civil) hms(s string, i int) bool {
	if len(s) < i+8 || s[i+2] != ':' || s[i+5] != ':' {
		return false
	}
	c.hour, c.minute, c.second = digits(s, i, 2), digits(s, i+3, 2), digits(s, i+6, 2)
	return c.hour >= 0 && c.minute >= 0 && c.second >= 0
}

// fraction reads ".123456" or ",123456" at i into c and returns where it ends; i when there is none.
func (c *civil) fraction(s string, i int) int {
	if i >= len(s) || s[i] != '.' && s[i] != ',' {
		return i
	}
	end := i + 1
	for scale := 100_000_000; end < len(s) && s[end] >= '0' && s[end] <= '9'; end++ {
		c.nano += int(s[end]-'0') * scale
		scale /= 10
	}
	if end == i+1 {
		return i
	}
	return end
}

// zone reads "Z", "+02:00" or "+0200" at i: the offset in seconds and where it ends; i when there is none.
func zone(s string, i int) (offset, end int) {
	if i >= len(s) {
		return 0, i
	}
	if s[i] == 'Z' || s[i] == 'z' {
		return 0, i + 1
	}
	sign := 1
	switch s[i] {
	case '-':
		sign = -1
	case '+':
	default:
		return 0, i
	}
	hours, at := digits(s, i+1, 2), i+3
	if at < len(s) && s[at] == ':' {
		at++
	}
	minutes := digits(s, at, 2)
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, i
	}
	return sign * (hours*3600 + minutes*60), at + 2
}

// date reads "2026-11-21" into c, with whatever separator.
func (c *civil) date(s string, separator byte) bool {
	if len(s) < 10 || s[4] != separator || s[7] != separator {
		return false
	}
	c.year, c.month, c.day = digits(s, 0, 4), digits(s, 5, 2), digits(s, 8, 2)
	return c.year >= 0 && c.month >= 0 && c.day >= 0
}

// rfc3339 reads the time at the start of s and returns where it ends; 0 when there is none. The zone is required.
func rfc3339(s string) (t time.Time, end int) {
	var c civil
	if !c.date(s, '-') || len(s) < 20 || s[10] != 'T' && s[10] != ' ' && s[10] != 't' || !c.hms(s, 11) {
		return time.Time{}, 0
	}
	at := c.fraction(s, 19)
	offset, end := zone(s, at)
	if end == at {
		return time.Time{}, 0
	}
	return c.utc(offset), end
}

// timestamp reads text that is an RFC 3339 time and nothing else.
func timestamp(s string) time.Time {
	t, end := rfc3339(s)
	if end != len(s) {
		return time.Time{}
	}
	return t
}

// timeLocalLength is the length of nginx's $time_local, "21/Nov/2026:17:42:57 +0000".
const timeLocalLength = len("21/Nov/2026:17:42:57 +0000")

// timeLocal reads nginx's $time_local at the start of s. It says no only when the text has another shape.
func timeLocal(s string) (time.Time, bool) {
	if len(s) < timeLocalLength || s[2] != '/' || s[6] != '/' || s[11] != ':' || s[20] != ' ' {
		return time.Time{}, false
	}
	c := civil{day: digits(s, 0, 2), month: month(s, 3), year: digits(s, 7, 4)}
	if !c.hms(s, 12) {
		return time.Time{}, false
	}
	offset, end := zone(s[:timeLocalLength], 21)
	if end != timeLocalLength {
		return time.Time{}, false
	}
	return c.utc(offset), true
}

// stamp reads "Nov 21 18:12:17" at the start of s, with or without a fraction, and returns where it ends; 0 when there is none.
func (r *Reader) stamp(s string) (t time.Time, end int) {
	if len(s) < 15 || s[3] != ' ' || s[6] != ' ' {
		return time.Time{}, 0
	}
	c := civil{month: month(s, 0), day: digits(s, 4, 2)}
	if s[4] == ' ' {
		c.day = digits(s, 5, 1)
	}
	if c.month == 0 || c.day < 1 || !c.hms(s, 7) {
		return time.Time{}, 0
	}
	end = c.fraction(s, 15)
	return r.withYear(c), end
}

// withYear gives the time the latest year in which it is not more than a day after the reference. The reference moves on with the
// lines, so that a log that is followed over New Year needs no help.
func (r *Reader) withYear(c civil) time.Time {
	if r.reference.IsZero() {
		return time.Time{}
	}
	latest := r.reference.Add(24 * time.Hour)
	// Eight years back, because 29 February can be that far away (1896 and 1904).
	for c.year = latest.Year() + 1; c.year >= latest.Year()-8; c.year-- {
		if t := c.in(r.options.Location); !t.IsZero() && !t.After(latest) {
			if t.After(r.reference) {
				r.reference = t
			}
			return t
		}
	}
	return time.Time{}
}

// tai64n reads 24 hexadecimal digits as svlogd writes them: seconds from 2^62, ten ahead of UTC, then nanoseconds.
func tai64n(s string) time.Time {
	var seconds, nanos uint64
	for i := range 24 {
		h := unhex(s[i])
		if h > 15 {
			return time.Time{}
		}
		if i < 16 {
			seconds = seconds<<4 | uint64(h)
		} else {
			nanos = nanos<<4 | uint64(h)
		}
	}
	const epoch = 1<<62 + 10
	if seconds < epoch || seconds-epoch > 253402300799 || nanos > 999_999_999 {
		return time.Time{}
	}
	return time.Unix(int64(seconds-epoch), int64(nanos)).UTC()
}
