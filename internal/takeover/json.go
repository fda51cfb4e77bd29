package takeover

import (
	"encoding/json"
	"strings"
	"time"
)

func isJSON(text string) bool {
	return text[0] == '{' && text != "{" || text == "[" || text == "{" || strings.HasPrefix(text, "[{\"") || strings.HasPrefix(text, "[ {\"")
}

// readJSON reads a line of our jsonl blocklist. A block that closes repositories only is refused: blocked by hand, the client would lose all.
func (r *reader) readJSON(text string) {
	if text[0] == '[' || text == "{" || strings.HasPrefix(text, `{"nftables"`) {
		if r.list.Refused > 0 || len(r.list.Entries) > 0 {
			r.refuse(r.line, text, "is JSON of another kind")
			return
		}
		r.refuse(r.line, text, "is JSON of another kind, and the rest is not read; leave out -j of nft, say -o raw to cscli, or list what to block one a line")
		r.done = true
		return
	}
	var b struct {
		Target string
		Until  time.Time
		Scope  string
		Reason string
	}
	switch err := json.Unmarshal([]byte(text), &b); {
	case err != nil:
		r.refuse(r.line, text, "is broken JSON: %v", err)
	case b.Target == "":
		r.refuse(r.line, text, "has no target")
	case b.Scope == "repository":
		r.refuse(r.line, b.Target, "is kept from its repositories only, and a block by hand would keep it from all")
	case b.Until.IsZero():
		r.take(b.Target, 0, b.Reason)
	default:
		r.takeUntil(b.Target, b.Until, b.Reason)
	}
}
