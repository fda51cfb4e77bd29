package setup

import (
	"path/filepath"
	"strings"
)

// Firewall is which of the kernel's firewalls regwarden should use, and what shows it.
type Firewall struct {
	// Use is nftables, iptables or "" for neither.
	Use string
	// Seen are the signs of a firewall, one sentence each.
	Seen []string
	// Problem is why Use cannot be used on this host; whoever can ask the kernel fills it in.
	Problem string
}

// firewall looks for the host's firewall. A table of nftables stands beside all of them, so it is taken unless the older iptables is in use.
func (h *Host) firewall() {
	f := &h.Firewall
	f.Use = "nftables"
	see := func(text string) { f.Seen = append(f.Seen, text) }
	if h.has("/etc/ufw/ufw.conf") {
		on := "off"
		for line := range h.lines("/etc/ufw/ufw.conf") {
			if strings.EqualFold(strings.TrimSpace(line), "ENABLED=yes") {
				on = "on"
			}
		}
		see("ufw is installed and " + on)
	}
	if h.has("/usr/sbin/firewalld") || h.has("/usr/bin/firewall-cmd") {
		on := "not started at boot"
		if h.has("/etc/systemd/system/multi-user.target.wants/firewalld.service") {
			on = "started at boot"
		}
		see("firewalld is installed and " + on)
	}
	if h.has("/etc/systemd/system/sysinit.target.wants/nftables.service") || h.has("/etc/systemd/system/multi-user.target.wants/nftables.service") {
		see("nftables.service is started at boot")
	} else if h.has("/usr/sbin/nft") {
		see("nft is installed")
	}
	if h.has("/usr/sbin/iptables") || h.has("/sbin/iptables") {
		see("iptables is installed" + h.variant())
	}
	if h.Root == "/" && h.firstLine("/proc/net/ip_tables_names") != "" {
		see("tables of the older (legacy) iptables are in use")
		f.Use = "iptables"
	}
	if len(f.Seen) == 0 {
		see("no tool of a firewall is installed")
	}
}

// variant says which iptables the host's alternatives point at.
func (h *Host) variant() string {
	target, err := filepath.EvalSymlinks(h.path("/etc/alternatives/iptables"))
	switch {
	case err != nil:
		return ""
	case strings.Contains(target, "legacy"):
		return " (the legacy variant)"
	}
	return " (the nft variant)"
}
