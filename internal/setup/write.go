package setup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Config is the commented configuration for the host. It starts as a dry run.
func (h *Host) Config(version string) []byte {
	w := &writer{}
	w.comment("regwarden's configuration, written by regwarden setup (%s). Every choice says what was seen.", version)
	w.comment("All keys: docs/configuration.md, or reference.toml. After a change: regwarden check, then regwarden reload.")
	w.line("")
	w.comment("Decide everything and block nobody. After a day: regwarden report --since 24h --html report.html")
	w.comment("To enforce: remove this line, then regwarden check and regwarden reload. There is no other key for it.")
	w.line("dry_run = true")
	w.line("")
	h.clients(w)
	h.sources(w)
	h.actions(w)
	return []byte(w.text.String())
}

type writer struct{ text strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

func (w *writer) comment(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		w.line("# %s", strings.TrimSpace(line))
	}
}

// clients writes whom to spare.
func (h *Host) clients(w *writer) {
	w.comment("Your monitoring, your office: addresses and networks that are never blocked.")
	w.line("ignoreip = []")
	w.line("")
	trusted := slices.Clone(h.Proxies)
	if len(h.Proxies) > 0 {
		w.comment("Proxies in front, as %s has them; they are never blocked.", strings.Join(h.ProxiesFrom, " and "))
	}
	var proxies []netip.Addr
	private := false
	for _, l := range h.Logs {
		n, nearlyAll := l.Sample.private()
		switch {
		case !nearlyAll:
		case n <= fewProxies:
			for _, a := range l.Sample.busiest(n) {
				if !slices.Contains(proxies, a) {
					proxies = append(proxies, a)
				}
			}
			w.comment("%s: nearly all of %d requests come from %s, private or local. A reverse proxy or load balancer\n"+
				"stands in front, and the log has its address in place of the clients': nobody can be blocked until the web server takes the client's from\n"+
				"X-Forwarded-For (docs/behind-a-load-balancer.md).", l.where(), l.Sample.Named, many(n, "address", "addresses"))
		default:
			private = true
			w.comment("%s: nearly all of %d requests come from %d private addresses, so the registry's clients are in the house.", l.where(), l.Sample.Named, n)
		}
	}
	for _, a := range proxies {
		if !a.IsLoopback() {
			trusted = append(trusted, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if len(trusted) == 0 && len(proxies) == 0 && !private {
		w.comment("No sign of a proxy in front: the logs name clients of the internet, or not enough of them to say. Add load balancers here if there are any.")
	}
	w.line("trusted_proxies = [%s]", list(trusted))
	w.comment("true where the registry's clients have private addresses: those are blocked then, too.")
	w.line("block_private = %v", private)
}

// fewProxies private addresses that carry nearly everything are proxies; more are clients.
const fewProxies = 3

func (l *Log) where() string {
	if l.Unit != "" {
		return "the journal of " + l.Unit
	}
	return l.Path
}

func (h *Host) sources(w *writer) {
	for _, l := range h.Logs {
		w.line("")
		w.comment("%s.", l.What)
		w.comment("%s", l.Sample.words())
		w.line("[[source]]")
		w.line("name = %q", l.Name)
		if l.Unit != "" {
			w.line("type = \"journal\"")
			w.line("units = [%q]", l.Unit)
		} else {
			w.line("path = %q", l.Path)
		}
		if l.Kind != "" {
			w.comment("the only log that names this registry's clients: the rules take it for an access log")
			w.line("kind = %q", l.Kind)
		}
	}
	if len(h.Logs) == 0 {
		w.line("")
		w.comment("No log of a registry was found. This path is an example: put yours in its place.")
		w.line("[[source]]")
		w.line("path = \"/var/log/gitlab/nginx/gitlab_registry_access.log\"")
	}
	if len(h.Left) > 0 {
		w.line("")
		w.comment("Seen and left out:")
		for _, l := range h.Left {
			w.comment("- %s: %s", l.where(), l.Why)
		}
	}
	if h.SSH != "" {
		w.line("")
		w.comment("The ssh server of this host, if those who guess its passwords are to be blocked as well:")
		w.comment("[[source]]\nname = \"ssh\"\ntype = \"journal\"\nunits = [%q]", h.SSH)
	}
}

// words say what the sample has told.
func (s *Sample) words() string {
	if s.Error != "" {
		return "Its lines were not looked at: " + s.Error + "."
	}
	if s.Lines == 0 {
		return "It has no lines yet."
	}
	text := fmt.Sprintf("Looked at %s: %s", many(s.Lines, "line", "lines"), many(s.Events, "request", "requests"))
	if len(s.Dialects) > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(s.Dialects, ", "))
	}
	text += fmt.Sprintf(", %d with a client's address, %s, %d in a form that is not known.", s.Named, many(len(s.Clients), "client", "clients"), s.Unparsed)
	switch {
	case s.Unparsed*20 > s.Lines:
		text += "\nMore than one line in twenty is not known: regwarden explain 'a line' tells more, and format = \"…\" names the dialect."
	case s.Events >= fewRequests && s.Named == 0 && s.registry:
		text += "\nNONE NAMES A CLIENT that can be trusted, so nobody is blocked by this log: a registry's own lines can be forged by whoever reaches it.\n" +
			"Let a web server stand in front and follow its log, or set log.formatter = json in the registry's configuration and kind = \"access\" here."
	case s.Events >= fewRequests && s.Named == 0:
		text += "\nNONE NAMES A CLIENT, so nobody is blocked by this log."
	case s.Named > 0 && s.Private > 0:
		text += fmt.Sprintf("\n%d of those requests come from private or local addresses.", s.Private)
	}
	return text
}

func (h *Host) actions(w *writer) {
	f := &h.Firewall
	w.line("")
	w.comment("Where blocks go, once dry_run is removed. Seen: %s.", strings.Join(f.Seen, "; "))
	if h.Docker != "" {
		w.comment("Docker runs (%s): a block also covers published ports; of a container, write the published port into ports.", h.Docker)
	}
	off := ""
	if f.Problem != "" {
		w.comment("The kernel's firewall cannot be used here: %s", f.Problem)
		w.comment("So blocks are written to a file that the web server includes. Once that is mended, take the comment signs away instead.")
		off = "# "
	}
	switch f.Use {
	case "iptables":
		w.comment("A chain of its own in the raw table and a set: what the host's other rules say does not matter.")
		w.line("%s[actions.iptables]", off)
	default:
		w.comment("A table of its own, which stands beside iptables, ufw, firewalld and Docker.")
		w.line("%s[actions.nftables]", off)
	}
	w.line("%s# ports = [443, 5050]   # block only these; without it a blocked client reaches no port of this host", off)
	if f.Problem != "" {
		w.line("")
		w.line("[[actions.blocklist]]")
		w.line("path = \"/var/lib/regwarden/deny.conf\"")
		w.line("format = \"nginx-deny\"   # include it in the registry's server block")
	}
}

func list(prefixes []netip.Prefix) string {
	var out []string
	for _, p := range prefixes {
		text := fmt.Sprintf("%q", p)
		if p.IsSingleIP() {
			text = fmt.Sprintf("%q", p.Addr())
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
}

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
