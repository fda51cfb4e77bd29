package format

import "strings"

// peelCRI strips what container runtimes write before a line, and joins lines that they split:
//
//	2025-06-03T10:00:00.123456789Z stdout F the line
//	2025-06-03T10:00:00.123456789Z stderr P a part of
func (r *Reader) peelCRI(line string) layer {
	at, end := rfc3339(line)
	if end == 0 || len(line) <= end || line[end] != ' ' {
		return layer{}
	}
	stream, rest, _ := strings.Cut(line[end+1:], " ")
	if stream != "stdout" && stream != "stderr" {
		return layer{}
	}
	tags, rest, _ := strings.Cut(rest, " ")
	tag, _, _ := strings.Cut(tags, ":")
	if tag != "F" && tag != "P" {
		return layer{}
	}
	l := r.join(streamOf(stream), rest, tag == "F", false)
	l.time = at
	return l
}
