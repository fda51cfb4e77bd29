package actions

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// docker is what Docker has in this host's firewall, as far as it could be seen.
type docker struct {
	chains    map[string]bool // by name, such as DOCKER-USER
	where     map[string]bool // the programs that list them
	published []published
	unseen    []string // what could not be looked at, and why
}

// published is a port of this host that is translated to another one of a container.
type published struct {
	protocol        string
	host, container uint16
}

// Docker's table where its firewall backend is nftables (29 and later); its other chains are iptables'.
const dockerTable = "docker-bridges"

// dnatRule is how Docker publishes a port, as iptables prints it.
var dnatRule = regexp.MustCompile(`^-A DOCKER .*-p (tcp|udp) .*--dport (\d+) .*-j DNAT --to-destination (\S+)`)

// lookForDocker lists the rules of all variants of iptables that are here, and the tables of nf_tables. It only reads.
func lookForDocker(ctx context.Context, namespace int) docker {
	d := docker{chains: map[string]bool{}, where: map[string]bool{}}
	for _, tools := range findTools(ctx, hasIPv6()) {
		for _, tool := range tools {
			out, err := printed(ctx, tool.save)
			if err != nil {
				d.unseen = append(d.unseen, err.Error())
				continue
			}
			d.read(tool.path, string(out))
		}
	}
	var options []nftables.ConnOption
	if namespace != 0 {
		options = append(options, nftables.WithNetNSFd(namespace))
	}
	conn, err := nftables.New(options...)
	if err != nil {
		return d
	}
	tables, err := conn.ListTables()
	if err != nil {
		d.unseen = append(d.unseen, fmt.Sprintf("list the tables of nf_tables: %v", err))
	}
	for _, t := range tables {
		if t.Name == dockerTable {
			d.chains["table "+dockerTable], d.where["nftables"] = true, true
		}
	}
	return d
}

func (d *docker) read(program, listing string) {
	for line := range strings.Lines(listing) {
		if name, ok := strings.CutPrefix(line, ":DOCKER"); ok {
			name, _, _ = strings.Cut(name, " ")
			d.chains["DOCKER"+name], d.where[program] = true, true
		}
		m := dnatRule.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		host, err := strconv.ParseUint(m[2], 10, 16)
		to, err2 := netip.ParseAddrPort(strings.TrimSpace(m[3]))
		p := published{m[1], uint16(host), to.Port()}
		if err == nil && err2 == nil && !slices.Contains(d.published, p) {
			d.published = append(d.published, p)
		}
	}
}

// notes tell what Docker means for blocks, which come before any translation, on these ports; none means all.
func (d *docker) notes(ports []uint16) []string {
	var notes []string
	for _, why := range d.unseen {
		notes = append(notes, "whether Docker has chains there could not be looked at: "+why)
	}
	switch {
	case len(d.chains) == 0 && len(d.unseen) == 0:
		notes = append(notes, "Docker has no chains here; ports that it publishes later are covered, too: blocks come before any translation")
	case len(d.chains) > 0:
		notes = append(notes, fmt.Sprintf("Docker is here (%s in %s): blocks come before its translation, so published ports are covered",
			enumerated(slices.Sorted(maps.Keys(d.chains))), enumerated(slices.Sorted(maps.Keys(d.where)))))
	}
	if len(ports) == 0 {
		return notes
	}
	var open []string
	for _, p := range d.published {
		if !slices.Contains(ports, p.host) {
			open = append(open, fmt.Sprintf("%d/%s", p.host, p.protocol))
		}
		inside := p.container != p.host && slices.Contains(ports, p.container)
		if inside && !slices.Contains(ports, p.host) {
			notes = append(notes, fmt.Sprintf("ports: Docker publishes a container's port %d as %d, and that is what a blocked client sends to: write %d instead of %d",
				p.container, p.host, p.host, p.container))
		}
	}
	notes = append(notes, "ports are those that the client sends to, before Docker or anybody else translates them")
	if len(open) > 0 {
		notes = append(notes, "ports: blocked clients still reach what Docker publishes as "+enumerated(open))
	}
	return notes
}

// enumerated is a list for people, which ends somewhere.
func enumerated(names []string) string {
	const most = 12
	if n := len(names); n > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	}
	return strings.Join(names, ", ")
}

// kernelRelease is what the kernel says of itself, such as "Linux 6.12.1".
func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "a kernel of unknown version"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// unseenWithoutAdmin is what Check says it left out.
const unseenWithoutAdmin = "not looked at, for that takes CAP_NET_ADMIN: what the kernel's firewall can do and holds, Docker's chains in it, and whether another regwarden is there"
