package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"regwarden/internal/control"
	"regwarden/sources"
)

// imported is what `import --json` prints.
type imported struct {
	Blocked int `json:"blocked"`
	// Refused are targets that must not be blocked, or lines that are none, one text each.
	Refused []string `json:"refused"`
}

func importCommand() *cobra.Command {
	var reason string
	length := "1h"
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "take over blocks that something else has made",
		Long: `Import blocks every target of a list by hand: one address or network a line, as our plain and jsonl blocklists, "ipset save" and most other tools
write them. A time that stands in the list (ipset's timeout, jsonl's until) is kept, other blocks last --for. "-" is standard input. Targets that are never blocked are
refused, each with its reason, and the others are taken.`,
		Example: "  ipset save f2b-registry | regwarden import --reason \"from fail2ban\" -\n  regwarden import --for 12h old-blocklist.txt",
		GroupID: groupBlocks,
		Args:    takes("FILE"),
	}
	asJSON := jsonFlag(cmd)
	cmd.Flags().StringVar(&length, "for", length, "how long blocks last that have no time of their own: `TIME` such as 90s, 1h or 7d")
	cmd.Flags().StringVar(&reason, "reason", "imported", "why, for the blocked and for the history: `TEXT`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := sources.OpenFile(args[0])
		if err != nil {
			return &exitError{code: exitWrong, err: fmt.Errorf("read %s: %w", args[0], pathReason(err))}
		}
		defer in.Close()
		done, err := importAll(cmd, client(cmd), in, length, reason)
		if err != nil {
			return err
		}
		if *asJSON {
			return control.WriteJSON(cmd.OutOrStdout(), done)
		}
		for _, r := range done.Refused {
			fmt.Fprintln(cmd.OutOrStdout(), "refused:", escape(r))
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s blocked, %d refused\n", count(done.Blocked, "target"), len(done.Refused))
		return nil
	}
	return cmd
}

func pathReason(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// importAll blocks line by line. An error that concerns all of them, such as a daemon that is gone, ends it.
func importAll(cmd *cobra.Command, c *control.Client, in io.Reader, length, reason string) (imported, error) {
	done := imported{Refused: []string{}}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		target, own, ok := listedBlock(lines.Text(), time.Now())
		if !ok {
			continue
		}
		if own == "" {
			own = length
		}
		_, err := c.Block(cmd.Context(), control.BlockRequest{Target: target, For: own, Reason: reason})
		var p *control.Problem
		switch {
		case err == nil:
			done.Blocked++
		case errors.Is(err, control.ErrNoDaemon), errors.Is(err, control.ErrNotAllowed), !errors.As(err, &p):
			return done, err
		default:
			done.Refused = append(done.Refused, fmt.Sprintf("line %d: %s", n, p.Error()))
		}
	}
	if err := lines.Err(); err != nil {
		return done, &exitError{code: exitWrong, err: fmt.Errorf("read the list: %w", err)}
	}
	return done, nil
}

// listedBlock reads one line of a list: the target, and its own time if it has one. Comments, blank lines and what ipset says of its sets are no blocks.
func listedBlock(line string, now time.Time) (target, own string, ok bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "{") {
		var b struct {
			Target string
			Until  time.Time
		}
		if json.Unmarshal([]byte(line), &b) != nil || b.Target == "" || !b.Until.After(now) {
			return "", "", false
		}
		return b.Target, strconv.Itoa(int(b.Until.Sub(now).Seconds())+1) + "s", true
	}
	words := strings.Fields(line)
	switch {
	case len(words) == 0, strings.HasPrefix(line, "#"), strings.HasPrefix(line, ";"), words[0] == "create", words[0] == "flush", words[0] == "swap", words[0] == "destroy":
		return "", "", false
	case words[0] == "add" && len(words) >= 3: // ipset save: add NAME TARGET timeout N …
		for i, w := range words[:len(words)-1] {
			if w == "timeout" && words[i+1] != "0" {
				own = words[i+1] + "s"
			}
		}
		return words[2], own, true
	case words[0] == "deny" && len(words) == 2: // nginx
		return strings.TrimSuffix(words[1], ";"), "", true
	}
	return strings.TrimSuffix(words[0], ","), "", true
}
