package actions

import (
	"context"
	"fmt"
	"os"
	"time"
)

// blocklistWatch is how often the files are looked at.
const blocklistWatch = 2 * time.Second

// sealed is a file as it was left.
type sealed struct {
	path  string
	state fileState
}

// remember notes how the files were left, for Watch.
func (b *Blocklist) remember() {
	var list []sealed
	for i := range b.outputs {
		if o := &b.outputs[i]; o.seal.state != (fileState{}) {
			list = append(list, sealed{o.file.path, o.seal.state})
		}
	}
	b.left.Store(&list)
}

// Watch doubts the list when one of its files was removed or changed by somebody else, once for each time that it was written.
func (b *Blocklist) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(blocklistWatch)
	defer tick.Stop()
	var said *[]sealed
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		list := b.left.Load()
		if list == nil || list == said {
			continue
		}
		for _, f := range *list {
			info, err := os.Stat(f.path)
			if err == nil && stateOf(info) == f.state {
				continue
			}
			if b.left.Load() == list { // not one that is being written right now
				said = list
				doubt(fmt.Sprintf("%s was removed or changed by somebody else", f.path))
			}
			break
		}
	}
}
