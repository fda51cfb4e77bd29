package actions

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"regwarden/detector"
)

// rendering is what a renderer makes text of.
type rendering struct {
	blocks  []detector.Block // sorted by target
	now     time.Time
	setName string
}

// renderer makes the content of a blocklist file. The same blocks must give the same text, so that a file that is right is not
// written again; a format that tells the time left is relative, and is compared by the text it gives for a fixed now.
type renderer struct {
	render   func(rendering) []byte
	relative bool
	setName  string
}

var renderers = map[string]renderer{
	"plain":      {render: renderPlain},
	"haproxy":    {render: renderPlain},
	"nginx-deny": {render: renderNginxDeny},
	"nginx-geo":  {render: renderNginxGeo},
	"ipset":      {render: renderIPSet, relative: true},
	"jsonl":      {render: renderJSONLines},
}

// setNames fit into ipset's 31 bytes with their suffix.
var setNames = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,26}$`)

func rendererOf(format, setName string) (renderer, error) {
	r, known := renderers[format]
	if !known {
		return r, fmt.Errorf("unknown format %q, known are %s", format, strings.Join(BlocklistFormats(), ", "))
	}
	if !setNames.MatchString(setName) {
		return r, fmt.Errorf("set name %q: want 1 to 26 letters, digits, dots, dashes or underscores", setName)
	}
	r.setName = setName
	return r, nil
}

// content returns the file's text, and a sum that is the same as long as the same is said.
func (r renderer) content(blocks []detector.Block, now time.Time) ([32]byte, []byte) {
	text := r.render(rendering{blocks: blocks, now: now, setName: r.setName})
	if !r.relative {
		return sha256.Sum256(text), text
	}
	fixed := r.render(rendering{blocks: blocks, setName: r.setName})
	return sha256.Sum256(fixed), text
}

// What every file of ours begins with, by which it is known again.
const (
	headBegins = "# written by regwarden"
	jsonBegins = `{"target":`
)

// head is the first line of the formats that know comments. A comment has its own line: HAProxy and ipset would read a trailing one as data.
func head(purpose string) []byte {
	return []byte(headBegins + "; do not edit, changes are lost; " + purpose + "\n")
}

// appendTarget writes an address alone for a whole-length prefix, else the prefix.
func appendTarget(text []byte, p netip.Prefix) []byte {
	if p.IsSingleIP() {
		return p.Addr().AppendTo(text)
	}
	return p.AppendTo(text)
}

// renderPlain writes one address or prefix a line.
func renderPlain(r rendering) []byte {
	text := head("one blocked address or prefix a line")
	for _, b := range r.blocks {
		text = append(appendTarget(text, b.Target), '\n')
	}
	return text
}

// listed is a block as a line of JSON.
type listed struct {
	Target       netip.Prefix   `json:"target"`
	Until        time.Time      `json:"until"`
	Scope        detector.Scope `json:"scope"`
	Rules        []string       `json:"rules"`
	Reason       string         `json:"reason"`
	Repositories []string       `json:"repositories,omitempty"`
}

// renderJSONLines writes one object a block. The reason is that of the cause that lasts longest.
func renderJSONLines(r rendering) []byte {
	var text []byte
	for _, b := range r.blocks {
		line, err := json.Marshal(listing(b))
		if err != nil {
			continue // a year past 9999; the other formats still list the target
		}
		text = append(append(text, line...), '\n')
	}
	return text
}

func listing(b detector.Block) listed {
	l := listed{Target: b.Target, Until: b.Until.UTC(), Scope: detector.ScopeRepository}
	var last time.Time
	for i, c := range b.Causes {
		if c.Closes() == detector.ScopeHost {
			l.Scope = detector.ScopeHost
		}
		if i == 0 || c.Until.After(last) {
			l.Reason, last = c.Reason, c.Until
		}
		l.Rules = append(l.Rules, c.Rule)
		l.Repositories = append(l.Repositories, c.Repositories...)
	}
	l.Rules, l.Repositories = distinct(l.Rules), distinct(l.Repositories)
	return l
}

func distinct(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// identityOf is a sum by which a content is known again.
func identityOf(content []byte) [32]byte { return sha256.Sum256(content) }
