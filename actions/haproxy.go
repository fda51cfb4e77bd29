package actions

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"regwarden/detector"
)

// HAProxyOptions say which maps of which HAProxy are written.
type HAProxyOptions struct {
	Name string
	// Socket is the runtime API's, at level admin.
	Socket string
	// Map is the file of the map of addresses, as HAProxy's configuration names it; Repositories that of the map of single repositories, "" for none.
	Map, Repositories string
	Answers           Answers
	Logger            *slog.Logger // none if nil
	// Clock is time.Now if nil.
	Clock func() time.Time
}

// HAProxy keeps the blocked clients in HAProxy's maps, each with its message as the value, through the runtime API: a change takes effect at once,
// without a reload, and a whole map is replaced in one step. The maps' files are written too, soon after, for HAProxy's next start.
//
// The keys are networks for map_ip, and "network's address/repository" for map_str, as src,ipmask(32,64) makes it.
type HAProxy struct {
	options HAProxyOptions
	log     *slog.Logger

	mu       sync.Mutex // guards all below; Watch writes the files and asks who answers
	maps     []*haproxyMap
	instance string // which HAProxy the maps were written to
}

// haproxyMap is one map as it should be.
type haproxyMap struct {
	path    string
	values  map[string]string
	targets map[netip.Prefix][]string // the keys of a target
	file    replacedFile
	seal    seal
	owed    bool // the file is older than the map
}

// NewHAProxy returns the action. It talks to nobody before the first Apply or Sync.
func NewHAProxy(o HAProxyOptions) (*HAProxy, error) {
	h := &HAProxy{options: o, log: o.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.options.Clock == nil {
		h.options.Clock = time.Now
	}
	for i, path := range []string{o.Map, o.Repositories} {
		if path == "" && i == 1 {
			break
		}
		path, err := filepath.Abs(path)
		if err != nil || strings.ContainsAny(path, " ;\\\n") {
			return nil, fmt.Errorf("action %s: %q is no map's path; write it as HAProxy's configuration has it", o.Name, path)
		}
		h.maps = append(h.maps, &haproxyMap{path: path, file: replacedFile{path: path}, values: map[string]string{}, targets: map[netip.Prefix][]string{}})
	}
	return h, nil
}

// Name is the configured name.
func (h *HAProxy) Name() string { return h.options.Name }

// Kind is "haproxy".
func (h *HAProxy) Kind() string { return "haproxy" }

// Holds is true for the host, and for a repository where there is a map for it.
func (h *HAProxy) Holds(scope detector.Scope) bool {
	return scope == detector.ScopeHost || len(h.maps) > 1
}

// Answers is true.
func (h *HAProxy) Answers() bool { return true }

// SpelledOnly is true: a repository is a key here.
func (h *HAProxy) SpelledOnly() bool { return true }

// Place is the map of addresses.
func (h *HAProxy) Place() string { return h.options.Map }

// Sync replaces the maps as a whole.
func (h *HAProxy) Sync(ctx context.Context, blocks []detector.Block) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.maps {
		m.values, m.targets, m.owed = make(map[string]string, len(blocks)), make(map[netip.Prefix][]string, len(blocks)), true
	}
	for _, b := range blocks {
		for i, entries := range h.entries(b) {
			for _, e := range entries {
				h.maps[i].values[e.key] = e.value
				h.maps[i].targets[b.Target] = append(h.maps[i].targets[b.Target], e.key)
			}
		}
	}
	fileErr := h.writeFiles() // first: a HAProxy that is starting reads them, and without them it does not start
	instance, err := h.ask(ctx, "show info")
	if err != nil {
		return err
	}
	for _, m := range h.maps {
		if err := h.rewrite(ctx, m); err != nil {
			return err
		}
	}
	h.instance = pidOf(instance)
	return fileErr
}

