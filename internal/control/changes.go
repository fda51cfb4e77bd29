package control

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxNote is the longest reason or comment, in bytes: it goes into the database, and to everybody who looks.
const maxNote = 1000

func postBlock(b Backend, r request) (writer, error) {
	var q BlockRequest
	if err := decode(r.Body, &q); err != nil {
		return nil, err
	}
	if err := checkTarget(q.Target); err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.For) == "" {
		return nil, bad(`write it like "90s", "15m", "1h30m" or "7d"`, "for is missing: how long is %s to be blocked", q.Target)
	}
	if err := checkNote("reason", q.Reason); err != nil {
		return nil, err
	}
	return changed(b.Block(r.Context(), q, r.peer))
}

func checkTarget(text string) error {
	if text == "" {
		return bad(targetHint, "target is missing")
	}
	_, err := ParseTarget(text)
	return err
}

func checkNote(field, text string) error {
	if len(text) > maxNote {
		return bad("", "%s is longer than %d bytes", field, maxNote)
	}
	if !utf8.ValidString(text) { // only from a query: JSON has been mended already
		return bad("", "%s is no UTF-8", field)
	}
	return nil
}

// changed writes what changed, without a null in it.
func changed(c Changed, err error) (writer, error) {
	if err != nil {
		return nil, err
	}
	c.Changes = some(slices.Clone(c.Changes))
	for i := range c.Changes {
		c.Changes[i].Block.Causes = some(c.Changes[i].Block.Causes)
	}
	c.StillBlocked = wholeBlocks(c.StillBlocked)
	return object(c), nil
}

func postUnblock(b Backend, r request) (writer, error) {
	var q UnblockRequest
	if err := decode(r.Body, &q); err != nil {
		return nil, err
	}
	return unblock(b, r, q)
}

func deleteBlock(b Backend, r request) (writer, error) {
	return unblock(b, r, UnblockRequest{Target: r.PathValue("target"), Rule: r.query.Get("rule"), Reason: r.query.Get("reason")})
}

func unblock(b Backend, r request, q UnblockRequest) (writer, error) {
	switch {
	case q.All && q.Target != "":
		return nil, bad("", "target and all exclude each other")
	case !q.All && q.Target == "":
		return nil, bad(`send {"target": "192.0.2.7"}, or {"all": true}`, "target is missing")
	}
	if !q.All {
		if _, _, err := ParseSubject(q.Target); err != nil {
			return nil, err
		}
	}
	if err := checkNote("reason", q.Reason); err != nil {
		return nil, err
	}
	c, err := b.Unblock(r.Context(), q, r.peer)
	if err == nil && len(c.Changes) == 0 && !q.All {
		err = notBlocked(q.Target, q.Rule)
	}
	return changed(c, err)
}

func postAllow(b Backend, r request) (writer, error) {
	var e AllowEntry
	if err := decode(r.Body, &e); err != nil {
		return nil, err
	}
	if e.By != "" || !e.Since.IsZero() || !e.Until.IsZero() {
		return nil, bad(`say how long with "for"`, "by, since and until are the daemon's to fill in")
	}
	if err := checkTarget(e.Target); err != nil {
		return nil, err
	}
	if err := checkNote("comment", e.Comment); err != nil {
		return nil, err
	}
	return changed(b.Allow(r.Context(), e, r.peer))
}

func deleteAllow(b Backend, r request) (writer, error) {
	target := r.PathValue("target")
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	return nil, b.Disallow(r.Context(), target, r.peer)
}

func postReload(b Backend, r request) (writer, error) {
	if err := decodeNothing(r.Body); err != nil {
		return nil, err
	}
	result, err := b.Reload(r.Context(), r.peer)
	if err != nil {
		return nil, err
	}
	result.Changed = some(result.Changed)
	return object(result), nil
}
