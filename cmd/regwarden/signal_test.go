package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestReadersEndAtTheFirstSignal: a verb that waits for a pipe, or reads something without an end, has nothing to clean up.
func TestReadersEndAtTheFirstSignal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"replay", "report"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(verb+" "+sig.String(), func(t *testing.T) {
				pipe := filepath.Join(t.TempDir(), "pipe")
				if err := syscall.Mkfifo(pipe, 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), self, verb, pipe)
				cmd.Args[0] = "regwarden" // which makes the test's program the verb's
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until the verb reads
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !s.Signaled() || s.Signal() != sig {
					t.Errorf("it ended with %v", cmd.ProcessState)
				}
			})
		}
	}
}
