package setup

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"time"

	"regwarden/detector"
	"regwarden/sources/format"
)

// Sample is what the last lines of a log say.
type Sample struct {
	// Lines were read; Unparsed of them no dialect knows; Events are requests, of which Named name a client that can be trusted.
	Lines, Unparsed, Events, Named int
	// Registry are requests to a registry or for its tokens, Private those whose client has a private or local address.
	Registry, Private int
	// Clients are the different clients, at most mostClients.
	Clients map[netip.Addr]int
	// Dialects are what the lines are written in.
	Dialects []string
	// Error is why it cannot be read.
	Error string

	access   bool // a web server's log
	registry bool // a registry's own
	seen     map[request]bool
}

// request is what two logs of one request have in common.
type request struct {
	second     int64
	method     string
	repository string
	reference  string
	status     int
}

const (
	sampleSize  = 512 << 10 // bytes from the end of a log
	mostClients = 1000
	mostSeen    = 5000
	fewRequests = 20 // below that a sample says nothing about clients
)

// file reads the end of a log.
func (s *Sample) file(path string) {
	f, err := os.Open(path)
	if err != nil {
		s.fail(err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.fail(err)
		return
	}
	from := max(0, info.Size()-sampleSize)
	text, err := io.ReadAll(io.NewSectionReader(f, from, sampleSize))
	if err != nil {
		s.fail(err)
		return
	}
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte{'\n'}) // the line before has no beginning
	}
	s.read(text)
}

func (s *Sample) fail(err error) {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	s.Error = err.Error()
}

func (s *Sample) read(text []byte) {
	reader, err := format.New(format.Options{Reference: time.Now()})
	if err != nil {
		panic("setup: " + err.Error()) // auto is no unknown format
	}
	if s.Clients == nil {
		s.Clients, s.seen = map[netip.Addr]int{}, map[request]bool{}
	}
	var e detector.Event
	for line := range bytes.Lines(text) {
		s.Lines++
		switch reader.Read(bytes.TrimSuffix(line, []byte{'\n'}), &e) {
		case format.Unparsed:
			s.Unparsed++
		case format.Parsed:
			s.event(&e, reader.Dialect())
		}
	}
}

func (s *Sample) event(e *detector.Event, dialect string) {
	if !slices.Contains(s.Dialects, dialect) {
		s.Dialects = append(s.Dialects, dialect)
	}
	switch e.Kind {
	case detector.KindAccess:
		s.access = s.access || e.Client.IsValid() // a registry writes such lines too, beside its own, and they name nobody
	case detector.KindRegistry:
		s.registry = true
	}
	if e.Method == "" {
		return // a remark, not a request
	}
	s.Events++
	switch e.Operation {
	case detector.OpPing, detector.OpToken, detector.OpManifest, detector.OpBlob, detector.OpUpload, detector.OpTags, detector.OpCatalog:
		s.Registry++
		if (e.Kind == detector.KindAccess || e.Kind == detector.KindRegistry) && e.Reference != "" && len(s.seen) < mostSeen {
			c := e.Clone()
			s.seen[request{c.Time.Unix(), c.Method, c.Repository, c.Reference, c.Status}] = true
		}
	}
	if !e.Client.IsValid() {
		return
	}
	s.Named++
	if a := e.Client; a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || shared.Contains(a) {
		s.Private++
	}
	if _, known := s.Clients[e.Client]; known || len(s.Clients) < mostClients {
		s.Clients[e.Client]++
	}
}

var shared = netip.MustParsePrefix("100.64.0.0/10") // between providers and their customers (RFC 6598)

// same says whether both logs have the same requests: one request in two logs is counted twice.
func (s *Sample) same(other *Sample) bool {
	both, few := 0, min(len(s.seen), len(other.seen))
	for r := range s.seen {
		if other.seen[r] {
			both++
		}
	}
	return few >= fewRequests && both*2 > few
}

// ownRegistry says whether this is a registry's own log that names the clients itself.
func (s *Sample) ownRegistry() bool { return s.registry && !s.access && s.Named > 0 }

// private says whether nearly all requests come from private addresses, and from how many.
func (s *Sample) private() (clients int, nearlyAll bool) {
	for a := range s.Clients {
		if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || shared.Contains(a) {
			clients++
		}
	}
	return clients, s.Named >= fewRequests && s.Private*10 >= s.Named*9
}

// busiest are the clients with the most requests.
func (s *Sample) busiest(most int) []netip.Addr {
	var out []netip.Addr
	for a := range s.Clients {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b netip.Addr) int {
		if s.Clients[a] != s.Clients[b] {
			return s.Clients[b] - s.Clients[a]
		}
		return a.Compare(b)
	})
	return out[:min(most, len(out))]
}