// Apply changes the entries of the targets that changed.
func (h *HAProxy) Apply(ctx context.Context, changes []detector.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, m := range h.maps {
		var commands haproxyCommands
		for _, c := range changes {
			if c.Verb != detector.ChangeDryRun && c.Verb != detector.ChangeSpared {
				commands.update(m, c.Block.Target, h.entries(c.Block)[i])
			}
		}
		for _, command := range commands.list {
			said, err := h.ask(ctx, command)
			if err != nil {
				return err
			}
			if said = strings.TrimSpace(strings.ReplaceAll(said, "Key not found.", "")); said != "" {
				return fmt.Errorf("haproxy: map %s: %s", m.path, clean(said, 200))
			}
		}
		m.owed = m.owed || len(commands.list) > 0
	}
	return nil
}

// haproxyEntry is a line of a map.
type haproxyEntry struct{ key, value string }

// entries are a block's lines in each of the maps.
func (h *HAProxy) entries(b detector.Block) [2][]haproxyEntry {
	var out [2][]haproxyEntry
	now := h.options.Clock()
	if a, ok := h.options.Answers(b, "", now); ok {
		out[0] = []haproxyEntry{{b.Target.String(), a.Message}}
	}
	if len(h.maps) > 1 {
		for _, r := range answerRepositories(b) {
			if a, ok := h.options.Answers(b, r, now); ok {
				out[1] = append(out[1], haproxyEntry{b.Target.Addr().String() + "/" + r, a.Message})
			}
		}
	}
	return out
}

// haproxyCommands are what brings a map up to date, in lines that HAProxy takes.
type haproxyCommands struct{ list []string }

// update brings the entries of one target up to date.
func (c *haproxyCommands) update(m *haproxyMap, target netip.Prefix, entries []haproxyEntry) {
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.key)
		switch before, there := m.values[e.key]; {
		case !there:
			c.list = append(c.list, fmt.Sprintf("add map %s <<\n%s %s\n", m.path, e.key, e.value))
		case before != e.value:
			c.list = append(c.list, fmt.Sprintf("set map %s %s %s", m.path, e.key, strings.ReplaceAll(e.value, " ", `\ `)))
		}
		m.values[e.key] = e.value
	}
	for _, old := range m.targets[target] {
		if !slices.Contains(keys, old) {
			c.list = append(c.list, fmt.Sprintf("del map %s %s", m.path, old))
			delete(m.values, old)
		}
	}
	if m.targets[target] = keys; keys == nil {
		delete(m.targets, target)
	}
}

// lines is the map's content, sorted.
func (m *haproxyMap) lines() []string {
	out := make([]string, 0, len(m.values))
	for key, value := range m.values {
		out = append(out, key+" "+value+"\n")
	}
	slices.Sort(out)
	return out
}

// writeFiles brings the maps' files up to date.
func (h *HAProxy) writeFiles() error {
	var errs []error
	for _, m := range h.maps {
		if !m.owed {
			continue
		}
		content := head("the values are what blocked clients read")
		for _, line := range m.lines() {
			content = append(content, line...)
		}
		if sum := identityOf(content); !m.file.unchanged(&m.seal, sum, content) {
			state, err := m.file.replace(content)
			if err != nil {
				m.seal = seal{}
				errs = append(errs, err)
				continue
			}
			m.seal = seal{identity: sum, state: state}
		}
		m.owed = false
	}
	if len(errs) > 0 {
		return fmt.Errorf("%s", oneLine(errs))
	}
	return nil
}

// haproxyWatch is how often the files are written, and how often it is looked whether HAProxy was started anew.
const haproxyWatch = time.Second

// Watch writes the files after changes, and doubts the maps when another HAProxy answers: it has read the files, which may be a moment old.
func (h *HAProxy) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(haproxyWatch)
	defer tick.Stop()
	said := ""
	for {
		end := false
		select {
		case <-ctx.Done():
			end = true
		case <-tick.C:
		}
		h.mu.Lock()
		err := h.writeFiles()
		known := h.instance
		h.mu.Unlock()
		if err != nil && said != err.Error() {
			said = err.Error()
			h.log.Error("a map's file cannot be written; HAProxy would start with an old one", "action", h.Name(), "error", err)
		}
		if end {
			return ctx.Err()
		}
		info, err := h.ask(ctx, "show info")
		if pid := pidOf(info); err == nil && known != "" && pid != known {
			doubt("HAProxy was started anew")
		}
	}
}
