package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/detector"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
	"regwarden/internal/strict"
	"regwarden/internal/takeover"
	"regwarden/sources"
)

// mostShown is how many refusals `import` prints. With --json there are all that takeover keeps, and as many of the daemon's.
const (
	mostShown  = 20
	mostListed = 1000
)

// imported is what `import --json` prints.
type imported struct {
	// Blocked is how many targets are blocked now, or would be.
	Blocked int `json:"blocked"`
	// Expired is how many blocks of the lists had ended already.
	Expired int `json:"expired"`
	// Refused is how many were not taken, Refusals the first of them.
	Refused  int       `json:"refused"`
	Refusals []refusal `json:"refusals"`
	// Targets is what would be blocked, with --dry-run.
	Targets []listedBlock `json:"targets,omitempty"`
	// Notes are what the lists or the check of a dry run could not tell.
	Notes []string `json:"notes,omitempty"`
}

type refusal struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// listedBlock is one target to be blocked, and where a list names it.
type listedBlock struct {
	Target netip.Prefix `json:"target"`
	For    string       `json:"for"`
	Reason string       `json:"reason"`
	File   string       `json:"file"`
	Line   int          `json:"line"`

	left time.Duration
}

func importCommand() *cobra.Command {
	var reason, length string
	var dry, anyPort bool
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "take over blocks that something else has made",
		Long: `Import blocks by hand what other tools have blocked. Each file, or standard
input for "-", may be what one of these prints or reads:

  one address, network or range a line, with comments after # or ;
  our own blocklists: plain, jsonl, haproxy, ipset, nginx-deny, nginx-geo
  ipset save NAME, ipset list NAME
  nft list set FAMILY TABLE NAME, nft list ruleset
  iptables-save, iptables -S CHAIN
  fail2ban-client banned, status JAIL, get JAIL banip --with-time
  cscli decisions list -o raw, and other CSV with a header that names a column
  ip or target (reason, duration, until), or "ADDRESS,REASON" without one
  nginx's deny lines, hosts.deny

A time and a reason that stand in the list are kept; others get --for and
--reason, also those that the list blocks for ever. Nothing lasts longer than a
year. Name one set or chain where you can: an ipset does not say whether it
lists whom to block or whom to let in. Of a whole nftables table only the sets
are taken that a rule drops or rejects.

What would be blocked wider than it was is refused: rules that also ask for a
port, sets of addresses with ports, exceptions, an address with a network's
length such as 192.0.2.7/24. So is what is never blocked, and every line that is
nothing of the above. The others are taken nevertheless. All refusals are
counted, the first 20 printed, the first 1000 with --json.

Nearly all bans of fail2ban are for the ports of one service. Where the rules
show that, also those that lead to a ban's chain, the bans are refused unless
--any-port says that they shall hold for everything that regwarden blocks. An
ipset, a chain listed alone and what fail2ban-client prints do not show ports;
they are taken as they stand, with a note where a rule's chain or set is alone.

With --dry-run nobody is blocked, but the daemon says whom it would refuse. If
none answers, what nobody may block and this host's own addresses are refused,
and a note says that ignoreip and the allow list were not asked.

The exit code is 1 if anything was refused, so that a script does not remove the
old blocks too early; blocks that have expired are counted, but are no fault.`,
		Example: "  ipset save f2b-registry | regwarden import --reason \"from fail2ban\" -\n  iptables-save | regwarden import --any-port --reason \"from fail2ban\" -\n  regwarden import --dry-run --for 12h old-blocklist.txt",
		GroupID: groupBlocks,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUse(c, "FILE is missing")
			}
			return nil
		},
	}
	asJSON := jsonFlag(cmd)
	cmd.Flags().StringVar(&length, "for", "1h", "how long blocks last that have no time of their own: `TIME` such as 90s, 1h or 7d")
	cmd.Flags().StringVar(&reason, "reason", "imported", "why, where the list does not say: `TEXT`")
	cmd.Flags().BoolVar(&anyPort, "any-port", false, "take what is blocked on some ports only, such as fail2ban's bans, as blocked altogether")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only read the lists and print what would be blocked, and what the daemon would refuse")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		left, err := importFlags(length, reason)
		if err != nil {
			return err
		}
		done := imported{Refusals: []refusal{}}
		blocks, err := done.readLists(args, anyPort, listedBlock{Reason: reason, left: left})
		if err != nil {
			return err
		}
		if dry {
			if done.Targets, err = done.check(cmd, blocks); err != nil {
				return err
			}
			done.Blocked = len(done.Targets)
		} else if err = done.block(cmd, client(cmd), blocks); err != nil && done.Blocked == 0 {
			return err
		}
		for _, n := range done.Notes {
			fmt.Fprintf(cmd.ErrOrStderr(), "regwarden: note: %s\n", escape(n))
		}
		if *asJSON {
			err = errors.Join(err, control.WriteJSON(cmd.OutOrStdout(), done))
		} else {
			done.print(cmd.OutOrStdout(), dry)
		}
		if err == nil && done.Refused > 0 {
			taken := "not everything"
			if done.Blocked == 0 {
				taken = "nothing"
			}
			err = &exitError{code: exitWrong, err: fmt.Errorf("import: %s was taken: %d refused", taken, done.Refused)}
		}
		return err
	}
	return cmd
}

