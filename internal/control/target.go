package control

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"regwarden/internal/strict"
)

// targetHint says how a target is written.
const targetHint = "write it like 192.0.2.7, 198.51.100.0/24, 2001:db8::7 or 2001:db8:0:1::/64"

// maxID is the longest ID of a cause, in bytes, that the socket looks for.
const maxID = 128

// ParseTarget is strict.Target with an error that is a *Problem.
func ParseTarget(text string) (netip.Prefix, error) {
	p, err := strict.Target(text)
	if errors.Is(err, strict.ErrNoTarget) {
		return p, bad(targetHint, "%q is neither an address nor a prefix", cut(text))
	}
	if err != nil {
		return p, bad("", "%q is %v", cut(text), err)
	}
	return p, nil
}

// ParseSubject reads what a block is asked for by: an address, a prefix, or the ID of a cause, which it returns as id. Its error is
// a *Problem.
func ParseSubject(text string) (target netip.Prefix, id string, err error) {
	if isID(text) {
		return netip.Prefix{}, text, nil
	}
	if _, err := strict.Target(text); errors.Is(err, strict.ErrNoTarget) {
		return netip.Prefix{}, "", bad(targetHint+", or give an ID that `regwarden blocks show` tells",
			"%q is neither an address, a prefix nor the ID of a block", cut(text))
	}
	target, err = ParseTarget(text)
	return target, "", err
}

// isID says whether the text can be an ID: letters, digits, '-' and '_'. No address and no prefix can.
func isID(text string) bool {
	if text == "" || len(text) > maxID {
		return false
	}
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-', r == '_':
		default:
			return false
		}
	}
	return true
}

// TargetText is a target as people write it: a single address without its length.
func TargetText(p netip.Prefix) string {
	if p.IsValid() && p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// cut shortens what a client sent before it is repeated to it.
func cut(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s…", strings.ToValidUTF8(text[:most], ""))
}
