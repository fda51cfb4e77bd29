package sources

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// journalPath is the Path of everything that comes from journald.
const journalPath = "journal"

// JournalOptions says which of journald's records a source gives out.
type JournalOptions struct {
	// Name is the configured name.
	Name string
	// Units are systemd units, such as docker-registry.service; none means all.
	Units []string
	// Matches are further conditions as journalctl takes them: FIELD=value, an absolute path of an executable, or "+".
	Matches []string
	// Command is the journalctl to run; empty means "journalctl".
	Command string
	// Pause is how long to wait before journalctl is started again the first time after it ended, doubled up to 30 s for each
	// time that it gave out nothing; zero means a second.
	Pause time.Duration
	// Logger is told when journalctl ends; nil is silence.
	Logger *slog.Logger
}

// Journal follows journald through a child process. Each record becomes a syslog line with an RFC 3339 time.
type Journal struct{ o JournalOptions }

// NewJournal returns a source of journald's records. It starts nothing yet.
func NewJournal(o JournalOptions) (*Journal, error) {
	if o.Name == "" {
		return nil, errors.New("a source of the journal needs a name")
	}
	for _, match := range o.Matches {
		field, _, ok := strings.Cut(match, "=")
		if match != "+" && !strings.HasPrefix(match, "/") && (!ok || field == "" || strings.Trim(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "") {
			return nil, fmt.Errorf("source %s: match %q: want FIELD=value", o.Name, match)
		}
	}
	if o.Command == "" {
		o.Command = "journalctl"
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Journal{o}, nil
}

// Name is the configured name.
func (j *Journal) Name() string { return j.o.Name }

// Run gives out records from the remembered cursor on, or new ones only, until the context ends.
func (j *Journal) Run(ctx context.Context, remembered map[string]Position, emit Emit) error {
	command, err := exec.LookPath(j.o.Command)
	if err != nil {
		return fmt.Errorf("source %s: cannot run %s, is systemd's journal installed? %w", j.o.Name, j.o.Command, err)
	}
	child := &journalChild{Journal: j, command: command, emit: emit, cursor: remembered[journalPath].Cursor, begun: time.Now()}
	for pause := j.o.Pause; ctx.Err() == nil; pause = min(2*pause, 30*time.Second) {
		before := child.cursor
		err := child.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failed := (*emitError)(nil); errors.As(err, &failed) {
			return fmt.Errorf("source %s: %w", j.o.Name, failed.err)
		}
		if child.cursor != before {
			pause = j.o.Pause
		}
		j.o.Logger.Warn("journalctl ended, starting it again", "source", j.o.Name, "after", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// Past writes the lines of what is in the journal already to w: since a time, or all of it where that is zero.
func (j *Journal) Past(ctx context.Context, since time.Time, w io.Writer) error {
	command, err := exec.LookPath(j.o.Command)
	if err != nil {
		return fmt.Errorf("source %s: cannot run %s, is systemd's journal installed? %w", j.o.Name, j.o.Command, err)
	}
	child := &journalChild{Journal: j, command: command, past: true, begun: since, emit: func(b Batch) error {
		_, err := w.Write(b.Data)
		return err
	}}
	if err := child.run(ctx); err != nil {
		return fmt.Errorf("source %s: journalctl: %w", j.o.Name, err)
	}
	return nil
}

// journalChild is the child process of a Run, one after the other.
type journalChild struct {
	*Journal
	command string
	emit    Emit
	cursor  string    // of the last record that was given out
	begun   time.Time // when Run began, or since when the past is asked for
	past    bool      // what is there already, and then the end
	reader  recordReader
	lines   []byte
}

// emitError wraps what emit returned, to tell it from what befell the child.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// arguments never pass through a shell. --all because journalctl writes null instead of fields above 4 KiB without it. --merge because --follow keeps to the
// current boot without it: what was written between our end and that of the system would be lost, and so would everything in a container whose boot ID a
// service with a /proc of its own does not see. What --merge takes in besides, the journals of other machines, the machine's ID keeps out.
func (c *journalChild) arguments() []string {
	args := []string{"--output=json", "--merge", "--all", "--quiet", "--no-pager"}
	if !c.past {
		args = append(args, "--follow")
	}
	switch {
	case c.past && c.begun.IsZero():
	case c.past:
		args = append(args, "--since=@"+strconv.FormatInt(c.begun.Unix(), 10))
	case c.cursor != "":
		args = append(args, "--no-tail", "--after-cursor="+c.cursor)
	default:
		// What came since the first start is new. Not --lines=0: with it journalctl 252 loses the first records of a unit that has none yet, or all.
		args = append(args, "--no-tail", "--since=@"+strconv.FormatInt(c.begun.Unix(), 10))
	}
	for _, unit := range c.o.Units {
		args = append(args, "--unit="+unit)
	}
	return append(args, c.matches()...)
}

// matches are the configured ones; each of the alternatives between "+" is of this machine.
func (c *journalChild) matches() []string {
	var here []string
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(bytes.TrimSpace(id)) == 32 {
		here = []string{"_MACHINE_ID=" + string(bytes.TrimSpace(id))}
	}
	out := slices.Clone(here)
	for _, match := range c.o.Matches {
		out = append(out, match)
		if match == "+" {
			out = append(out, here...)
		}
	}
	return out
}

// run runs the child until it ends.
func (c *journalChild) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	child := exec.CommandContext(ctx, c.command, c.arguments()...)
	child.WaitDelay = 5 * time.Second
	said := &lastWords{}
	child.Stderr = said
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	err = c.read(out)
	if err != nil || !c.past {
		stop() // when emit failed it is still alive; of the past, the end of the output is no more than a journalctl that is about to end
	}
	if ended := child.Wait(); err == nil {
		err = ended
	}
	if said.text != nil {
		err = fmt.Errorf("%w: %s", cmpErr(err), bytes.TrimSpace(said.text))
	}
	return err
}

// cmpErr is the error, or one for a child that ended as if all were well.
func cmpErr(err error) error {
	if err == nil {
		return errors.New("it ended")
	}
	return err
}

// lastWords keeps the last lines that the child wrote to its standard error.
type lastWords struct{ text []byte }

func (l *lastWords) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	if excess := len(l.text) - 512; excess > 0 {
		l.text = append(l.text[:0], l.text[excess:]...)
	}
	return len(p), nil
}

// read gives out records until the child's output ends. Records that have arrived together are given out together.
func (c *journalChild) read(out io.Reader) error {
	in := bufio.NewReaderSize(out, readSize)
	var cut int
	c.lines = c.lines[:0]
	for {
		record, err := nextRecord(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line, cursor, cutLine := c.reader.line(record); cursor != "" {
			c.lines, c.cursor = append(c.lines, line...), cursor
			cut += cutLine
		}
		if len(c.lines) == 0 || len(c.lines) < readSize && wholeRecord(in) {
			continue
		}
		if err := c.emit(Batch{Source: c.o.Name, Path: journalPath, Data: c.lines, Cut: cut, After: Position{Path: journalPath, Cursor: c.cursor}}); err != nil {
			return &emitError{err}
		}
		c.lines, cut = c.lines[:0], 0
	}
}

// wholeRecord says whether one more record can be read without waiting.
func wholeRecord(in *bufio.Reader) bool {
	waiting, _ := in.Peek(in.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}

// maxRecord bounds what is kept of one record. A MESSAGE that is no UTF-8 is written as numbers, four bytes and more for one.
const maxRecord = 4 << 20

// nextRecord returns the next line of any length up to maxRecord; a longer one is skipped.
func nextRecord(in *bufio.Reader) ([]byte, error) {
	record, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return record, err
	}
	long := bytes.Clone(record)
	for errors.Is(err, bufio.ErrBufferFull) {
		record, err = in.ReadSlice('\n')
		if len(long) <= maxRecord {
			long = append(long, record...)
		}
	}
	if len(long) > maxRecord {
		return nil, err
	}
	return long, err
}
