// Package config turns the daemon's TOML file into checked values. It decodes strictly: a key that it does not know is an error
// which names the file, the line and the nearest key. Defaults live here and stand in reference.toml, which a test holds against them.
package config

import (
	"io/fs"
	"net/netip"
	"time"

	"regwarden/detector"
)

// Config is a daemon's whole configuration.
type Config struct {
	// Path is the file that it was read from.
	Path string
	// RulesDir holds the operator's own rules; "" for none.
	RulesDir string
	// Disable are shipped rules that are switched off.
	Disable []string
	// DryRun makes every rule a dry run.
	DryRun bool

	Sources []Source
	Actions Actions

	IgnoreIP       []netip.Prefix
	TrustedProxies []netip.Prefix
	BlockPrivate   bool
	Mask           detector.Mask
	Guards         Guards

	// StateFile is the database; Socket the control socket.
	StateFile string
	Socket    string
	// Group owns the socket: its members may look and change.
	Group string
	// Memory is the bound for the whole process in bytes.
	Memory int64
	// HistoryKeep is how long history is kept.
	HistoryKeep time.Duration
	LogLevel    string
	LogFormat   string
	// MetricsListen is where metrics are served besides the control socket, "" for nowhere.
	MetricsListen string
	// Portal is the project page; nil where it is not configured.
	Portal *Portal

	// Lines are where keys stand whose mistakes only other rooms can see; Problem makes them.
	Lines map[string]int
}

// Source is one [[source]].
type Source struct {
	Name string
	// Type is file, journal or stdin.
	Type string
	// Paths are files or globs.
	Paths []string
	// Units and Matches select journald's records.
	Units, Matches []string
	Format         string
	// Kind overrides what kind of source the format is; KindUnknown leaves it.
	Kind           detector.Kind
	From           string
	TrustForwarded bool
	TrustOwnAccess bool
	Poll           bool
	// Location is the zone of times that name none.
	Location *time.Location
}

// Guards are the configured safety rules.
type Guards struct {
	Storm       bool
	StormLimit  int
	StormWindow time.Duration
	ProxyShare  float64
}

// Actions are the configured actions.
type Actions struct {
	Blocklists []Blocklist
	Log        bool
	NFTables   *NFTables // nil where it is not configured
	IPTables   *IPTables
	Execs      []Exec
	Webhooks   []Webhook

	// What follows answers blocked clients; nil where it is not configured.
	Answers        Answers
	AnswerFiles    *AnswerFiles
	AnswerEndpoint *AnswerEndpoint
	NginxGeo       *NginxGeo
	HAProxy        *HAProxy
}

// Blocklist is one [[actions.blocklist]].
type Blocklist struct {
	Path, Format, Set string
	Mode              fs.FileMode
	// After is a command that is run when the file was rewritten; empty for none.
	After []string
}

// Hold says that some action stops those who are blocked.
func (a *Actions) Hold() bool {
	return len(a.Blocklists)+len(a.Execs) > 0 || a.NFTables != nil || a.IPTables != nil ||
		a.AnswerFiles != nil || a.AnswerEndpoint != nil || a.NginxGeo != nil || a.HAProxy != nil
}

// NFTables is [actions.nftables].
type NFTables struct {
	Table string
	Ports []uint16
	// Mode is drop or reject.
	Mode string
	// Counters counts packets for each block too.
	Counters bool
	// Owner lets the table belong to the daemon where the kernel can do that, so that nobody else can change it.
	Owner bool
}

// IPTables is [actions.iptables].
type IPTables struct {
	Chain, Set string
	Ports      []uint16
	// Variant is auto, nft or legacy; IPSet is auto, require or never.
	Variant, IPSet string
	// MaxRules is how many blocks a family may have as rules where there are no sets.
	MaxRules int
}

// Exec is one [[actions.exec]].
type Exec struct {
	Name    string
	Command []string
	Timeout time.Duration
	Holds   bool
	DryRun  bool
}

// Webhook is one [[actions.webhook]].
type Webhook struct {
	Name, URL, Secret string
	// SecretFile holds the secret instead: a path, or CredentialPrefix and the name of one of systemd's credentials; "" for none.
	SecretFile string
	Headers    map[string]string
	Timeout    time.Duration
}

// CredentialPrefix marks the name of a credential that systemd hands to the service, where a path could stand.
const CredentialPrefix = "credential:"

// BlocklistFormats are the formats of a blocklist file.
var BlocklistFormats = []string{"plain", "nginx-deny", "nginx-geo", "haproxy", "ipset", "jsonl"}

// Default returns the configuration that an empty file gives.
func Default() Config {
	return Config{
		Mask:        detector.DefaultMask,
		Guards:      Guards{Storm: true, StormLimit: detector.DefaultGuards.StormLimit, StormWindow: detector.DefaultGuards.StormWindow, ProxyShare: detector.DefaultGuards.ProxyShare},
		StateFile:   "/var/lib/regwarden/state.db",
		Socket:      "/run/regwarden/regwarden.sock",
		Group:       "regwarden",
		Memory:      256 << 20,
		HistoryKeep: 90 * 24 * time.Hour,
		LogLevel:    "info",
		LogFormat:   "auto",
		Actions:     Actions{Log: true},
	}
}

// Never returns the prefixes that this configuration protects, with the reason.
func (c *Config) Never() []detector.Never {
	var out []detector.Never
	for _, p := range c.IgnoreIP {
		out = append(out, detector.Never{Prefix: p, Why: "in ignoreip"})
	}
	for _, p := range c.TrustedProxies {
		out = append(out, detector.Never{Prefix: p, Why: "in trusted_proxies"})
	}
	return out
}
