package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	var files, names []string
	var journals []*journalPipe
	defer func() {
		for _, j := range journals {
			j.close()
		}
	}()
	how := map[string]replay.Reading{}
	for _, s := range c.Sources {
		var of []string
		switch s.Type {
		case "file":
			for _, p := range s.Paths {
				of = append(of, withRotated(p)...)
			}
			slices.Sort(of)
			of = slices.DeleteFunc(slices.Compact(of), func(p string) bool { _, taken := how[p]; return taken })
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
		return nil, &exitError{exitWrong, fmt.Errorf("config %s: none of its logs is there", f.config), "regwarden check tells which it looks for"}
	}
	r, err := f.replayed(cmd, files, logNames(names), how, since)
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
	return f.replayed(cmd, files, logNames(files), nil, since)
}

// replayed replays files, those in how as that says and the others as the flags say.
func (f *reportFlags) replayed(cmd *cobra.Command, files []string, where string, how map[string]replay.Reading, since time.Time) (*report.Report, error) {
	o, err := f.options(files)
	if err != nil {
		return nil, &exitError{code: exitWrong, err: err}
	}
	o.Other = how
	b := f.builder(report.FromLogs, where, since)
	bar := newProgress(files)
	o.Progress = bar.at
	var entries []report.Entry
	summary, err := replay.Run(cmd.Context(), o, bar.around(func(d detector.Decision) { entries = append(entries, decided(d)) }))
	bar.end()
	if err != nil {
		return nil, &exitError{code: exitWrong, err: err}
	}
	b.From, b.To = later(summary.First, since), summary.Last
	b.Sources = []report.Source{{Path: where, Lines: uint64(summary.Lines), Unparsed: uint64(summary.Unparsed)}}
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
