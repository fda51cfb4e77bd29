package format

import (
	"github.com/valyala/fastjson"

	"regwarden/detector"
)

// isZot knows zot's log by the keys that no other has.
func isZot(rec *record) bool {
	return rec.has(keyClientIP) ||
		rec.has(keyMessage) && rec.has(keyLevel) && (rec.has(keyCaller) || rec.has(keyGoroutine) || rec.has(keyModule))
}

// readZot reads a line of zot, which writes one for each request, with the TCP peer as client.
func (r *Reader) readZot(e *detector.Event) Verdict {
	rec := &r.record
	if !rec.has(keyMessage) {
		return Unparsed
	}
	if rec.text(keyMessage) != "HTTP API" || !rec.has(keyStatusCode) {
		return Noise
	}
	e.Message = rec.text(keyMessage)
	e.Time = timestamp(rec.text(keyTime))
	e.Client = rec.client(keyClientIP)
	e.Method = rec.text(keyMethod)
	e.Status = rec.status(keyStatusCode)
	e.Bytes = rec.number(keyBodySize)
	e.User = rec.text(keyUsername)
	e.UserAgent = zotAgent(rec.headers)
	classify(e.Method, rec.text(keyPath), &r.scratch).set(e)
	return Parsed
}

// zotAgent reads {"User-Agent":["docker/27.5.1"]}.
func zotAgent(headers *fastjson.Value) string {
	if list := headers.GetArray("User-Agent"); len(list) > 0 {
		return view(list[0].GetStringBytes())
	}
	return fieldText(headers, "User-Agent")
}
