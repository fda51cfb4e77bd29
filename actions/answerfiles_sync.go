package actions

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"regwarden/detector"
)

// Sync makes the directory hold the places of exactly these blocks. What is right already is not written again, which a look at each directory and
// file tells.
func (a *AnswerFiles) Sync(ctx context.Context, blocks []detector.Block) error {
	if err := a.own(); err != nil {
		return err
	}
	there, err := a.places()
	if err != nil {
		return err
	}
	a.held, a.others = make(map[string][]detector.Block, len(blocks)), map[string]bool{}
	for _, b := range blocks {
		places, others, err := answerPlaces(b.Target)
		if err != nil {
			a.tooWide(b.Target, err)
			continue
		}
		for _, place := range places {
			a.held[place] = append(a.held[place], b)
			if others {
				a.others[place] = true
			}
		}
	}
	if err := a.tellOthers(); err != nil {
		return err
	}
	old := make(map[string]bool, len(there)) // also what will be found to say nothing
	for _, place := range there {
		if old[place] = true; len(a.held[place]) > 0 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := a.remove(place); err != nil {
			return err
		}
	}
	return a.make(ctx, old)
}

// make makes the places right, some at a time: it is the kernel that takes the time.
func (a *AnswerFiles) make(ctx context.Context, old map[string]bool) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan []string, 4)
	var workers sync.WaitGroup
	for i := range min(4, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for places := range work {
				for _, place := range places {
					if ctx.Err() != nil {
						break
					}
					if err := a.makePlace(place, old[place], fmt.Sprintf("%s%d", answerTemp, i)); err != nil {
						stop(err)
					}
				}
			}
		})
	}
	var some []string
	for place := range a.held {
		if some = append(some, place); len(some) == 256 {
			if ctx.Err() != nil {
				break
			}
			work <- some
			some = nil
		}
	}
	work <- some
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// makePlace makes one place right; the workers only read what is held.
func (a *AnswerFiles) makePlace(place string, there bool, temp string) error {
	files := a.files(a.held[place])
	switch {
	case len(files) > 0 && there && a.right(place, files):
		return nil
	case len(files) > 0:
		return a.put(place, files, temp)
	case there:
		return a.remove(place)
	}
	return nil
}

// answersWatch is how often the directory is looked at.
const answersWatch = time.Second

// Watch doubts the files when the directory was removed or replaced by somebody else.
func (a *AnswerFiles) Watch(ctx context.Context, doubt func(reason string)) error {
	tick := time.NewTicker(answersWatch)
	defer tick.Stop()
	var before fs.FileInfo
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, err := os.Lstat(filepath.Join(a.options.Path, answerMarker))
		switch {
		case err != nil && before != nil:
			doubt(fmt.Sprintf("%s was removed by somebody else", a.options.Path))
			before = nil
		case err == nil && before != nil && !os.SameFile(before, now):
			doubt(fmt.Sprintf("%s was replaced by somebody else", a.options.Path))
			before = now
		case err == nil:
			before = now
		}
	}
}
