package actions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"
)

// xtFamily is IPv4 or IPv6 on this host, and what is blocked there.
type xtFamily struct {
	xtTable
	set  string
	held map[netip.Prefix]time.Time // every block with its end
	// sealed is our chain as iptables read it back when it was right; of rules for single blocks, the part before them.
	sealed   []string
	standing map[netip.Prefix]bool // the blocks that stand as rules
}

// xtTool is one program of one variant for one family, with the one beside it that prints all rules.
type xtTool struct {
	variant    string
	v6         bool
	path, save string
}

// prepare finds the programs and the families once. A network namespace that leads nowhere is refused: blocking there would look right and
// do nothing.
func (t *IPTables) prepare(ctx context.Context) error {
	if t.families != nil {
		return nil
	}
	lonely, err := onlyLoopback(t.options.Namespace)
	switch {
	case err != nil:
		return fmt.Errorf("list network interfaces: %w", err)
	case lonely:
		return errors.New(lonelyProblem)
	}
	if err := t.take(chainPlace(t.options.Chain), setPlace(t.options.SetName)); err != nil {
		return err
	}
	tools, why, err := t.choose(ctx)
	if err != nil {
		return err
	}
	var families []*xtFamily
	for _, tool := range tools {
		f := &xtFamily{set: t.setName(tool.v6), held: map[netip.Prefix]time.Time{}}
		if f.xtTable, err = t.table(tool); err != nil {
			return err
		}
		families = append(families, f)
	}
	t.families = families
	t.log.Info("iptables variant chosen", "variant", tools[0].variant, "because", why)
	return nil
}

func (t *IPTables) setName(v6 bool) string {
	if v6 {
		return t.options.SetName + "6"
	}
	return t.options.SetName + "4"
}

func (t *IPTables) table(tool xtTool) (xtTable, error) {
	protocol := iptables.ProtocolIPv4
	if tool.v6 {
		protocol = iptables.ProtocolIPv6
	}
	ipt, err := iptables.New(iptables.Path(tool.path), iptables.IPFamily(protocol), iptables.Timeout(t.options.Timeout))
	if err != nil {
		return xtTable{}, xtError("start "+tool.path, err)
	}
	return xtTable{xtTool: tool, ipt: ipt, chain: t.options.Chain}, nil
}

// hasIPv6 is false where the kernel speaks no IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

// choose returns the programs of the variant to use, IPv4 first, and why it is that one.
func (t *IPTables) choose(ctx context.Context) ([]xtTool, string, error) {
	found := findTools(ctx, hasIPv6())
	nft, legacy := found[variantNFT], found[variantLegacy]
	switch want := t.options.Variant; {
	case len(nft)+len(legacy) == 0:
		return nil, "", errors.New("find iptables: neither it nor ip6tables is there: install the package iptables, or use the nftables action")
	case want != variantAuto && len(found[want]) == 0:
		return nil, "", fmt.Errorf("find iptables: the %s variant is not there: install it, or set variant = %q", want, variantAuto)
	case want != variantAuto:
		return found[want], "it is configured", nil
	case len(legacy) == 0:
		return nft, "it is the only one here", nil
	case len(nft) == 0:
		return legacy, "it is the only one here", nil
	}
	inNFT, err := t.countRules(ctx, nft)
	inLegacy, errLegacy := t.countRules(ctx, legacy)
	why := fmt.Sprintf("the host has %d rules and chains in nft and %d in legacy", inNFT, inLegacy)
	if err := together(err, errLegacy); err != nil {
		why += ", as far as they can be listed (" + err.Error() + ")"
	}
	switch {
	case inNFT > inLegacy:
		return nft, why, nil
	case inLegacy > inNFT:
		return legacy, why, nil
	case plainVariant(ctx) == variantLegacy:
		return legacy, why + ", and iptables means legacy", nil
	}
	return nft, why, nil
}

// findTools returns the programs of each variant; a variant is there only if it can do all families.
func findTools(ctx context.Context, v6 bool) map[string][]xtTool {
	found := make(map[string][]xtTool)
	plain := plainVariant(ctx)
	for _, variant := range []string{variantNFT, variantLegacy} {
		var tools []xtTool
		bases := []string{"iptables", "ip6tables"}
		if !v6 {
			bases = bases[:1]
		}
		for i, base := range bases {
			path := program(base + "-" + variant)
			if path == "" && plain == variant {
				path = program(base)
			}
			if path == "" {
				tools = nil
				break
			}
			tools = append(tools, xtTool{variant: variant, v6: i == 1, path: path, save: path + "-save"})
		}
		if len(tools) > 0 {
			found[variant] = tools
		}
	}
	return found
}

// program returns the path of a program, also where PATH lacks the directories for administrators.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// plainVariant is what the program iptables itself is; before 1.8 there was only legacy. It is "" if there is none.
func plainVariant(ctx context.Context) string {
	path := program("iptables")
	if path == "" {
		return ""
	}
	out, err := printed(ctx, path, "--version")
	switch {
	case err != nil:
		return ""
	case bytes.Contains(out, []byte("nf_tables")):
		return variantNFT
	}
	return variantLegacy
}

// countRules counts the rules and chains of others. What cannot be read counts as nothing, and is told.
func (t *IPTables) countRules(ctx context.Context, tools []xtTool) (n int, err error) {
	for _, tool := range tools {
		out, e := printed(ctx, tool.save)
		if e != nil {
			err = together(err, e)
			continue
		}
		for line := range strings.Lines(string(out)) {
			rule := strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, ":") && strings.Contains(line, " - [")
			if rule && !t.ours(line) {
				n++
			}
		}
	}
	return n, err
}

// ours says whether a line of a listing concerns our chain.
func (t *IPTables) ours(line string) bool {
	return slices.ContainsFunc(strings.Fields(strings.TrimPrefix(line, ":")), func(word string) bool {
		return word == t.options.Chain || word == t.options.Chain+nextSuffix
	})
}

// printed runs a program that only reads and returns what it prints.
func printed(ctx context.Context, path string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	stderr := cut{limit: outputLimit}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	cmd.WaitDelay = 10 * time.Second // it also bounds the reading after a normal end, on a machine that is out of breath
	err := cmd.Run()
	what := "run " + strings.Join(append([]string{path}, args...), " ")
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.As(err, &failed):
		return nil, xtSaid(what, failed.ExitCode(), string(stderr.kept))
	case err != nil:
		return nil, xtError(what, err)
	}
	return out.Bytes(), nil
}
