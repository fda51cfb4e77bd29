package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"regwarden/internal/strict"
)

func (p *parser) prefixes(texts []string, key string) []netip.Prefix { return p.prefixesAt(texts, key) }

func (p *parser) prefixesAt(texts []string, key ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range texts {
		prefix, err := strict.Target(strings.TrimSpace(t))
		if err != nil {
			hint := ""
			if errors.Is(err, strict.ErrNoTarget) {
				hint = `write "192.0.2.7" or "192.0.2.0/24"; names are not looked up`
			}
			p.fail(fmt.Sprintf("%q is %v", t, err), hint, key...)
			continue
		}
		out = append(out, prefix)
	}
	return out
}

func (p *parser) duration(text string, key ...string) time.Duration {
	return p.optional(0, text, -1, key...)
}

// optional is a duration in the n-th table of an array, which may be absent unless otherwise is negative. It needs its unit: 10 may be meant as
// minutes as well as seconds.
func (p *parser) optional(n int, text string, otherwise time.Duration, key ...string) time.Duration {
	if text == "" && otherwise >= 0 {
		return otherwise
	}
	d, err := strict.Duration(text)
	switch {
	case errors.Is(err, strict.ErrTooLong):
		p.failAt(n, err.Error(), "write a shorter time", key...)
	case err != nil || d <= 0:
		p.failAt(n, fmt.Sprintf("%q is no duration", text), strict.DurationHint, key...)
	case strict.Bare(text):
		p.failAt(n, fmt.Sprintf("%q has no unit", text), strict.DurationHint, key...)
	}
	return d
}

func (p *parser) choice(text string, known []string, key ...string) string {
	if !slices.Contains(known, text) {
		p.fail(fmt.Sprintf("unknown value %q", text), "known are "+strings.Join(known, ", "), key...)
	}
	return text
}

func (p *parser) path(text string, key ...string) string {
	if text == "" {
		p.fail("is empty", "write a path, or remove the key for the default", key...)
	}
	return p.relative(text)
}

// relative makes a path relative to the configuration file's directory absolute.
func (p *parser) relative(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(p.out.Path), path)
}

// bytes reads "256MiB", "1GiB" or a plain number.
func bytes(text string) (int64, error) {
	shift := 0
	for unit, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if head, ok := strings.CutSuffix(text, unit); ok {
			text, shift = strings.TrimSpace(head), s
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 40)
	return int64(n) << shift, err
}
