// Package answer is what a blocked client reads: in its own words, so that `docker pull`, git, curl and a browser print who is blocked, why, until
// when and where to lift it. The text and the answers are pure; Held is the table of blocks that they are looked up in, and Serve
// answers front ends over a socket.
//
// Who may know a repository's name: only who names it himself. The addresses of blocked clients are shared, by people behind one NAT and by
// the jobs of one host, so an answer names a repository (and what was asked of it) only to a request for this very repository;
// every other request reads "an image".
package answer

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"regwarden/detector"
)

// MaxMessage is the most bytes of a message: it becomes a value in nginx's and HAProxy's configuration, and a line in everybody's log.
const MaxMessage = 300

// The messages where the operator says nothing. Docker 29's `service ps` shows the first 8 characters, so these say it.
const (
	DefaultMessage       = "BLOCKED until {until}: {address} {reason}. Block {id}"
	DefaultMessageWithUp = DefaultMessage + ", lift it at {unblock_url}"
)

// Placeholders are what a message may name in braces.
var Placeholders = []string{"until", "address", "reason", "rule", "id", "unblock_url"}

// Room that a message must leave: for each value at its longest, and for a reason that still says something.
const (
	roomUntil   = len("2026-10-05 08:00 UTC")
	roomAddress = len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	roomRule    = 64
	roomID      = 24
	roomReason  = 60
)

// forbidden are characters that would end a quoted value somewhere on the way: JSON's quotes and backslash, nginx's quotes, variables and ends, the
// separators of HAProxy's commands, HTML's brackets, and the one by which nginx's example map is cut.
const forbidden = "\"'`\\$|;<>{}"

// Text makes the messages. It is safe for concurrent use.
type Text struct {
	template   []string // text and placeholders in turn, text first
	unblockURL string
	rules      atomic.Pointer[map[string]Rule]
}

// Rule is what a rule says of itself to those whom it blocks.
type Rule struct {
	// Words say what the client did. {count} and {span} are how often and in what time, {what} the image and {repository} its repository, where they
	// may be named.
	Words string
	// Limit is how many requests a minute it allows.
	Limit int
	// Token says that it counts requests for tokens, so that its repository blocks concern them too.
	Token bool
}

// NewText checks the operator's words: the message, "" for the default, and the address of the page where blocks are lifted, "" for none. Both are
// plain ASCII; the address may name {id}. The error says what to write instead.
func NewText(message, unblockURL string) (*Text, error) {
	if message == "" {
		message = DefaultMessage
		if unblockURL != "" {
			message = DefaultMessageWithUp
		}
	}
	t := &Text{unblockURL: unblockURL}
	t.SetRules(nil)
	if err := t.address(); err != nil {
		return nil, err
	}
	return t, t.parse(message)
}

// Remarks are about words that NewText takes and that serve a blocked client badly.
func Remarks(message, unblockURL string) []string {
	var out []string
	switch {
	case message == "":
	case !placeholder.MatchString(message):
		out = append(out, "answers.message: names none of {"+strings.Join(Placeholders, "}, {")+"}, so every blocked client reads the same and does not learn why, until when or which block to name")
	case !strings.Contains(message, "{id}") && !strings.Contains(message, "{unblock_url}"):
		out = append(out, "answers.message: names neither {id} nor {unblock_url}, so a blocked client cannot say which block is to be lifted")
	}
	if message != "" && unblockURL != "" && !strings.Contains(message, "{unblock_url}") {
		out = append(out, "answers.message: does not name {unblock_url}, so no docker client is told where its block is lifted")
	}
	if unblockURL != "" && !strings.Contains(unblockURL, "{id}") {
		out = append(out, "answers.unblock_url: does not name {id}, so the page has to ask which block is meant")
	}
	return out
}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

func (t *Text) address() error {
	if t.unblockURL == "" {
		return nil
	}
	plain := strings.ReplaceAll(t.unblockURL, "{id}", "0")
	if m := placeholder.FindString(plain); m != "" {
		return fmt.Errorf("unblock_url: unknown placeholder %s; {id} is the only one, as in \"https://registry.example.org/unblock/{id}\"", m)
	}
	if u, err := url.Parse(plain); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("unblock_url: %q is no http(s) address; write it like \"https://registry.example.org/unblock/{id}\"", t.unblockURL)
	}
	if c, bad := unfit(plain); bad || strings.Contains(plain, " ") {
		return fmt.Errorf("unblock_url: must not contain %q; escape it as %%XX", c)
	}
	if len(plain)+roomID > 150 {
		return fmt.Errorf("unblock_url: is longer than 125 characters; the message has %d in all, and this page can redirect", MaxMessage)
	}
	return nil
}

