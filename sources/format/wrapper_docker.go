package format

import (
	"strings"
	"time"

	"github.com/valyala/fastjson"
)

// dockerSplit is where docker splits a line. A shorter record without a newline is the end of a stream, when a container stops in mid-line.
const dockerSplit = 16 << 10

// peelDocker takes the line out of a record of docker's json-file driver:
//
//	{"log":"the line\n","stream":"stdout","time":"2026-11-21T18:14:28.45839422Z"}
//
// A line that was split is joined until its newline.
func (r *Reader) peelDocker(line string) layer {
	if !strings.HasPrefix(line, `{"log":`) {
		return layer{}
	}
	r.bulky = r.bulky || len(line) > parserKeep
	v, err := r.outer.Parse(line)
	if err != nil || v.Type() != fastjson.TypeObject {
		return layer{}
	}
	var log, stream string
	var at time.Time
	found := false
	v.GetObject().Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "log":
			if !found {
				log, found = view(v.GetStringBytes()), v.Type() == fastjson.TypeString
			}
		case "stream":
			stream = view(v.GetStringBytes())
		case "time":
			at = timestamp(view(v.GetStringBytes()))
		}
	})
	if !found || stream == "" && at.IsZero() {
		return layer{}
	}
	piece, ended := strings.CutSuffix(log, "\n")
	l := r.join(streamOf(stream), piece, ended, len(piece) < dockerSplit)
	l.time = at
	return l
}
