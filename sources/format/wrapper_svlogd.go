package format

import (
	"strings"
)

// peelSvlogd strips the time that runit's svlogd puts before a line, always UTC, and the "host tag: " of its prefix option.
//
//	-t    @400000006b01e16a3129f9c4 line
//	-tt   2026-11-21_18:22:24.82440 line
//	-ttt  2026-11-21T18:22:24.82440 line
func (r *Reader) peelSvlogd(line string) layer {
	if line[0] == '@' {
		const length = 1 + 24
		if len(line) <= length || line[length] != ' ' {
			return layer{}
		}
		for i := 1; i < length; i++ {
			if unhex(line[i]) > 15 {
				return layer{}
			}
		}
		return layer{rest: afterPrefix(line[length+1:]), time: tai64n(line[1:length]), ok: true}
	}
	const length = len("2026-11-21_18:22:24.82440")
	var c civil
	if len(line) <= length || line[length] != ' ' || line[10] != '_' && line[10] != 'T' ||
		!c.date(line, '-') || !c.hms(line, 11) || c.fraction(line, 19) != length {
		return layer{}
	}
	return layer{rest: afterPrefix(line[length+1:]), time: c.utc(0), ok: true}
}

// afterPrefix strips "registry01 registry: ", which omnibus writes when svlogd_prefix is set.
func afterPrefix(line string) string {
	host, rest, ok := strings.Cut(line, " ")
	if !ok || !isLabel(host) {
		return line
	}
	tag, rest, ok := strings.Cut(rest, " ")
	if !ok || !strings.HasSuffix(tag, ":") || !isLabel(tag[:len(tag)-1]) {
		return line
	}
	return rest
}

func isLabel(text string) bool {
	if text == "" || len(text) > 255 {
		return false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
