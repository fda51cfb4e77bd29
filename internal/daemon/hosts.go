package daemon

import (
	"bufio"
	"encoding/hex"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"regwarden/detector"
)

// HostAddresses are the addresses that this host cannot do without: its own, its gateways', its resolvers'.
func HostAddresses(logger *slog.Logger) []detector.Never {
	var out []detector.Never
	add := func(addr netip.Addr, why string) {
		if addr = addr.Unmap().WithZone(""); addr.IsValid() && !addr.IsUnspecified() {
			out = append(out, detector.Never{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Why: why})
		}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		logger.Warn("the host's own addresses cannot be read, so they are not protected", "error", err)
	}
	for _, a := range interfaces {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			add(prefix.Addr(), "this host's own address")
		}
	}
	for _, g := range gateways() {
		add(g, "this host's gateway")
	}
	for _, r := range resolvers() {
		add(r, "this host's resolver")
	}
	return out
}

// gateways reads the default routes as the kernel lists them (proc(5): /proc/net/route, /proc/net/ipv6_route).
func gateways() []netip.Addr {
	var out []netip.Addr
	for _, f := range fields("/proc/net/route") {
		if len(f) > 2 && f[1] == "00000000" {
			if b, err := hex.DecodeString(f[2]); err == nil && len(b) == 4 {
				slices.Reverse(b) // the kernel writes it in the machine's byte order, which is little-endian where this runs
				out = append(out, netip.AddrFrom4([4]byte(b)))
			}
		}
	}
	for _, f := range fields("/proc/net/ipv6_route") {
		if len(f) > 4 && f[0] == strings.Repeat("0", 32) && f[1] == "00" {
			if b, err := hex.DecodeString(f[4]); err == nil && len(b) == 16 {
				out = append(out, netip.AddrFrom16([16]byte(b)))
			}
		}
	}
	return out
}

func resolvers() []netip.Addr {
	var out []netip.Addr
	for _, f := range fields("/etc/resolv.conf") {
		if len(f) > 1 && f[0] == "nameserver" {
			if addr, err := netip.ParseAddr(f[1]); err == nil {
				out = append(out, addr)
			}
		}
	}
	return out
}

// fields returns a small file's lines as fields; a file that cannot be read has none.
func fields(path string) [][]string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out [][]string
	for s := bufio.NewScanner(f); s.Scan(); {
		out = append(out, strings.Fields(s.Text()))
	}
	return out
}
