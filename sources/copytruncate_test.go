package sources_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestCopytruncateUnderLoad lets logrotate copy and truncate a log that is written to all the time. What logrotate itself keeps (its copies and the log) must come
// once; what it loses, lines written between its copy and its truncation, is measured, and how much of that was read all the same.
func TestCopytruncateUnderLoad(t *testing.T) {
	logrotate, err := exec.LookPath("logrotate")
	if err != nil {
		t.Skip("SKIPPED: logrotate is not installed. Run: apt-get install logrotate")
	}
	t.Parallel()
	l := newLog(t)
	l.begin()
	conf := filepath.Join(l.dir, "logrotate.conf")
	l.must(os.WriteFile(conf, []byte(fmt.Sprintf("%s {\n\tcopytruncate\n\trotate 100\n\tsize 1\n\tnocompress\n}\n", l.path)), 0o600))

	stop, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-stop:
				return
			case <-pace.C:
				l.write(20) // 20,000 lines a second
			}
		}
	}()
	rotations := 5
	if stress {
		rotations = 20
	}
	for i := range rotations {
		out, err := exec.Command(logrotate, "--force", "--state", filepath.Join(l.dir, "state"), conf).CombinedOutput()
		if err != nil {
			t.Fatalf("logrotate: %v: %s", err, out)
		}
		from := l.s.total()
		l.s.await(t, fmt.Sprintf("lines after rotation %d", i+1), func() bool { return len(l.s.lines) >= from+200 })
	}
	close(stop)
	<-written
	l.write(1)
	l.caughtUp()
	kept := map[string]bool{}
	files, _ := filepath.Glob(l.path + "*")
	for _, path := range files {
		text, err := os.ReadFile(path)
		l.must(err)
		for line := range strings.Lines(string(text)) {
			kept[strings.TrimSuffix(line, "\n")] = true
		}
	}
	if !l.s.holds(func() bool {
		for line := range kept {
			if l.s.count[line] == 0 {
				return false
			}
		}
		return true
	}) {
		t.Error("lines that logrotate kept did not come")
	}
	l.run.stop(t)
	lost, saved, doubled := 0, 0, 0
	for n := 1; n <= l.n; n++ {
		switch line := numbered(n); {
		case l.s.count[line] > 1:
			doubled++
		case !kept[line] && l.s.count[line] == 0:
			lost++
		case !kept[line]:
			saved++
		}
	}
	t.Logf("%d lines, %d rotations: logrotate lost %d, of which %d were read before", l.n, rotations, lost+saved, saved)
	if doubled > 0 {
		t.Errorf("%d lines came twice", doubled)
	}
}
