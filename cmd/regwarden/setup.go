package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"regwarden/internal/config"
	"regwarden/internal/control"
	"regwarden/internal/daemon"
	"regwarden/internal/setup"
)

func setupCommand() *cobra.Command {
	var root, path string
	var force bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "look at this host and write a first configuration, a dry run",
		Long: `Setup looks for the logs of a registry (GitLab from its Linux package, from source or in Kubernetes, docker-registry, Harbor, nginx), reads the last lines of each, looks
which firewall there is, whether Docker runs and whether a proxy stands in front, and writes a commented configuration that blocks nobody: dry_run = true. It prints it, or writes
it with --write, and changes nothing else. The package runs it once, when it is installed.`,
		Example: "  regwarden setup\n  regwarden setup --write " + defaultConfig,
		GroupID: groupDaemon,
		Args:    takes(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSetup(cmd, root, path, force) },
	}
	cmd.Flags().StringVar(&root, "root", "/", "look at the host whose files are below this `directory`, such as an image")
	cmd.Flags().StringVar(&path, "write", "", "write to this `file` instead of printing; one that is there is left alone")
	cmd.Flags().BoolVar(&force, "force", false, "replace the file of --write; the former one is kept as FILE.old")
	return cmd
}

func runSetup(cmd *cobra.Command, root, path string, force bool) error {
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return wrongUse(cmd, "--root: %s is no directory", root)
	}
	if force && path == "" {
		return wrongUse(cmd, "--force goes with --write")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if path != "" && !force && exists(path) {
		return &exitError{exitWrong, fmt.Errorf("setup: %s is there already and is left alone", path), "regwarden setup prints what it would write; --force replaces the file and keeps the former one as " + path + ".old"}
	}
	host := setup.Look(cmd.Context(), root)
	text, err := fitting(host, path, func(kind string) bool { return runsWith(cmd, kind) })
	if err != nil {
		return err
	}
	if path == "" {
		_, err := cmd.OutOrStdout().Write(text)
		return err
	}
	if err := writeConfig(path, text, force); err != nil {
		return fmt.Errorf("setup: write %s: %w", path, unwrapped(err))
	}
	out := cmd.OutOrStdout()
	if force && exists(path+".old") {
		fmt.Fprintf(out, "The former configuration is %s.old.\n", path)
	}
	fmt.Fprintf(out, "%s is written: %s, a dry run.\n", path, count(len(host.Logs), "log"))
	for _, l := range host.Logs {
		where := l.Path
		if l.Unit != "" {
			where = "journal of " + l.Unit
		}
		fmt.Fprintf(out, "  %s\n", where)
	}
	fmt.Fprintln(out, "Next: regwarden check, then regwarden report --logs, which tells what these logs would have brought.")
	return nil
}

// runsWith says whether a daemon runs here and blocks by an action of this kind.
func runsWith(cmd *cobra.Command, kind string) bool {
	status, err := client(cmd).Status(cmd.Context())
	return err == nil && slices.ContainsFunc(status.Actions, func(a control.ActionStatus) bool { return a.Kind == kind && a.Healthy })
}

// fitting is the configuration, with the kernel's firewall only where this host can do it. A running daemon keeps everybody else off its table, which is no
// sign that the host cannot do it.
func fitting(host *setup.Host, path string, runsWith func(kind string) bool) ([]byte, error) {
	if path == "" {
		path = defaultConfig
	}
	text := host.Config(thisBuild().Version)
	c, err := config.Parse(path, text)
	if err != nil {
		return nil, fmt.Errorf("setup has made a configuration that is wrong, which is a fault of regwarden: %w", err)
	}
	if host.Root != "/" {
		return text, nil // another host's kernel cannot be asked
	}
	f := &host.Firewall
	problems, _ := daemon.CheckFirewall(c) // none where no firewall is configured
	if len(problems) > 0 && runsWith(f.Use) {
		return text, nil
	}
	if len(problems) > 0 && f.Use == "iptables" { // the other one may do
		f.Seen = append(f.Seen, "iptables cannot be used by regwarden: "+oneLine(problems[0]))
		f.Use = "nftables"
		text = host.Config(thisBuild().Version)
		if c, err = config.Parse(path, text); err != nil {
			return nil, err
		}
		problems, _ = daemon.CheckFirewall(c)
	}
	if len(problems) > 0 {
		f.Problem = oneLine(problems[0])
		text = host.Config(thisBuild().Version)
	}
	return text, nil
}

// oneLine is a problem as a comment has it.
func oneLine(problem string) string {
	return escape(strings.Join(strings.Fields(strings.TrimPrefix(problem, "action ")), " "))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// writeConfig writes a new file, which holds no secret and which the service's user must be able to read whatever the umask is. Or it replaces one in one step,
// keeps who may read it, and keeps what was in it beside it.
func writeConfig(path string, text []byte, force bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	old, err := os.Stat(path)
	if !force || err != nil {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".regwarden-setup-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // does nothing after the rename
	if owner, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	_, writeErr := f.Write(text)
	if err = errors.Join(err, writeErr, f.Chmod(old.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Remove(path + ".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, path+".old"); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
