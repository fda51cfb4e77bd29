package daemon

import (
	"os"
	"syscall"
	"time"

	"regwarden/sources"
)

// Catching up is told this often, while at least so much is still to be read.
const (
	catchUpEvery = 10 * time.Second
	catchUpFrom  = 64 << 20
)

// sayCatchUp tells how far the daemon is with logs that were written before it started, or faster than it reads.
func (c *core) sayCatchUp(now time.Time) {
	var behind int64
	for p, at := range c.positions {
		behind += bytesBehind(p.Path, at)
	}
	var read uint64
	for _, n := range c.counts {
		read += n.Bytes
	}
	done, since := read-c.readThen, now.Sub(c.readAt)
	c.readThen, c.readAt = read, now
	if behind < catchUpFrom || since <= 0 || since > 2*catchUpEvery || done == 0 {
		return
	}
	perSecond := float64(done) / since.Seconds()
	c.logger.Info("catching up", "behind_mb", behind>>20, "mb_per_s", int64(perSecond)>>20,
		"left", time.Duration(float64(behind)/perSecond*float64(time.Second)).Round(time.Second).String())
}

// bytesBehind is how much of the file at path is not read yet; all of it if an older one is still read under the name.
func bytesBehind(path string, at sources.Position) int64 {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Ino == at.Inode {
		return max(info.Size()-at.Offset, 0)
	}
	return info.Size()
}