func (t *Text) parse(message string) error {
	end, room := 0, 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(message, -1) {
		name := message[m[2]:m[3]]
		if !slices.Contains(Placeholders, name) {
			return fmt.Errorf("message: unknown placeholder {%s}; known are {%s}", name, strings.Join(Placeholders, "}, {"))
		}
		if name == "unblock_url" && t.unblockURL == "" {
			return fmt.Errorf("message: names {unblock_url}, and unblock_url is not set; set it, or take the placeholder out")
		}
		room += map[string]int{"until": roomUntil, "address": roomAddress, "reason": roomReason, "rule": roomRule, "id": roomID,
			"unblock_url": len(t.unblockURL) + roomID}[name]
		t.template = append(t.template, message[end:m[0]], name)
		end = m[1]
	}
	t.template = append(t.template, message[end:])
	fixed := 0
	for i := 0; i < len(t.template); i += 2 {
		if c, bad := unfit(t.template[i]); bad {
			return fmt.Errorf("message: must not contain %q: some server or client on the way would trip over it; write one line of plain ASCII", c)
		}
		fixed += len(t.template[i])
	}
	switch {
	case strings.TrimSpace(message) == "":
		return fmt.Errorf("message: is empty; remove the key for the default")
	case fixed+room > MaxMessage:
		return fmt.Errorf("message: may become %d characters long, and %d is the most that every client shows; shorten its own %d", fixed+room, MaxMessage, fixed)
	}
	return nil
}

// unfit returns the first character that a message cannot have.
func unfit(text string) (rune, bool) {
	for i, c := range text {
		if c < ' ' || c > '~' || strings.IndexByte(forbidden, text[i]) >= 0 {
			return c, true
		}
	}
	return 0, false
}

// ValidWords says what is wrong with a rule's words for the blocked client.
func ValidWords(words string) error {
	end, fixed := 0, 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(words, -1) {
		if name := words[m[2]:m[3]]; !slices.Contains([]string{"count", "span", "what", "repository"}, name) {
			return fmt.Errorf("unknown placeholder {%s}; known are {count}, {span}, {what} and {repository}", name)
		}
		fixed += m[0] - end
		if c, bad := unfit(words[end:m[0]]); bad {
			return fmt.Errorf("must not contain %q; write one line of plain ASCII", c)
		}
		end = m[1]
	}
	if c, bad := unfit(words[end:]); bad {
		return fmt.Errorf("must not contain %q; write one line of plain ASCII", c)
	}
	if fixed+len(words[end:]) > 80 {
		return fmt.Errorf("is longer than 80 characters, which is what a message has room for")
	}
	return nil
}

// SetRules says how the rules speak of themselves, by their names.
func (t *Text) SetRules(rules map[string]Rule) { t.rules.Store(&rules) }

// rule returns what is known of a rule that has blocked somebody; it may be gone since.
func (t *Text) rule(name string) (Rule, bool) {
	r, known := (*t.rules.Load())[name]
	return r, known
}

// Notice is what one request is told: of the causes that concern it, the one that ends last.
type Notice struct {
	Target netip.Prefix
	Cause  detector.Cause
	// Repository is the one that the request named and the cause is about; "" says that nothing may be named.
	Repository string
}

// Host says whether the target is closed out of everything.
func (n *Notice) Host() bool { return n.Cause.Closes() == detector.ScopeHost }

// Concerning returns what a request for a repository ("" for none) is told of a block; false if the block does not concern it. A request for a token is
// concerned by a repository block only where the rule counts such requests: the others are refused where every client prints the answer.
func (t *Text) Concerning(b *detector.Block, repository string, token bool, now time.Time) (Notice, bool) {
	n, found := Notice{Target: b.Target}, false
	for i := range b.Causes {
		c := &b.Causes[i]
		about := repository != "" && slices.Contains(c.Repositories, repository)
		if !now.Before(c.Until) || c.Closes() != detector.ScopeHost && !about {
			continue
		}
		if token && c.Closes() != detector.ScopeHost {
			if r, _ := t.rule(c.Rule); !r.Token {
				continue
			}
		}
		if found && !c.Until.After(n.Cause.Until) {
			continue
		}
		n.Cause, n.Repository, found = *c, "", true
		if about {
			n.Repository = repository
		}
	}
	return n, found
}

// Message is the one line: at most MaxMessage bytes of printable ASCII in which nothing needs quoting.
func (t *Text) Message(n Notice) string {
	var b strings.Builder
	b.Grow(MaxMessage)
	reason, room := -1, MaxMessage
	for i, part := range t.template {
		if i%2 == 1 && part == "reason" && reason < 0 {
			reason = b.Len() // it takes what the others leave
			continue
		}
		if i%2 == 1 {
			part = t.value(n, part)
		}
		b.WriteString(part)
		room -= len(part)
	}
	text := b.String()
	if reason >= 0 {
		text = text[:reason] + t.reason(n, room) + text[reason:]
	}
	return text[:min(len(text), MaxMessage)]
}

