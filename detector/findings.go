package detector

// sighting is one event that had a client. hits of the hits that follow in Findings belong to it.
type sighting struct {
	time int64  // unix milliseconds
	key  uint64 // the target's hash; 0 for an address in ::/64, where no client is, that some rule counts all the same
	// recall is 1 + the offset in its block of a line that must be matched whole if the target is watched; 0 for none.
	recall  uint32
	agent   uint16 // the user agent's number of agentBits where the outcome is Success, and then not 0
	outcome Outcome
	service service
	fate    Outcome // how the service treated it; for tokens and logins too, which have no outcome
	hits    uint16
}

// Hit is an event that one rule took.
type Hit struct {
	Rule *Rule
	// Reset says that it clears the count instead of adding to it.
	Reset  bool
	Weight int
	// ping says that it is a 200 on /v2/, which front ends answer themselves to a client whose host is blocked, whatever its password.
	ping bool

	salt     uint64
	time     int64
	target   targetKey
	key      uint64
	distinct uint32
	attempt  uint64

	repository, project, reference, user, line string
}

// Findings are what a matcher found in a block of lines, in order; the detector counts them.
type Findings struct {
	sightings []sighting
	hits      []Hit
	texts     []byte // of the hits
	// Events is how many events were matched, and Hits how many of them counted for some rule.
	Events, Hits int
}

// Reset empties the findings and keeps their memory.
func (f *Findings) Reset() {
	clear(f.hits)
	f.sightings, f.hits, f.texts, f.Events, f.Hits = f.sightings[:0], f.hits[:0], f.texts[:0], 0, 0
}

// sight adds a sighting and returns it to be filled in where it stands.
func (f *Findings) sight() *sighting {
	f.sightings = append(f.sightings, sighting{})
	return &f.sightings[len(f.sightings)-1]
}

// own copies a text out of the line that is read. It lives until Reset.
func (f *Findings) own(text string) string {
	if text == "" {
		return ""
	}
	at := len(f.texts)
	f.texts = append(f.texts, text...)
	return view(f.texts[at:])
}

// Next returns the time of what the cursor stands at, in unix milliseconds, and whether there is anything.
func (f *Findings) Next(at Cursor) (int64, bool) {
	if at.sighting >= len(f.sightings) {
		return 0, false
	}
	return f.sightings[at.sighting].time, true
}
