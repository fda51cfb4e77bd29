package actions

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// haproxyLine is the most bytes of one command: HAProxy's buffer has 16 KiB unless it is told otherwise.
	haproxyLine = 8 << 10
	// haproxyAnswer is the most that is read of what it says.
	haproxyAnswer  = 64 << 10
	haproxyTimeout = 5 * time.Second
)

// rewrite replaces a map in one step: a new version is filled and then takes the place of the old one.
func (h *HAProxy) rewrite(ctx context.Context, m *haproxyMap) error {
	said, err := h.ask(ctx, "prepare map "+m.path)
	if err != nil {
		return err
	}
	_, version, ok := strings.Cut(strings.TrimSpace(said), "New version created: ")
	if !ok {
		return fmt.Errorf("haproxy: map %s: %s; its configuration must name this very file, as in src,map_ip(%s)", m.path, clean(strings.TrimSpace(said), 200), m.path)
	}
	var payload strings.Builder
	send := func() error {
		if payload.Len() == 0 {
			return nil
		}
		said, err := h.ask(ctx, fmt.Sprintf("add map @%s %s <<\n%s", version, m.path, payload.String()))
		payload.Reset()
		if said = strings.TrimSpace(said); err == nil && said != "" {
			err = fmt.Errorf("haproxy: map %s: %s", m.path, clean(said, 200))
		}
		return err
	}
	for _, line := range m.lines() {
		if payload.Len()+len(line) > haproxyLine {
			if err := send(); err != nil {
				return err
			}
		}
		payload.WriteString(line)
	}
	if err := send(); err != nil {
		return err
	}
	said, err = h.ask(ctx, fmt.Sprintf("commit map @%s %s", version, m.path))
	if said = strings.TrimSpace(said); err == nil && said != "" {
		err = fmt.Errorf("haproxy: map %s: %s", m.path, clean(said, 200))
	}
	return err
}

// ask sends one command and returns what HAProxy says. A connection serves one command, and HAProxy closes it.
func (h *HAProxy) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, haproxyTimeout)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", h.options.Socket)
	if err != nil {
		return "", fmt.Errorf("haproxy: %w; its configuration needs: stats socket %s mode 660 level admin", err, h.options.Socket)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(c, haproxyAnswer))
	if err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	return string(said), nil
}

// pidOf is the process of the HAProxy that sent this info, with the time that it began, by which one is known from another.
func pidOf(info string) string {
	var pid, began string
	for line := range strings.SplitSeq(info, "\n") {
		if v, ok := strings.CutPrefix(line, "Pid: "); ok {
			pid = v
		}
		if v, ok := strings.CutPrefix(line, "Start_time_sec: "); ok {
			began = v
		}
	}
	return pid + " " + began
}
