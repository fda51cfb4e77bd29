package strict

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DurationHint says how a duration is written.
const DurationHint = `write it like "90s", "15m", "1h30m" or "7d"`

// mostDays keeps days and weeks far from what a time.Duration can hold, 292 years.
const mostDays = 10_000

// ErrTooLong says that a duration is written rightly and longer than any that is taken.
var ErrTooLong = errors.New("a duration is too long")

// tooLong is ErrTooLong in words.
func tooLong(text string) error {
	return &tooLongError{fmt.Sprintf("%q is longer than %d days", text, mostDays)}
}

type tooLongError struct{ text string }

func (e *tooLongError) Error() string        { return e.text }
func (e *tooLongError) Is(target error) bool { return target == ErrTooLong }

// Bare says that a duration is a number without a unit, which Duration takes for seconds.
func Bare(text string) bool {
	_, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return err == nil
}

// Duration reads "90s", "15m", "1h30m", "7d", "2w"; a bare number is seconds, as in fail2ban.
func Duration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, tooLong(text)
	}
	rest, total := text, time.Duration(0)
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		head, tail, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(head), 10, 16)
		if n > mostDays || errors.Is(err, strconv.ErrRange) {
			return 0, tooLong(text)
		}
		if err != nil {
			return 0, fmt.Errorf("invalid duration %q", text)
		}
		total += time.Duration(n) * unit.is
		rest = strings.TrimSpace(tail)
	}
	if rest == "" && total > 0 {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil {
		return 0, fmt.Errorf("invalid duration %q", text)
	}
	return total + d, nil
}

// FormatDuration writes a duration as people do: "1h", "1h30m", "90s", "7d".
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