// importFlags refuses once what the daemon would refuse for each target.
func importFlags(length, reason string) (time.Duration, error) {
	left, err := strict.Duration(length)
	if err != nil || left <= 0 || left > takeover.Longest {
		return 0, &exitError{exitWrong, fmt.Errorf("import: --for: %q is no duration of at most a year", length), strict.DurationHint}
	}
	if strings.TrimSpace(reason) == "" {
		return 0, &exitError{exitWrong, errors.New("import: --reason is empty"), "say why: the blocked client and your colleagues read it"}
	}
	if len(reason) > takeover.LongestReason {
		return 0, &exitError{exitWrong, fmt.Errorf("import: --reason is longer than %d bytes", takeover.LongestReason), "say it shorter"}
	}
	return left, nil
}

// readLists reads all lists before anybody is blocked. A target that several lines name is blocked once, for the longest of their times.
func (done *imported) readLists(files []string, anyPort bool, otherwise listedBlock) ([]listedBlock, error) {
	blocks, known := []listedBlock{}, map[netip.Prefix]int{}
	for _, file := range files {
		list, err := readList(file, anyPort)
		if err != nil {
			return nil, &exitError{code: exitWrong, err: err}
		}
		done.Expired += list.Expired
		for _, n := range list.Notes {
			done.Notes = append(done.Notes, file+": "+n)
		}
		done.Refused += list.Refused - len(list.Refusals)
		for _, r := range list.Refusals {
			done.refuse(file, r.Line, r.String())
		}
		for _, e := range list.Entries {
			b := listedBlock{Target: e.Target, Reason: e.Reason, File: file, Line: e.Line, left: e.Left}
			if b.left == 0 {
				b.left = otherwise.left
			}
			if b.Reason == "" {
				b.Reason = otherwise.Reason
			}
			b.left = max(b.left.Truncate(time.Second), time.Second)
			b.For = strict.FormatDuration(b.left)
			if at, ok := known[b.Target]; !ok {
				known[b.Target] = len(blocks)
				blocks = append(blocks, b)
			} else if blocks[at].left < b.left {
				blocks[at] = b
			}
		}
	}
	return blocks, nil
}

func readList(file string, anyPort bool) (takeover.List, error) {
	in, err := sources.OpenFile(file)
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = fmt.Errorf("read %s: %w", file, pe.Err)
		}
		return takeover.List{}, err
	}
	defer in.Close()
	list, err := takeover.Read(in, takeover.Options{Now: time.Now(), AnyPort: anyPort})
	if err != nil {
		err = fmt.Errorf("read %s: %w", file, err)
	}
	return list, err
}

func (done *imported) refuse(file string, line int, why string) {
	done.Refused++
	if len(done.Refusals) < mostListed {
		done.Refusals = append(done.Refusals, refusal{file, line, why})
	}
}

