package sources_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"regwarden/sources"
)

// deadline is how long a line may take to arrive before a test fails; nothing waits for it when all is well.
var deadline = time.Duration(scaled(30, 60)) * time.Second

// stress says whether the full versions run.
var stress = os.Getenv("REGWARDEN_STRESS") == "1"

// sink takes batches as the daemon does: lines and position together, or neither.
type sink struct {
	mu        sync.Mutex
	lines     []string
	count     map[string]int
	positions map[string]sources.Position
	cut       int
	batches   int
	rotated   int
	dieAfter  int           // refuse all batches after so many
	changed   chan struct{} // closed and made anew with every batch
}

func newSink() *sink {
	return &sink{count: map[string]int{}, positions: map[string]sources.Position{}, changed: make(chan struct{}), dieAfter: -1}
}

var errKilled = errors.New("killed")

func (s *sink) emit(b sources.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dieAfter == 0 {
		return errKilled
	}
	s.dieAfter--
	s.positions[b.Path] = b.After
	s.batches++
	s.cut += b.Cut
	if b.Rotated {
		s.rotated++
	}
	if len(b.Data) > 0 && b.Data[len(b.Data)-1] != '\n' {
		return fmt.Errorf("batch does not end with a newline: %q", b.Data)
	}
	for line := range strings.Lines(string(b.Data)) {
		line = strings.TrimSuffix(line, "\n")
		s.lines = append(s.lines, line)
		s.count[line]++
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// await waits until the condition holds, which is asked after each batch.
func (s *sink) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	if !s.holds(holds) {
		s.mu.Lock()
		defer s.mu.Unlock()
		t.Fatalf("waited in vain for %s; there are %d lines, the last are %.300q", what, len(s.lines), s.lines[max(0, len(s.lines)-3):])
	}
}

// holds says whether the condition came true before the deadline.
func (s *sink) holds(condition func() bool) bool {
	timeout := time.After(deadline)
	for {
		s.mu.Lock()
		ok, changed := condition(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}

func (s *sink) awaitLine(t *testing.T, line string) {
	t.Helper()
	s.await(t, line, func() bool { return s.count[line] > 0 })
}

func (s *sink) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

func (s *sink) remembered() map[string]sources.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.positions)
}

// running is a source that runs.
type running struct {
	cancel context.CancelFunc
	done   chan error
}

func run(t *testing.T, s sources.Source, remembered map[string]sources.Position, emit sources.Emit) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan error, 1)}
	go func() { r.done <- s.Run(ctx, remembered, emit) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	r.wait(t)
}

func (r *running) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	case <-time.After(deadline):
		t.Fatal("Run did not end")
	}
}

// logFile is a log with numbered lines and its writer.
type logFile struct {
	t    *testing.T
	dir  string
	path string
	f    *os.File
	n    int // the last number that was written
	s    *sink
	run  *running
	also []string // lines without a number, each written once
	sum  *tally   // of many logs; may be nil
}

// tally is what became of the lines that were written.
type tally struct {
	mu                              sync.Mutex
	written, lost, doubled, strange int
}

func newLog(t *testing.T) *logFile {
	t.Helper()
	dir := t.TempDir()
	l := &logFile{t: t, dir: dir, path: filepath.Join(dir, "access.log"), s: newSink()}
	l.create()
	return l
}

// numbered is the line of that number; the numbers make every head of 1 KiB another one.
func numbered(n int) string {
	return fmt.Sprintf("%08d 198.51.100.%d GET /v2/acme/web/manifests/v%d 404", n, n%250, n)
}

func (l *logFile) create() {
	l.t.Helper()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	l.must(err)
	l.close()
	l.f = f
}

func (l *logFile) close() {
	if l.f != nil {
		l.f.Close()
	}
}

func (l *logFile) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// lines returns the next n lines as text.
func (l *logFile) lines(n int) string {
	var b strings.Builder
	for range n {
		l.n++
		b.WriteString(numbered(l.n) + "\n")
	}
	return b.String()
}

func (l *logFile) write(n int) {
	l.t.Helper()
	l.raw(l.lines(n))
}

