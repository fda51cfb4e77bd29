package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/explain"
	"regwarden/sources"
	"regwarden/sources/format"
)

func explainCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "explain [LINE|FILE|-]",
		Short: "tell how a line is read, and which rule takes it or why not",
		Long: `Explain reads a line, or the lines of a file or of standard input, as a source would, and prints every field and what each rule makes of it.
A line that no dialect knows is "unparsed"; one that is known and says nothing that a rule could want is "noise".

Dialects: ` + strings.Join(format.Names(), ", ") + `.`,
		Example: `  regwarden explain '203.0.113.7 - - [05/Oct/2026:08:00:02 +0000] "GET /v2/acme/web/manifests/v9 HTTP/1.1" 404 93 "" "docker/27.5.1" -'
  tail -n 100 /var/log/gitlab/gitlab-rails/auth.log | regwarden explain --json -`,
		GroupID: groupLogs,
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runExplain(cmd, f, args) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line, and last a summary")
	return cmd
}

func runExplain(cmd *cobra.Command, f replayFlags, args []string) error {
	o, err := f.options(nil)
	if err != nil {
		return &exitError{code: 1, err: err}
	}
	x, err := explain.New(explain.Options{Format: f.format, Kind: o.Kind, TrustForwarded: f.trust, Location: o.Location, Reference: time.Now(), Rules: o.Rules})
	if err != nil {
		return &exitError{code: 1, err: err}
	}
	in, err := explained(args)
	if err != nil {
		return unreadLog(cmd, err)
	}
	defer in.Close()
	if err := explainLines(cmd.OutOrStdout(), sources.NewLineReader(in), x, f.json); err != nil {
		from := "standard input"
		if len(args) > 0 && args[0] != "-" {
			from = args[0]
		}
		return &exitError{code: 1, err: fmt.Errorf("read %s: %w", from, err)}
	}
	return nil
}

// explained opens what is to be explained: the argument itself, unless it names a file or standard input.
func explained(args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return sources.OpenFile("-")
	}
	switch info, err := os.Stat(args[0]); {
	case err == nil && info.Mode().IsRegular():
		return sources.OpenFile(args[0])
	case err == nil && info.IsDir():
		return nil, &exitError{exitWrong, fmt.Errorf("%s is a directory", args[0]), "name one of its logs, or put a line of one in single quotes"}
	case err == nil:
		return nil, &exitError{exitWrong, fmt.Errorf("%s is no plain file", args[0]), "regwarden explain - < " + args[0]}
	case looksLikePath(args[0]):
		return nil, &exitError{exitWrong, fmt.Errorf("there is no file %s", args[0]), "correct the name, or put a whole line of a log in single quotes"}
	}
	return io.NopCloser(bytes.NewReader([]byte(args[0] + "\n"))), nil
}

// looksLikePath tells a name, or a pattern that the shell found nothing for, from a line of a log: a line has blanks or is JSON.
func looksLikePath(arg string) bool {
	return !strings.ContainsAny(arg, " \t\n{") && (strings.ContainsAny(arg, "/*?[") || strings.Contains(arg, ".log"))
}

func explainLines(out io.Writer, lines *sources.LineReader, x *explain.Explainer, asJSON bool) error {
	counts := map[string]int{}
	total := 0
	for {
		line, _, err := lines.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		l := x.Explain(line)
		counts[l.Verdict]++
		total++
		if asJSON {
			printLine(out, struct {
				Kind string `json:"kind"`
				explain.Line
			}{"line", l})
			continue
		}
		printExplained(out, line, l)
	}
	switch {
	case asJSON:
		printLine(out, map[string]any{"kind": "summary", "lines": total, "parsed": counts["parsed"], "noise": counts["noise"], "unparsed": counts["unparsed"]})
	case total > 1:
		fmt.Fprintf(out, "%d lines: %d parsed, %d noise, %d unparsed\n", total, counts["parsed"], counts["noise"], counts["unparsed"])
	}
	return nil
}

func printExplained(out io.Writer, line []byte, l explain.Line) {
	how := l.Dialect
	if l.Wrapper != "" {
		how += " in " + l.Wrapper
	}
	if how == "" {
		how = "no dialect"
	}
	fmt.Fprintf(out, "line %d: %s (%s)\n  | %s\n", l.Number, l.Verdict, how, escape(cutLine(string(line))))
	for _, p := range l.Fields {
		fmt.Fprintf(out, "  %-12s %s\n", p.Name, escape(p.Value))
	}
	if l.Exempt != "" {
		fmt.Fprintf(out, "  never counts: %s\n", l.Exempt)
	}
	for _, v := range l.Rules {
		if v.Takes {
			fmt.Fprintf(out, "  + %-22s counts it for %s\n", v.Rule, v.Client)
		}
	}
	for _, v := range l.Rules {
		if !v.Takes {
			fmt.Fprintf(out, "  - %-22s %s\n", v.Rule, escape(v.Why))
		}
	}
	fmt.Fprintln(out)
}

func cutLine(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