// check returns the blocks that would be made, and refuses those whom the daemon never blocks. Where none answers, what is known without it must do.
func (done *imported) check(cmd *cobra.Command, blocks []listedBlock) ([]listedBlock, error) {
	c := client(cmd)
	never := func(b listedBlock) error {
		_, err := c.Block(cmd.Context(), control.BlockRequest{Target: b.Target.String(), For: b.left.String(), Reason: b.Reason, Check: true})
		return err
	}
	would := []listedBlock{}
	for i := 0; i < len(blocks); i++ {
		err := never(blocks[i])
		var p *control.Problem
		switch {
		case err == nil:
			would = append(would, blocks[i])
		case errors.Is(err, control.ErrNoDaemon), errors.Is(err, control.ErrNotAllowed):
			done.Notes = append(done.Notes, err.Error()+"; so ignoreip, trusted_proxies, block_private and the allow list were not asked, only what nobody may block and this host's own addresses")
			never = neverHere()
			i-- // once more, with that
		case !errors.As(err, &p), p.Status >= http.StatusInternalServerError:
			return nil, err
		default:
			done.refuse(blocks[i].File, blocks[i].Line, p.Error())
		}
	}
	return would, nil
}

// neverHere refuses what every daemon on this host refuses.
func neverHere() func(listedBlock) error {
	guards := detector.Guards{Never: daemon.HostAddresses(slog.New(slog.DiscardHandler))}
	return func(b listedBlock) error {
		if why := guards.NeverBlock(b.Target); why != "" {
			return &control.Problem{Detail: fmt.Sprintf("%s is never blocked: %s", target(b.Target), why)}
		}
		return nil
	}
}

// block has the daemon block each target. An error that concerns all of them, such as a daemon that is gone or in dry run, ends it.
func (done *imported) block(cmd *cobra.Command, c *control.Client, blocks []listedBlock) error {
	if len(blocks) == 0 {
		return nil
	}
	state, err := c.Status(cmd.Context())
	if err != nil {
		return err
	}
	if state.DryRun {
		return &exitError{exitWrong, errors.New("import: dry_run is on: the daemon blocks nobody, by hand neither"),
			"remove dry_run from " + state.Config + " and reload; import --dry-run shows what would be blocked"}
	}
	var doubts []string
	for _, b := range blocks {
		changed, err := c.Block(cmd.Context(), control.BlockRequest{Target: b.Target.String(), For: b.left.String(), Reason: b.Reason})
		var p *control.Problem
		switch {
		case err == nil:
			done.Blocked++
			doubts = unknownDoubts(cmd.ErrOrStderr(), doubts, changed)
		case errors.Is(err, control.ErrNotAllowed), !errors.As(err, &p), p.Status >= http.StatusInternalServerError:
			return err
		default:
			done.refuse(b.File, b.Line, p.Error())
		}
	}
	return nil
}

// unknownDoubts tells doubts that were not told before, and returns all.
func unknownDoubts(w io.Writer, told []string, changed control.Changed) []string {
	changed.Warnings = slices.DeleteFunc(changed.Warnings, func(d string) bool { return slices.Contains(told, d) || len(told) >= mostShown })
	printDoubts(w, changed)
	return append(told, changed.Warnings...)
}

func (done *imported) print(w io.Writer, dry bool) {
	for _, b := range done.Targets {
		fmt.Fprintf(w, "would block %s for %s: %s\n", target(b.Target), b.For, escape(b.Reason))
	}
	for _, r := range done.Refusals[:min(len(done.Refusals), mostShown)] {
		fmt.Fprintf(w, "refused: %s:%d: %s\n", escape(r.File), r.Line, escape(r.Why))
	}
	if more := done.Refused - mostShown; more > 0 {
		fmt.Fprintf(w, "refused: and %d more\n", more)
	}
	verb := "blocked"
	if dry {
		verb = "would be blocked"
	}
	fmt.Fprintf(w, "%s %s, %d refused", count(done.Blocked, "target"), verb, done.Refused)
	if done.Expired > 0 {
		fmt.Fprintf(w, ", %d expired already", done.Expired)
	}
	fmt.Fprintln(w)
}