func (l *logFile) raw(text string) {
	l.t.Helper()
	_, err := l.f.WriteString(text)
	l.must(err)
}

// name is a name next to the log.
func (l *logFile) name(suffix string) string { return l.path + suffix }

func (l *logFile) rename(from, to string) {
	l.t.Helper()
	l.must(os.Rename(from, to))
}

// follow starts to read the log from where the sink stands.
func (l *logFile) follow() {
	l.t.Helper()
	l.followAs(sources.FilesOptions{Name: "test", Paths: []string{l.path}, From: "start"})
}

// begin follows the log and waits until the source has it open.
func (l *logFile) begin() {
	l.t.Helper()
	l.write(1)
	l.follow()
	l.caughtUp()
}

func (l *logFile) followAs(o sources.FilesOptions) {
	l.t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(l.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := sources.NewFiles(o)
	l.must(err)
	l.run = run(l.t, s, l.s.remembered(), l.s.emit)
}

// caughtUp waits for the last line that was written.
func (l *logFile) caughtUp() {
	l.t.Helper()
	l.s.awaitLine(l.t, numbered(l.n))
}

// finish waits for the last line and for all others, and proves that each came once.
func (l *logFile) finish() {
	l.t.Helper()
	l.arrived()
	l.run.stop(l.t)
	l.exact()
}

// arrived waits for every line; when one does not come, exact will say which.
func (l *logFile) arrived() {
	l.t.Helper()
	l.caughtUp()
	if !l.s.holds(func() bool { return len(l.s.count) >= l.n+len(l.also) }) {
		l.t.Error("not all lines came")
	}
}

// exact proves, when nothing is read any more, that each line came once and no other did.
func (l *logFile) exact() {
	l.t.Helper()
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var lost, doubled []string
	written := append([]string(nil), l.also...)
	for n := 1; n <= l.n; n++ {
		written = append(written, numbered(n))
	}
	strange := maps.Clone(l.s.count)
	for _, line := range written {
		delete(strange, line)
		switch c := l.s.count[line]; {
		case c == 0:
			lost = append(lost, line)
		case c > 1:
			doubled = append(doubled, line)
		}
	}
	if len(lost)+len(doubled)+len(strange) > 0 {
		l.t.Errorf("of %d lines: %d lost %s, %d doubled %s, %d strange %.200q", len(written), len(lost), spans(lost), len(doubled), spans(doubled),
			len(strange), slices.Collect(maps.Keys(strange)))
	}
	if l.sum != nil {
		l.sum.mu.Lock()
		defer l.sum.mu.Unlock()
		l.sum.written, l.sum.lost = l.sum.written+len(written), l.sum.lost+len(lost)
		l.sum.doubled, l.sum.strange = l.sum.doubled+len(doubled), l.sum.strange+len(strange)
	}
}

// TestMain lets more tests run at once than there are processors: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if !given("test.parallel") {
		flag.Set("test.parallel", "24")
	}
	m.Run()
}

func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// spans writes the numbers of lines as ranges, and the lines that have none as they are.
func spans(lines []string) string {
	var b strings.Builder
	for i := 0; i < len(lines); {
		first, err := strconv.Atoi(lines[i][:min(8, len(lines[i]))])
		last := first
		if err != nil {
			fmt.Fprintf(&b, "%.50q ", lines[i])
			i++
			continue
		}
		for i++; i < len(lines) && strings.HasPrefix(lines[i], fmt.Sprintf("%08d ", last+1)); i++ {
			last++
		}
		fmt.Fprintf(&b, "%d-%d ", first, last)
	}
	return b.String()
}

// itself is this program, running this one test in a process of its own. The link leads to it wherever it lies, also where nobody may not look.
func itself(t *testing.T) *exec.Cmd {
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	return exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+pattern, "-test.v")
}

// passes runs a test's other process, which must end by itself with the test passed.
func passes(t *testing.T, process *exec.Cmd) {
	t.Helper()
	out, err := process.CombinedOutput()
	passed(t, out, err)
}

func passed(t *testing.T, out []byte, err error) {
	t.Helper()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
}
