// Package detector is the idea of regwarden, pure: events come in, decisions go out.
//
// It knows what a request to a registry is (Event), what counts as abuse (Rule), how much of it is too much
// (the window tables), whom it must never touch (the guards) and who is blocked at this moment (Ledger). It opens no file, reads no
// clock, starts no goroutine and imports nothing else of regwarden: time is the log's own, and the caller passes
// it. So a replay of last month's log decides exactly what the daemon would have decided.
package detector

import (
	"net/netip"
	"strings"
	"time"
)

// Event is one line of a log, read: the normalised fields that rules are written on. An absent field is zero.
//
// The text fields may be views into the line that they were read from: they are valid until the reader that made
// the event reads its next line, and whoever keeps one longer keeps a Clone.
// All text is an attacker's to choose: quote it, cut it, never interpret it.
type Event struct {
	// Time is the log's own time in UTC; zero where the line has none.
	Time time.Time
	// Client is the unmapped, zone-less address of the client; invalid where the line names none that can be trusted.
	Client netip.Addr
	// Kind is the kind of source that the line belongs to. One request may stand in several logs, so a rule
	// counts from one kind only.
	Kind      Kind
	Operation Operation
	// Status is the HTTP status; 0 where the log says 0 (GitLab's aborted logins) or nothing.
	Status int
	// Bytes is the size of the response's body.
	Bytes int64
	// Weight is how many requests the line stands for; readers set it to at least 1.
	Weight int

	Method string
	// Path is the request path as logged, query cut off, not decoded.
	Path string
	// Repository is the name between /v2/ and the last /manifests/ (or /blobs/, /tags/, /referrers/), decoded
	// once; for token requests the repository of the last scope.
	Repository string
	// Reference is the tag or digest that was asked for.
	Reference string
	User      string
	UserAgent string
	// Project is the GitLab project's full path, where the log itself names it (meta.project).
	Project string
	// Throttle is the name of the throttle that was hit, such as throttle_unauthenticated_web.
	Throttle string
	// ThrottleEnv is what was done about it: throttle, track (a dry run) or blocklist.
	ThrottleEnv string
	// Safelist is why GitLab exempted the request: throttle_bypass_header or throttle_user_allowlist.
	Safelist string
	// Error is the registry's or GitLab's own error code or text.
	Error string
	// Message is the log message that names the event in logs that have one.
	Message string
}

// Reset makes the event as good as new.
func (e *Event) Reset() { *e = Event{} }

// Clone returns a copy that shares no memory with the line.
func (e *Event) Clone() *Event {
	c := *e
	for _, s := range []*string{&c.Method, &c.Path, &c.Repository, &c.Reference, &c.User, &c.UserAgent,
		&c.Project, &c.Throttle, &c.ThrottleEnv, &c.Safelist, &c.Error, &c.Message} {
		*s = strings.Clone(*s)
	}
	return &c
}

// Kind is the kind of source that an event was read from.
type Kind uint8

// The kinds. A request can stand in one log of each kind.
const (
	KindUnknown Kind = iota
	// KindAccess is a web server's access log with an address that the server itself saw: nginx in front of a
	// registry or GitLab, the distribution's own access line, Harbor, zot, Gitea, Nexus, Artifactory.
	KindAccess
	// KindRegistry is a registry's application log; its client address is the peer's or none.
	KindRegistry
	// KindRails is GitLab's production_json.log.
	KindRails
	// KindAPI is GitLab's api_json.log.
	KindAPI
	// KindAuth is GitLab's auth.log or auth_json.log.
	KindAuth
	// KindSSH is sshd's log.
	KindSSH
)

var kindNames = [...]string{"unknown", "access", "registry", "rails", "api", "auth", "ssh"}

// String returns the name that rules, explain and JSON use.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// ParseKind returns the kind of that name.
func ParseKind(name string) (Kind, bool) {
	i, ok := indexOf(kindNames[:], name)
	return Kind(i), ok
}

// KindNames returns the names of all kinds but unknown.
func KindNames() []string { return kindNames[1:] }

// Operation is what the client wanted, the same for every registry and dialect.
type Operation uint8

// The operations.
const (
	OpOther    Operation = iota // a path that is none of the below, or a request that is none
	OpPing                      // GET /v2/, whose 401 is an honest client's first step
	OpToken                     // /jwt/auth, /v2/token, /service/token: asking for a bearer token
	OpManifest                  // /v2/<name>/manifests/<reference>
	OpBlob                      // /v2/<name>/blobs/<digest>
	OpUpload                    // /v2/<name>/blobs/uploads/…
	OpTags                      // /v2/<name>/tags/list, /v2/<name>/referrers/<digest>
	OpCatalog                   // /v2/_catalog
	OpLogin                     // a person's or sshd's login
	OpWeb                       // a page of GitLab or another web application
	OpGit                       // git over HTTP: …/info/refs, …/git-upload-pack, …/git-receive-pack, LFS
	OpAPI                       // /api/…
)

var operationNames = [...]string{"other", "ping", "token", "manifest", "blob", "upload", "tags", "catalog", "login", "web", "git", "api"}

// String returns the name that rules, explain and JSON use.
func (o Operation) String() string { return nameOf(operationNames[:], int(o)) }

// ParseOperation returns the operation of that name.
func ParseOperation(name string) (Operation, bool) {
	i, ok := indexOf(operationNames[:], name)
	return Operation(i), ok
}

// OperationNames returns the names of all operations.
func OperationNames() []string { return operationNames[:] }

func nameOf(names []string, i int) string {
	if i >= len(names) {
		return "invalid"
	}
	return names[i]
}

func indexOf(names []string, name string) (int, bool) {
	for i, n := range names {
		if n == name {
			return i, true
		}
	}
	return 0, false
}
