package daemon_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"regwarden/internal/control"
)

// TestStatusTellsWhatCannotBeRead: a source of which nothing can ever be read must not look like one that is quiet. It is told while it lasts, at its path.
func TestStatusTellsWhatCannotBeRead(t *testing.T) {
	h := newHost(t, "dry_run = true\n[[source]]\nname = \"web\"\nformat = \"nginx\"\nfrom = \"start\"\npaths = [\"good.log\", \"bad.log\"]\n", nil)
	h.write("good.log", line("203.0.113.7"))
	if err := os.Mkdir(h.path("bad.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.run()
	wrong := func() (good, bad string) {
		s, err := h.client.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range s.Sources {
			switch {
			case strings.HasSuffix(src.Path, "/good.log"):
				good = src.Error
			case strings.HasSuffix(src.Path, "/bad.log"):
				bad = src.Error
			}
		}
		return good, bad
	}
	h.until("the directory is told", func() bool {
		good, bad := wrong()
		return h.lines() == 1 && good == "" && strings.HasSuffix(bad, "bad.log: it is a directory")
	})
	if err := os.Remove(h.path("bad.log")); err != nil {
		t.Fatal(err)
	}
	h.until("its absence is told", func() bool {
		_, bad := wrong()
		return bad == h.path("bad.log")+" is not there; the daemon waits for it"
	})
	h.write("bad.log", line("203.0.113.7"))
	h.until("all is well", func() bool {
		good, bad := wrong()
		return h.lines() == 2 && good == "" && bad == ""
	})
}

// TestAPipeIsNoTrouble: it is read by other means than a file, and the log says nothing of that.
func TestAPipeIsNoTrouble(t *testing.T) {
	h := newHost(t, "dry_run = true\n[[source]]\npath = \"pipe\"\nformat = \"nginx\"\n", nil)
	if err := syscall.Mkfifo(h.path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run()
	w, err := os.OpenFile(h.path("pipe"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString(line("203.0.113.7")); err != nil {
		t.Fatal(err)
	}
	var s control.Status
	h.until("the line is counted", func() bool {
		s, err = h.client.Status(context.Background())
		return err == nil && len(s.Sources) == 1 && s.Sources[0].Lines == 1
	})
	if s.Sources[0].Error != "" {
		t.Errorf("status says %q", s.Sources[0].Error)
	}
	h.kill(syscall.SIGTERM)
	if text := h.log.String(); strings.Contains(text, "readable") || strings.Contains(text, "cannot read") {
		t.Errorf("the log says:\n%s", text)
	}
}
