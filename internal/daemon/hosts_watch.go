package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// hostsPause is how long the host's addresses are left alone after a look: a program that sets many at once, or flaps, costs one look each.
const hostsPause = 200 * time.Millisecond

// hostGroups are the kernel's announcements of addresses and routes.
const hostGroups = 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) | 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1)

// watchHosts calls changed when an address of this host or a default route has come or gone, until ctx ends. The look that is taken from time to time finds
// that too, later: so where the kernel may not be listened to, that is only told.
func watchHosts(ctx context.Context, logger *slog.Logger, changed func()) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: hostGroups})
	if err != nil {
		logger.Info("changes of the host's addresses are not heard of at once but looked for each minute", "error", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		stop()
		conn.Close()
	}()
	for ctx.Err() == nil {
		messages, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, unix.ENOBUFS): // some were lost
		case err != nil:
			logger.Warn("changes of the host's addresses are not heard of any more but looked for each minute", "error", err)
			return
		case !lifeline(messages):
			continue
		}
		changed()
		select {
		case <-ctx.Done():
		case <-time.After(hostsPause):
		}
	}
}

// lifeline says whether an announcement is of an address or a default route; a router hears of very many others.
func lifeline(messages []netlink.Message) bool {
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			return true
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			if len(m.Data) > 1 && m.Data[1] == 0 { // struct rtmsg: rtm_dst_len
				return true
			}
		}
	}
	return false
}

// hostsMoved looks at the host's addresses after an announcement, of which most change none of them.
func (c *core) hostsMoved() {
	if !slices.Equal(c.hosts, HostAddresses(c.logger)) {
		c.lookAtHosts()
	}
}

// lookAtHosts reads the host's addresses again and lets go of those that must not be blocked any more.
func (c *core) lookAtHosts() {
	c.hosts = HostAddresses(c.logger)
	c.detector.SetRules(c.plan.set.Rules, c.options(c.plan))
	c.protect()
	c.spareAllowed()
}
