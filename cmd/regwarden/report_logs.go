package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/replay"
	"regwarden/internal/report"
	"regwarden/sources"
)

// fromConfigured replays the logs of the configuration's sources, each read as its source says.
func (f *reportFlags) fromConfigured(cmd *cobra.Command, since time.Time) (*report.Report, error) {
	if f.config == "" {
		f.config = defaultConfig
	}
	c, err := config.Load(f.config)
	if err != nil {
		return nil, configError(err)
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	var files, names, notes []string
	var journals []*journalPipe
	defer func() {
		for _, j := range journals {
			j.close()
		}
	}()
	how := map[string]replay.Reading{}
	var past pastFiles
	for _, s := range c.Sources {
		var of []string
		switch s.Type {
		case "file":
			for _, p := range s.Paths {
				of = append(of, withRotated(p)...)
			}
			slices.Sort(of)
			var left []string
			of, left = past.take(slices.Compact(of))
			notes = append(notes, left...)
			names = append(names, of...)
		case "journal":
			j, err := newJournalPipe(ctx, s, since)
			if err != nil {
				return nil, &exitError{code: exitWrong, err: err}
			}
			journals = append(journals, j)
			of, names = []string{j.path}, append(names, "the journal of "+name(s.Name))
		}
		for _, p := range of {
			how[p] = replay.Reading{Format: s.Format, Kind: s.Kind, TrustForwarded: s.TrustForwarded, TrustOwnAccess: s.TrustOwnAccess, Location: cmp.Or(s.Location, time.Local)}
		}
		files = append(files, of...)
	}
	if len(files) == 0 {
		text := strings.Join(append([]string{fmt.Sprintf("config %s: none of its logs is there", f.config)}, notes...), "; ")
		return nil, &exitError{exitWrong, errors.New(text), "regwarden check tells which it looks for"}
	}
	r, err := f.replayed(cmd, replayedLogs{files: files, where: logNames(names), how: how, notes: notes}, since)
	if err != nil {
		return nil, err
	}
	for _, j := range journals {
		if err := <-j.ended; err != nil {
			return nil, &exitError{exitWrong, err, "run it as root, or as a member of the group systemd-journal"}
		}
	}
	return r, nil
}

// pastFiles are the files of sources that were chosen so far.
type pastFiles struct{ seen []os.FileInfo }

// take chooses the files that can be read from their beginning to their end, each once, under whatever names it is found: a link may stand beside what it points to.
// left says of the others why they are left out.
func (p *pastFiles) take(paths []string) (files, left []string) {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			files = append(files, path) // opening it tells
			continue
		case info.Mode()&fs.ModeNamedPipe != 0:
			left = append(left, path+" is left out: a named pipe keeps nothing of the past")
			continue
		case !info.Mode().IsRegular():
			left = append(left, path+" is left out: it is no plain file")
			continue
		case slices.ContainsFunc(p.seen, func(other os.FileInfo) bool { return os.SameFile(other, info) }):
			continue
		}
		p.seen = append(p.seen, info)
		var c *sources.Compressed
		if in, err := sources.OpenFile(path); err == nil {
			in.Close()
		} else if errors.As(err, &c) {
			left = append(left, fmt.Sprintf("%s is left out: it is compressed with %s; unpack it to have it read", path, c.By))
			continue
		}
		files = append(files, path)
	}
	return files, left
}

// journalPipe lets a replay read what is in the journal already as if it were a file.
type journalPipe struct {
	path  string
	read  *os.File
	ended chan error // what became of journalctl
}

func newJournalPipe(ctx context.Context, s config.Source, since time.Time) (*journalPipe, error) {
	journal, err := sources.NewJournal(sources.JournalOptions{Name: s.Name, Units: s.Units, Matches: s.Matches})
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &journalPipe{path: fmt.Sprintf("/dev/fd/%d", read.Fd()), read: read, ended: make(chan error, 1)}
	go func() {
		err := journal.Past(ctx, since, write)
		p.ended <- errors.Join(err, write.Close())
	}()
	return p, nil
}

// close ends the reading; whoever still writes is told by the kernel.
func (p *journalPipe) close() { p.read.Close() }

// withRotated are the files of a pattern, and those that logrotate has made of them: log.1, log.2.gz, log-20261005.
func withRotated(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	rotated, _ := filepath.Glob(pattern + `[.\-][0-9]*`)
	return append(files, rotated...)
}

// fromLogs replays files.
func (f *reportFlags) fromLogs(cmd *cobra.Command, files []string, since time.Time) (*report.Report, error) {
	return f.replayed(cmd, replayedLogs{files: files, where: logNames(files)}, since)
}

// replayedLogs are the logs of a report: those in how are read as that says and the others as the flags say.
type replayedLogs struct {
	files []string
	where string // in words
	how   map[string]replay.Reading
	notes []string // what was left out
}

// replayed makes a report of logs.
func (f *reportFlags) replayed(cmd *cobra.Command, logs replayedLogs, since time.Time) (*report.Report, error) {
	o, err := f.options(logs.files)
	if err != nil {
		return nil, &exitError{code: exitWrong, err: err}
	}
	o.Other = logs.how
	b := f.builder(report.FromLogs, logs.where, since)
	bar := newProgress(logs.files)
	o.Progress = bar.at
	var entries []report.Entry
	summary, err := replay.Run(cmd.Context(), o, bar.around(func(d detector.Decision) { entries = append(entries, decided(d)) }))
	bar.end()
	if err != nil {
		return nil, unreadLog(cmd, err)
	}
	b.From, b.To = later(summary.First, since), summary.Last
	b.Sources = []report.Source{{Path: logs.where, Lines: uint64(summary.Lines), Unparsed: uint64(summary.Unparsed)}}
	b.Notes = append(logs.notes, brokenFiles(summary)...)
	built := report.New(b)
	for _, e := range entries {
		if !e.Time.Before(since) {
			built.Add(e)
		}
	}
	return built.Report(), nil
}

func logNames(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%d logs, %s and others", len(names), names[0])
}
