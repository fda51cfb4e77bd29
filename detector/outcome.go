package detector

// Outcome is what a request says about how its target fares.
type Outcome uint8

// The outcomes. Asking for a token, the challenge on /v2/ and logins are neither: every honest and every abusive client has them.
const (
	Neutral Outcome = iota
	Success
	Failure
)

// fate says how a service treated a request. A 401 is the challenge that comes before an answer.
func fate(e *Glance) Outcome {
	switch {
	case e.Status >= 200 && e.Status < 400:
		return Success
	case e.Status < 400, e.Status == 401, e.Operation == OpBlob && e.Head:
		return Neutral
	}
	return Failure
}

// services returns the services that the rule is about, a bit each.
func (r *Rule) services() uint16 {
	operations := map[string]bool{}
	for _, c := range r.Match {
		if c.Field == FieldOperation && !c.Not && len(c.Regexps)+len(c.Prefixes) == 0 {
			for _, v := range c.Equals {
				operations[v] = true
			}
		}
	}
	var of uint16
	for k := range len(kindNames) {
		if len(r.Sources) > 0 && !r.counts(Kind(k)) {
			continue
		}
		for o, name := range operationNames {
			if s := serviceOf(Kind(k), Operation(o)); s < services && (len(operations) == 0 || operations[name]) {
				of |= 1 << s
			}
		}
	}
	return of
}

// outcome says how the target fared. A 401 is the challenge that every client gets first, so it is no failure by itself.
func outcome(e *Glance) Outcome {
	switch e.Operation {
	case OpManifest, OpBlob, OpUpload, OpTags, OpCatalog, OpGit, OpAPI, OpWeb:
	default:
		return Neutral
	}
	switch {
	case e.Operation == OpBlob && e.Head && e.Status == 404:
		return Neutral // a push asks for every layer whether it is there already
	case e.Status >= 200 && e.Status < 400:
		return Success
	case e.Status >= 400 && e.Status != 401:
		return Failure
	}
	return Neutral
}
