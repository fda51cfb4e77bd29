package sources

import (
	"os"
	"sync"
)

// maxLeft is how many files a source remembers that it no longer has open.
const maxLeft = 4096

// Claims make several sources read a file that matches the patterns of more than one of them only once: the first that finds it follows it. They are for FilesOptions.
type Claims struct{ shared *claims }

// NewClaims returns claims for sources that run at the same time.
func NewClaims() *Claims { return &Claims{newClaims()} }

// claims is what the followers of one source, or of several that share them, know of each other: a file that one of them has read must not be read by another under a new name.
type claims struct {
	mu     sync.Mutex
	paths  map[string]string // what source follows the path
	open   map[identity]int
	past   map[uint64]Position // by inode, which alone says nothing: the head must fit
	oldest []uint64            // inodes of past in the order in which they came
}

func newClaims() *claims {
	return &claims{paths: map[string]string{}, open: map[identity]int{}, past: map[uint64]Position{}}
}

func (c *claims) follow(source, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paths[path] = source
}

func (c *claims) unfollow(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.paths, path)
}

// follows says whether a follower of its own reads the path.
func (c *claims) follows(path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paths[path] != ""
}

// other is the other source that follows the path; "" if none does.
func (c *claims) other(source, path string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.paths[path]; owner != source {
		return owner
	}
	return ""
}

// reserve makes the path the source's own, unless another one was faster.
func (c *claims) reserve(source, path string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.paths[path]; owner != "" && owner != source {
		return false
	}
	c.paths[path] = source
	return true
}

// hold says that a follower has the file open.
func (c *claims) hold(o *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[o.id]++
}

// drop says that a follower has done with the file.
func (c *claims) drop(o *openFile) {
	c.mu.Lock()
	if c.open[o.id]--; c.open[o.id] <= 0 {
		delete(c.open, o.id)
	}
	c.mu.Unlock()
	if o.gz == nil {
		c.left(o.position(""))
	}
}

// left says that a file was read up to the position.
func (c *claims) left(p Position) {
	if p.HeadLength == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.past[p.Inode]; !again {
		c.oldest = append(c.oldest, p.Inode)
	}
	c.past[p.Inode] = p
	if len(c.oldest) > maxLeft {
		delete(c.past, c.oldest[0])
		c.oldest = c.oldest[1:]
	}
}

// claim says whether the file at the path may be followed, and from where when it was read before under another name.
func (c *claims) claim(path string) (*Position, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&(os.ModeType&^os.ModeNamedPipe) != 0 {
		return nil, false
	}
	id := identify(info)
	c.mu.Lock()
	held, before := c.open[id] > 0, c.past[id.inode]
	c.mu.Unlock()
	if held {
		return nil, false
	}
	if before.HeadLength == 0 || !info.Mode().IsRegular() {
		return nil, true
	}
	o, err := open(path)
	if err != nil {
		return nil, false
	}
	defer o.close()
	if !o.begins(before) {
		return nil, true
	}
	before.Path = path
	return &before, true
}
