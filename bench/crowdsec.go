package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// crowdsecPackage is where Debian's package is unpacked. It is not installed: that fails without a network.
const crowdsecPackage = "bench/out/crowdsec"

// crowdsec is CrowdSec in its one-shot mode with its own API on loopback and no other, and with a parser that is written for speed: that of its hub, which
// its users have, takes some ten times as long.
func crowdsec(l *corpus) (*contender, error) {
	root, err := filepath.Abs(crowdsecPackage)
	if err != nil {
		return nil, err
	}
	daemon := filepath.Join(root, "usr/bin/crowdsec")
	c := &contender{name: crowdsecName, log: l, env: oneCore, found: performed, logs: true}
	if _, err := os.Stat(daemon); err != nil {
		c.missing = "CrowdSec's Debian package is not unpacked in " + crowdsecPackage
		return c, nil
	}
	config, err := crowdsecConfig(root, filepath.Join(filepath.Dir(root), "crowdsec-run"))
	if err != nil {
		return nil, fmt.Errorf("set up CrowdSec: %w", err)
	}
	c.args = func(file string) []string {
		if abs, err := filepath.Abs(file); err == nil {
			file = abs
		}
		return []string{daemon, "-c", config, "-no-capi", "-dsn", "file://" + file, "-type", "nginx"}
	}
	return c, nil
}

// crowdsecConfig makes a directory in which CrowdSec runs without a network and without its hub, and returns the path of its configuration.
func crowdsecConfig(root, dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("bench/peers/crowdsec/config.yaml")
	if err != nil {
		return "", err
	}
	files := map[string]string{
		"config.yaml":     strings.NewReplacer("DIR", dir, "PORT", port).Replace(string(text)),
		"hub/.index.json": `{"parsers":{},"scenarios":{},"collections":{},"postoverflows":{}}`,
		"simulation.yaml": "simulation: false\nexclusions: []\n",
		"acquis.yaml":     "", "credentials.yaml": "", "data/.keep": "", "plugins/.keep": "", "notifications/.keep": "",
	}
	for to, from := range map[string]string{
		"profiles.yaml": "bench/peers/crowdsec/profiles.yaml", "scenarios/bench.yaml": "bench/peers/crowdsec/scenario.yaml",
		"parsers/s00-raw/raw.yaml": "bench/peers/crowdsec/raw.yaml", "parsers/s01-parse/nginx.yaml": "bench/peers/crowdsec/nginx.yaml",
		"parsers/s02-enrich/dates.yaml": filepath.Join(root, "usr/share/crowdsec/hub/parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		files[to] = string(text)
	}
	for to, text := range files {
		if err := writeFile(filepath.Join(dir, to), text); err != nil {
			return "", err
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "patterns"), os.DirFS(filepath.Join(root, "etc/crowdsec/patterns"))); err != nil {
		return "", err
	}
	config := filepath.Join(dir, "config.yaml")
	cscli := exec.Command(filepath.Join(root, "usr/bin/cscli"), "-c", config, "machines", "add", "bench", "-p", "only-on-loopback", "-f", filepath.Join(dir, "credentials.yaml"))
	if out, err := cscli.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cscli machines add: %w\n%s", err, tail(out))
	}
	return config, nil
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

// freePort is a port on loopback that nobody listens on.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

var overflow = regexp.MustCompile(`Ip (\S+) performed 'bench/`)

// performed is who made a bucket overflow, as CrowdSec's log tells it.
func performed(out []byte) []string {
	var who []string
	for _, m := range overflow.FindAllSubmatch(out, -1) {
		who = append(who, string(m[1]))
	}
	slices.Sort(who)
	return slices.Compact(who)
}
