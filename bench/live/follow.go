package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nxadm/tail"
)

// follower is a program that follows a log and says something about each abuser.
type follower struct {
	name    string
	prepare func(dir, log string) (*exec.Cmd, error)
	// decided finds the abuser in what the program says.
	decided *regexp.Regexp
	results []result
}

// followers are all that can be measured here.
func followers(binary string) []*follower {
	all := []*follower{
		{name: "regwarden run, shipped rules", prepare: regwarden(binary), decided: regexp.MustCompile(`"verb":"block","target":"(203\.0\.113\.\d+)`)},
		{name: "nxadm/tail, nothing else", prepare: plainTail, decided: regexp.MustCompile(`^(203\.0\.113\.\d+)`)},
	}
	root, err := filepath.Abs(filepath.Join("bench", "out", "fail2ban"))
	if err == nil {
		_, err = os.Stat(filepath.Join(root, "usr", "bin", "fail2ban-server"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fail2ban is missing: bench/run unpacks Debian's package")
		return all
	}
	return append(all, &follower{name: "fail2ban-server, 1 rule, its date given", prepare: fail2ban(root), decided: regexp.MustCompile(`\] Ban (203\.0\.113\.\d+)`)})
}

// regwarden is the daemon as it is run: the shipped rules, a blocklist, a line a decision. What would touch the host, a firewall, is left out.
func regwarden(binary string) func(dir, log string) (*exec.Cmd, error) {
	return func(dir, log string) (*exec.Cmd, error) {
		config := filepath.Join(dir, "regwarden.toml")
		err := os.WriteFile(config, fmt.Appendf(nil, `[[source]]
name = "nginx"
path = %q
from = "start"
[actions]
log = true
[[actions.blocklist]]
path = %q
[state]
path = %q
[control]
socket = %q
group = ""
[log]
format = "json"
`, log, filepath.Join(dir, "blocklist.txt"), filepath.Join(dir, "state.db"), filepath.Join(dir, "s")), 0o600)
		return exec.Command(binary, "run", "--config", config), err
	}
}

// plainTail is this program, which reads the log and does nothing with it.
func plainTail(_, log string) (*exec.Cmd, error) {
	self, err := os.Executable()
	return exec.Command(self, "tail", log), err
}

// tailFile follows a log the usual way and says who wrote a last line.
func tailFile(path string) error {
	t, err := tail.TailFile(path, tail.Config{Follow: true, ReOpen: true, CompleteLines: true, Logger: tail.DiscardingLogger})
	if err != nil {
		return err
	}
	for line := range t.Lines {
		if strings.Contains(line.Text, lastDoor) {
			fmt.Println(line.Text)
		}
	}
	return t.Wait()
}

// fail2ban is Debian's, unpacked and not installed, with one rule and no action.
func fail2ban(root string) func(dir, log string) (*exec.Cmd, error) {
	return func(dir, log string) (*exec.Cmd, error) {
		for name, text := range map[string]string{
			"fail2ban.conf": fmt.Sprintf("[Definition]\nloglevel = NOTICE\nlogtarget = STDOUT\nsyslogsocket = auto\nsocket = %s\npidfile = %s\ndbfile = %s\ndbpurgeage = 1d\ndbmaxmatches = 10\nallowipv6 = auto\n",
				filepath.Join(dir, "f2b.sock"), filepath.Join(dir, "f2b.pid"), filepath.Join(dir, "f2b.sqlite3")),
			"jail.conf":                            fmt.Sprintf("[DEFAULT]\nbackend = polling\nusedns = no\nlogencoding = utf-8\nmaxretry = %d\nfindtime = 10m\nbantime = 1h\nmaxmatches = 0\n[scan]\nenabled = true\nfilter = scan\nlogpath = %s\naction =\n", len(doors), log),
			filepath.Join("filter.d", "scan.conf"): "[Definition]\nfailregex = ^<HOST> -.*\"(GET|HEAD) /(\\.env|\\.git|wp-|phpmyadmin|actuator|cgi-bin/)\\S* HTTP/1\\.1\" 404 \ndatepattern = %%d/%%b/%%Y:%%H:%%M:%%S %%z\n",
		} {
			path := filepath.Join(dir, "f2b", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		cmd := exec.Command("/usr/bin/python3", filepath.Join(root, "usr", "bin", "fail2ban-server"), "-f", "-c", filepath.Join(dir, "f2b"),
			"-s", filepath.Join(dir, "f2b.sock"), "-p", filepath.Join(dir, "f2b.pid"), "start")
		cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, "usr", "lib", "python3", "dist-packages"))
		return cmd, nil
	}
}

// sight is when something was said of a client.
type sight struct {
	client string
	at     time.Time
}

// patience is how long a decision may take before it is given up.
const patience = 30 * time.Second

// trial is one follower that runs beside one writer.
type trial struct {
	follower, writer *exec.Cmd
	tell             io.Writer  // to the writer: begin the next part
	wrote            chan sight // by the writer; client "" is a part's end
	decided          chan sight // by the follower
	before           map[string]time.Time
	after            map[string]time.Time
}

func measure(f *follower, o options) (r result, err error) {
	dir, err := os.MkdirTemp(filepath.Join("bench", "out"), "live-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return r, err
	}
	t, err := begin(f, dir, o)
	if err != nil {
		return r, err
	}
	defer t.end()
	if _, err := t.part(); err != nil {
		return r, err
	}
	if len(t.after) == 0 {
		return r, errors.New("it said nothing of the first abuser")
	}
	pid := t.follower.Process.Pid
	cpu, err := spent(pid)
	if err != nil {
		return r, err
	}
	begun := time.Now()
	if r.load, err = t.part(); err != nil {
		return r, err
	}
	now, err := spent(pid)
	if err != nil {
		return r, err
	}
	r.cpu, r.wall, r.lines, r.rss = now-cpu, time.Since(begun), o.rate*o.seconds, peak(pid)
	if r.idle, err = t.part(); err != nil {
		return r, err
	}
	r.missing = len(t.before) - len(t.after)
	return r, nil
}

func begin(f *follower, dir string, o options) (*trial, error) {
	t := &trial{wrote: make(chan sight, mostAbusers), decided: make(chan sight, mostAbusers), before: map[string]time.Time{}, after: map[string]time.Time{}}
	log := filepath.Join(dir, "access.log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if t.follower, err = f.prepare(dir, log); err != nil {
		return nil, err
	}
	// One pipe for both, for some write to the one and some to the other.
	said, say, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t.follower.Stdout, t.follower.Stderr = say, say
	err = t.follower.Start()
	say.Close()
	if err != nil {
		return nil, err
	}
	go t.listen(said, f.decided)
	t.writer = exec.Command(self, "write", "-log", log, "-rate", fmt.Sprint(o.rate), "-seconds", fmt.Sprint(o.seconds), "-abusers", fmt.Sprint(o.abusers), "-idle", fmt.Sprint(o.idle))
	t.writer.Stderr = os.Stderr
	if t.tell, err = t.writer.StdinPipe(); err != nil {
		return nil, errors.Join(err, t.end())
	}
	told, err := t.writer.StdoutPipe()
	if err == nil {
		err = t.writer.Start()
	}
	if err != nil {
		return nil, errors.Join(err, t.end())
	}
	go t.hear(told)
	return t, nil
}

// listen notes when the follower says something of a client. It reads to the end, so that the follower never waits for us.
func (t *trial) listen(said *os.File, decided *regexp.Regexp) {
	defer said.Close()
	for s := bufio.NewScanner(said); s.Scan(); {
		if m := decided.FindSubmatch(s.Bytes()); m != nil {
			t.decided <- sight{string(m[1]), time.Now()}
		}
	}
	close(t.decided)
}

// hear notes what the writer says.
func (t *trial) hear(told io.Reader) {
	for s := bufio.NewScanner(told); s.Scan(); {
		client, at, _ := strings.Cut(s.Text(), " ")
		ns, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			t.wrote <- sight{}
			continue
		}
		t.wrote <- sight{client, time.Unix(0, ns)}
	}
	close(t.wrote)
}

// part lets the writer do its next part, and waits until there is a decision on each of its abusers, or patience ends.
func (t *trial) part() ([]time.Duration, error) {
	if _, err := fmt.Fprintln(t.tell); err != nil {
		return nil, err
	}
	var clients []string
	for s := range t.wrote {
		if s.client == "" {
			break
		}
		t.before[s.client] = s.at
		clients = append(clients, s.client)
	}
	for late := time.After(patience); len(t.after) < len(t.before); {
		select {
		case s, ok := <-t.decided:
			if !ok {
				return nil, errors.New("the follower has ended")
			}
			if _, again := t.after[s.client]; !again {
				t.after[s.client] = s.at
			}
			continue
		case <-late:
		}
		break
	}
	var took []time.Duration
	for _, client := range clients {
		if at, ok := t.after[client]; ok {
			took = append(took, at.Sub(t.before[client]))
		}
	}
	return took, nil
}

// end stops both programs.
func (t *trial) end() error {
	if t.writer != nil && t.writer.Process != nil {
		t.writer.Process.Kill()
		t.writer.Wait()
	}
	t.follower.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(10*time.Second, func() { t.follower.Process.Kill() })
	defer kill.Stop()
	return t.follower.Wait()
}

// spent is the CPU time of a process until now. The kernel counts it in hundredths of a second.
func spent(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name in the second field may hold anything, blanks and brackets too.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// peak is the most memory that a process has had, in KiB.
func peak(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
			return n
		}
	}
	return 0
}
