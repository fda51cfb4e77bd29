package format

import "regwarden/detector"

// dialect is one way to write a log. It reads records (JSON and logfmt), text, or both.
type dialect struct {
	name string
	// kind is what the events are unless the reader of a line says otherwise.
	kind detector.Kind
	// keyed says whether the record looks like this dialect's.
	keyed func(*record) bool
	// fromRecord reads r.record.
	fromRecord func(*Reader, *detector.Event) Verdict
	// fromText reads any other line.
	fromText func(*Reader, string, *detector.Event) Verdict
	// ownAccess says that its access lines are a registry's own, which any client can write lines into: see own.go.
	ownAccess bool
	// shared says that its text is recognised as another dialect's: only a configured name reads it as this one.
	shared bool
	// combined says that its lines are as nginx writes them by default.
	combined bool
}

// dialects are tried in this order, so the particular stands before the general.
var dialects []dialect

// The table is filled in here because its functions come back to it.
func init() {
	dialects = []dialect{
		{name: "zot", kind: detector.KindAccess, keyed: isZot, fromRecord: (*Reader).readZot},
		{name: "gitlab-rails", kind: detector.KindRails, keyed: isRails, fromRecord: (*Reader).readRails},
		{name: "gitlab-api", kind: detector.KindAPI, keyed: isAPI, fromRecord: (*Reader).readAPI},
		{name: "gitlab-auth", kind: detector.KindAuth, keyed: isAuth, fromRecord: (*Reader).readAuth,
			fromText: (*Reader).readAuthText},
		{name: "gitlab-registry", kind: detector.KindRegistry, keyed: isRegistry, fromRecord: (*Reader).readRegistry,
			fromText: (*Reader).readOwnAccess, shared: true, ownAccess: true},
		{name: "distribution", kind: detector.KindRegistry, keyed: isDistribution, fromRecord: (*Reader).readDistribution,
			fromText: (*Reader).readOwnAccess, shared: true, ownAccess: true},
		{name: "sshd", kind: detector.KindSSH, fromText: (*Reader).readSSH},
		{name: "nginx", kind: detector.KindAccess, combined: true, fromText: (*Reader).readNginx},
		{name: "combined", kind: detector.KindAccess, combined: true, fromText: (*Reader).readNginx, shared: true},
		{name: "ingress-nginx", kind: detector.KindAccess, combined: true, fromText: (*Reader).readNginx, shared: true},
		{name: "harbor", kind: detector.KindAccess, fromText: (*Reader).readHarbor},
		{name: "nexus", kind: detector.KindAccess, fromText: (*Reader).readNexus},
		{name: "quay", kind: detector.KindAccess, fromText: (*Reader).readQuay},
		{name: "artifactory", kind: detector.KindAccess, fromText: (*Reader).readArtifactory},
		{name: "gitea", kind: detector.KindAccess, fromText: (*Reader).readGitea},
	}
}
