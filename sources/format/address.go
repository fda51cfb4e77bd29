package format

import (
	"net/netip"
	"strings"
)

// address reads an address as logs write it: bare, with a port, in brackets, with a zone, IPv4 mapped into IPv6. What names no
// host ("-", "unknown", "unix:", a host name, 0.0.0.0) is the invalid address.
func address(text string) netip.Addr {
	if a, ok := plainIPv4(text); ok {
		return known(a)
	}
	host, _ := splitPort(text)
	if i := strings.IndexByte(host, '%'); i >= 0 {
		host = host[:i]
	}
	if !numeric(host) {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return known(a.Unmap())
}

// addressPort is address for text of which only the form with a port is wanted: what stands there without one was made from a header.
func addressPort(text string) (a netip.Addr, port bool) {
	_, port = splitPort(text)
	return address(text), port
}

// fromQuad makes an address of the four numbers of one.
func fromQuad(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func known(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// splitPort takes "host:port", "[host]:port" and "[host]" apart. Bare IPv6 has no port.
func splitPort(text string) (host string, port bool) {
	if strings.HasPrefix(text, "[") {
		host, rest, ok := strings.Cut(text[1:], "]")
		if !ok || rest != "" && !isPort(rest) {
			return "", false
		}
		return host, rest != ""
	}
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.IndexByte(text, ':') != i {
		return text, false
	}
	if !isPort(text[i:]) {
		return "", false
	}
	return text[:i], true
}

func isPort(text string) bool {
	_, ok := decimal(text[1:])
	return ok && text[0] == ':' && len(text) <= len(":65535")
}

// numeric says whether the text may be an address, so that text from a stranger costs no error value.
func numeric(text string) bool {
	if text == "" || len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return false
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; c != ':' && c != '.' && unhex(c) > 15 {
			return false
		}
	}
	return true
}

// plainIPv4 is the short way for what most lines have. It refuses what it does not understand.
func plainIPv4(text string) (netip.Addr, bool) {
	var quad [4]byte
	part, digits, value := 0, 0, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case '0' <= c && c <= '9':
			if digits > 0 && value == 0 {
				return netip.Addr{}, false
			}
			value = value*10 + int(c-'0')
			if digits++; value > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			quad[part] = byte(value)
			part, digits, value = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	quad[3] = byte(value)
	return netip.AddrFrom4(quad), true
}
