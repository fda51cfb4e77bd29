// Command lab runs regwarden beside a real registry and real clients, and holds what every client prints against lab/testdata. lab/run starts it, as the
// first process of namespaces of its own.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var (
	packaging, source string
	update            = flag.Bool("update", false, "write lab/testdata and docs/lab.md anew")
	shippedRule       = flag.Bool("shipped", false, "take the rule missing-manifest as it is shipped, not a faster copy")
	group             = flag.String("group", "regwarden-lab", "the cgroup of all containers")
)

func main() {
	flag.Parse()
	source, _ = filepath.Abs(".")
	packaging = filepath.Join(source, "packaging")
	s := &story{began: time.Now()}
	err := s.tell()
	if err != nil {
		s.fail("%v", err)
	}
	s.end()
	if len(s.failed) > 0 {
		fmt.Fprintf(os.Stderr, "lab: %d failed:\n%s\n", len(s.failed), strings.Join(s.failed, "\n"))
		if left := os.Getenv("REGWARDEN_LAB_LOGS"); left != "" {
			_ = exec.Command("sh", "-c", "cp -f "+dir+"/*.log "+dir+"/*.conf "+dir+"/*.cfg "+left).Run()
		}
		os.Exit(1)
	}
	fmt.Printf("the lab is done after %v\n", time.Since(s.began).Round(time.Second))
}

// path is where a program is.
func path(program string) string {
	found, err := exec.LookPath(program)
	if err != nil {
		panic(err) // lab/install has put it there
	}
	return found
}

// story is one run: what is told of it, and what went wrong.
type story struct {
	began   time.Time
	text    strings.Builder
	failed  []string
	servers []*process
	daemon  *process
}

func (s *story) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.text.WriteString(text)
	fmt.Print(text)
}

func (s *story) fail(format string, args ...any) {
	s.failed = append(s.failed, "  "+fmt.Sprintf(format, args...))
	fmt.Println("FAILED:", fmt.Sprintf(format, args...))
}

// show runs a command as somebody types it, tells it with what it printed, and returns that.
func (s *story) show(host, typed string, args ...string) (string, error) {
	out, err := run(host, args...)
	s.say("\n```\n$ %s\n%s```\n", typed, ensureLine(out))
	return out, err
}

func ensureLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

func regwarden(args ...string) []string {
	return append([]string{source + "/lab/out/regwarden"}, args...)
}

// startDaemon starts regwarden and waits until it answers.
func (s *story) startDaemon() error {
	p, err := start("", "regwarden", regwarden("run", "--config", dir+"/regwarden.toml")...)
	if err != nil {
		return err
	}
	s.daemon = p
	return waitFor("regwarden answers", 20*time.Second, func() bool { _, err := run("", regwarden("status")...); return err == nil })
}

// end stops what runs and writes what was told.
func (s *story) end() {
	if s.daemon != nil {
		s.servers = append(s.servers, s.daemon)
	}
	for i := len(s.servers) - 1; i >= 0; i-- {
		s.servers[i].stop(15)
	}
	// Whose kernel it ran on is nobody's business.
	told := regexp.MustCompile(`kernel/[^ ]+`).ReplaceAllString(s.text.String(), "kernel/6.1.0")
	text := "<!-- Written by lab/run -update; do not edit. -->\n# The lab\n\n" + told
	files := []string{source + "/lab/out/lab.md"}
	if *update && len(s.failed) == 0 {
		files = append(files, source+"/docs/lab.md")
	}
	for _, f := range files {
		if err := write(f, text); err != nil {
			s.fail("%v", err)
		}
	}
}
