// Package takeover reads the lists of blocks that others have made: plain lists and CSV, what ipset, iptables, nftables, fail2ban and CrowdSec
// print, deny lists of nginx and of TCP wrappers, and our own blocklists. It blocks nobody.
//
// Most of them are told apart line by line, so that lists may be joined. What cannot be taken as it is meant is refused with a reason, never
// guessed: a line that is read too widely would block somebody whom nobody has blocked.
package takeover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// mostBytes and mostEntries bound what is read; they are far beyond what any firewall holds.
	mostBytes   = 256 << 20
	mostEntries = 1 << 20
	// mostRefusals is how many refusals are kept with their text. All are counted.
	mostRefusals = 1000
	// mostText is how many bytes of a list's text a refusal repeats.
	mostText = 100
	// LongestReason is how many bytes a reason has, and Longest how long a block lasts, at most: what the daemon takes. Others are cut.
	LongestReason = 500
	Longest       = 366 * 24 * time.Hour
)

// Entry is one target that the list has blocked.
type Entry struct {
	Line   int
	Target netip.Prefix
	// Left is how long the block still lasts; 0 if the list does not say, or has it last for ever.
	Left time.Duration
	// Reason is the list's own, "" if it has none. An attacker may have written it.
	Reason string
}

// Refusal is something that looks like a block and is not taken. An attacker may have written its text.
type Refusal struct {
	Line int
	Text string // cut short
	Why  string
}

func (r Refusal) String() string { return fmt.Sprintf("%q: %s", r.Text, r.Why) }

// List is what was read.
type List struct {
	Entries []Entry
	// Expired is how many blocks have ended already.
	Expired int
	// Refused is how many things were refused, Refusals the first of them.
	Refused  int
	Refusals []Refusal
	// Notes are what the list cannot tell about its blocks, such as the ports that they are for.
	Notes []string
}

// Options are how a list is read.
type Options struct {
	Now time.Time
	// AnyPort takes what is blocked on some ports only as blocked on all.
	AnyPort bool
}

// Read reads a whole list. Its error is the reader's, or says that this cannot be a list; what is wrong in single lines is in List.Refusals.
func Read(in io.Reader, o Options) (List, error) {
	whole := &io.LimitedReader{R: in, N: mostBytes + 1}
	r := &reader{in: bufio.NewReader(whole), now: o.Now, anyPort: o.AnyPort}
	err := r.readAll()
	slices.SortStableFunc(r.list.Entries, func(a, b Entry) int { return a.Line - b.Line })
	slices.SortStableFunc(r.list.Refusals, func(a, b Refusal) int { return a.Line - b.Line })
	switch {
	case err != nil:
	case whole.N <= 0:
		err = fmt.Errorf("the list is larger than %d MiB", mostBytes>>20)
	case len(r.list.Entries) > mostEntries:
		err = fmt.Errorf("the list has more than %d targets", mostEntries)
	}
	return r.list, err
}

// reader is one list that is being read.
type reader struct {
	list List
	in   *bufio.Reader
	now  time.Time
	// anyPort takes blocks of some ports as blocks of all.
	anyPort bool
	line    int      // of the line in hand, from 1
	table   *ruleset // of nftables, while one is being read
	done    bool     // the rest is of no use
	// members says that the lines are those of a set, below its head in what `ipset list` prints.
	members bool
	rules   ruleList // of iptables, while a table is being read
	// passed are the sources that rules of iptables let through before others block.
	passed []netip.Prefix
}

