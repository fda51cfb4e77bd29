package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// cost is what one run took.
type cost struct {
	CPU, Wall time.Duration
	RSS       int64 // KiB
}

// measureFlag makes this program start another one and tell on file descriptor 3 what it cost. The kernel lets a child's peak memory begin with that of who
// forked it, so the measurement itself, which holds logs and outputs, would hide what small programs take.
const measureFlag = "-measure-one"

// measured runs a command in between, with its output and complaints where they are wanted.
func measured(args, env []string, out, complaints io.Writer) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return cost{}, err
	}
	defer told.Close()
	cmd := exec.Command(self, append([]string{measureFlag}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = append(os.Environ(), env...), out, complaints, []*os.File{tell}
	err = cmd.Run()
	tell.Close()
	if err != nil {
		return cost{}, err
	}
	var k cost
	if err := json.NewDecoder(told).Decode(&k); err != nil {
		return cost{}, fmt.Errorf("read what it cost: %w", err)
	}
	return k, nil
}

// measureOne is the program in between. It leaves with the code of the command, so that a failure is seen.
func measureOne(args []string) int {
	tell := os.NewFile(3, "cost")
	syscall.CloseOnExec(3)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	begun := time.Now()
	err := cmd.Run()
	k := cost{Wall: time.Since(begun)}
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	s := cmd.ProcessState
	k.CPU = s.UserTime() + s.SystemTime()
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		k.RSS = u.Maxrss
	}
	if err := json.NewEncoder(tell).Encode(k); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	if s.ExitCode() < 0 {
		return 126 // a signal
	}
	return s.ExitCode()
}
