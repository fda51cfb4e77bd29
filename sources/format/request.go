package format

import "regwarden/detector"

// Classify says what a request wants, as the dialects say it of a logged one: a repository that a rule names is the same to whoever looks at the
// request itself.
func Classify(method, uri string) (operation detector.Operation, path, repository, reference string) {
	var s scratch
	r := classify(method, uri, &s)
	return r.operation, r.path, r.repository, r.reference
}
