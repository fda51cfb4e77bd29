package actions

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"regwarden/detector"
)

// Sync makes the directory hold the places of exactly these blocks. What is right already is not written again, which a look at each directory and
// file tells.
func (a *AnswerFiles) Sync(ctx context.Context, blocks []detector.Block) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.failing = err != nil }()
	damage, err := a.own()
	if err != nil {
		return err
	}
	if err := a.sync(ctx, blocks); err != nil {
		return err
	}
	if damage != "" || a.doubted {
		a.healed.Add(1)
		a.doubted = false
	}
	return a.unreachable()
}

// sync does it in a directory that is ours.
func (a *AnswerFiles) sync(ctx context.Context, blocks []detector.Block) error {
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
	if err := a.make(ctx, old); err != nil {
		return err
	}
	return a.seal()
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