// value is what stands for a placeholder; a reason that is named twice is short the second time.
func (t *Text) value(n Notice, name string) string {
	switch name {
	case "until":
		return until(n.Cause.Until)
	case "address":
		return target(n.Target)
	case "rule", "reason":
		return tidy(n.Cause.Rule, roomRule)
	case "id":
		return tidy(n.Cause.ID, roomID)
	}
	return t.URL(n.Cause.ID)
}

// URL is where the block can be lifted; "" if there is no such page.
func (t *Text) URL(id string) string {
	return strings.ReplaceAll(t.unblockURL, "{id}", url.PathEscape(tidy(id, roomID)))
}

// reason says what the client did, in at most room bytes.
func (t *Text) reason(n Notice, room int) string {
	c := &n.Cause
	rule, known := t.rule(c.Rule)
	switch {
	case c.Count == 0: // by hand: what the operator wrote, who was told that the client reads it
		return tidy("was blocked by the operator: "+c.Reason, room)
	case !known || rule.Words == "":
		return tidy("ran into the rule "+c.Rule, room)
	}
	for _, named := range n.named() {
		if text := fill(rule.Words, c, named); len(text) <= room {
			return text
		}
	}
	return tidy("ran into the rule "+c.Rule, room)
}

// fill puts the values into a rule's words.
func fill(words string, c *detector.Cause, named [2]string) string {
	var b strings.Builder
	for words != "" {
		text, rest, found := strings.Cut(words, "{")
		b.WriteString(text)
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			break // ValidWords lets none of them through that is not closed
		}
		switch words = after; name {
		case "count":
			b.WriteString(strconv.Itoa(c.Count))
		case "span":
			b.WriteString(span(c.Last.Sub(c.First)))
		case "what":
			b.WriteString(named[0])
		case "repository":
			b.WriteString(named[1])
		}
	}
	return b.String()
}

// named are an image and its repository as they may be named, the fullest first.
func (n *Notice) named() [][2]string {
	unnamed := [2]string{"an image", "a repository"}
	name := n.name()
	if name == "" {
		return [][2]string{unnamed}
	}
	out := [][2]string{{"an image of " + name, name}, unnamed}
	if image := n.image(); image != "" {
		return append([][2]string{{image, name}}, out...)
	}
	return out
}

var (
	repositoryShape = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]{0,127}$`)
	referenceShape  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}$`)
)

// name is the repository, if it may be named and is a name that a registry could have.
func (n *Notice) name() string {
	if !repositoryShape.MatchString(n.Repository) {
		return ""
	}
	return n.Repository
}

// image is the image as people write it, if all that was asked for is one.
func (n *Notice) image() string {
	name := n.name()
	if len(n.Cause.References) != 1 || len(n.Cause.Repositories) != 1 || !referenceShape.MatchString(n.Cause.References[0]) {
		return ""
	}
	reference := n.Cause.References[0]
	if algorithm, hex, ok := strings.Cut(reference, ":"); ok {
		return name + "@" + algorithm + ":" + hex[:min(12, len(hex))]
	}
	return name + ":" + reference
}

// target is an address alone, or a network.
func target(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// until rounds up to minutes: at the time that is named, the block has ended.
func until(t time.Time) string {
	return t.UTC().Add(time.Minute - 1).Truncate(time.Minute).Format("2006-01-02 15:04 UTC")
}

// span is a time in the unit that people would use.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(max(d, time.Second)/time.Second)) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Hour)) + " h"
}

// tidy makes text that others wrote fit for a message: what it cannot have is spelled otherwise or replaced, and what is too long is cut.
func tidy(text string, room int) string {
	if _, bad := unfit(text); !bad && len(text) <= room {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if b.Len() > room {
			break
		}
		switch {
		case c == ';':
			b.WriteByte(',')
		case c == '\n' || c == '\t':
			b.WriteByte(' ')
		case c == '"' || c == '\'':
		case c > '~':
			b.WriteString(ascii(c))
		case c < ' ' || strings.ContainsRune(forbidden, c):
			b.WriteByte('?')
		default:
			b.WriteByte(byte(c))
		}
	}
	text = b.String()
	if len(text) > room {
		text = strings.TrimRight(text[:max(0, room-3)], " ") + "..."
	}
	return text[:min(len(text), max(0, room))]
}

// Plain makes text fit to be a rule's words.
func Plain(text string) string { return tidy(text, 80) }
