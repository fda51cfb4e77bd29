package format

import (
	"strings"
	"time"
)

// peelSyslog strips a syslog header, with or without its priority, and remembers the program:
//
//	<38>Nov 21 18:12:17 vm sshd[26858]: message
//	2026-11-21T18:12:17.124036+00:00 vm sshd[26858]: message
//	<38>1 2026-11-21T18:12:16.620152+00:00 vm sshd 26853 - - message
func (r *Reader) peelSyslog(line string) layer {
	rest, priority := afterPriority(line)
	if after, ok := strings.CutPrefix(rest, "1 "); ok {
		return r.peelRFC5424(after)
	}
	at, end := r.stamp(rest)
	named := false
	if end == 0 {
		at, end = rfc3339(rest)
		named = true // other logs begin with such a time, too: the program must be there
	}
	if end == 0 || len(rest) <= end || rest[end] != ' ' {
		return layer{}
	}
	_, message, ok := strings.Cut(rest[end+1:], " ") // the host
	if !ok {
		return layer{}
	}
	program, text, ok := cutProgram(message)
	if !ok {
		if named && !priority {
			return layer{}
		}
		text = message
	}
	return r.syslogLayer(program, text, at)
}

// afterPriority strips "<38>".
func afterPriority(line string) (rest string, ok bool) {
	if line[0] != '<' {
		return line, false
	}
	end := strings.IndexByte(line[:min(len(line), 5)], '>')
	if end < 0 {
		return line, false
	}
	if _, ok := decimal(line[1:end]); !ok {
		return line, false
	}
	return line[end+1:], true
}

// cutProgram takes "sshd[26858]: message" apart.
func cutProgram(message string) (program, text string, ok bool) {
	i := strings.IndexByte(message, ':')
	if i <= 0 || i > 128 {
		return "", "", false
	}
	program, text = message[:i], message[i+1:]
	if strings.IndexByte(program, ' ') >= 0 {
		return "", "", false
	}
	if j := strings.IndexByte(program, '['); j >= 0 {
		if !strings.HasSuffix(program, "]") {
			return "", "", false
		}
		program = program[:j]
	}
	return program, text, program != ""
}

func (r *Reader) syslogLayer(program, text string, at time.Time) layer {
	r.syslog, r.program = true, program
	return layer{rest: text, time: at, ok: true}
}

// peelRFC5424 reads what follows the version: TIMESTAMP HOST APP PROCID MSGID STRUCTURED-DATA MESSAGE.
func (r *Reader) peelRFC5424(rest string) layer {
	var at time.Time
	if stamp, after, ok := strings.Cut(rest, " "); ok {
		if at, rest = timestamp(stamp), after; at.IsZero() && stamp != "-" {
			return layer{}
		}
	}
	var fields [4]string
	for i := range fields {
		field, after, ok := strings.Cut(rest, " ")
		if !ok || field == "" {
			return layer{}
		}
		fields[i], rest = field, after
	}
	text, ok := afterStructuredData(rest)
	if !ok {
		return layer{}
	}
	return r.syslogLayer(fields[1], strings.TrimPrefix(text, "\ufeff"), at)
}

// afterStructuredData strips "-" or `[id key="value"]…`; a bracket in a value is escaped.
func afterStructuredData(rest string) (string, bool) {
	if rest == "-" {
		return "", true
	}
	if after, ok := strings.CutPrefix(rest, "- "); ok {
		return after, true
	}
	for strings.HasPrefix(rest, "[") {
		end, quoted := -1, false
		for i := 1; i < len(rest) && end < 0; i++ {
			switch c := rest[i]; {
			case c == '\\' && quoted:
				i++
			case c == '"':
				quoted = !quoted
			case c == ']' && !quoted:
				end = i
			}
		}
		if end < 0 {
			return "", false
		}
		rest = rest[end+1:]
		if rest == "" || rest[0] == ' ' {
			return strings.TrimPrefix(rest, " "), true
		}
	}
	return "", false
}
