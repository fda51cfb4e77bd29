package format

import (
	"strings"

	"regwarden/detector"
)

// isAPI knows api_json.log: a request with a route, or at least with a path under /api/, and without a message.
func isAPI(rec *record) bool {
	return rec.has(keyStatus) && rec.has(keyMethod) && !rec.has(keyMessage) && !rec.has(keyMsg) &&
		(rec.has(keyRoute) || strings.HasPrefix(rec.text(keyPath), "/api/"))
}

// readAPI reads a row of GitLab's api_json.log.
func (r *Reader) readAPI(e *detector.Event) Verdict {
	rec := &r.record
	if !rec.has(keyPath) || !rec.has(keyStatus) {
		return Unparsed
	}
	e.Time = timestamp(rec.text(keyTime))
	e.Client = railsClient(rec)
	e.Status = rec.status(keyStatus)
	e.Method = rec.text(keyMethod)
	e.UserAgent = rec.text(keyUA)
	e.User = rec.either(keyUsername, keyMetaUser)
	e.Project = rec.text(keyMetaProject)
	e.Safelist = rec.text(keySafelist)
	classify(e.Method, rec.text(keyPath), &r.scratch).set(e)
	e.Operation = detector.OpAPI
	return Parsed
}