func (r *reader) readAll() error {
	if mark, _ := r.in.Peek(3); strings.HasPrefix(string(mark), "\xff\xfe") || strings.HasPrefix(string(mark), "\xfe\xff") {
		return errors.New("the list is UTF-16: save it as UTF-8")
	} else if string(mark) == "\ufeff" {
		r.in.Discard(len(mark))
	}
	for !r.done && len(r.list.Entries)+len(r.rules.blocks) <= mostEntries {
		text, err := r.in.ReadString('\n')
		if text != "" {
			r.line++
			r.readLine(strings.TrimSpace(text))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if r.table != nil {
		r.refuse(r.table.began, "table", "the list ends within a table of nftables: it is cut off")
		r.table.end(r)
	}
	r.endRules()
	return nil
}

// readLine takes one line for what it looks like. The order matters where one kind looks like another: a comma may stand in a comment of
// ipset, and a colon in an address.
func (r *reader) readLine(text string) {
	if r.table != nil {
		r.readTable(text)
		return
	}
	if text == "" {
		r.members = false
		return
	}
	if text[0] == '#' || text[0] == ';' {
		return
	}
	if r.members {
		r.takeMember(text, words(text))
		return
	}
	for _, k := range kinds {
		if k.is(text) {
			k.read(r, text)
			return
		}
	}
	r.readPlain(text)
}

// kinds are the kinds of lines that are not plain. Each reads a line that looks like it, and nobody else does then.
var kinds = []struct {
	is   func(string) bool
	read func(*reader, string)
}{
	{isTable, (*reader).openTable},
	{isJSON, (*reader).readJSON},
	{isRule, (*reader).readRule},
	{isIPSet, (*reader).readIPSet},
	{isFail2ban, (*reader).readFail2ban},
	{isBanTime, (*reader).readBanTime},
	{isNginx, (*reader).readNginx},
	{isCSV, (*reader).readCSV},
	{isHostsDeny, (*reader).readHostsDeny},
}

// readPlain reads addresses and networks with spaces between them, and perhaps a comment. Other words beside them are refused: this would be a
// log or a report, and the addresses in it not those of the blocked.
func (r *reader) readPlain(text string) {
	if at := strings.IndexAny(text, "#;"); at >= 0 {
		text = text[:at]
	}
	words := strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	for _, w := range words {
		if _, why := targets(w); why == notTarget && len(words) > 1 {
			r.refuse(r.line, text, "is no list of addresses and networks; a comment begins with #")
			return
		}
	}
	if len(words) == 0 {
		r.refuse(r.line, text, "%s", notTarget)
	}
	for _, w := range words {
		r.take(w, 0, "")
	}
}

// take adds what the text names, for a time and with a reason of its own if the list has them.
func (r *reader) take(text string, left time.Duration, reason string) {
	r.takeAt(r.line, text, left, reason)
}

func (r *reader) takeAt(line int, text string, left time.Duration, reason string) {
	found, why := targets(text)
	if why != "" {
		r.refuse(line, text, "%s", why)
		return
	}
	for _, t := range found {
		r.list.Entries = append(r.list.Entries, Entry{Line: line, Target: t, Left: min(left, Longest), Reason: cut(strings.TrimSpace(reason), LongestReason)})
	}
}

// takeUntil is take for a block that ends at a moment.
func (r *reader) takeUntil(text string, until time.Time, reason string) {
	if left := until.Sub(r.now); left > 0 {
		r.take(text, left, reason)
		return
	}
	r.expire(text)
}

// expire counts a block that is over, if it is one.
func (r *reader) expire(text string) {
	if _, why := targets(text); why != "" {
		r.refuse(r.line, text, "%s", why)
		return
	}
	r.list.Expired++
}

func (r *reader) refuse(line int, text, format string, args ...any) {
	r.list.Refused++
	if len(r.list.Refusals) < mostRefusals {
		r.list.Refusals = append(r.list.Refusals, Refusal{line, cut(strings.TrimSpace(text), mostText), fmt.Sprintf(format, args...)})
	}
}

// cut returns at most so many bytes of a text, as UTF-8 and without holding on to the rest.
func cut(text string, most int) string {
	if len(text) > most {
		text = text[:most-len("…")] + "…"
	}
	return strings.Clone(strings.ToValidUTF8(text, "?"))
}

// words splits a line at its spaces; what stands in double quotes is one word, as ipset, iptables and nftables write comments.
func words(text string) []string {
	var out []string
	var word strings.Builder
	quoted, inside := false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == '"':
			quoted, inside = !quoted, true
		case (c == ' ' || c == '\t') && !quoted:
			if inside {
				out = append(out, word.String())
				word.Reset()
			}
			inside = false
		default:
			word.WriteByte(c)
			inside = true
		}
	}
	if inside {
		out = append(out, word.String())
	}
	return out
}
