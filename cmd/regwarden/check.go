package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
	"regwarden/internal/strict"
	"regwarden/rules"
)

// checkResult is what `check --json` prints.
type checkResult struct {
	OK bool `json:"ok"`
	// Config is the file that was checked; "" if only rules were.
	Config   string           `json:"config"`
	Rules    int              `json:"rules"`
	Off      []string         `json:"off"`
	Tests    int              `json:"tests"`
	Problems []strict.Problem `json:"problems"`
	// FailedTests are [[test]] lines that came out otherwise, one line each.
	FailedTests []string `json:"failed_tests"`
	// Warnings are about this host: files that are not there (yet) or may not be read.
	Warnings []string `json:"warnings"`
	// Host is what keeps the configured firewall from working on this host; Notes are what else is worth knowing of it.
	Host  []string `json:"host"`
	Notes []string `json:"notes"`
}

func checkCommand() *cobra.Command {
	var path, dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check the configuration and the rules, and run every rule's test lines",
		Long: `Check reads the configuration and the rules as the daemon would, runs every [[test]] of every rule, and says what is wrong in one line each.
Without --config and without ` + defaultConfig + ` it checks the shipped rules, and those of --rules.`,
		GroupID: groupLogs,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, r, err := check(path, dir)
			if err != nil {
				return &exitError{code: 1, err: err}
			}
			if c != nil {
				r.host(cmd.Context(), c, socketFor(cmd, c))
			}
			if asJSON {
				if err := control.WriteJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.print(cmd.OutOrStdout())
			}
			if !r.OK {
				return &exitError{code: exitWrong, err: fmt.Errorf("the check has failed: %s, %s", count(len(r.Problems)+len(r.Host), "problem"), count(len(r.FailedTests), "failed test"))}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", "", "the configuration `file` (default "+defaultConfig+" if it is there)")
	cmd.Flags().StringVar(&dir, "rules", "", "check the rules of this `directory` instead of the configured one")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// check checks the configuration at path, if there is one, and its rules, or those of dir.
func check(path, dir string) (*config.Config, checkResult, error) {
	r := checkResult{Problems: []strict.Problem{}, FailedTests: []string{}, Warnings: []string{}, Host: []string{}, Notes: []string{}, Off: []string{}}
	c, err := configFor(path)
	if c != nil {
		r.Config = c.Path
	}
	if err := r.take(err); err != nil {
		return c, r, err
	}
	set, err := ruleSet(c, dir)
	if err := r.take(err); err != nil {
		return c, r, err
	}
	if c != nil && len(r.Problems) == 0 {
		if err := r.take(daemon.CheckConfig(c)); err != nil {
			return c, r, err
		}
	}
	if set != nil {
		r.Rules, r.Off = len(set.Rules), append(r.Off, set.Off...)
		failed, n := daemon.CheckRules(set)
		r.FailedTests, r.Tests = append(r.FailedTests, failed...), n
		for _, c := range detector.Costs(set.Rules) {
			r.Notes = append(r.Notes, "rule "+c.Rule+" "+c.Why)
		}
	}
	r.judge()
	return c, r, nil
}

func (r *checkResult) judge() {
	r.OK = len(r.Problems) == 0 && len(r.FailedTests) == 0 && len(r.Host) == 0
}

// host looks at this host. The kernel is asked unless the daemon runs, which has the firewall and whose status tells more.
func (r *checkResult) host(ctx context.Context, c *config.Config, socket string) {
	defer r.judge()
	r.Warnings = append(r.Warnings, daemon.CheckHost(c)...)
	if _, err := control.NewClient(socket).Status(ctx); err == nil {
		r.Notes = append(r.Notes, "a daemon runs with this socket: regwarden status tells how its actions fare")
		return
	}
	problems, notes := daemon.CheckFirewall(c)
	r.Host, r.Notes = append(r.Host, problems...), append(r.Notes, notes...)
}

// take keeps the problems of an error, and returns the error if it is of another sort.
func (r *checkResult) take(err error) error {
	var ps strict.Problems
	if errors.As(err, &ps) {
		r.Problems = append(r.Problems, ps...)
		return nil
	}
	return err
}

// configFor loads the configuration: nil without an error if none was named and the default one is not there.
func configFor(path string) (*config.Config, error) {
	if path == "" {
		if _, err := os.Stat(defaultConfig); err != nil {
			return nil, nil
		}
		path = defaultConfig
	}
	return config.Load(path)
}

// ruleSet loads the configured rules, or the shipped ones and those of dir.
func ruleSet(c *config.Config, dir string) (*rules.Set, error) {
	if c == nil || dir != "" {
		return rules.Load(dir)
	}
	return daemon.LoadRules(c)
}

func (r *checkResult) print(out io.Writer) {
	for _, p := range r.Problems {
		fmt.Fprintln(out, escape(p.Error()))
	}
	for _, f := range r.FailedTests {
		fmt.Fprintln(out, escape(f))
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(out, "warning:", w)
	}
	for _, h := range r.Host {
		fmt.Fprintln(out, escape(h))
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, "note:", escape(n))
	}
	if !r.OK {
		return
	}
	what := "the shipped rules"
	if r.Config != "" {
		what = r.Config
	}
	fmt.Fprintf(out, "%s: ok, %d rules, %d test lines", what, r.Rules, r.Tests)
	if len(r.Off) > 0 {
		fmt.Fprintf(out, ", %d rules switched off", len(r.Off))
	}
	fmt.Fprintln(out)
}
