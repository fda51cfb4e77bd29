package format

import "regwarden/detector"

// parse reads a line of keys and values into the record; records says whether it is one at all.
func (r *Reader) parse(line string) (parsed, records bool) {
	switch {
	case line[0] == '{':
		return r.parseJSON(line), true
	case isLogfmt(line):
		return r.parseLogfmt(line), true
	}
	return false, false
}

// readFixed reads a line of the configured dialect.
func (r *Reader) readFixed(line string, e *detector.Event) Verdict {
	d := r.fixed
	parsed, records := r.parse(line)
	verdict := Unparsed
	switch {
	case records && parsed && d.fromRecord != nil:
		verdict = d.readRecord(r, e)
	case !records && d.fromText != nil:
		verdict = d.readText(r, line, e)
	}
	return verdict
}

// readAuto recognises the dialect.
func (r *Reader) readAuto(line string, e *detector.Event) Verdict {
	if parsed, records := r.parse(line); records {
		if parsed {
			return r.pickRecord(e)
		}
		return Unparsed
	}
	return r.pickText(line, e)
}

func (r *Reader) pickRecord(e *detector.Event) Verdict {
	for i := range dialects {
		if d := &dialects[i]; d.keyed != nil && d.keyed(&r.record) {
			r.ownStream = r.ownStream || d.ownAccess
			return d.readRecord(r, e)
		}
	}
	if r.record.isRemark() {
		return Noise
	}
	return Unparsed
}

// isRemark says that a record of no known dialect holds a message and nothing that requests have: some other program's log in the same stream.
// One that does look like a request stays unparsed, so that a log whose dialect is not known is seen.
func (r *record) isRemark() bool {
	if !r.has(keyMsg) && !r.has(keyMessage) {
		return false
	}
	for _, k := range [...]key{keyStatus, keyStatusCode, keyMethod, keyRequestMethod, keyPath, keyFullPath, keyURI, keyRemoteIP, keyRemoteAddr, keyClientIP, keyIP,
		keyHTTPMethod, keyHTTPURI, keyHTTPStatus} {
		if r.has(k) {
			return false
		}
	}
	return true
}

func (r *Reader) pickText(line string, e *detector.Event) Verdict {
	for i := range dialects {
		d := &dialects[i]
		if d.fromText == nil || d.shared {
			continue
		}
		if verdict := d.readText(r, line, e); verdict != Unparsed {
			return verdict
		}
	}
	return Unparsed
}

func (d *dialect) readRecord(r *Reader, e *detector.Event) Verdict {
	return d.done(r, e, d.begin(r, e).fromRecord(r, e))
}

func (d *dialect) readText(r *Reader, line string, e *detector.Event) Verdict {
	return d.done(r, e, d.begin(r, e).fromText(r, line, e))
}

func (d *dialect) begin(r *Reader, e *detector.Event) *dialect {
	r.dialect, e.Kind = d.name, d.kind
	return d
}

// done leaves no trace of a dialect that did not know the line, and none of a line that says nothing but its kind.
func (d *dialect) done(r *Reader, e *detector.Event, verdict Verdict) Verdict {
	kind := e.Kind
	if verdict != Parsed {
		e.Reset()
		e.Weight = 1
	}
	switch verdict {
	case Unparsed:
		r.dialect = ""
	case Noise:
		e.Kind = kind
	}
	return verdict
}
