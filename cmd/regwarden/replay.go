package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/daemon"
	"regwarden/internal/replay"
	"regwarden/sources"
)

// replayFlags are what `replay` is told.
type replayFlags struct {
	config, rules, format, timezone, kind string
	only                                  []string
	json, verbose                         bool
	trust                                 bool
}

// add gives a verb the flags that say how lines are read and by which rules.
func (f *replayFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "take rules, ignoreip, trusted_proxies and guards from this configuration `file`")
	flags.StringVar(&f.rules, "rules", "", "the `directory` of rules that add to or replace the shipped ones")
	flags.StringArrayVar(&f.only, "rule", nil, "use only the rule of this `name`; may be repeated")
	flags.StringVar(&f.format, "format", "auto", "the lines' `dialect`")
	flags.StringVar(&f.kind, "kind", "", "take the lines for this `kind` of source: access, registry, rails, api, auth, ssh")
	flags.StringVar(&f.timezone, "timezone", "", "the `zone` of times that name none, such as Europe/Berlin (default: this host's)")
	flags.BoolVar(&f.trust, "trust-forwarded", false, "believe addresses that a registry took from X-Forwarded-For")
}

func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay FILE…",
		Short: "tell what would have been blocked, from old logs",
		Long: `Replay reads old logs, plain or gzip, several files merged by time, and prints what the rules decide on them: block, would-block (a dry run),
spared (a guard held, with the reason) and unblock (the storm guard took a block back). It touches nothing. "-" is standard input.`,
		Example: `  regwarden replay /var/log/gitlab/nginx/gitlab_registry_access.log* /var/log/gitlab/gitlab-rails/*.log
  regwarden replay --rules ./my-rules --rule my-rule --json access.log.1.gz`,
		GroupID: groupLogs,
		Args: func(c *cobra.Command, files []string) error {
			if len(files) == 0 {
				return wrongUse(c, "%s is missing", "FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error { return runReplay(cmd, f, files) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "print one JSON object a line: decisions, and last a summary")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print the sample lines of each decision too")
	return cmd
}

func runReplay(cmd *cobra.Command, f replayFlags, files []string) error {
	o, err := f.options(files)
	if err != nil {
		return &exitError{code: 1, err: err}
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // most of what is kept is tables without pointers, which cost nothing to collect around, and would let as much again lie about
	}
	out := cmd.OutOrStdout()
	show := func(d detector.Decision) { printDecision(out, d, f.verbose) }
	if f.json {
		show = func(d detector.Decision) {
			printLine(out, struct {
				Kind string `json:"kind"`
				detector.Decision
			}{"decision", d})
		}
	}
	bar := newProgress(files)
	o.Progress = bar.at
	summary, err := replay.Run(cmd.Context(), o, bar.around(show))
	bar.end()
	if err != nil {
		return unreadLog(cmd, err)
	}
	if f.json {
		printLine(out, struct {
			Kind string `json:"kind"`
			replay.Summary
		}{"summary", summary})
	} else {
		printSummary(out, summary)
	}
	if lines := brokenFiles(summary); len(lines) > 0 {
		return &exitError{code: exitWrong, err: errors.New(strings.Join(lines, "\n"))}
	}
	return nil
}

// unreadLog is the error of a log that cannot be read, with what to type instead where that helps.
func unreadLog(cmd *cobra.Command, err error) error {
	var e *exitError
	if errors.As(err, &e) {
		return e
	}
	e = &exitError{code: exitWrong, err: err}
	var c *sources.Compressed
	if errors.As(err, &c) {
		e.hint = fmt.Sprintf("unpack it on the way: %s %s | %s -", c.Cat, c.Path, cmd.CommandPath())
	}
	return e
}

// brokenFiles tells of files that could not be read to their end, one line each.
func brokenFiles(s replay.Summary) []string {
	var out []string
	for _, b := range s.Broken {
		out = append(out, strings.ReplaceAll(b.String(), "\n", "\\n"))
	}
	return out
}

// options turns flags into what replay wants.
func (f *replayFlags) options(files []string) (replay.Options, error) {
	o := replay.Options{Files: files, Reading: replay.Reading{Format: f.format, TrustForwarded: f.trust}, Now: time.Now()}
	var err error
	if o.Location, o.Kind, err = zoneAndKind(f.timezone, f.kind); err != nil {
		return o, err
	}
	var c *config.Config
	if f.config != "" {
		if c, err = config.Load(f.config); err != nil {
			return o, err
		}
	}
	set, err := ruleSet(c, f.rules)
	if err != nil {
		return o, err
	}
	if set, err = set.Only(f.only); err != nil {
		return o, err
	}
	o.Rules = set.Rules
	o.Detector = daemon.ReplayOptions(c)
	return o, nil
}

func zoneAndKind(zone, kind string) (*time.Location, detector.Kind, error) {
	loc := time.Local // syslog writes its host's own
	if zone != "" {
		var err error
		if loc, err = time.LoadLocation(zone); err != nil {
			return nil, 0, fmt.Errorf("timezone: unknown zone %q; write it like Europe/Berlin", zone)
		}
	}
	k, ok := detector.ParseKind(kind)
	if kind != "" && !ok {
		return nil, 0, fmt.Errorf("kind: unknown kind %q; known are %s", kind, strings.Join(detector.KindNames(), ", "))
	}
	return loc, k, nil
}

// printLine prints one JSON object on one line.
func printLine(out io.Writer, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("regwarden: %v", err)) // our own types cannot fail
	}
	fmt.Fprintf(out, "%s\n", text)
}

func printDecision(out io.Writer, d detector.Decision, verbose bool) {
	until := ""
	if !d.Until.IsZero() {
		until = " for " + span(d.Until.Sub(d.Time))
	}
	scope := d.Scope.String()
	if d.Widened {
		scope = "repository, widened to host"
	}
	fmt.Fprintf(out, "%s  %-11s %-22s %s (%s)%s\n                     %s\n", d.Time.Local().Format("2006-01-02 15:04:05"), d.Verb, target(d.Target), d.Rule, scope, until, escape(d.Reason))
	if verbose {
		for _, s := range d.Samples {
			fmt.Fprintf(out, "                     | %s\n", escape(s))
		}
	}
}

func printSummary(out io.Writer, s replay.Summary) {
	fmt.Fprintf(out, "\n%d files, %d lines, %d events", s.Files, s.Lines, s.Events)
	if s.Unparsed > 0 {
		fmt.Fprintf(out, ", %d lines that no dialect knows (regwarden explain tells more)", s.Unparsed)
	}
	fmt.Fprintf(out, "\n%d blocks, %d would-block, %d spared, from %d events that counted, in %.2f s\n", s.Blocks, s.WouldBlock, s.Spared, s.Hits, s.Seconds)
	if s.Evicted > 0 {
		fmt.Fprintf(out, "%d counts were evicted before their time: a flood of addresses, or state.memory is small\n", s.Evicted)
	}
}
