package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"regwarden/detector"
)

// Sync makes the directory hold the files of exactly these blocks. What is right already is not written again: a look at a file's size and
// time tells.
func (a *AnswerFiles) Sync(ctx context.Context, blocks []detector.Block) error {
	if err := a.own(); err != nil {
		return err
	}
	nets, err := a.nets()
	if err != nil {
		return err
	}
	wanted := map[string][]placed{} // by net; a wide block is in several
	a.held = make(map[netip.Prefix][]string, len(blocks))
	for _, b := range blocks {
		places, err := answerPlaces(b.Target)
		if err != nil {
			a.tooWide(b.Target, err)
			continue
		}
		for begin, end := 0, 1; begin < len(places); begin, end = end, end+1 {
			net, _, _ := strings.Cut(places[begin], "/")
			for end < len(places) && strings.HasPrefix(places[end], net+"/") {
				end++
			}
			wanted[net] = append(wanted[net], placed{b, places[begin:end]})
		}
	}
	for net := range nets {
		if _, stays := wanted[net]; !stays {
			if err := os.RemoveAll(filepath.Join(a.options.Path, net)); err != nil {
				return fmt.Errorf("remove old answers: %w", err)
			}
		}
	}
	return a.make(ctx, wanted, nets)
}

// placed is a block with its places in one net.
type placed struct {
	block  detector.Block
	places []string
}

// nets are the directories that are there; what else is there stays, but for what a killed daemon was writing.
func (a *AnswerFiles) nets() (map[string]bool, error) {
	entries, err := os.ReadDir(a.options.Path)
	if err != nil {
		return nil, fmt.Errorf("look into the directory of the answers: %w", err)
	}
	out := make(map[string]bool, len(entries))
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e.Name(), answerTemp):
			os.Remove(filepath.Join(a.options.Path, e.Name()))
		case e.Name() != answerMarker:
			out[e.Name()] = true
		}
	}
	return out, nil
}

// make makes the nets right, some at a time: it is the kernel that takes the time.
func (a *AnswerFiles) make(ctx context.Context, wanted map[string][]placed, there map[string]bool) error {
	var mu sync.Mutex
	var failed error
	work := make(chan string, 64)
	var workers sync.WaitGroup
	for i := range min(4, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for net := range work {
				held, err := a.net(net, wanted[net], there[net], fmt.Sprintf("%s%d", answerTemp, i))
				mu.Lock()
				for target, names := range held {
					a.held[target] = append(a.held[target], names...)
				}
				if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for net := range wanted {
		mu.Lock()
		stop := failed != nil || ctx.Err() != nil
		mu.Unlock()
		if stop {
			break
		}
		work <- net
	}
	close(work)
	workers.Wait()
	return errors.Join(failed, ctx.Err())
}

// net makes one net's files right and returns their names.
func (a *AnswerFiles) net(net string, blocks []placed, there bool, temp string) (map[netip.Prefix][]string, error) {
	held := map[netip.Prefix][]string{}
	found := map[string]fs.FileInfo{}
	if there {
		if err := a.look(net, found); err != nil {
			return nil, err
		}
	} else if err := a.mkdir(net); err != nil {
		return nil, fmt.Errorf("make the directory of the answers for %s: %w", net, errnoOf(err))
	}
	for _, b := range blocks {
		for _, f := range a.files(b.block, b.places) {
			held[b.block.Target] = append(held[b.block.Target], f.name)
			info, is := found[f.name]
			delete(found, f.name)
			if is && info.Size() == int64(len(f.content)) && info.ModTime().Equal(f.modTime) && info.Mode().Perm() == 0o644 {
				continue
			}
			if err := a.write(f, temp); err != nil {
				return nil, err
			}
		}
	}
	for name := range found {
		if err := a.remove(name); err != nil {
			return nil, err
		}
	}
	if len(held) == 0 {
		os.Remove(filepath.Join(a.options.Path, net)) // nothing of it can be said in files
	}
	return held, nil
}

// look lists the files of a directory below the answers' and of those in it.
func (a *AnswerFiles) look(name string, found map[string]fs.FileInfo) error {
	entries, err := os.ReadDir(filepath.Join(a.options.Path, name))
	if err != nil {
		return fmt.Errorf("look at the answers for %s: %w", name, errnoOf(err))
	}
	for _, e := range entries {
		path := name + "/" + e.Name()
		if e.IsDir() {
			if err := a.look(path, found); err != nil {
				return err
			}
			continue
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("look at the answers for %s: %w", name, errnoOf(err))
		}
		found[path] = info
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
